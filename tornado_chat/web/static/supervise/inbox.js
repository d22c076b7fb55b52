// @ts-check
/**
 * The notifications of one person: each once, whether it came by the socket, by the API or by both.
 *
 * @module
 */

/** @typedef {import("../shared/receive_only_sockets.js").NotifyFrame} NotifyFrame */
/** @typedef {import("./api.js").NotificationItem} NotificationItem */

/**
 * - `alert`: must not be overlooked, and stays on top until it is acknowledged
 * - `call`: somebody asks for supervision
 * - `appointment`: one was changed
 * - `note`: all others
 *
 * @typedef {"alert" | "call" | "appointment" | "note"} NoticeKind
 */

/**
 * @typedef {object} Notice
 * @property {number} id
 * @property {number} seq
 * @property {NoticeKind} kind
 * @property {string} msg what the server or the host wrote
 * @property {string} time the server's
 * @property {number} [session] to listen to
 * @property {number} [record] to talk in with the consultant
 * @property {string} [appointment]
 * @property {boolean} read
 * @property {string | null} readAt
 */

const TYPE_APPOINTMENT = 1;
const TYPE_CONVERSATION = 2;

/**
 * @param {NotifyFrame | NotificationItem} notification
 * @param {boolean} isSupervisor for supervisors `sessionId` is a record; administrators have none
 * @returns {Notice}
 */
export function toNotice(notification, isSupervisor) {
  const data = notification.data ?? {};
  const stored = "notification_id" in notification;
  const session = parseNumber(data.observeSessionId);
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
   * @param {(arrived: Notice[]) => void} onChange `arrived`: those that are news. The server sends over the socket what
   *   no window of this person has got yet; what the API has to tell the first time is old.
   * @param {boolean} isSupervisor not for an administrator
   */
  constructor(onChange, isSupervisor) {
    this.#onChange = onChange;
    this.#isSupervisor = isSupervisor;
  }

  #onChange;
  #isSupervisor;
  /** @type {Map<number, Notice>} */
  #byId = new Map();
  #lastSeq = 0;
  #isLoaded = false;

  /** Whether what was there before has been told. */
  get isLoaded() {
    return this.#isLoaded;
  }

  /**
   * Everything, as it is shown: first the alerts that nobody has acknowledged, then by age; the newest first.
   *
   * @returns {Notice[]}
   */
  get notices() {
    const first = (/** @type {Notice} */ notice) => Number(isOpenAlert(notice));
    return [...this.#byId.values()].sort((one, other) => first(other) - first(one) || other.seq - one.seq);
  }

  /** The alerts that nobody has acknowledged. */
  get alerts() {
    return this.notices.filter(isOpenAlert);
  }

  get unread() {
    return this.notices.filter((notice) => !notice.read);
  }

  /** After which number to ask, to learn what is new and what was read meanwhile. */
  get resumeSeq() {
    const unread = this.unread.map((notice) => notice.seq - 1);
    return Math.min(this.#lastSeq, ...unread);
  }

  /** @param {number} id */
  find(id) {
    return this.#byId.get(id);
  }

  /**
   * The record in which one talks with the consultant of a session, as far as any notification says.
   *
   * @param {number} session
   */
  latestRecordOf(session) {
    return this.notices
      .filter((notice) => notice.session === session && notice.record !== undefined)
      .reduce((latest, notice) => Math.max(latest, notice.record ?? 0), 0);
  }

  /** By the socket. @param {NotifyFrame} frame */
  addFrame(frame) {
    const notice = toNotice(frame, this.#isSupervisor);
    if (!this.#byId.has(notice.id)) {
      this.#add(notice);
      this.#onChange([notice]);
    }
  }

  /** By the API. @param {NotificationItem[]} items */
  addItems(items) {
    const arrived = [];
    for (const item of items) {
      const notice = toNotice(item, this.#isSupervisor);
      const known = this.#byId.get(notice.id);
      if (known) {
        known.read ||= notice.read; // an answer may be older than what is known
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
   * It was read, here or elsewhere.
   *
   * @param {number} id
   * @param {string | null} at the server's time
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

/**
 * Hosts may write numbers as texts.
 *
 * @param {unknown} value
 */
function parseNumber(value) {
  return /^\d{1,15}$/.test(String(value ?? "")) ? Number(value) : undefined;
}
