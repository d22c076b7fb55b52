// @ts-check
/**
 * The waiter's desk: all conversations, and what happens in them.
 *
 * Strategy: what the socket tells changes the cases here, and the listener shows what there is now. Whatever
 * somebody does goes the other way, through a method of this class. The tab remembers the conversations, so
 * that after a reload none is missing: those which the server does not give back are over.
 *
 * @module
 */

import { WaiterSupportSocket } from "../shared/support_waiter.js";
import { Case } from "./case.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/conversation.js").Message} Message */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */
/** @typedef {import("../shared/support_waiter.js").EndReason} EndReason */
/** @typedef {import("../shared/support_waiter.js").AssignedClient} AssignedClient */
/** @typedef {import("./case.js").Client} Client */
/** @typedef {import("./support_api.js").SupportApi} SupportApi */

/** @typedef {Client & { over?: EndReason, read: number }} StoredCase */

/**
 * @typedef {object} CaseStoreListener
 * @property {() => void} onChange
 * @property {(status: ConnectionStatus) => void} onStatus
 * @property {(item: Case) => void} onAssigned somebody new
 * @property {(item: Case) => void} onClientLeft the visitor has left
 * @property {(item: Case) => void} onRemoved it is not on the desk any more
 * @property {(item: Case, message: Message) => void} onClientMessage
 * @property {(item: Case, reason: string) => void} onEndFailed
 */

