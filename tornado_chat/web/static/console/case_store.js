// @ts-check
/**
 * All conversations of the agent, and their events.
 *
 * Strategy: events of the socket change the cases, and the listener renders them. Actions of the agent go the
 * other way, through methods of this class. The tab stores the list of conversations, so that none is missing
 * after a reload: a conversation that the server does not report again has ended.
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
 * @property {(item: Case) => void} onAssigned a client was assigned
 * @property {(item: Case) => void} onClientLeft the client has ended the conversation
 * @property {(item: Case) => void} onRemoved the case was removed from the list
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
  /**
   * By number, in the order of arrival. The order never changes, so that rows do not move under the mouse.
   */
  #cases = /** @type {Map<number, Case>} */ (new Map());
  /** Whether the server has reported all conversations since the page was loaded. */
  #isResynced = false;

  /** Whether the agent wants new clients, and whether the server has confirmed it. */
  readyWanted;
  readyConfirmed = false;
  /** Why the server assigns no clients; empty: it does. */
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

  /** The number of conversations that have not ended. */
  get openCount() {
    return this.cases.filter((item) => item.state !== "ended").length;
  }

  get unread() {
    return this.cases.reduce((sum, item) => sum + Math.max(item.unread, item.isNew ? 1 : 0), 0);
  }

  /** Whether a written message is not stored yet. */
  get hasUnsent() {
    return this.cases.some((item) => item.unsent);
  }

  /**
   * The case whose client has waited longest for an answer.
   *
   * @param {number} [except] if there is another one
   */
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
      throw new Error(`there is no conversation ${number} in the list`);
    }
    return item;
  }

  // --- actions of the agent ---

  /** @param {boolean} wanted */
  setReady(wanted) {
    this.#setReadyWanted(wanted);
    this.readyConfirmed = false;
    this.readyRefusal = "";
    this.#socket.setReady(wanted);
    this.#listener.onChange();
  }

  /**
   * The actions in a conversation, for `ConversationView`.
   *
   * @param {Case} item
   * @returns {import("../shared/conversation_view.js").ConversationActions}
   */
  actionsFor(item) {
    const { number } = item;
    return {
      // A message in a case that the server has not reported yet is sent as soon as it is reported.
      send: (content) =>
        item.addOwn(
          item.state === "restored" ? item.outbox.add(content) : this.#socket.send(number, content),
        ),
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
   * @param {string | number} waiter the id of the other agent
   */
  transfer(item, waiter) {
    return this.#socket.transfer(item.number, waiter);
  }

  /** Remove an ended case. @param {Case} item */
  remove(item) {
    item.clearStorage();
    this.#cases.delete(item.number);
    this.#save();
    this.#listener.onRemoved(item);
    this.#listener.onChange();
  }

  /** Load the messages of a conversation that ended before this page was loaded. @param {Case} item */
  async loadTranscript(item) {
    item.addTranscript(await this.#api.getMessages(item.number));
  }

  // --- events of the server ---

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
    // An ended conversation that is assigned again went through the queue: the store may lack messages.
    const item = before?.state === "restored" ? before : this.#add(client);
    item.client = client;
    item.state = "open";
    item.readSeq = before?.readSeq ?? 0;
    if (before?.state !== "restored") {
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
      if (item.state === "restored") {
        item.close("lost");
      }
    }
    if (!this.#isResynced) {
      this.#isResynced = true;
      const unseen = this.cases.filter((item) => item.isNew);
      // one sound and notification for all
      unseen.slice(-1).forEach((item) => this.#listener.onAssigned(item));
    }
    this.#save();
    this.#listener.onChange();
  }

  /**
   * Remove a case that the agent itself ended or transferred, once all its messages are stored.
   *
   * @param {Case} item
   */
  #removeIfDone(item) {
    if (
      item.state === "ended" &&
      (item.endReason === "ended" || item.endReason === "handed") &&
      !item.unsent
    ) {
      this.remove(item);
    }
  }

  // --- storage of the tab ---

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
