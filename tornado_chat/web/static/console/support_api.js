// @ts-check
/**
 * The HTTP API of support: the queue, the agents, and earlier conversations.
 *
 * @module
 */

import { requestHeaders } from "../shared/api_client.js";
import { addressOf } from "../shared/base.js";
import { parseJson } from "../shared/numbers.js";
import { text } from "../shared/strings.js";
import { toJson } from "../shared/well_formed.js";

/** @typedef {import("../shared/conversation.js").Handover} Handover */
/** @typedef {import("../shared/conversation.js").Message} Message */
/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */

/**
 * @typedef {object} Status
 * @property {string} time the server's
 * @property {Agent[]} waiters
 * @property {{ length: number, first: WaitingClient[] }} queue
 */

/**
 * `first_words`: the beginning of what the client has written while waiting; undefined: nothing, or the agent may
 * not read it.
 *
 * @typedef {{ id: string, name: string | null, since: string, group?: string, first_words?: string }}
 *   WaitingClient
 */

/**
 * What a client wrote who gave up before an agent came.
 *
 * @typedef {object} LeftMessage
 * @property {string} conversation its number
 * @property {string} user_id
 * @property {string | null} user_name
 * @property {string} group
 * @property {string} time
 * @property {string} beginning
 */

/**
 * @typedef {object} Agent
 * @property {string} id
 * @property {string | null} name
 * @property {boolean} ready
 * @property {boolean} connected
 * @property {number} conversations
 * @property {number} capacity
 * @property {string} [role] `waiter`, or `consultant` of a group; undefined from a server without groups
 * @property {string[]} [groups] the names of the groups that the agent serves
 */

/**
 * An ended conversation.
 *
 * @typedef {object} EarlierConversation
 * @property {string} conversation its number
 * @property {string | null} user_name
 * @property {string | null} waiter_id
 * @property {string | null} waiter_name
 * @property {string} created
 * @property {number} messages
 * @property {number | null} rate
 * @property {string | null} feedback
 */

/** @template T @typedef {{ items: T[], next: number | null }} Page */

const FETCH_TIMEOUT_MS = 15_000;
const PAGE_CONVERSATIONS = 10;
const PAGE_LEFT_MESSAGES = 50;
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
  /**
   * @param {TokenSource} token
   * @param {{ id: string, role: string }} me this agent
   */
  constructor(token, me) {
    this.#token = token;
    this.#me = me;
  }

  #token;
  #me;

  /** @returns {Promise<Status>} */
  getStatus() {
    return this.#request("/status");
  }

  /**
   * Return the ended conversations of a user, newest first.
   *
   * @param {string} user
   * @param {number | null} before the `next` of the previous page
   * @returns {Promise<Page<EarlierConversation>>}
   */
  getEarlier(user, before) {
    const query = new URLSearchParams({ user, limit: String(PAGE_CONVERSATIONS) });
    if (before !== null) {
      query.set("before", String(before));
    }
    return this.#request(`/conversations?${query}`);
  }

  /**
   * Return all messages of a conversation, and the changes of its agent.
   *
   * @param {number | string} conversation
   * @returns {Promise<{ messages: Message[], handovers: Handover[] }>}
   */
  async getMessages(conversation) {
    /** @type {Message[]} */
    const messages = [];
    /** @param {Handover["to"]} agent */
    const mark = (agent) => ({ ...agent, own: agent.id === this.#me.id });
    for (let after = 0; ;) {
      const page = await this.#request(
        `/conversations/${conversation}/messages?after=${after}&limit=${PAGE_MESSAGES}`,
      );
      for (const { seq, message, time, sender: role, sender_id: id, sender_name: name } of page.items) {
        const own = role === this.#me.role && id === this.#me.id;
        const colleague = role !== "user" && !own;
        messages.push({ seq, text: message, own, colleague, time, sender: { role, id, name } });
      }
      if (page.next === null) {
        const handovers = page.handovers.map((/** @type {Handover} */ { from, to, ...more }) => ({
          from: mark(from),
          to: mark(to),
          ...more,
        }));
        return { messages, handovers };
      }
      after = page.next;
    }
  }

  /**
   * Call a supervisor to a conversation. Return the number of the supervision record.
   *
   * @param {number | string} conversation
   * @param {string} supervisor the supervisor's id
   * @returns {Promise<string>}
   */
  async callSupervisor(conversation, supervisor) {
    const path = `/conversations/${conversation}/supervision`;
    return (await this.#request(path, "POST", { supervisor_id: supervisor })).record_id;
  }

  /**
   * Return left messages that wait for an answer, oldest first.
   *
   * @param {number} after the `next` of the previous page; 0: the first page
   * @returns {Promise<Page<LeftMessage>>}
   */
  getLeftMessages(after) {
    return this.#request(`/left-messages?after=${after}&limit=${PAGE_LEFT_MESSAGES}`);
  }

  /** Mark a left message as handled. @param {string} conversation */
  async markHandled(conversation) {
    await this.#request(`/left-messages/${conversation}/handled`, "POST");
  }

  /** Whether an agent of the status is this one. @param {Agent} agent */
  isMe({ id, role = "waiter" }) {
    return id === this.#me.id && role === this.#me.role;
  }

  /**
   * @param {string} path
   * @param {string} [method]
   * @param {object} [body]
   */
  async #request(path, method = "GET", body) {
    /** @type {Response} */
    let response;
    try {
      response = await fetch(addressOf(`/api/v1/support${path}`), {
        method,
        ...(body && { body: toJson(body) }),
        headers: {
          ...requestHeaders(await this.#token()),
          ...(body && { "Content-Type": "application/json" }),
        },
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
