// @ts-check
/**
 * The HTTP API for counsellors.
 *
 * @module
 */

import { ApiClient } from "../shared/api_client.js";

export { ApiError } from "../shared/api_client.js";

/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("./session.js").Session} Session */

/**
 * @typedef {object} SessionQuery
 * @property {"open"} [state]
 * @property {string} [name]
 * @property {Date} [from] the earliest time of opening
 * @property {Date} [before] all times of opening are before it
 * @property {string} [after] the `next` of the page before
 * @property {number} [limit]
 */

/** @typedef {{ items: Session[], next: string | null }} SessionPage */

/**
 * A notification in the format of the API.
 *
 * @typedef {object} NotificationItem
 * @property {string} notification_id
 * @property {number} seq
 * @property {number} type
 * @property {string} msg
 * @property {string} time
 * @property {Record<string, any> | null} data
 * @property {boolean} read
 */

/** @typedef {{ seq: number, msg: string, senderType: boolean, time: string }} MessageRow */

const PAGE_SESSIONS = 100;
const PAGE_NOTIFICATIONS = 50;

/** Every method throws `ApiError`. */
export class DeskApi {
  /** @param {TokenSource} token */
  constructor(token) {
    this.#client = new ApiClient(token);
  }

  #client;

  /**
   * Return a page of the counsellor's sessions, newest first.
   *
   * @param {SessionQuery} query
   * @returns {Promise<SessionPage>}
   */
  listSessions({ state, name, from, before, after, limit = PAGE_SESSIONS }) {
    const parameters = new URLSearchParams({ limit: String(limit) });
    const given = {
      state,
      name,
      opened_from: from?.toISOString(),
      opened_before: before?.toISOString(),
      after,
    };
    for (const [key, value] of Object.entries(given)) {
      if (value) {
        parameters.set(key, value);
      }
    }
    return this.#client.request(`/sessions?${parameters}`);
  }

  /**
   * Return all of the counsellor's sessions that a query describes, newest first.
   *
   * @param {SessionQuery} query
   * @returns {Promise<Session[]>}
   */
  async listAllSessions(query) {
    const sessions = [];
    for (let after = ""; ;) {
      const { items, next } = await this.listSessions({ ...query, after });
      sessions.push(...items);
      if (next === null) {
        return sessions;
      }
      after = next;
    }
  }

  /**
   * @param {string} session
   * @returns {Promise<Session & { feedback: string | null }>}
   */
  async getSession(session) {
    return { present: null, messages: 0, ...(await this.#client.request(`/sessions/${session}`)) };
  }

  /**
   * Return the messages of a session.
   *
   * @param {string} session
   * @returns {Promise<MessageRow[]>}
   */
  getMessages(session) {
    return this.#client.requestAll(`/sessions/${session}/messages`, 0);
  }

  /**
   * Return a page of the counsellor's notifications, newest first.
   *
   * @param {number} after the `next` of the page before; 0: the first page
   * @returns {Promise<{ items: NotificationItem[], next: number | null }>}
   */
  listNotifications(after) {
    const query = new URLSearchParams({
      order: "newest",
      after: String(after),
      limit: `${PAGE_NOTIFICATIONS}`,
    });
    return this.#client.request(`/notifications?${query}`);
  }

  /**
   * Mark a notification as read, also when the page is left meanwhile.
   *
   * @param {string} notification its id
   * @returns {Promise<NotificationItem>}
   */
  markRead(notification) {
    return this.#client.request(`/notifications/${notification}/read`, { body: {}, keepalive: true });
  }
}
