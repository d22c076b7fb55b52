// @ts-check
/**
 * The user's side of the support dialect.
 *
 * @module
 */

import { Conversation } from "./conversation.js";
import { SupportSocket } from "./support.js";

/** @typedef {import("./connection.js").Standing} Standing */
/** @typedef {import("./connection.js").TokenSource} TokenSource */
/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./support.js").Frame} Frame */
/** @typedef {import("./support.js").TalkReader} TalkReader */

/**
 * Where a user stands.
 *
 * - `none`: in no line and in no conversation
 * - `waiting`: in the line, at `place` (1: the next one); 0 while it is not known
 * - `talking`: with a waiter, called `name`
 * - `over`: there was a place or a conversation, and it is over
 *
 * @typedef {object} Phase
 * @property {"none" | "waiting" | "talking" | "over"} state
 * @property {number} [place]
 * @property {string | null} [name]
 * @property {number} [conversation]
 */

/**
 * @typedef {TalkReader & {
 *   standing: (standing: Standing) => void,
 *   phase: (phase: Phase) => void,
 *   begun: (conversation: number) => void,
 *   rated: () => void,
 *   failed: (message: string) => void,
 * }} UserListener
 * `begun`: it is another conversation than the last one: nothing of that belongs into it.
 */

/** A user in search of a waiter, and in conversation with one. */
export class UserSupport extends SupportSocket {
  /**
   * @param {TokenSource} token
   * @param {Outbox} outbox
   * @param {UserListener} listener
   */
  constructor(token, outbox, listener) {
    super("user", token, ["ack", "seq", "echo", "typing", "read", "profile"], listener.standing);
    this.#outbox = outbox;
    this.#listener = listener;
    this.#conversation = this.#fresh();
  }

  #outbox;
  #listener;
  #conversation;
  /** The number of the conversation that is shown. @type {number | undefined} */
  #number;
  /** @type {Phase} */
  #phase = { state: "none" };
  /** Whether to join the line, rather than only to come back. */
  #wanted = false;
  #resuming = "";
  #rating = "";
  #read = 0;

  get phase() {
    return this.#phase;
  }

  /** Join the line, or come back to the conversation there is. */
  connect() {
    this.#wanted = true;
    this.#join();
  }

  /** Leave the line, or end the conversation. */
  leave() {
    this.#wanted = false;
    this.ask("disconnect");
  }

  /** @param {string} text */
  say(text) {
    return this.#conversation.say(text);
  }

  /** @param {string} id */
  sayAgain(id) {
    this.#conversation.sayAgain(id);
  }

  older() {
    this.#conversation.older();
  }

  /** @param {boolean} typing */
  typing(typing) {
    if (this.#phase.state === "talking") {
      this.ask("typing", { typing });
    }
  }

  /** @param {number} seq */
  read(seq) {
    if (seq > this.#read && this.#phase.state === "talking") {
      this.#read = seq;
      this.ask("read", { seq });
    }
  }

  /**
   * @param {number} rate 1 to 5
   * @param {string} feedback
   */
  rate(rate, feedback) {
    this.#rating = this.ask("rate", { rate, feedback: feedback || null });
    return this.connection.open;
  }

  conversations() {
    return [this.#conversation];
  }

  signedIn() {
    this.#join();
  }

  /** @param {Frame} frame */
  told(frame) {
    const { type, payload } = frame;
    if (type === "connect_queue") {
      this.#wanted = false;
      this.#change({ state: "waiting", place: payload.location });
    } else if (type === "connect_success") {
      this.#talk(payload);
    } else if (type === "disconnected") {
      this.#parted(frame);
    } else if (type === "message_text") {
      this.#listener.typing(false);
      this.#conversation.said(this.said(frame));
    } else if (type === "typing") {
      this.#listener.typing(payload.typing);
    } else if (type === "read" && frame.from !== this.address) {
      this.#listener.read(payload.seq);
    } else if (type === "rate_success") {
      this.#listener.rated();
    }
  }

  /** @param {Frame} frame */
  failed(frame) {
    if (frame.reply_id === this.#resuming || frame.reply_id === this.#rating) {
      this.#listener.failed(frame.payload.message);
    }
  }

  #join() {
    if (this.connection.open) {
      this.#resuming = this.ask("connect", { resume: !this.#wanted });
    }
  }

  /** @param {{ conversation: number, name: string | null }} found */
  #talk({ conversation, name }) {
    this.#wanted = false;
    if (conversation !== this.#number) {
      if (this.#number !== undefined) {
        this.#conversation = this.#fresh();
        this.#read = 0;
      }
      this.#number = conversation;
      this.#listener.begun(conversation);
    }
    this.#change({ state: "talking", name, conversation });
    this.askPast(this.#conversation);
    this.#conversation.flush();
    if (this.#read) {
      this.ask("read", { seq: this.#read });
    }
  }

  /** @param {Frame} frame */
  #parted(frame) {
    const before = this.#phase.state;
    if (before === "talking" || before === "waiting") {
      if (frame.reply_id !== undefined && before === "talking") {
        this.askPast(this.#conversation); // the last words may have been said while nobody was here
      }
      this.#change({ ...this.#phase, state: "over" });
    } else if (before === "none") {
      this.#listener.phase(this.#phase);
    }
  }

  /** @param {Phase} phase */
  #change(phase) {
    this.#phase = phase;
    this.#listener.phase(phase);
  }

  #fresh() {
    return new Conversation(this.#outbox, this.#listener, {
      say: (entry) => this.#phase.state === "talking" && this.sendEntry(entry),
      older: (before) => this.askPast(this.#conversation, undefined, before),
    });
  }
}
