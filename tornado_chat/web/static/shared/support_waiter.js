// @ts-check
/**
 * The waiter's side of the support dialect.
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
 * A user of a waiter.
 *
 * @typedef {object} AssignedClient
 * @property {number} conversation
 * @property {string} address
 * @property {string | number} id
 * @property {string | null} name
 * @property {string} since when it joined the line
 */

/**
 * Why a waiter has a user no longer.
 *
 * - `ended`: the waiter ended it
 * - `parted`: the user did
 * - `handed`: another waiter has the user now
 * - `lost`: while there was no connection: it is over, or somebody else's
 *
 * @typedef {"ended" | "parted" | "handed" | "lost"} EndReason
 */

/**
 * Who reads one conversation. `readHere`: how far this side has read, in whichever window.
 *
 * @typedef {SupportListener & { onOwnRead: (seq: number) => void }} AgentListener
 */

/**
 * @typedef {object} WaiterListener
 * @property {(status: ConnectionStatus) => void} onStatus
 * @property {(client: AssignedClient) => { listener: AgentListener, outbox: Outbox }} onAssigned somebody new, or one of
 *   before after a reload: who reads the conversation from now on, and what waits to be sent in it
 * @property {(conversation: number, reason: EndReason) => void} onRemoved
 * @property {(ready: boolean) => void} onReady the server knows it, and has given back all conversations there are
 * @property {(conversation: number, message: string) => void} onEndFailed why it goes on, though it was to end
 * @property {(message: string) => void} onReadyRefused the server does not let this waiter serve
 */

/** What a waiter has of one user. */
class AgentConversation {
  /**
   * @param {AssignedClient} client
   * @param {Conversation} conversation
   * @param {AgentListener} listener
   */
  constructor(client, conversation, listener) {
    this.client = client;
    this.conversation = conversation;
    this.listener = listener;
  }

  readSeq = 0;
  /** Whether the server has said, over this socket, that it is not over. */
  confirmed = true;
  /** What this side did to be rid of it. @type {"ended" | "handed" | undefined} */
  requestedEnd;
  /** The id of the frame that ends it. */
  endRequest = "";
}

/** A question whose answer is awaited. @typedef {{ resolve: () => void, reject: (reason: Error) => void }} PendingTransfer */

/** A waiter at work, with several conversations over one socket. They are named by their numbers. */
export class WaiterSupportSocket extends SupportSocket {
  /**
   * @param {TokenSource} token
   * @param {boolean} ready whether to take new users from the start
   * @param {WaiterListener} listener
   */
  constructor(token, ready, listener) {
    const features = ["ack", "seq", "echo", "typing", "read", "profile", "ready", "kickout"];
    super("waiter", token, features, listener.onStatus);
    this.#ready = ready;
    this.#listener = listener;
  }

  #ready;
  #listener;
  /** By the number of the conversation. @type {Map<number, AgentConversation>} */
  #conversations = new Map();
  /**
   * Those that are over, with messages whose acknowledgement comes after that. @type {Set<Conversation>}
   */
  #unacknowledged = new Set();
  /** Transfers that are under way, by the ids of the questions. @type {Map<string, PendingTransfer>} */
  #transfers = new Map();
  #readyRequest = "";

  /** Take new users, or only go on with those there are. @param {boolean} ready */
  setReady(ready) {
    this.#ready = ready;
    this.#sendReady();
  }

  /**
   * @param {number} number
   * @param {string} text
   */
  send(number, text) {
    return this.#requireConversation(number).conversation.send(text);
  }

  /**
   * @param {number} number
   * @param {string} id
   */
  resend(number, id) {
    this.#conversations.get(number)?.conversation.resend(id);
  }

  /** @param {number} number */
  loadOlder(number) {
    this.#conversations.get(number)?.conversation.loadOlder();
  }

  /**
   * @param {number} number
   * @param {boolean} typing
   */
  sendTyping(number, typing) {
    const assigned = this.#conversations.get(number);
    if (assigned) {
      this.request("typing", { typing }, assigned.client.address);
    }
  }

  /**
   * @param {number} number
   * @param {number} seq
   */
  markRead(number, seq) {
    const assigned = this.#conversations.get(number);
    if (assigned && seq > assigned.readSeq) {
      assigned.readSeq = seq;
      this.request("read", { seq }, assigned.client.address);
    }
  }

  /** End a conversation, as soon as everything that was written is out. @param {number} number */
  end(number) {
    const assigned = this.#requireConversation(number);
    assigned.requestedEnd = "ended";
    this.#sendEnd(assigned);
  }

