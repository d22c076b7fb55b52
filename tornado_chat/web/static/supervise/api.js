// @ts-check
/**
 * The HTTP API for supervisors and administrators.
 *
 * @module
 */

import { parseJson } from "../shared/numbers.js";
import { text } from "../shared/strings.js";

/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("../shared/receive_only_sockets.js").ObservedMessage} ObservedMessage */

/**
 * @typedef {object} Session
 * @property {string | number} session_id a text above 2^53
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
 * A notification in the format of the API.
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
const PAGE_ITEMS = 500; // the server's maximum
const HTTP_UNAUTHENTICATED = 401;

/** A request failed; the message is shown to the supervisor. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} [status] the HTTP status; 0: no answer
   */
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }

  /** Whether the request may succeed later. */
  get isTransient() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Every method throws `ApiError`. */
export class SupervisionApi {
  /** @param {TokenSource} token */
  constructor(token) {
    this.#token = token;
  }

  #token;

  /**
   * @param {string} session
   * @returns {Promise<Session>}
   */
  getSession(session) {
    return this.#request(`/sessions/${session}`);
  }

  /**
   * Return the messages after a sequence number.
   *
   * @param {string} session
   * @param {number} after a sequence number
   * @returns {Promise<ObservedMessage[]>}
   */
  getMessages(session, after) {
    return this.#getAllPages(`/sessions/${session}/messages`, after);
  }

  /**
   * Return the person's notifications after a sequence number, oldest first.
   *
   * @param {number} after a sequence number
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
   * Call a supervisor to a session, as an administrator.
   *
   * @param {string} session
   * @param {string} supervisor
   */
  async callSupervisor(session, supervisor) {
    await this.#request(`/sessions/${session}/supervision`, { supervisor_id: supervisor });
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
   * @param {object} [body] sent by POST
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
    const answer = await response.text().catch(() => {
      throw new ApiError(text("failed_network")); // the connection was lost during the answer
    });
    return parseJson(answer);
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
