// @ts-check
/**
 * The notifications of one person: each once, whether it came by the socket, by the API or by both.
 *
 * @module
 */

/** @typedef {import("../shared/following.js").NotifyFrame} NotifyFrame */
/** @typedef {import("./api.js").InboxItem} InboxItem */

/**
 * - `alert`: must not be overlooked, and stays on top until it is acknowledged
 * - `call`: somebody asks for supervision
 * - `appointment`: one was changed
 * - `note`: all others
 *
 * @typedef {"alert" | "call" | "appointment" | "note"} Kind
 */

/**
 * @typedef {object} Notice
 * @property {number} id
 * @property {number} seq
 * @property {Kind} kind
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
 * @param {NotifyFrame | InboxItem} told
 * @param {boolean} supervising for supervisors `sessionId` is a record; administrators have none
 * @returns {Notice}
 */
export function noticeOf(told, supervising) {
  const data = told.data ?? {};
  const stored = "notification_id" in told;
  const session = number(data.observeSessionId);
  const record = supervising ? number(data.sessionId) : undefined;
  const conversation = told.type === TYPE_CONVERSATION && session !== undefined;
  return {
    id: stored ? told.notification_id : told.id,
    seq: told.seq,
    kind: kindOf(told.type, data, conversation),
    msg: told.msg,
    time: told.time,
    ...(conversation ? { session, record } : {}),
    ...(told.type === TYPE_APPOINTMENT ? { appointment: String(data.apointmentId ?? "") } : {}),
    read: stored && told.read,
    readAt: stored ? told.read_at : null,
  };
}

export class Inbox {
  /**
   * @param {(arrived: Notice[]) => void} changed `arrived`: those that are news. The server sends over the socket what
   *   no window of this person has got yet; what the API has to tell the first time is old.
   * @param {boolean} supervising not for an administrator
   */
  constructor(changed, supervising) {
    this.#changed = changed;
    this.#supervising = supervising;
  }

  #changed;
  #supervising;
  /** @type {Map<number, Notice>} */
  #byId = new Map();
  #last = 0;
  #loaded = false;

  /** Whether what was there before has been told. */
  get loaded() {
    return this.#loaded;
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
  get after() {
    const unread = this.unread.map((notice) => notice.seq - 1);
    return Math.min(this.#last, ...unread);
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
  recordOf(session) {
    return this.notices
      .filter((notice) => notice.session === session && notice.record !== undefined)
      .reduce((latest, notice) => Math.max(latest, notice.record ?? 0), 0);
  }

  /** By the socket. @param {NotifyFrame} frame */
  told(frame) {
    const notice = noticeOf(frame, this.#supervising);
    if (!this.#byId.has(notice.id)) {
      this.#add(notice);
      this.#changed([notice]);
    }
  }

  /** By the API. @param {InboxItem[]} items */
  take(items) {
    const arrived = [];
    for (const item of items) {
      const notice = noticeOf(item, this.#supervising);
      const known = this.#byId.get(notice.id);
      if (known) {
        known.read ||= notice.read; // an answer may be older than what is known
        known.readAt ??= notice.readAt;
      } else {
        this.#add(notice);
        arrived.push(notice);
      }
    }
    const before = this.#loaded;
    this.#loaded = true;
    this.#changed(before ? arrived.filter((notice) => !notice.read) : []);
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
      this.#changed([]);
    }
  }

  /** @param {Notice} notice */
  #add(notice) {
    this.#byId.set(notice.id, notice);
    this.#last = Math.max(this.#last, notice.seq);
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
 * @returns {Kind}
 */
function kindOf(type, data, conversation) {
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
function number(value) {
  return /^\d{1,15}$/.test(String(value ?? "")) ? Number(value) : undefined;
}