  /**
   * Hand a user over to another waiter.
   *
   * @param {number} number
   * @param {string | number} waiter its id
   * @returns {Promise<void>} rejected with the server's reason; an `Error` without a message means that the
   *   connection was lost meanwhile, and that nobody knows yet
   */
  transfer(number, waiter) {
    const assigned = this.#requireConversation(number);
    assigned.requestedEnd = "handed";
    const requestId = this.request("transfer", { waiter }, assigned.client.address);
    return new Promise((resolve, reject) => {
      this.#transfers.set(requestId, {
        resolve,
        reject: (reason) => {
          assigned.requestedEnd = reason.message ? undefined : assigned.requestedEnd;
          reject(reason);
        },
      });
    });
  }

  conversations() {
    return [
      ...Array.from(this.#conversations.values(), (assigned) => assigned.conversation),
      ...this.#unacknowledged,
    ];
  }

  onAccepted() {
    this.#transfers.forEach((asking) => asking.reject(new Error()));
    this.#transfers.clear();
    this.#unacknowledged.clear();
    this.#conversations.forEach((assigned) => (assigned.confirmed = false));
    this.#sendReady();
  }

  /** @param {Frame} frame */
  onFrame(frame) {
    const { type, payload, reply_id: requestId = "" } = frame;
    const assigned = this.#conversationOfFrame(frame);
    if (type === "new_connection") {
      this.#onNewConnection({ ...payload, address: payload.uuid });
    } else if (type === "ready_success") {
      for (const lost of [...this.#conversations.values()].filter((one) => !one.confirmed)) {
        this.#removeConversation(lost, lost.requestedEnd ?? "lost"); // while there was no connection
      }
      this.#listener.onReady(payload.ready);
    } else if (type === "transfer_success") {
      this.#transfers.get(requestId)?.resolve();
      this.#transfers.delete(requestId);
    } else if (assigned && type === "message_text") {
      const message = this.toMessage(frame);
      if (!message.own) {
        assigned.listener.onTyping(false);
      }
      assigned.conversation.receive(message);
    } else if (assigned && type === "typing") {
      assigned.listener.onTyping(payload.typing);
    } else if (assigned && type === "read" && frame.from === this.address) {
      assigned.readSeq = Math.max(assigned.readSeq, payload.seq);
      assigned.listener.onOwnRead(payload.seq);
    } else if (assigned && type === "read") {
      assigned.listener.onRead(payload.seq);
    } else if (assigned && type === "disconnected") {
      this.#removeConversation(assigned, assigned.requestedEnd ?? "parted");
    }
  }

  /** @param {Frame} frame */
  onError({ reply_id: requestId = "", payload }) {
    this.#transfers.get(requestId)?.reject(new Error(payload.message));
    this.#transfers.delete(requestId);
    const assigned = [...this.#conversations.values()].find((each) => each.endRequest === requestId);
    if (assigned && requestId) {
      assigned.requestedEnd = undefined;
      this.#listener.onEndFailed(assigned.client.conversation, payload.message);
    } else if (requestId === this.#readyRequest) {
      this.#listener.onReadyRefused(payload.message);
    }
  }

  #sendReady() {
    this.#readyRequest = this.request(this.#ready ? "ready" : "unready");
  }

  /** @param {AssignedClient} client */
  #onNewConnection(client) {
    const number = client.conversation;
    let assigned = this.#conversations.get(number);
    if (!assigned) {
      const { listener, outbox } = this.#listener.onAssigned(client);
      const conversation = new Conversation(outbox, listener, {
        send: (entry) => this.sendMessage(entry, this.#conversations.get(number)?.client.address),
        requestOlder: (before) =>
          this.requestHistory(conversation, this.#conversations.get(number)?.client.address, before),
      });
      assigned = new AgentConversation(client, conversation, listener);
      this.#conversations.set(number, assigned);
    }
    assigned.client = client;
    assigned.confirmed = true;
    assigned.requestedEnd = assigned.requestedEnd === "ended" ? "ended" : undefined; // it was not handed over after all
    this.requestHistory(assigned.conversation, client.address);
    assigned.conversation.flush();
    if (assigned.readSeq) {
      this.request("read", { seq: assigned.readSeq }, client.address);
    }
    if (assigned.requestedEnd === "ended") {
      this.#sendEnd(assigned);
    }
  }

  /** @param {AgentConversation} assigned */
  #sendEnd(assigned) {
    assigned.endRequest = this.request("disconnect", null, assigned.client.address);
  }

  /**
   * @param {AgentConversation} assigned
   * @param {EndReason} reason
   */
  #removeConversation(assigned, reason) {
    this.#conversations.delete(assigned.client.conversation);
    if (assigned.conversation.oldestInFlightMs < Infinity) {
      this.#unacknowledged.add(assigned.conversation);
    }
    this.#listener.onRemoved(assigned.client.conversation, reason);
  }

  /** Whom a frame is about. @param {Frame} frame */
  #conversationOfFrame(frame) {
    return frame.conversation === undefined
      ? [...this.#conversations.values()].find((assigned) => assigned.client.address === frame.from)
      : this.#conversations.get(frame.conversation);
  }

  /** @param {number} number */
  #requireConversation(number) {
    const assigned = this.#conversations.get(number);
    if (!assigned) {
      throw new Error(`there is no conversation ${number}`);
    }
    return assigned;
  }
}
