// @ts-check
/**
 * The HTTP API for supervisors and administrators.
 *
 * @module
 */

import { ApiClient } from "../shared/api_client.js";
import { isSupport, numberOf } from "./conversation_key.js";

export { ApiError } from "../shared/api_client.js";

/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("../shared/receive_only_sockets.js").ObservedMessage} ObservedMessage */

/**
 * @typedef {object} Session
 * @property {string} session_id
 * @property {string} user_id
 * @property {string | null} consultant_id null if a supervisor is the agent
 * @property {string | null} user_name
 * @property {string | null} consultant_name
 * @property {"ready" | "active" | "completed" | "cancelled"} state
 * @property {string} created
 * @property {string | null} started
 * @property {string | null} ended
 * @property {{ role: string, id: string, name: string | null }} [agent] undefined while a user waits, and from a server of the version before
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

/**
 * A support conversation in the format of the API.
 *
 * @typedef {object} SupportConversation
 * @property {string} conversation
 * @property {string} user_id
 * @property {string | null} user_name
 * @property {string | null} waiter_id
 * @property {string | null} waiter_name
 * @property {string | null} waiter_role
 * @property {"waiting" | "active" | "ended"} state
 * @property {string} group
 * @property {string} created
 * @property {string | null} assigned
 * @property {string | null} ended
 */

/**
 * The methods name a conversation by its key. Every method throws `ApiError`.
 */
export class SupervisionApi {
  /** @param {TokenSource} token */
  constructor(token) {
    this.#client = new ApiClient(token);
  }

  #client;

  /**
   * @param {string} key
   * @returns {Promise<Session>} a support conversation in the same form; its waiter is the consultant
   */
  async getSession(key) {
    const found = await this.#client.request(pathOf(key));
    return isSupport(key) ? toSession(key, found) : found;
  }

  /**
   * Return the open support conversations that the person may follow, newest first, 100 at most.
   *
   * @returns {Promise<SupportConversation[]>}
   */
  async listOpenConversations() {
    return (await this.#client.request("/support/conversations?state=open")).items;
  }

  /** Become a named third participant. @param {string} key */
  async join(key) {
    await this.#client.request(`${pathOf(key)}/join`, { body: {} });
  }

  /** Stop to take part. @param {string} key */
  async leave(key) {
    await this.#client.request(`${pathOf(key)}/leave`, { body: {} });
  }

  /**
   * Become the agent.
   *
   * @param {string} key
   * @param {"observe" | "leave"} former what the agent before does
   */
  async takeOver(key, former) {
    await this.#client.request(`${pathOf(key)}/takeover`, { body: { former } });
  }

  /**
   * Return the messages after a sequence number.
   *
   * @param {string} key
   * @param {number} after a sequence number
   * @returns {Promise<ObservedMessage[]>}
   */
  async getMessages(key, after) {
    const found = await this.#client.requestAll(`${pathOf(key)}/messages`, after);
    return isSupport(key) ? found.map(toObserved) : found;
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
   * @param {string} key
   * @param {string} supervisor
   */
  async callSupervisor(key, supervisor) {
    await this.#client.request(`${pathOf(key)}/supervision`, { body: { supervisor_id: supervisor } });
  }
}

/** @param {string} key */
function pathOf(key) {
  return `${isSupport(key) ? "/support/conversations" : "/sessions"}/${numberOf(key)}`;
}

/**
 * @param {string} key
 * @param {SupportConversation} found
 * @returns {Session}
 */
function toSession(key, found) {
  const states = /** @type {const} */ ({ waiting: "ready", active: "active", ended: "completed" });
  return {
    session_id: key,
    user_id: found.user_id,
    consultant_id: found.waiter_id ?? "",
    user_name: found.user_name,
    consultant_name: found.waiter_name,
    state: states[found.state],
    created: found.created,
    started: found.assigned,
    ended: found.ended,
    ...(found.waiter_role
      ? { agent: { role: found.waiter_role, id: found.waiter_id ?? "", name: found.waiter_name } }
      : {}),
  };
}

/**
 * A message of a support conversation as `/observe` has it.
 *
 * @param {any} message
 * @returns {ObservedMessage}
 */
function toObserved({ seq, message, time, sender: role, sender_id: id, sender_name: name }) {
  return { seq, msg: message, senderType: role !== "user", time, sender: { role, id, name } };
}
