// @ts-check
/**
 * The HTTP API of support: the queue, the agents, and earlier conversations.
 *
 * @module
 */

import { parseJson } from "../shared/numbers.js";
import { text } from "../shared/strings.js";

/** @typedef {import("../shared/conversation.js").Message} Message */
/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */

/**
 * @typedef {object} Status
 * @property {string} time the server's
 * @property {Agent[]} waiters
 * @property {{ length: number, first: { id: string | number, name: string | null, since: string }[] }} queue
 */

/**
 * @typedef {object} Agent
 * @property {string | number} id
 * @property {string | null} name
 * @property {boolean} ready
 * @property {boolean} connected
 * @property {number} conversations
 * @property {number} capacity
 */

/**
 * An ended conversation.
 *
 * @typedef {object} EarlierConversation
 * @property {number} conversation
 * @property {string | null} user_name
 * @property {string | number | null} waiter_id
 * @property {string | null} waiter_name
 * @property {string} created
 * @property {number} messages
 * @property {number | null} rate
 * @property {string | null} feedback
 */

/** @template T @typedef {{ items: T[], next: number | null }} Page */

const FETCH_TIMEOUT_MS = 15_000;
const PAGE_CONVERSATIONS = 10;
const PAGE_MESSAGES = 500; // the server's maximum

/** A request failed; the message is shown to the agent. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} [status] the HTTP status; 0: no answer
   */
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** Every method throws `ApiError`. */
export class SupportApi {
  /** @param {TokenSource} token */
  constructor(token) {
    this.#token = token;
  }

  #token;

  /** @returns {Promise<Status>} */
  getStatus() {
    return this.#request("/status");
  }

  /**
   * Return the ended conversations of a user, newest first.
   *
   * @param {string | number} user
   * @param {number | null} before the `next` of the previous page
   * @returns {Promise<Page<EarlierConversation>>}
   */
  getEarlier(user, before) {
    const query = new URLSearchParams({ user: String(user), limit: String(PAGE_CONVERSATIONS) });
    if (before !== null) {
      query.set("before", String(before));
    }
    return this.#request(`/conversations?${query}`);
  }

  /**
   * Return all messages of a conversation.
   *
   * @param {number} conversation
   * @returns {Promise<Message[]>}
   */
  async getMessages(conversation) {
    /** @type {Message[]} */
    const messages = [];
    for (let after = 0; ;) {
      const page = await this.#request(
        `/conversations/${conversation}/messages?after=${after}&limit=${PAGE_MESSAGES}`,
      );
      for (const { seq, message, sender, time } of page.items) {
        messages.push({ seq, text: message, own: sender === "waiter", time });
      }
      if (page.next === null) {
        return messages;
      }
      after = page.next;
    }
  }

  /** @param {string} path */
  async #request(path) {
    /** @type {Response} */
    let response;
    try {
      response = await fetch(`/api/v1/support${path}`, {
        headers: { Authorization: `Bearer ${await this.#token()}` },
        signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
      });
    } catch {
      throw new ApiError(text("failed_network"));
    }
    if (!response.ok) {
      const problem = await response.json().catch(() => ({}));
      throw new ApiError(
        text("failed", { reason: problem.detail || problem.title || response.status }),
        response.status,
      );
    }
    return parseJson(await response.text());
  }
}
