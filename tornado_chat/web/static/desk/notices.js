// @ts-check
/**
 * The counsellor's notifications: each once, whether it came by the socket, by the API or by both.
 *
 * @module
 */

import { parseNumber } from "../shared/numbers.js";

/** @typedef {import("../shared/receive_only_sockets.js").NotifyFrame} NotifyFrame */
/** @typedef {import("./desk_api.js").NotificationItem} NotificationItem */

/**
 * - `alert`: asks for an answer at once
 * - `session`: a session was opened
 * - `appointment`: an appointment was changed
 * - `note`: all others
 *
 * @typedef {"alert" | "session" | "appointment" | "note"} NoticeKind
 */

/**
 * @typedef {object} Notice
 * @property {string} id
 * @property {number} seq
 * @property {NoticeKind} kind
 * @property {string} msg the text of the server or the host
 * @property {string} time
 * @property {string} [session] the number of the session
 * @property {string} [appointment]
 * @property {boolean} read
 */

const TYPE_APPOINTMENT = 1;
const TYPE_CONVERSATION = 2;

/**
 * @param {NotifyFrame | NotificationItem} notification
 * @returns {Notice}
 */
export function toNotice(notification) {
  const data = notification.data ?? {};
  const isStored = "notification_id" in notification;
  const session = notification.type === TYPE_CONVERSATION ? parseNumber(data.sessionId) : undefined;
  return {
    id: isStored ? notification.notification_id : notification.id,
    seq: notification.seq,
    kind: kindOf(notification.type, data, session),
    msg: notification.msg,
    time: notification.time,
    ...(session ? { session } : {}),
    ...(notification.type === TYPE_APPOINTMENT ? { appointment: String(data.apointmentId ?? "") } : {}),
    read: isStored && notification.read,
  };
}

export class Notices {
  /** @param {(arrived: Notice[]) => void} onChange `arrived`: notices that have just come */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  #onChange;
  /** @type {Map<string, Notice>} */
  #byId = new Map();

  /** All notices that are known, newest first. @returns {Notice[]} */
  get all() {
    return [...this.#byId.values()].sort((one, other) => other.seq - one.seq);
  }

  /** The notices that wait for the counsellor, newest first, without those of new sessions. */
  get pending() {
    return this.all.filter(({ read, kind }) => !read && kind !== "session");
  }

  /** The numbers of the sessions whose notice waits for the counsellor. @returns {Set<string>} */
  get newSessions() {
    const unread = this.all.filter(({ read, kind }) => !read && kind === "session");
    return new Set(unread.map(({ session }) => session ?? ""));
  }

  /** Add a notification from the socket. @param {NotifyFrame} frame */
  addFrame(frame) {
    const notice = toNotice(frame);
    if (!this.#byId.has(notice.id)) {
      this.#byId.set(notice.id, notice);
      this.#onChange([notice]);
    }
  }

  /** Add notifications from the API. @param {NotificationItem[]} items */
  addItems(items) {
    for (const item of items) {
      const notice = toNotice(item);
      const known = this.#byId.get(notice.id);
      if (known) {
        known.read ||= notice.read; // an answer may be older than the known state
      } else {
        this.#byId.set(notice.id, notice);
      }
    }
    this.#onChange([]);
  }

  /** Mark a notice as read, in this window or another one. @param {string} id */
  markRead(id) {
    const notice = this.#byId.get(id);
    if (notice && !notice.read) {
      notice.read = true;
      this.#onChange([]);
    }
  }
}

/**
 * @param {number} type
 * @param {Record<string, unknown>} data
 * @param {string | undefined} session
 * @returns {NoticeKind}
 */
function kindOf(type, data, session) {
  if (data.alert === true) {
    return "alert";
  }
  return session ? "session" : type === TYPE_APPOINTMENT ? "appointment" : "note";
}
