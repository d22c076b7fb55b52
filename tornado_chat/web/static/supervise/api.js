// @ts-check
/**
 * What the HTTP API knows and does for those who supervise.
 *
 * @module
 */

import { text } from "../shared/strings.js";

/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("../shared/receive_only_sockets.js").ObservedMessage} ObservedMessage */

/**
 * @typedef {object} Session
 * @property {number} session_id
 * @property {string | number} user_id
 * @property {string | number} consultant_id
 * @property {string | null} user_name
 * @property {string | null} consultant_name
 * @property {"ready" | "active" | "completed" | "cancelled"} state
 * @property {string} created
 * @property {string | null} started
 * @property {string | null} ended
 */

/**
 * A notification, as the API tells it.
 *
 * @typedef {object} NotificationItem
 * @property {number} notification_id
 * @property {number} seq
 * @property {number} type
 * @property {string} msg
 * @property {string} time
 * @property {Record<string, any> | null} data
 * @property {boolean} read
 * @property {string | null} read_at
 */

const FETCH_TIMEOUT_MS = 15_000;
const PAGE_ITEMS = 500; // the server's most
const HTTP_UNAUTHENTICATED = 401;

/** Something did not work; the message is for people. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} [status] of HTTP; 0: no answer
   */
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }

  /** Whether it may work a little later. */
  get isTransient() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Every method throws `Failed`. */
export class SupervisionApi {
  /** @param {TokenSource} token */
  constructor(token) {
    this.#token = token;
  }

  #token;

  /**
   * @param {number} session
   * @returns {Promise<Session>}
   */
  getSession(session) {
    return this.#request(`/sessions/${session}`);
  }

  /**
   * What was said after `after`.
   *
   * @param {number} session
   * @param {number} after a seq
   * @returns {Promise<ObservedMessage[]>}
   */
  getMessages(session, after) {
    return this.#getAllPages(`/sessions/${session}/messages`, after);
  }

  /**
   * One's notifications after `after`, oldest first.
   *
   * @param {number} after a seq
   * @returns {Promise<NotificationItem[]>}
   */
  getNotifications(after) {
    return this.#getAllPages("/notifications", after);
  }

  /**
   * @param {number} notification
   * @returns {Promise<NotificationItem>}
   */
  markRead(notification) {
    return this.#request(`/notifications/${notification}/read`, {});
  }

  /**
   * Bring a supervisor in; for administrators. Returns the number of the record.
   *
   * @param {number} session
   * @param {string} supervisor
   * @returns {Promise<number>}
   */
  async callSupervisor(session, supervisor) {
    return (await this.#request(`/sessions/${session}/supervision`, { supervisor_id: supervisor })).record_id;
  }

  /**
   * @param {string} path
   * @param {number} after
   */
  async #getAllPages(path, after) {
    const items = [];
    for (let next = after; ;) {
      const page = await this.#request(`${path}?after=${next}&limit=${PAGE_ITEMS}`);
      items.push(...page.items);
      if (page.next === null) {
        return items;
      }
      next = page.next;
    }
  }

  /**
   * @param {string} path
   * @param {object} [body] asks by POST
   * @returns {Promise<any>}
   */
  async #request(path, body) {
    /** @type {Response} */
    let response;
    try {
      const token = await this.#token();
      response = await fetchWith(token, path, body);
      if (response.status === HTTP_UNAUTHENTICATED) {
        const newToken = await this.#token(token);
        response = newToken === token ? response : await fetchWith(newToken, path, body);
      }
    } catch {
      throw new ApiError(text("failed_network"));
    }
    if (!response.ok) {
      const problem = await response.json().catch(() => ({}));
      const reason = problem.detail || problem.title || response.status;
      throw new ApiError(text("failed", { reason }), response.status);
    }
    return response.json().catch(() => {
      throw new ApiError(text("failed_network")); // cut in the middle
    });
  }
}

/**
 * @param {string} token
 * @param {string} path
 * @param {object} [body]
 */
function fetchWith(token, path, body) {
  return fetch(`/api/v1${path}`, {
    method: body ? "POST" : "GET",
    headers: { Authorization: `Bearer ${token}` },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  });
}
