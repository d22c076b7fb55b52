// @ts-check
/**
 * What the page has of one conversation, whether anybody looks at it or not.
 *
 * Twenty conversations of five hundred lines are kept as plain data. Elements exist only of those that are
 * open: they are a `Panel`, which looks at one case.
 *
 * @module
 */

import { Outbox } from "../shared/outbox.js";
import { text } from "../shared/strings.js";

/** @typedef {import("../shared/conversation.js").Message} Message */
/** @typedef {import("../shared/support_waiter.js").EndReason} EndReason */

/**
 * Who it is with.
 *
 * @typedef {object} Client
 * @property {number} conversation its number
 * @property {string | number} id the user's
 * @property {string | null} name
 * @property {string} since when it joined the line
 */

/** Who looks at a case: `Talking`. @typedef {import("../shared/support_waiter.js").AgentListener} AgentListener */
/** @typedef {Omit<AgentListener, "onOwnRead"> & { showEnded: () => void, removeUnsent: (id: string) => void }} CaseView */

/**
 * @typedef {object} CaseListener
 * @property {() => void} onChange something that is shown of it
 * @property {(message: Message) => void} onClientMessage the visitor has just said something
 * @property {() => void} onStored what the waiter wrote is stored
 */

const TYPING_TIMEOUT_MS = 6_000; // milliseconds after which nobody types who has not said so again

export class Case {
  /**
   * @param {string} key of the tab's storage
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
  /** The texts of one's own messages that are on their way. */
  #unsentTexts;
  #typingTimer = 0;
  /** @type {CaseView | null} */
  view = null;

  /** `kept`: this tab remembers it; whether it goes on is not known yet. @type {"kept" | "open" | "over"} */
  state = "kept";
  /** Why it is over. @type {EndReason | undefined} */
  endReason;
  /** It is to be over. */
  isEnding = false;
  /** Nobody has looked at it yet. */
  isNew = false;
  /** By number. @type {Message[]} */
  messages = [];
  /** Whether the server has anything before the first line. */
  hasOlder = false;
  isLoaded = false;
  /** How far the visitor has read, and how far this side has. */
  clientReadSeq = 0;
  readSeq = 0;
  isTyping = false;

  get number() {
    return this.client.conversation;
  }

  get name() {
    return clientName(this.client.name, this.client.id);
  }

  /** The key of the tab's storage for what is half written. */
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
      count += this.messages[index].own ? 0 : 1;
    }
    return count;
  }

  /** Since when the visitor waits for an answer, a time of the server's, if it does. */
  get waitingSince() {
    if (this.state !== "open" || !this.isLoaded) {
      return undefined;
    }
    const answered = this.messages.findLastIndex((message) => message.own);
    // Who was never answered waits since it joined the line, whether it has said something yet or not.
    return answered < 0 && !this.hasOlder ? this.client.since : this.messages[answered + 1]?.time;
  }

  /** `refused`: it waits for its author; `sending`: for the server. @type {"refused" | "sending" | ""} */
  get unsent() {
    return this.outbox.entries.some((entry) => entry.refused !== undefined)
      ? "refused"
      : this.outbox.entries.some((entry) => entry.seq === undefined) // it was not seen to be stored
        ? "sending"
        : "";
  }

  /** Something is said: by whom does not matter, it waits in the outbox. @param {import("../shared/outbox.js").OutboxEntry} entry */
  addOwn(entry) {
    this.#unsentTexts.set(entry.id, entry.text);
    this.#listener.onChange();
    return entry;
  }

  /** How far this side has read. @param {number} seq */
  markRead(seq) {
    this.readSeq = Math.max(this.readSeq, seq);
    this.isNew = false;
    this.#listener.onChange();
  }

  /** @param {EndReason} reason */
  close(reason) {
    this.state = "over";
    this.endReason = reason;
    this.isEnding = this.isNew = false;
    this.listener.onTyping(false);
    this.view?.showEnded();
    this.#listener.onChange();
  }

  /** What was said in one that was over before this page was loaded. @param {Message[]} messages */
  addTranscript(messages) {
    for (const entry of [...this.outbox.entries]) {
      const { after } = entry;
      if (
        after !== undefined &&
        messages.some((message) => message.own && message.seq > after && message.text === entry.text)
      ) {
        this.outbox.remove(entry.id); // it was stored, only the acknowledgement was lost
        this.view?.removeUnsent(entry.id);
      }
    }
    this.listener.onHistory(messages, false);
  }

  /** Leave nothing of it in the tab's storage. */
  clearStorage() {
    this.outbox.entries = [];
    this.outbox.save();
    sessionStorage.removeItem(this.draftKey);
  }

  // --- what the conversation tells ---

  /** @type {AgentListener} */
  listener = {
    onMessage: (message) => {
      this.#insert([message]);
      this.view?.onMessage(message);
      this.#listener.onChange();
      if (!message.own) {
        this.#listener.onClientMessage(message);
      }
    },
    onHistory: (messages, hasOlder) => {
      const last = this.lastMessage?.seq ?? Infinity;
      this.#insert(messages);
      this.hasOlder = hasOlder;
      this.isLoaded = true;
      this.view?.onHistory(messages, hasOlder);
      this.#listener.onChange();
      const newest = messages.findLast((message) => !message.own && message.seq > last);
      if (newest) {
        this.#listener.onClientMessage(newest); // said while there was no connection
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
      if (this.state === "over") {
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
 * What to call somebody. Two nameless ones must not look the same.
 *
 * @param {string | null} name
 * @param {string | number} id
 */
export function clientName(name, id) {
  const short = String(id);
  return name || text("visitor_id", { id: short.length <= 8 ? short : `…${short.slice(-4)}` });
}
