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
import { parseTime } from "../shared/time.js";
import { Case } from "./case.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/conversation.js").Message} Message */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */
/** @typedef {import("../shared/support_waiter.js").EndReason} EndReason */
/** @typedef {import("../shared/support_waiter.js").AssignedClient} AssignedClient */
/** @typedef {import("../shared/support_waiter.js").Offer} Offer */
/** @typedef {import("./case.js").Client} Client */
/** @typedef {import("./support_api.js").SupportApi} SupportApi */

/** @typedef {Client & { over?: EndReason, read: number, unseen?: boolean }} StoredCase */

/**
 * @typedef {object} CaseStoreListener
 * @property {() => void} onChange
 * @property {(status: ConnectionStatus) => void} onStatus
 * @property {(item: Case) => void} onAssigned a client was assigned
 * @property {(item: Case) => void} onClientLeft the client has ended the conversation
 * @property {(item: Case) => void} onRemoved the case was removed from the list
 * @property {(item: Case, message: Message) => void} onClientMessage
 * @property {(item: Case, reason: string) => void} onEndFailed
 * @property {(offer: Offer) => void} onOffer
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
      item.isNew = stored.unseen === true;
      if (stored.over) {
        item.close(stored.over);
      }
    }
    this.#socket = new WaiterSupportSocket(me.token, this.readyWanted, {
      onStatus: (status) => this.#onStatus(status),
      onAssigned: (client) => this.#onAssigned(client),
      onRemoved: (number, reason) => this.#onRemoved(number, reason),
      onReady: (ready) => this.#onReady(ready),
      onPaused: () => {
        this.readyRefusal = "";
        this.isPausedByServer = true;
        this.#setReadyWanted(false);
        this.readyConfirmed = true;
        listener.onChange();
      },
      onReadyRefused: (reason) => {
        this.readyRefusal = reason;
        this.#setReadyWanted(false);
        listener.onChange();
      },
      onOffer: (offer) => listener.onOffer(offer),
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
  /** Conversations that this tab does not know from before a reload, until their messages are loaded. @type {Case[]} */
  #unannounced = [];

  /** Whether the agent wants new clients, and whether the server has confirmed it. */
  readyWanted;
  readyConfirmed = false;
  /** Why the server assigns no clients; empty: it does. */
  readyRefusal = "";
  /** Whether the server has paused this agent. */
  isPausedByServer = false;
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
    const sinceMs = (/** @type {Case} */ item) => parseTime(item.waitingSince).getTime();
    waiting.sort((item, other) => sinceMs(item) - sinceMs(other));
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
    this.isPausedByServer = false;
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

  /** The agent has turned to a client. @param {Case} item */
  accept(item) {
    this.#socket.accept(item.number);
  }

  /** @param {Case} item */
  end(item) {
    item.isEnding = true;
    this.#socket.end(item.number);
    this.#listener.onChange();
  }

  /**
   * @param {Case} item
   * @param {import("./support_api.js").Agent | { group: string }} target the other agent, or a group
   * @param {string} note
   */
  transfer(item, target, note) {
    return this.#socket.transfer(item.number, target, note);
  }

  /**
   * @param {Offer} offer
   * @param {boolean} accepts
   */
  answerOffer(offer, accepts) {
    this.#socket.answerOffer(offer.id, accepts);
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
    const { messages, handovers } = await this.#api.getMessages(item.number);
    item.addTranscript(messages, handovers);
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
    const wasRestored = before?.state === "restored";
    const item = wasRestored ? before : this.#add(client);
    item.client = client;
    item.state = "open";
    item.readSeq = before?.readSeq ?? 0;
    if (!wasRestored) {
      item.isNew = true;
      if (this.#isResynced) {
        this.#listener.onAssigned(item);
      } else {
        this.#unannounced.push(item);
      }
    }
    this.#save();
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
      this.#announceUnseen();
    }
    this.#save();
    this.#listener.onChange();
  }

  /**
   * Announce the conversations that were there when the page was loaded and that are new: the tab does not know
   * them, and the agent has neither read nor answered in them.
   */
  #announceUnseen() {
    if (this.#isResynced && this.#unannounced.every((item) => item.isLoaded || item.state === "ended")) {
      const unseen = this.#unannounced.filter((item) => item.isNew);
      this.#unannounced = [];
      // one sound and notification for all
      unseen.slice(-1).forEach((item) => this.#listener.onAssigned(item));
    }
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
      onLoaded: () => this.#announceUnseen(),
      onSeen: () => this.#save(),
    });
    this.#cases.set(client.conversation, item);
    return item;
  }

  #save() {
    const stored = this.cases.map((item) => {
      const { conversation, id, name, since, group } = item.client;
      const state = { over: item.endReason, read: item.readSeq, unseen: item.isNew };
      return { conversation, id, name, since, group, ...state };
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
