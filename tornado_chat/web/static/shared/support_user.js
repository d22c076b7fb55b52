// @ts-check
/**
 * The client's side of the support dialect.
 *
 * @module
 */

import { ConsentQuestion } from "./consent.js";
import { Conversation } from "./conversation.js";
import { SupportSocket } from "./support.js";

/** @typedef {import("./connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("./connection.js").TokenSource} TokenSource */
/** @typedef {import("./consent.js").ConsentForm} ConsentForm */
/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./support.js").Frame} Frame */
/** @typedef {import("./support.js").SupportListener} SupportListener */

/**
 * The phase of a client.
 *
 * - `none`: neither in the queue nor in a conversation
 * - `waiting`: in the queue at `position` (1: the next); `returned`: the client lost its agent; `serving`: how
 *   many agents serve the queue, undefined if that is unknown; `wait`: the expected wait in seconds, undefined
 *   if there is no estimate; `early`: messages are stored already, and
 *   `keep` (as a left message) or `discard` (deleted) is what becomes of them if the client gives up
 * - `assigned`: assigned to an agent called `name`
 * - `ended`: the wait or the conversation has ended
 *
 * @typedef {object} UserPhase
 * @property {"none" | "waiting" | "assigned" | "ended"} state
 * @property {number} [position]
 * @property {boolean} [returned]
 * @property {number} [serving]
 * @property {number} [wait]
 * @property {"keep" | "discard"} [early]
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
 *   onConsentAsked: (form: ConsentForm, problem: string) => void,
 *   onConsentNoted: (accepted: boolean) => void,
 *   onError: (message: string) => void,
 * }} UserListener
 * `onConversation`: a different conversation begins, which shares nothing with the previous one. `unsent` are
 * the texts that were written for the previous one and will not be sent. `onConsentAsked`: nothing is sent
 * before the client has accepted the text. `onConsentNoted`: the server has noted the client's answer. `onOwnRead`: how far this client has
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
    const features = [
      "ack",
      "seq",
      "echo",
      "typing",
      "read",
      "receipt",
      "profile",
      "sender",
      "group",
      "eta",
      "early",
      "consent",
    ];
    super("user", token, features, listener.onStatus);
    this.#outbox = outbox;
    this.#listener = listener;
    this.#lastConversation = lastConversation;
    this.#conversation = this.#makeConversation();
    this.#question = new ConsentQuestion(listener.onConsentAsked, (version, accept) => {
      this.#consentRequest = this.request("consent", { version, accept });
    });
  }

  #question;
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
  /** Whether to take back the first words when leaving. */
  #withdraws = false;
  /** Whether the history was requested and the outbox was sent over the present socket. */
  #isSynchronized = false;
  #connectRequest = "";
  #rateRequest = "";
  #consentRequest = "";
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

  /**
   * Leave the queue or end the conversation; without a connection, as soon as there is one.
   *
   * @param {boolean} [withdraws] take back what was written before the first agent came
   */
  leave(withdraws = false) {
    this.#joinRequested = false;
    this.#leaveRequested = true;
    this.#withdraws = withdraws;
    if (this.connection.open) {
      this.#requestLeave();
    } else {
      this.connection.retry();
    }
  }

  /** Accept or decline the text that was asked for. @param {boolean} accept */
  answerConsent(accept) {
    this.#question.answer(accept);
  }

  /** Whether the client has to accept a text first. */
  get asksForConsent() {
    return this.#question.isOpen;
  }

  /** Send a message now, or as soon as the server accepts it. @param {string} text */
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
    if (this.#phase.state === "assigned" && !this.#question.isOpen) {
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
    this.#isSynchronized = false;
    this.#question.onReconnected();
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
    } else if (type === "consent") {
      this.#question.onAsked(payload);
    } else if (type === "consent_success") {
      this.#onConsentNoted(payload.accepted);
    }
  }

  /** @param {Frame} frame */
  onError(frame) {
    if (frame.reply_id === this.#consentRequest) {
      this.#question.onRefused(frame.payload.message);
    }
    if (frame.reply_id === this.#connectRequest || frame.reply_id === this.#rateRequest) {
      this.#joinRequested = false;
      this.#listener.onError(frame.payload.message);
    }
  }

  #onAdmitted() {
    if (this.#question.onAdmitted()) {
      this.#listener.onConsentNoted(true);
    }
  }

  /** @param {boolean} accepted */
  #onConsentNoted(accepted) {
    this.#question.close();
    this.#joinRequested &&= accepted;
    this.#listener.onConsentNoted(accepted);
    this.#conversation.flush();
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
   *   eta?: { seconds: number }, early?: "keep" | "discard" }} ticket
   */
  #onQueued({ location, conversation, returned, serving, group, eta, early }) {
    const wasAssigned = this.#phase.state === "assigned";
    const wait = eta?.seconds;
    this.#onAdmitted();
    this.#setConversation(conversation);
    this.#setPhase({
      state: "waiting",
      position: location,
      returned,
      serving,
      wait,
      conversation,
      group,
      early,
    });
    if (this.#acceptsMessages() && (wasAssigned || !this.#isSynchronized)) {
      this.#resync(); // the next agent can read what is written while waiting
    }
    this.#leaveIfRequested();
  }

  /** @param {{ conversation: number, name: string | null, group?: string }} found */
  #onAssigned({ conversation, name, group }) {
    this.#onAdmitted();
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
    this.#isSynchronized = false;
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
      this.#requestLeave();
    }
  }

  #requestLeave() {
    this.request("disconnect", this.#withdraws ? { withdraw: true } : null);
  }

  #resync() {
    this.#isSynchronized = true;
    this.requestHistory(this.#conversation);
    this.#conversation.flush();
    if (this.#readSeq && this.#phase.state === "assigned") {
      this.request("read", { seq: this.#readSeq });
    }
  }

  /** @param {Frame} frame */
  #onDisconnected(frame) {
    this.#question.close();
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
    const { state, returned, early } = this.#phase;
    const isTaken =
      state === "assigned" || (state === "waiting" && (returned === true || early !== undefined));
    return isTaken && !this.#question.isOpen;
  }

  #makeConversation() {
    return new Conversation(this.#outbox, this.#listener, {
      send: (entry) => this.#acceptsMessages() && this.sendMessage(entry),
      requestOlder: (before) => this.requestHistory(this.#conversation, undefined, before),
    });
  }
}
