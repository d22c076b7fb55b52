// @ts-check
/**
 * The HTTP API for supervisors and administrators.
 *
 * @module
 */

import { ApiClient } from "../shared/api_client.js";

export { ApiError } from "../shared/api_client.js";

/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("../shared/receive_only_sockets.js").ObservedMessage} ObservedMessage */

/**
 * @typedef {object} Session
 * @property {string} session_id
 * @property {string} user_id
 * @property {string} consultant_id
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
 * @property {string} notification_id
 * @property {number} seq
 * @property {number} type
 * @property {string} msg
 * @property {string} time
 * @property {Record<string, any> | null} data
 * @property {boolean} read
 * @property {string | null} read_at
 */

/** Every method throws `ApiError`. */
export class SupervisionApi {
  /** @param {TokenSource} token */
  constructor(token) {
    this.#client = new ApiClient(token);
  }

  #client;

  /**
   * @param {string} session
   * @returns {Promise<Session>}
   */
  getSession(session) {
    return this.#client.request(`/sessions/${session}`);
  }

  /**
   * Return the messages after a sequence number.
   *
   * @param {string} session
   * @param {number} after a sequence number
   * @returns {Promise<ObservedMessage[]>}
   */
  getMessages(session, after) {
    return this.#client.requestAll(`/sessions/${session}/messages`, after);
  }

  /**
   * Return the person's notifications after a sequence number, oldest first.
   *
   * @param {number} after a sequence number
   * @returns {Promise<NotificationItem[]>}
   */
  getNotifications(after) {
    return this.#client.requestAll("/notifications", after);
  }

  /**
   * @param {string} notification its id
   * @returns {Promise<NotificationItem>}
   */
  markRead(notification) {
    return this.#client.request(`/notifications/${notification}/read`, { body: {} });
  }

  /**
   * Call a supervisor to a session, as an administrator.
   *
   * @param {string} session
   * @param {string} supervisor
   */
  async callSupervisor(session, supervisor) {
    await this.#client.request(`/sessions/${session}/supervision`, { body: { supervisor_id: supervisor } });
  }
}
