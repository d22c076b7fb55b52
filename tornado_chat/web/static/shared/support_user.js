// @ts-check
/**
 * The user's side of the support dialect.
 *
 * @module
 */

import { Conversation } from "./conversation.js";
import { SupportSocket } from "./support.js";

/** @typedef {import("./connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("./connection.js").TokenSource} TokenSource */
/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./support.js").Frame} Frame */
/** @typedef {import("./support.js").SupportListener} SupportListener */

/**
 * Where a user stands.
 *
 * - `none`: in no line and in no conversation
 * - `waiting`: in the line, at `place` (1: the next one); `returned`: its waiter was lost
 * - `talking`: with a waiter, called `name`
 * - `over`: there was a place or a conversation, and it is over
 *
 * @typedef {object} UserPhase
 * @property {"none" | "waiting" | "talking" | "over"} state
 * @property {number} [position]
 * @property {boolean} [returned]
 * @property {string | null} [name]
 * @property {number} [conversation]
 */

/**
 * @typedef {SupportListener & {
 *   onStatus: (status: ConnectionStatus) => void,
 *   onPhase: (phase: UserPhase) => void,
 *   onConversation: (conversation: number, unsent: string[]) => void,
 *   onOwnRead: (seq: number) => void,
 *   onRated: () => void,
 *   onError: (message: string) => void,
 * }} UserListener
 * `begun`: it is another conversation than the last one: nothing of that belongs into it. `unsent` was
 * written for that one, and will not be sent. `readHere`: how far oneself has read, in any window.
 */

/** A user in search of a waiter, and in conversation with one. */
export class UserSupportSocket extends SupportSocket {
  /**
   * @param {TokenSource} token
   * @param {Outbox} outbox
   * @param {UserListener} listener
   * @param {number} [lastConversation] the conversation that was shown before a reload: if it is over now, that is told
   */
  constructor(token, outbox, listener, lastConversation) {
    super("user", token, ["ack", "seq", "echo", "typing", "read", "profile"], listener.onStatus);
    this.#outbox = outbox;
    this.#listener = listener;
    this.#lastConversation = lastConversation;
    this.#conversation = this.#makeConversation();
  }

  #outbox;
  #listener;
  #lastConversation;
  #conversation;
  /** The number of the conversation that is shown. @type {number | undefined} */
  #conversationNumber;
  /** @type {UserPhase} */
  #phase = { state: "none" };
  /** Whether to join the line, rather than only to come back. */
  #joinRequested = false;
  /** Whether to leave, as soon as there is a connection. */
  #leaveRequested = false;
  #connectRequest = "";
  #rateRequest = "";
  #readSeq = 0;

  get phase() {
    return this.#phase;
  }

  /** Join the line, or come back to the conversation there is. */
  joinQueue() {
    this.#joinRequested = true;
    this.#sendConnect();
  }

  /** Come back to what another window may have begun. */
  resume() {
    this.#sendConnect();
  }

  /** Leave the line, or end the conversation; without a connection, as soon as there is one. */
  leave() {
    this.#joinRequested = false;
    this.#leaveRequested = true;
    if (this.connection.open) {
      this.request("disconnect");
    } else {
      this.connection.retry();
    }
  }

  /** Say it now, or as soon as there is somebody to say it to. @param {string} text */
  send(text) {
    const entry = this.#conversation.send(text);
    entry.conversation = this.#conversationNumber;
    this.#outbox.save();
    return entry;
  }

  /** @param {string} id */
  resend(id) {
    this.#conversation.resend(id);
  }

  loadOlder() {
    this.#conversation.loadOlder();
  }

  /** @param {boolean} typing */
  sendTyping(typing) {
    if (this.#phase.state === "talking") {
      this.request("typing", { typing });
    }
  }

  /** @param {number} seq */
  markRead(seq) {
    if (seq > this.#readSeq && this.#phase.state === "talking") {
      this.#readSeq = seq;
      this.request("read", { seq });
    }
  }

  /**
   * @param {number} rate 1 to 5
   * @param {string} feedback
   */
  rate(rate, feedback) {
    this.#rateRequest = this.request("rate", { rate, feedback: feedback || null });
    return this.connection.open;
  }

