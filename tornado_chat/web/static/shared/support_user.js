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
 * - `waiting`: in the line, at `place` (1: the next one); `returned`: its waiter was lost
 * - `talking`: with a waiter, called `name`
 * - `over`: there was a place or a conversation, and it is over
 *
 * @typedef {object} Phase
 * @property {"none" | "waiting" | "talking" | "over"} state
 * @property {number} [place]
 * @property {boolean} [returned]
 * @property {string | null} [name]
 * @property {number} [conversation]
 */

/**
 * @typedef {TalkReader & {
 *   standing: (standing: Standing) => void,
 *   phase: (phase: Phase) => void,
 *   begun: (conversation: number, unsent: string[]) => void,
 *   readHere: (seq: number) => void,
 *   rated: () => void,
 *   failed: (message: string) => void,
 * }} UserListener
 * `begun`: it is another conversation than the last one: nothing of that belongs into it. `unsent` was
 * written for that one, and will not be sent. `readHere`: how far oneself has read, in any window.
 */

/** A user in search of a waiter, and in conversation with one. */
export class UserSupport extends SupportSocket {
  /**
   * @param {TokenSource} token
   * @param {Outbox} outbox
   * @param {UserListener} listener
   * @param {number} [last] the conversation that was shown before a reload: if it is over now, that is told
   */
  constructor(token, outbox, listener, last) {
    super("user", token, ["ack", "seq", "echo", "typing", "read", "profile"], listener.standing);
    this.#outbox = outbox;
    this.#listener = listener;
    this.#last = last;
    this.#conversation = this.#fresh();
  }

  #outbox;
  #listener;
  #last;
  #conversation;
  /** The number of the conversation that is shown. @type {number | undefined} */
  #number;
  /** @type {Phase} */
  #phase = { state: "none" };
  /** Whether to join the line, rather than only to come back. */
  #wanted = false;
  /** Whether to leave, as soon as there is a connection. */
  #leaving = false;
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

  /** Come back to what another window may have begun. */
  resume() {
    this.#join();
  }

  /** Leave the line, or end the conversation; without a connection, as soon as there is one. */
  leave() {
    this.#wanted = false;
    this.#leaving = true;
    if (this.connection.open) {
      this.ask("disconnect");
    } else {
      this.connection.retry();
    }
  }

  /** Say it now, or as soon as there is somebody to say it to. @param {string} text */
  say(text) {
    const entry = this.#conversation.say(text);
    entry.conversation = this.#number;
    this.#outbox.save();
    return entry;
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
      this.#wait(payload);
    } else if (type === "connect_success") {
      this.#talk(payload);
    } else if (type === "disconnected") {
      this.#parted(frame);
    } else if (type === "message_text") {
      this.#conversation.said(this.said(frame));
    } else if (type === "typing") {
      this.#listener.typing(payload.typing);
    } else if (type === "read" && frame.from === this.address) {
      this.#listener.readHere(payload.seq);
    } else if (type === "read") {
      this.#listener.read(payload.seq);
    } else if (type === "rate_success") {
      this.#listener.rated();
    }
  }

  /** @param {Frame} frame */
  failed(frame) {
    if (frame.reply_id === this.#resuming || frame.reply_id === this.#rating) {
      this.#wanted = false;
      this.#listener.failed(frame.payload.message);
    }
  }

  #join() {
    if (this.connection.open) {
      this.#resuming = this.ask("connect", { resume: !this.#wanted });
    }
  }

  /** @param {{ location: number, conversation: number, returned: boolean }} line */
  #wait({ location, conversation, returned }) {
    const before = this.#phase;
    this.#begin(conversation);
    this.#change({ state: "waiting", place: location, returned, conversation });
    if (returned && !(before.state === "waiting" && before.returned)) {
      this.#catchUp(); // the next waiter will read what is written meanwhile
    }
  }

  /** @param {{ conversation: number, name: string | null }} found */
  #talk({ conversation, name }) {
    this.#begin(conversation);
    this.#change({ state: "talking", name, conversation });
    this.#catchUp();
  }

  /** What comes from now on belongs to this conversation. @param {number} number */
  #begin(number) {
    this.#wanted = false;
    if (this.#leaving) {
      this.ask("disconnect");
    }
    if (number === this.#number) {
      return;
    }
    if (this.#number !== undefined) {
      this.#conversation = this.#fresh();
      this.#read = 0;
    }
    this.#number = number;
    // What was written for somebody else must not reach whoever is next.
    const stale = this.#outbox.entries.filter((entry) => entry.conversation !== number);
    stale.forEach((entry) => this.#outbox.remove(entry.id));
    const unsent = stale.filter((entry) => entry.seq === undefined);
    this.#listener.begun(
      number,
      unsent.map((entry) => entry.text),
    );
  }

  #catchUp() {
    this.askPast(this.#conversation);
    this.#conversation.flush();
    if (this.#read && this.#phase.state === "talking") {
      this.ask("read", { seq: this.#read });
    }
  }

  /** @param {Frame} frame */
  #parted(frame) {
    const before = this.#phase.state;
    const nothing = frame.reply_id !== undefined; // there is nothing to come back to
    this.#leaving = false;
    if (before === "talking" || before === "waiting") {
      if (nothing && this.#number !== undefined) {
        this.askPast(this.#conversation); // the last words may have been said while nobody was here
      }
      this.#change({ ...this.#phase, state: "over" });
    } else if (nothing && before === "none" && this.#last !== undefined) {
      this.#begin(this.#last);
      this.askPast(this.#conversation);
      this.#change({ state: "over", conversation: this.#last });
    } else if (nothing) {
      this.#listener.phase(this.#phase);
    }
  }

  /** @param {Phase} phase */
  #change(phase) {
    this.#phase = phase;
    this.#listener.phase(phase);
  }

  /** Whether the server takes messages. */
  #hears() {
    return (
      this.#phase.state === "talking" || (this.#phase.state === "waiting" && this.#phase.returned === true)
    );
  }

  #fresh() {
    return new Conversation(this.#outbox, this.#listener, {
      say: (entry) => this.#hears() && this.sendEntry(entry),
      older: (before) => this.askPast(this.#conversation, undefined, before),
    });
  }
}
