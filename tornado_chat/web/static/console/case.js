// @ts-check
/**
 * A case: the console's state of one conversation, whether it is shown or not.
 *
 * Cases are kept as plain data: there may be twenty conversations of five hundred messages. Only open
 * conversations have elements, in a `CasePanel`, which shows one case.
 *
 * @module
 */

import { ApprovalStates } from "../shared/approval_states.js";
import { guestName } from "../shared/guest_names.js";
import { Outbox } from "../shared/outbox.js";
import { text } from "../shared/strings.js";

/** @typedef {import("../shared/conversation.js").Handover} Handover */
/** @typedef {import("../shared/conversation.js").Message} Message */
/** @typedef {import("../shared/support_waiter.js").EndReason} EndReason */

/**
 * The client of a conversation.
 *
 * @typedef {object} Client
 * @property {number} conversation its number
 * @property {string} id the user's
 * @property {string | null} name
 * @property {string} since when the client joined the queue
 * @property {string} [group] the group of the conversation
 */

/**
 * The listener of a conversation, as the view of a case implements it.
 *
 * @typedef {import("../shared/support_waiter.js").AgentListener} AgentListener
 */
/**
 * @typedef {Omit<AgentListener, "onOwnRead"> & { showEnded: () => void, removeUnsent: (id: string) => void }}
 *   CaseView
 */

/**
 * @typedef {object} CaseListener
 * @property {() => void} onChange a shown property has changed
 * @property {(message: Message) => void} onClientMessage the client has just sent a message
 * @property {() => void} onStored a message of the agent was stored
 * @property {() => void} onLoaded the newest messages were loaded
 * @property {() => void} onSeen the agent has seen it for the first time
 */

const TYPING_TIMEOUT_MS = 6_000; // the typing indicator ends if it is not repeated within this time

export class Case {
  /**
   * @param {string} key a key of the tab's storage
   * @param {Client} client
   * @param {CaseListener} listener
   */
  constructor(key, client, listener) {
    this.#key = `${key}:${client.conversation}`;
    this.client = client;
    this.#listener = listener;
    this.outbox = new Outbox(`${this.#key}:unsent`);
    this.#unsentTexts = new Map(this.outbox.entries.map((entry) => [entry.id, entry.text]));
  }

  #key;
  #listener;
  /** The texts of own messages that are not stored yet, by id. */
  #unsentTexts;
  #typingTimer = 0;
  /** @type {CaseView | null} */
  view = null;

  /**
   * `restored`: restored from the tab's storage; the server has not confirmed yet that it goes on.
   *
   * @type {"restored" | "open" | "ended"}
   */
  state = "restored";
  /** Why it has ended. @type {EndReason | undefined} */
  endReason;
  /** Whether the agent has requested its end. */
  isEnding = false;
  #isNew = false;
  /** By sequence number. @type {Message[]} */
  messages = [];
  /** The changes of the agent, oldest first. @type {Handover[]} */
  handovers = [];
  /** The states of own messages that need an approval. */
  approvals = new ApprovalStates();
  /** Whether the server has messages before the first one. */
  hasOlder = false;
  isLoaded = false;
  /** The sequence number up to which everything has arrived at the client. */
  clientReceivedSeq = 0;
  /** The sequence numbers up to which the client and the agent have read. */
  clientReadSeq = 0;
  readSeq = 0;
  isTyping = false;

  /** Whether it was never shown. */
  get isNew() {
    return this.#isNew;
  }

  set isNew(isNew) {
    const isSeen = this.#isNew && !isNew;
    this.#isNew = isNew;
    if (isSeen) {
      this.#listener.onSeen();
    }
  }

  get number() {
    return this.client.conversation;
  }

  get name() {
    return clientName(this.client.name, this.client.id);
  }

  /** The key under which the tab stores the draft. */
  get draftKey() {
    return `${this.#key}:draft`;
  }

  get draft() {
    return sessionStorage.getItem(this.draftKey) ?? "";
  }

  get lastMessage() {
    return this.messages.at(-1);
  }

  get unread() {
    let count = 0;
    for (
      let index = this.messages.length - 1;
      index >= 0 && this.messages[index].seq > this.readSeq;
      index -= 1
    ) {
      count += isOfClient(this.messages[index]) ? 1 : 0;
    }
    return count;
  }

  /**
   * The server time since which the client has been waiting for an answer; undefined if it is not waiting.
   */
  get waitingSince() {
    if (this.state !== "open" || !this.isLoaded) {
      return undefined;
    }
    const answered = this.messages.findLastIndex((message) => !isOfClient(message));
    // A client who was never answered has been waiting since it joined the queue, even without a message.
    return answered < 0 && !this.hasOlder ? this.client.since : this.messages[answered + 1]?.time;
  }

  /**
   * `refused`: a message needs the agent's action; `sending`: a message is not acknowledged yet.
   *
   * @type {"refused" | "sending" | ""}
   */
  get unsent() {
    return this.outbox.entries.some((entry) => entry.refused !== undefined)
      ? "refused"
      : this.outbox.entries.some((entry) => entry.seq === undefined) // not received back either
        ? "sending"
        : "";
  }

