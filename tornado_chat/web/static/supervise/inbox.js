// @ts-check
/**
 * The notifications of one person: each once, whether it came by the socket, by the API or by both.
 *
 * @module
 */

import { parseNumber } from "../shared/numbers.js";
import { supportKey } from "./conversation_key.js";

/** @typedef {import("../shared/receive_only_sockets.js").NotifyFrame} NotifyFrame */
/** @typedef {import("./api.js").NotificationItem} NotificationItem */

/**
 * - `alert`: stays on top until it is acknowledged
 * - `call`: a consultant asks for supervision
 * - `appointment`: an appointment was changed
 * - `note`: all others
 *
 * @typedef {"alert" | "call" | "appointment" | "note"} NoticeKind
 */

/**
 * @typedef {object} Notice
 * @property {string} id
 * @property {number} seq
 * @property {NoticeKind} kind
 * @property {string} msg the text of the server or the host
 * @property {string} time server time
 * @property {string} [session] the key of the session or support conversation to observe
 * @property {string} [record] the supervision record with the consultant
 * @property {string} [appointment]
 * @property {boolean} read
 * @property {string | null} readAt
 */

const TYPE_APPOINTMENT = 1;
const TYPE_CONVERSATION = 2;

/**
 * @param {NotifyFrame | NotificationItem} notification
 * @param {boolean} isSupervisor for supervisors `sessionId` is a record; administrators have no records
 * @returns {Notice}
 */
export function toNotice(notification, isSupervisor) {
  const data = notification.data ?? {};
  const stored = "notification_id" in notification;
  const session = parseNumber(data.observeSessionId) ?? supportKey(data.observeConversationId);
  const record = isSupervisor ? parseNumber(data.sessionId) : undefined;
  const conversation = notification.type === TYPE_CONVERSATION && session !== undefined;
  return {
    id: stored ? notification.notification_id : notification.id,
    seq: notification.seq,
    kind: toKind(notification.type, data, conversation),
    msg: notification.msg,
    time: notification.time,
    ...(conversation ? { session, record } : {}),
    ...(notification.type === TYPE_APPOINTMENT ? { appointment: String(data.apointmentId ?? "") } : {}),
    read: stored && notification.read,
    readAt: stored ? notification.read_at : null,
  };
}

export class Inbox {
  /**
   * @param {(arrived: Notice[]) => void} onChange `arrived` are new notices. The server sends over the socket
   *   what no window of this person has received yet; what the first API answer contains is old.
   * @param {boolean} isSupervisor false for an administrator
   */
  constructor(onChange, isSupervisor) {
    this.#onChange = onChange;
    this.#isSupervisor = isSupervisor;
  }

  #onChange;
  #isSupervisor;
  /** @type {Map<string, Notice>} */
  #byId = new Map();
  #lastSeq = 0;
  #isLoaded = false;

  /** Whether earlier notices were loaded. */
  get isLoaded() {
    return this.#isLoaded;
  }

  /**
   * All notices in display order: unacknowledged alerts, then the others; each newest first.
   *
   * @returns {Notice[]}
   */
  get notices() {
    const first = (/** @type {Notice} */ notice) => Number(isOpenAlert(notice));
    return [...this.#byId.values()].sort((one, other) => first(other) - first(one) || other.seq - one.seq);
  }

  /** The unacknowledged alerts. */
  get alerts() {
    return this.notices.filter(isOpenAlert);
  }

  get unread() {
    return this.notices.filter((notice) => !notice.read);
  }

  /**
   * The sequence number after which to request notifications, to learn which are new and which were read
   * meanwhile.
   */
  get resumeSeq() {
    const unread = this.unread.map((notice) => notice.seq - 1);
    return Math.min(this.#lastSeq, ...unread);
  }

  /** @param {string} id */
  find(id) {
    return this.#byId.get(id);
  }

  /**
   * The latest supervision record of a session: that of the last call. Hosts choose numbers in any order.
   *
   * @param {string} session
   * @param {string} record the record to use if no notice names it: then it is newer; empty: unknown
   * @returns {string} empty if none is known
   */
  latestRecordOf(session, record) {
    const calls = [...this.#byId.values()].filter((notice) => notice.session === session && notice.record);
    if (record && !calls.some((call) => call.record === record)) {
      return record;
    }
    return calls.sort((one, other) => other.seq - one.seq)[0]?.record ?? "";
  }

  /** Add a notification from the socket. @param {NotifyFrame} frame */
  addFrame(frame) {
    const notice = toNotice(frame, this.#isSupervisor);
    if (!this.#byId.has(notice.id)) {
      this.#add(notice);
      this.#onChange([notice]);
    }
  }

  /** Add notifications from the API. @param {NotificationItem[]} items */
  addItems(items) {
    const arrived = [];
    for (const item of items) {
      const notice = toNotice(item, this.#isSupervisor);
      const known = this.#byId.get(notice.id);
      if (known) {
        known.read ||= notice.read; // an answer may be older than the known state
        known.readAt ??= notice.readAt;
      } else {
        this.#add(notice);
        arrived.push(notice);
      }
    }
    const wasLoaded = this.#isLoaded;
    this.#isLoaded = true;
    this.#onChange(wasLoaded ? arrived.filter((notice) => !notice.read) : []);
  }

  /**
   * Mark a notice as read, in this window or another one.
   *
   * @param {string} id
   * @param {string | null} at server time
   */
  markRead(id, at) {
    const notice = this.#byId.get(id);
    if (notice) {
      notice.read = true;
      notice.readAt ??= at;
      this.#onChange([]);
    }
  }

  /** @param {Notice} notice */
  #add(notice) {
    this.#byId.set(notice.id, notice);
    this.#lastSeq = Math.max(this.#lastSeq, notice.seq);
  }
}

/** @param {Notice} notice */
export function isOpenAlert(notice) {
  return notice.kind === "alert" && !notice.read;
}

/**
 * @param {number} type
 * @param {Record<string, unknown>} data
 * @param {boolean} conversation
 * @returns {NoticeKind}
 */
function toKind(type, data, conversation) {
  if (data.alert === true) {
    return "alert";
  }
  return conversation ? "call" : type === TYPE_APPOINTMENT ? "appointment" : "note";
}
