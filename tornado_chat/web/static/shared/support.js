// @ts-check
/**
 * The common part of the support dialect's two sides, `support_user.js` and `support_waiter.js`.
 *
 * @module
 */

import { Connection } from "./connection.js";
import { newId } from "./outbox.js";
import { language } from "./strings.js";

/** @typedef {import("./connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("./connection.js").TokenSource} TokenSource */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./conversation.js").ConversationListener} ConversationListener */
/** @typedef {import("./conversation.js").Handover} Handover */
/** @typedef {import("./conversation.js").HandoverAgent} HandoverAgent */
/** @typedef {import("./conversation.js").Message} Message */
/** @typedef {import("./conversation.js").Sender} Sender */
/** @typedef {import("./outbox.js").OutboxEntry} OutboxEntry */

/**
 * A frame from the server.
 *
 * @typedef {object} Frame
 * @property {string} id
 * @property {string} to
 * @property {string} type
 * @property {any} payload
 * @property {string} [from]
 * @property {string} [reply_id]
 * @property {number} [seq]
 * @property {string} [time]
 * @property {number} [conversation]
 * @property {Sender} [sender] in messages
 * @property {string} [reason] in `disconnected`: `not_accepted`
 */

/**
 * `onReceived`: everything up to `seq` has arrived at the other side.
 *
 * @typedef {ConversationListener & {
 *   onTyping: (typing: boolean) => void,
 *   onReceived: (seq: number) => void,
 *   onRead: (seq: number) => void,
 * }} SupportListener
 */

/**
 * One message of the history.
 *
 * `sender`: the role, from a server process of the version before.
 *
 * @typedef {{ seq: number, sender: Sender | string, message: string, time: string }} HistoryRow
 */

const CLOSE_TOO_BIG = 1009;
const HISTORY_PAGE_MESSAGES = 50;

/** Authentication, requests and their answers. */
export class SupportSocket {
  /**
   * @param {"user" | "waiter"} role
   * @param {TokenSource} token
   * @param {string[]} features
   * @param {(status: ConnectionStatus) => void} onStatus
   */
  constructor(role, token, features, onStatus) {
    this.role = role;
    this.#features = features;
    this.connection = new Connection(token, {
      path: (token) => this.#prepare(token),
      onStatus,
      onFrame: (frame) => this.#dispatch(frame),
      onAccepted: () => this.onAccepted(),
      sendToken: (token) => this.#authenticate(token),
      sendProbe: () => this.request("get_history", { limit: 1 }), // an error is an answer, too
      oldestPendingMs: () =>
        Math.min(...this.conversations().map((conversation) => conversation.oldestInFlightMs)),
      mapCloseCode: (code) => this.#mapCloseCode(code),
    });
  }

  #features;
  #token = "";
  /** The address of this side. */
  address = "";
  /** The id and the role of this person: an agent may be a waiter or a consultant. */
  #id = "";
  #personRole = "";
  /**
   * The conversation for which history was requested, by the id of the request.
   *
   * @type {Map<string, Conversation>}
   */
  #historyRequests = new Map();

  start() {
    this.connection.start();
  }

  retry() {
    this.connection.retry();
  }

  stop() {
    this.connection.stop();
  }

  /**
   * Send a frame that is not a message. Return its id.
   *
   * @param {string} type
   * @param {object | null} [payload]
   * @param {string} [to]
   */
  request(type, payload = null, to) {
    const id = newId();
    this.connection.send({ id, type, payload, to }, type === "auth");
    return id;
  }

  /**
   * @param {Conversation} conversation
   * @param {string} [to]
   * @param {number} [before]
   */
  requestHistory(conversation, to, before) {
    this.#historyRequests.set(
      this.request("get_history", { before, limit: HISTORY_PAGE_MESSAGES }, to),
      conversation,
    );
  }

  /**
   * @param {OutboxEntry} entry
   * @param {string} [to]
   */
  sendMessage(entry, to) {
    return this.connection.send({ id: entry.id, type: "message_text", payload: { message: entry.text }, to });
  }

  /** @param {Frame} frame @returns {Message} */
  toMessage(frame) {
    return {
      seq: frame.seq ?? 0,
      text: frame.payload.message,
      time: frame.time ?? "",
      ...this.#authorOf(frame.sender, frame.from === this.address),
    };
  }

  /** @param {Handover} handover @returns {Handover} */
  toHandover({ from, to, time, lost }) {
    /** @param {HandoverAgent} agent */
    const mark = (agent) => ({ ...agent, own: this.role === "waiter" && agent.id === this.#id });
    return { from: mark(from), to: mark(to), time, lost };
  }

  /**
   * Whether this person has sent a message, or another person of the same side.
   *
   * @param {Sender | undefined} sender undefined: from a server process of the version before, in an upgrade
   * @param {boolean} isOwnSide
   */
  #authorOf(sender, isOwnSide) {
    const own =
      isOwnSide && (sender === undefined || (sender.id === this.#id && sender.role === this.#personRole));
    return { own, colleague: isOwnSide && !own, sender };
  }

  // --- to be overridden ---

  /** @returns {Conversation[]} */
  conversations() {
    return [];
  }

  onAccepted() {}

  /** @param {Frame} _frame */
  onFrame(_frame) {}

  /** An error that does not refuse a message. @param {Frame} _frame */
  onError(_frame) {}

  // --- internal ---

  /** @param {string} token */
  #authenticate(token) {
    this.request("auth", { token, features: this.#features, language });
  }

  /** @param {string} token */
  #prepare(token) {
    this.#token = token;
    this.#historyRequests.clear();
    this.conversations().forEach((conversation) => conversation.resetInFlight());
    return `/v1/ws/${this.role}/connect`;
  }

  /** @param {number} code */
  #mapCloseCode(code) {
    if (code === CLOSE_TOO_BIG) {
      this.conversations().forEach((conversation) => conversation.refuseLongest());
    }
    return code;
  }

  /** @param {Frame} frame */
  #dispatch(frame) {
    const { type, payload, reply_id: requestId = "" } = frame;
    if (type === "initialize") {
      this.address = frame.to;
      this.#authenticate(this.#token);
    } else if (type === "auth_success") {
      this.#id = payload.id;
      this.#personRole = payload.type;
      if (!this.connection.open) {
        this.connection.markAccepted(); // else it answers a newer token
      }
    } else if (type === "message_text_success") {
      this.#conversationOf(requestId)?.acknowledge(requestId, payload.seq, payload.time);
    } else if (type === "message_history") {
      const conversation = this.#historyRequests.get(requestId);
      conversation?.receiveHistory(payload.items.map(this.#rowToMessage, this), payload.next !== null);
      conversation?.receiveHandovers((payload.handovers ?? []).map(this.toHandover, this));
      this.#historyRequests.delete(requestId);
    } else if (type === "error") {
      const conversation = this.#conversationOf(requestId);
      if (conversation) {
        conversation.refuse(requestId, payload.message);
      } else if (!this.#historyRequests.delete(requestId)) {
        this.onError(frame);
      }
    } else {
      this.onFrame(frame);
    }
  }

  /** The conversation to which a message id belongs. @param {string} id */
  #conversationOf(id) {
    return this.conversations().find((conversation) => conversation.outbox.find(id));
  }

  /** @param {HistoryRow} row @returns {Message} */
  #rowToMessage(row) {
    const sender = typeof row.sender === "string" ? undefined : row.sender;
    const role = sender === undefined ? row.sender : sender.role;
    const author = this.#authorOf(sender, (role === "user") === (this.role === "user"));
    return { seq: row.seq, text: row.message, time: row.time, ...author };
  }
}