  /**
   * Add a message of the agent, which waits in the outbox.
   *
   * @param {import("../shared/outbox.js").OutboxEntry} entry
   */
  addOwn(entry) {
    this.#unsentTexts.set(entry.id, entry.text);
    this.#listener.onChange();
    return entry;
  }

  /** The agent has read everything up to `seq`. @param {number} seq */
  markRead(seq) {
    this.readSeq = Math.max(this.readSeq, seq);
    this.isNew = false;
    this.#listener.onChange();
  }

  /** @param {EndReason} reason */
  close(reason) {
    this.state = "ended";
    this.endReason = reason;
    this.isEnding = this.isNew = false;
    this.listener.onTyping(false);
    this.view?.showEnded();
    this.#listener.onChange();
  }

  /**
   * Add the messages of a conversation that ended before this page was loaded.
   *
   * @param {Message[]} messages
   * @param {Handover[]} handovers
   */
  addTranscript(messages, handovers) {
    for (const entry of [...this.outbox.entries]) {
      const { after } = entry;
      if (
        after !== undefined &&
        messages.some((message) => message.own && message.seq > after && message.text === entry.text)
      ) {
        this.outbox.remove(entry.id); // it was stored, only its acknowledgement was lost
        this.view?.removeUnsent(entry.id);
      }
    }
    this.listener.onHistory(messages, false);
    handovers.forEach((handover) => this.listener.onHandover?.(handover));
  }

  /** Remove everything from the tab's storage. */
  clearStorage() {
    this.outbox.entries = [];
    this.outbox.save();
    sessionStorage.removeItem(this.draftKey);
  }

  // --- events of the conversation ---

  /** @type {AgentListener} */
  listener = {
    onMessage: (message) => {
      this.#insert([message]);
      this.view?.onMessage(message);
      this.#listener.onChange();
      if (isOfClient(message)) {
        this.#listener.onClientMessage(message);
      }
    },
    onHistory: (messages, hasOlder) => {
      const last = this.lastMessage?.seq ?? Infinity;
      this.#insert(messages);
      this.hasOlder = hasOlder;
      if (messages.some((message) => message.own)) {
        this.isNew = false; // the agent has answered in another window, or before the page was closed
      }
      if (!this.isLoaded) {
        this.isLoaded = true;
        this.#listener.onLoaded();
      }
      this.view?.onHistory(messages, hasOlder);
      this.#listener.onChange();
      const newest = messages.findLast((message) => isOfClient(message) && message.seq > last);
      if (newest) {
        this.#listener.onClientMessage(newest); // received while there was no connection
      }
    },
    onStored: (id, seq, time) => {
      this.#insert([{ seq, text: this.#unsentTexts.get(id) ?? "", own: true, time }]);
      this.#unsentTexts.delete(id);
      this.view?.onStored(id, seq, time);
      this.#listener.onChange();
      this.#listener.onStored();
    },
    onRefused: (id, reason) => {
      this.view?.onRefused(id, reason);
      if (this.state === "ended") {
        this.view?.showEnded();
      }
      this.#listener.onChange();
    },
    onTyping: (typing) => {
      clearTimeout(this.#typingTimer);
      if (typing) {
        this.#typingTimer = setTimeout(() => this.listener.onTyping(false), TYPING_TIMEOUT_MS);
      }
      this.view?.onTyping(typing);
      if (typing !== this.isTyping) {
        this.isTyping = typing;
        this.#listener.onChange();
      }
    },
    onReceived: (seq) => {
      this.clientReceivedSeq = Math.max(this.clientReceivedSeq, seq);
      this.view?.onReceived(seq);
    },
    onHandover: (handover) => {
      if (!this.handovers.some(({ time }) => time === handover.time)) {
        this.handovers.push(handover);
        this.view?.onHandover?.(handover);
      }
    },
    onApproval: (approval) => {
      if (this.approvals.accept(approval)) {
        this.view?.onApproval?.(approval);
        this.#listener.onChange();
      }
    },
    onRead: (seq) => {
      this.clientReadSeq = Math.max(this.clientReadSeq, seq);
      this.view?.onRead(seq);
    },
    onOwnRead: (seq) => this.markRead(seq),
  };

  /** @param {Message[]} messages */
  #insert(messages) {
    const lastSeq = this.lastMessage?.seq ?? 0;
    this.messages.push(...messages);
    if (messages.some((message) => message.seq <= lastSeq)) {
      this.messages.sort((one, other) => one.seq - other.seq);
      this.messages = this.messages.filter((message, index) => message.seq !== this.messages[index - 1]?.seq);
    }
  }
}

/**
 * The display name of a client, of a guest a made-up one. Two clients without a name must be distinguishable.
 *
 * @param {string | null} name
 * @param {string} id
 */
export function clientName(name, id) {
  return name || guestName(id) || text("visitor_id", { id: id.length <= 8 ? id : `…${id.slice(-4)}` });
}

/** Whether the client wrote a message, and not an agent: this one or one before. @param {Message} message */
function isOfClient(message) {
  return !message.own && !message.colleague;
}
