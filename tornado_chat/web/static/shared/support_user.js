// @ts-check
/**
 * The client's side of the support dialect.
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
 * The phase of a client.
 *
 * - `none`: neither in the queue nor in a conversation
 * - `waiting`: in the queue at `position` (1: the next); `returned`: the client lost its agent; `serving`: how
 *   many agents serve the queue, undefined if that is unknown; `wait`: the expected wait in seconds, undefined
 *   if there is no estimate
 * - `assigned`: assigned to an agent called `name`
 * - `ended`: the wait or the conversation has ended
 *
 * @typedef {object} UserPhase
 * @property {"none" | "waiting" | "assigned" | "ended"} state
 * @property {number} [position]
 * @property {boolean} [returned]
 * @property {number} [serving]
 * @property {number} [wait]
 * @property {string | null} [name]
 * @property {number} [conversation]
 * @property {string} [group] the group of the conversation; undefined from a server without groups
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
 * `onConversation`: a different conversation begins, which shares nothing with the previous one. `unsent` are
 * the texts that were written for the previous one and will not be sent. `onOwnRead`: how far this client has
 * read, in any window.
 */

/** The socket of a client who waits for an agent or talks to one. */
export class UserSupportSocket extends SupportSocket {
  /**
   * @param {TokenSource} token
   * @param {Outbox} outbox
   * @param {UserListener} listener
   * @param {number} [lastConversation] the conversation that was shown before a reload; its end is reported
   *   if it has ended
   */
  constructor(token, outbox, listener, lastConversation) {
    const features = ["ack", "seq", "echo", "typing", "read", "receipt", "profile", "sender", "group", "eta"];
    super("user", token, features, listener.onStatus);
    this.#outbox = outbox;
    this.#listener = listener;
    this.#lastConversation = lastConversation;
    this.#conversation = this.#makeConversation();
  }

  #outbox;
  #listener;
  #lastConversation;
  #conversation;
  /** The number of the shown conversation. @type {number | undefined} */
  #conversationNumber;
  /** @type {UserPhase} */
  #phase = { state: "none" };
  /** Whether to join the queue, and not only to resume a conversation. */
  #joinRequested = false;
  /** The group whose queue to join; empty: the default group. */
  #group = "";
  /** Whether to leave as soon as there is a connection. */
  #leaveRequested = false;
  #connectRequest = "";
  #rateRequest = "";
  #readSeq = 0;

  get phase() {
    return this.#phase;
  }

  /**
   * Join the queue of a group, or resume the current conversation, in its own group.
   *
   * @param {string} [group] the group's name; empty: the default group
   */
  joinQueue(group = "") {
    this.#joinRequested = true;
    this.#group = group;
    this.#sendConnect();
  }

  /** Resume a conversation that another window may have started. */
  resume() {
    this.#sendConnect();
  }

  /** Leave the queue or end the conversation; without a connection, as soon as there is one. */
  leave() {
    this.#joinRequested = false;
    this.#leaveRequested = true;
    if (this.connection.open) {
      this.request("disconnect");
    } else {
      this.connection.retry();
    }
  }

  /** Send a message now, or as soon as an agent is assigned. @param {string} text */
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
    if (this.#phase.state === "assigned") {
      this.request("typing", { typing });
    }
  }

  /** @param {number} seq */
  markRead(seq) {
    if (seq > this.#readSeq && this.#phase.state === "assigned") {
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
    } else if (type === "receipt") {
      this.#listener.onReceived(payload.seq);
    } else if (type === "handed_over") {
      this.#conversation.receiveHandovers([this.toHandover(payload)]);
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
      this.#connectRequest = this.request(
        "connect",
        this.#joinRequested && this.#group
          ? { resume: false, group: this.#group }
          : { resume: !this.#joinRequested },
      );
    }
  }

  /**
   * @param {{ location: number, conversation: number, returned: boolean, serving?: number, group?: string,
   *   eta?: { seconds: number } }} ticket
   */
  #onQueued({ location, conversation, returned, serving, group, eta }) {
    const previous = this.#phase;
    this.#setConversation(conversation);
    const wait = eta?.seconds;
    this.#setPhase({ state: "waiting", position: location, returned, serving, wait, conversation, group });
    if (returned && !(previous.state === "waiting" && previous.returned)) {
      this.#resync(); // the next agent can read what is written while waiting
    }
    this.#leaveIfRequested();
  }

  /** @param {{ conversation: number, name: string | null, group?: string }} found */
  #onAssigned({ conversation, name, group }) {
    this.#setConversation(conversation);
    this.#setPhase({ state: "assigned", name, conversation, group });
    this.#resync();
    this.#leaveIfRequested();
  }

  /** Switch to the conversation to which the following frames belong. @param {number} number */
  #setConversation(number) {
    this.#joinRequested = false;
    if (number === this.#conversationNumber) {
      return;
    }
    if (this.#conversationNumber !== undefined) {
      this.#conversation = this.#makeConversation();
      this.#readSeq = 0;
    }
    this.#conversationNumber = number;
    // A message that was written for one agent must not reach another one.
    const stale = this.#outbox.entries.filter((entry) => entry.conversation !== number);
    stale.forEach((entry) => this.#outbox.remove(entry.id));
    const unsent = stale.filter((entry) => entry.seq === undefined);
    this.#listener.onConversation(
      number,
      unsent.map((entry) => entry.text),
    );
  }

  /** Leave, after everything that was written has been sent. */
  #leaveIfRequested() {
    if (this.#leaveRequested) {
      this.request("disconnect");
    }
  }

  #resync() {
    this.requestHistory(this.#conversation);
    this.#conversation.flush();
    if (this.#readSeq && this.#phase.state === "assigned") {
      this.request("read", { seq: this.#readSeq });
    }
  }

  /** @param {Frame} frame */
  #onDisconnected(frame) {
    const previous = this.#phase.state;
    // the answer to `connect`: there is no conversation to resume
    const nothingToResume = frame.reply_id !== undefined;
    this.#leaveRequested = false;
    if (previous === "assigned" || previous === "waiting") {
      if (nothingToResume && this.#conversationNumber !== undefined) {
        // the last messages may have been sent while this client was disconnected
        this.requestHistory(this.#conversation);
      }
      this.#setPhase({ ...this.#phase, state: "ended" });
    } else if (nothingToResume && previous === "none" && this.#lastConversation !== undefined) {
      this.#setConversation(this.#lastConversation);
      this.requestHistory(this.#conversation);
      this.#setPhase({ state: "ended", conversation: this.#lastConversation });
    } else if (nothingToResume) {
      this.#listener.onPhase(this.#phase);
    }
  }

  /** @param {UserPhase} phase */
  #setPhase(phase) {
    this.#phase = phase;
    this.#listener.onPhase(phase);
  }

  /** Whether the server accepts messages in this phase. */
  #acceptsMessages() {
    return (
      this.#phase.state === "assigned" || (this.#phase.state === "waiting" && this.#phase.returned === true)
    );
  }

  #makeConversation() {
    return new Conversation(this.#outbox, this.#listener, {
      send: (entry) => this.#acceptsMessages() && this.sendMessage(entry),
      requestOlder: (before) => this.requestHistory(this.#conversation, undefined, before),
    });
  }
}
