// @ts-check
/**
 * What both sides of the support dialect have in common: `support_user.js` and `support_waiter.js`.
 *
 * @module
 */

import { Connection } from "./connection.js";
import { newId } from "./outbox.js";

/** @typedef {import("./connection.js").Standing} Standing */
/** @typedef {import("./connection.js").TokenSource} TokenSource */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./conversation.js").Reader} Reader */
/** @typedef {import("./conversation.js").Said} Said */
/** @typedef {import("./outbox.js").Unsent} Unsent */

/**
 * A frame of the server.
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
 */

/** @typedef {Reader & { typing: (typing: boolean) => void, read: (seq: number) => void }} TalkReader */

/** A line of the history. @typedef {{ seq: number, sender: string, message: string, time: string }} Line */

const CLOSE_TOO_BIG = 1009;
const HISTORY_PAGE_MESSAGES = 50;

/** Signing in, questions and answers. */
export class SupportSocket {
  /**
   * @param {"user" | "waiter"} side
   * @param {TokenSource} token
   * @param {string[]} features
   * @param {(standing: Standing) => void} standing
   */
  constructor(side, token, features, standing) {
    this.side = side;
    this.#features = features;
    this.connection = new Connection(token, {
      address: (token) => this.#begin(token),
      standing,
      receive: (frame) => this.#receive(frame),
      admitted: () => this.signedIn(),
      alive: () => this.ask("get_history", { limit: 1 }), // an error is an answer too
      oldest: () => Math.min(...this.conversations().map((one) => one.oldestInFlight)),
      closing: (code) => this.#closing(code),
    });
  }

  #features;
  #token = "";
  /** The own address. */
  address = "";
  /** The conversation that a page of the past was asked for, by the id of the question. @type {Map<string, Conversation>} */
  #asked = new Map();

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
   * Send a frame that is no message. Returns its id.
   *
   * @param {string} type
   * @param {object | null} [payload]
   * @param {string} [to]
   */
  ask(type, payload = null, to) {
    const id = newId();
    this.connection.send({ id, type, payload, to }, type === "auth");
    return id;
  }

  /**
   * @param {Conversation} conversation
   * @param {string} [to]
   * @param {number} [before]
   */
  askPast(conversation, to, before) {
    this.#asked.set(this.ask("get_history", { before, limit: HISTORY_PAGE_MESSAGES }, to), conversation);
  }

  /**
   * @param {Unsent} entry
   * @param {string} [to]
   */
  sendEntry(entry, to) {
    return this.connection.send({ id: entry.id, type: "message_text", payload: { message: entry.text }, to });
  }

  /** @param {Frame} frame @returns {Said} */
  said(frame) {
    return {
      seq: frame.seq ?? 0,
      text: frame.payload.message,
      own: frame.from === this.address,
      time: frame.time ?? "",
    };
  }

  // --- what each side does its own way ---

  /** @returns {Conversation[]} */
  conversations() {
    return [];
  }

  signedIn() {}

  /** @param {Frame} _frame */
  told(_frame) {}

  /** Nobody's message was refused, but something else. @param {Frame} _frame */
  failed(_frame) {}

  // --- inside ---

  /** @param {string} token */
  #begin(token) {
    this.#token = token;
    this.#asked.clear();
    this.conversations().forEach((one) => one.cut());
    return `/v1/ws/${this.side}/connect`;
  }

  /** @param {number} code */
  #closing(code) {
    if (code === CLOSE_TOO_BIG) {
      this.conversations().forEach((one) => one.refuseLongest());
    }
    return code;
  }

  /** @param {Frame} frame */
  #receive(frame) {
    const { type, payload, reply_id: answered = "" } = frame;
    if (type === "initialize") {
      this.address = frame.to;
      this.ask("auth", { token: this.#token, features: this.#features });
    } else if (type === "auth_success") {
      this.connection.admit();
    } else if (type === "message_text_success") {
      this.#writer(answered)?.acknowledged(answered, payload.seq, payload.time);
    } else if (type === "message_history") {
      this.#asked.get(answered)?.past(payload.items.map(this.#line, this), payload.next !== null);
      this.#asked.delete(answered);
    } else if (type === "error") {
      const writer = this.#writer(answered);
      if (writer) {
        writer.refuse(answered, payload.message);
      } else if (!this.#asked.delete(answered)) {
        this.failed(frame);
      }
    } else {
      this.told(frame);
    }
  }

  /** Whose message it was. @param {string} id */
  #writer(id) {
    return this.conversations().find((one) => one.outbox.find(id));
  }

  /** @param {Line} line @returns {Said} */
  #line(line) {
    return { seq: line.seq, text: line.message, own: line.sender === this.side, time: line.time };
  }
}