export class CaseStore {
  /**
   * @param {SignedIn} me
   * @param {SupportApi} api
   * @param {CaseStoreListener} listener
   */
  constructor(me, api, listener) {
    this.key = `console:${me.id}`;
    this.#api = api;
    this.#listener = listener;
    this.readyWanted = sessionStorage.getItem(`${this.key}:ready`) === "yes";
    for (const stored of this.#load()) {
      const item = this.#add(stored);
      item.readSeq = stored.read;
      if (stored.over) {
        item.close(stored.over);
      }
    }
    this.#socket = new WaiterSupportSocket(me.token, this.readyWanted, {
      onStatus: (status) => this.#onStatus(status),
      onAssigned: (client) => this.#onAssigned(client),
      onRemoved: (number, reason) => this.#onRemoved(number, reason),
      onReady: (ready) => this.#onReady(ready),
      onReadyRefused: (reason) => {
        this.readyRefusal = reason;
        this.#setReadyWanted(false);
        listener.onChange();
      },
      onEndFailed: (number, reason) => {
        const item = this.requireCase(number);
        item.isEnding = false;
        listener.onChange();
        listener.onEndFailed(item, reason);
      },
    });
  }

  #api;
  #listener;
  #socket;
  /** By number, in the order in which they came: it stays, so that nothing moves under the mouse. */
  #cases = /** @type {Map<number, Case>} */ (new Map());
  /** Whether the server has given back what there was. */
  #isResynced = false;

  /** Whether the waiter wants new visitors, and whether the server knows it. */
  readyWanted;
  readyConfirmed = false;
  /** Why the server gives none. */
  readyRefusal = "";
  connected = false;

  start() {
    this.#socket.start();
  }

  retry() {
    this.#socket.retry();
  }

  get cases() {
    return [...this.#cases.values()];
  }

  /** How many go on. */
  get openCount() {
    return this.cases.filter((item) => item.state !== "over").length;
  }

  get unread() {
    return this.cases.reduce((sum, item) => sum + Math.max(item.unread, item.isNew ? 1 : 0), 0);
  }

  /** Whether something that was written is not stored yet. */
  get hasUnsent() {
    return this.cases.some((item) => item.unsent);
  }

  /** Whose visitor has waited longest for an answer. @param {number} [except] if there is another one */
  longestWaiting(except) {
    const waiting = this.cases.filter((item) => item.waitingSince !== undefined && item.number !== except);
    waiting.sort((item, other) => ((item.waitingSince ?? "") < (other.waitingSince ?? "") ? -1 : 1));
    return waiting[0];
  }

  /** @param {number} number */
  find(number) {
    return this.#cases.get(number);
  }

  /** @param {number} number @returns {Case} */
  requireCase(number) {
    const item = this.#cases.get(number);
    if (!item) {
      throw new Error(`there is no conversation ${number} on the desk`);
    }
    return item;
  }

  // --- what the waiter does ---

  /** @param {boolean} wanted */
  setReady(wanted) {
    this.#setReadyWanted(wanted);
    this.readyConfirmed = false;
    this.readyRefusal = "";
    this.#socket.setReady(wanted);
    this.#listener.onChange();
  }

  /**
   * What one can do in a conversation, for `Talking`.
   *
   * @param {Case} item
   * @returns {import("../shared/conversation_view.js").ConversationActions}
   */
  actionsFor(item) {
    const { number } = item;
    return {
      // Not given back by the server yet, it goes out as soon as it is.
      send: (content) =>
        item.addOwn(item.state === "kept" ? item.outbox.add(content) : this.#socket.send(number, content)),
      resend: (id) => {
        item.outbox.retry(id);
        this.#socket.resend(number, id);
        this.#listener.onChange();
      },
      loadOlder: () => this.#socket.loadOlder(number),
      sendTyping: (typing) => this.#socket.sendTyping(number, typing),
      markRead: (seq) => {
        if (seq > item.readSeq) {
          item.markRead(seq);
          this.#save();
        }
        this.#socket.markRead(number, seq);
      },
    };
  }

  /** @param {Case} item */
  end(item) {
    item.isEnding = true;
    this.#socket.end(item.number);
    this.#listener.onChange();
  }

  /**
   * @param {Case} item
   * @param {string | number} waiter its id
   */
  transfer(item, waiter) {
    return this.#socket.transfer(item.number, waiter);
  }

  /** Take one that is over from the desk. @param {Case} item */
  remove(item) {
    item.clearStorage();
    this.#cases.delete(item.number);
    this.#save();
    this.#listener.onRemoved(item);
    this.#listener.onChange();
  }

  /** What was said in one that was over before this page was loaded. @param {Case} item */
  async loadTranscript(item) {
    item.addTranscript(await this.#api.getMessages(item.number));
  }

  // --- what the server tells ---

  /** @param {ConnectionStatus} status */
  #onStatus(status) {
    this.connected = status.state === "open";
    if (!this.connected) {
      this.readyConfirmed = false;
    }
    this.#listener.onStatus(status);
    this.#listener.onChange();
  }

  /** @param {AssignedClient} client */
  #onAssigned(client) {
    const before = this.#cases.get(client.conversation);
    // Once over and here again, it went to the line and came back: other lines may be between.
    const item = before?.state === "kept" ? before : this.#add(client);
    item.client = client;
    item.state = "open";
    item.readSeq = before?.readSeq ?? 0;
    if (before?.state !== "kept") {
      item.isNew = true;
    }
    this.#save();
    if (item.isNew && this.#isResynced) {
      this.#listener.onAssigned(item);
    }
    this.#listener.onChange();
    return item;
  }

  /**
   * @param {number} number
   * @param {EndReason} reason
   */
  #onRemoved(number, reason) {
    const item = this.#cases.get(number);
    if (!item) {
      return;
    }
    item.close(reason);
    this.#save();
    if (reason === "parted") {
      this.#listener.onClientLeft(item);
    }
    this.#removeIfDone(item);
  }

  /** @param {boolean} ready */
  #onReady(ready) {
    this.readyConfirmed = ready === this.readyWanted;
    this.readyRefusal = "";
    for (const item of this.cases) {
      if (item.state === "kept") {
        item.close("lost");
      }
    }
    if (!this.#isResynced) {
      this.#isResynced = true;
      const unseen = this.cases.filter((item) => item.isNew);
      unseen.slice(-1).forEach((item) => this.#listener.onAssigned(item)); // one signal for all that were there
    }
    this.#save();
    this.#listener.onChange();
  }

  /** What the waiter itself was rid of goes, when nothing that it wrote is unsent. @param {Case} item */
  #removeIfDone(item) {
    if (
      item.state === "over" &&
      (item.endReason === "ended" || item.endReason === "handed") &&
      !item.unsent
    ) {
      this.remove(item);
    }
  }

  // --- the tab's memory ---

  /** @param {Client} client */
  #add(client) {
    const item = new Case(this.key, client, {
      onChange: () => this.#listener.onChange(),
      onClientMessage: (message) => this.#listener.onClientMessage(item, message),
      onStored: () => this.#removeIfDone(item),
    });
    this.#cases.set(client.conversation, item);
    return item;
  }

  #save() {
    const stored = this.cases.map((item) => {
      const { conversation, id, name, since } = item.client;
      return { conversation, id, name, since, over: item.endReason, read: item.readSeq };
    });
    sessionStorage.setItem(`${this.key}:desk`, JSON.stringify(stored));
  }

  /** @param {boolean} wanted */
  #setReadyWanted(wanted) {
    this.readyWanted = wanted;
    sessionStorage.setItem(`${this.key}:ready`, wanted ? "yes" : "no");
  }

  /** @returns {StoredCase[]} */
  #load() {
    return JSON.parse(sessionStorage.getItem(`${this.key}:desk`) ?? "[]");
  }
}