  conversations() {
    return [this.#conversation];
  }

  onAccepted() {
    this.#sendConnect();
  }

  /** @param {Frame} frame */
  onFrame(frame) {
    const { type, payload } = frame;
    if (type === "connect_queue") {
      this.#onQueued(payload);
    } else if (type === "connect_success") {
      this.#onAssigned(payload);
    } else if (type === "disconnected") {
      this.#onDisconnected(frame);
    } else if (type === "message_text") {
      this.#conversation.receive(this.toMessage(frame));
    } else if (type === "typing") {
      this.#listener.onTyping(payload.typing);
    } else if (type === "read" && frame.from === this.address) {
      this.#listener.onOwnRead(payload.seq);
    } else if (type === "read") {
      this.#listener.onRead(payload.seq);
    } else if (type === "rate_success") {
      this.#listener.onRated();
    }
  }

  /** @param {Frame} frame */
  onError(frame) {
    if (frame.reply_id === this.#connectRequest || frame.reply_id === this.#rateRequest) {
      this.#joinRequested = false;
      this.#listener.onError(frame.payload.message);
    }
  }

  #sendConnect() {
    if (this.connection.open) {
      this.#connectRequest = this.request("connect", { resume: !this.#joinRequested });
    }
  }

  /** @param {{ location: number, conversation: number, returned: boolean }} line */
  #onQueued({ location, conversation, returned }) {
    const previous = this.#phase;
    this.#setConversation(conversation);
    this.#setPhase({ state: "waiting", position: location, returned, conversation });
    if (returned && !(previous.state === "waiting" && previous.returned)) {
      this.#resync(); // the next waiter will read what is written meanwhile
    }
  }

  /** @param {{ conversation: number, name: string | null }} found */
  #onAssigned({ conversation, name }) {
    this.#setConversation(conversation);
    this.#setPhase({ state: "talking", name, conversation });
    this.#resync();
  }

  /** What comes from now on belongs to this conversation. @param {number} number */
  #setConversation(number) {
    this.#joinRequested = false;
    if (this.#leaveRequested) {
      this.request("disconnect");
    }
    if (number === this.#conversationNumber) {
      return;
    }
    if (this.#conversationNumber !== undefined) {
      this.#conversation = this.#makeConversation();
      this.#readSeq = 0;
    }
    this.#conversationNumber = number;
    // What was written for somebody else must not reach whoever is next.
    const stale = this.#outbox.entries.filter((entry) => entry.conversation !== number);
    stale.forEach((entry) => this.#outbox.remove(entry.id));
    const unsent = stale.filter((entry) => entry.seq === undefined);
    this.#listener.onConversation(
      number,
      unsent.map((entry) => entry.text),
    );
  }

  #resync() {
    this.requestHistory(this.#conversation);
    this.#conversation.flush();
    if (this.#readSeq && this.#phase.state === "talking") {
      this.request("read", { seq: this.#readSeq });
    }
  }

  /** @param {Frame} frame */
  #onDisconnected(frame) {
    const previous = this.#phase.state;
    const nothingToResume = frame.reply_id !== undefined; // there is nothing to come back to
    this.#leaveRequested = false;
    if (previous === "talking" || previous === "waiting") {
      if (nothingToResume && this.#conversationNumber !== undefined) {
        this.requestHistory(this.#conversation); // the last words may have been said while nobody was here
      }
      this.#setPhase({ ...this.#phase, state: "over" });
    } else if (nothingToResume && previous === "none" && this.#lastConversation !== undefined) {
      this.#setConversation(this.#lastConversation);
      this.requestHistory(this.#conversation);
      this.#setPhase({ state: "over", conversation: this.#lastConversation });
    } else if (nothingToResume) {
      this.#listener.onPhase(this.#phase);
    }
  }

  /** @param {UserPhase} phase */
  #setPhase(phase) {
    this.#phase = phase;
    this.#listener.onPhase(phase);
  }

  /** Whether the server takes messages. */
  #acceptsMessages() {
    return (
      this.#phase.state === "talking" || (this.#phase.state === "waiting" && this.#phase.returned === true)
    );
  }

  #makeConversation() {
    return new Conversation(this.#outbox, this.#listener, {
      send: (entry) => this.#acceptsMessages() && this.sendMessage(entry),
      requestOlder: (before) => this.requestHistory(this.#conversation, undefined, before),
    });
  }
}
