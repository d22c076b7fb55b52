// @ts-check
/**
 * The agent's side of the support dialect.
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
 * A client who is assigned to the agent.
 *
 * @typedef {object} AssignedClient
 * @property {number} conversation
 * @property {string} address
 * @property {string} id
 * @property {string | null} name
 * @property {string} since when the client joined the queue
 * @property {string} [group] the group of the conversation; undefined from a server without groups
 */

/**
 * Why an agent no longer has a client.
 *
 * - `ended`: the agent ended the conversation
 * - `parted`: the client ended it
 * - `handed`: the client was transferred to another agent
 * - `missed`: the server gave the client to another agent, as this one had not turned to it in time
 * - `lost`: while there was no connection, the conversation ended or another agent took it over
 *
 * @typedef {"ended" | "parted" | "handed" | "lost" | "missed"} EndReason
 */

/**
 * The listener of one conversation. `onOwnRead`: how far this agent has read, in any window.
 *
 * @typedef {SupportListener & { onOwnRead: (seq: number) => void }} AgentListener
 */

/**
 * An offer of a client to or by this agent, see `docs/handover.md`.
 *
 * @typedef {object} Offer
 * @property {string} id
 * @property {string} number of the conversation
 * @property {"offered" | "accepted" | "declined" | "expired" | "withdrawn" | "ended"} state
 * @property {boolean} yours whether this agent may accept it, or has accepted it
 * @property {{ id: string, name: string | null }} from
 * @property {{ role: string, id: string, name: string | null } | null} to
 * @property {{ id: string, name: string | null }} client
 * @property {string | null} note
 * @property {string | null} until
 * @property {string} time
 */

/**
 * @typedef {object} WaiterListener
 * @property {(offer: Offer) => void} onOffer an offer, or its outcome
 * @property {(status: ConnectionStatus) => void} onStatus
 * @property {(client: AssignedClient) => { listener: AgentListener, outbox: Outbox }} onAssigned a client was
 *   assigned, or reported again after a reload. Returns the listener of the conversation, and its outbox
 * @property {(conversation: number, reason: EndReason) => void} onRemoved
 * @property {(ready: boolean) => void} onReady the server has confirmed it, and has reported all assigned
 *   clients
 * @property {(conversation: number, message: string) => void} onEndFailed why a conversation could not be
 *   ended
 * @property {() => void} onPaused the server has paused this agent, who has not turned to its last clients
 * @property {(message: string) => void} onReadyRefused why the server does not allow this agent to serve
 */

/** The conversation with one assigned client. */
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
  /** Whether the server waits for the agent to confirm the client. */
  mustAccept = false;
  /** Whether the server has reported over the current socket that the conversation goes on. */
  confirmed = true;
  /** What the agent requested to end it. @type {"ended" | "handed" | undefined} */
  requestedEnd;
  /** The id of the frame that ends it. */
  endRequest = "";
}

/**
 * A transfer that waits for its answer.
 *
 * @typedef {{ resolve: () => void, reject: (reason: Error) => void }} PendingTransfer
 */

/** The socket of an agent, with several conversations. A conversation is identified by its number. */
export class WaiterSupportSocket extends SupportSocket {
  /**
   * @param {TokenSource} token
   * @param {boolean} ready whether to accept new clients from the start
   * @param {WaiterListener} listener
   */
  constructor(token, ready, listener) {
    const features = ["ack", "seq", "echo", "typing", "read", "receipt", "profile", "sender", "group"];
    super(
      "waiter",
      token,
      [...features, "ready", "kickout", "accept", "offer", "approval"],
      listener.onStatus,
    );
    this.#ready = ready;
    this.#listener = listener;
  }

  #ready;
  #listener;
  /** By conversation number. @type {Map<number, AgentConversation>} */
  #conversations = new Map();
  /** Ended conversations with messages whose acknowledgement is still to come. @type {Set<Conversation>} */
  #unacknowledged = new Set();
  /** Pending transfers, by the id of the request. @type {Map<string, PendingTransfer>} */
  #transfers = new Map();
  #readyRequest = "";

  /** Accept new clients, or only continue with the assigned ones. @param {boolean} ready */
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

  /** The agent has turned to a client: confirm it, if the server waits for that. @param {number} number */
  accept(number) {
    const assigned = this.#conversations.get(number);
    if (assigned?.mustAccept) {
      assigned.mustAccept = false;
      this.request("accept", null, assigned.client.address);
    }
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

  /** End a conversation, after all written messages were sent. @param {number} number */
  end(number) {
    const assigned = this.#requireConversation(number);
    assigned.requestedEnd = "ended";
    this.#sendEnd(assigned);
  }

  /**
   * Transfer a client to another agent.
   *
   * @param {number} number
   * @param {{ id: string, role?: string } | { group: string }} target the other agent, without a role a waiter;
   *   or a group, in whose line the client waits then
   * @param {string} note for the next agent; empty: none
   * @returns {Promise<void>} rejected with the server's reason; an `Error` without a message means that the
   *   connection was lost meanwhile, and the result is unknown
   */
  transfer(number, target, note = "") {
    const assigned = this.#requireConversation(number);
    assigned.requestedEnd = "handed";
    const to =
      "group" in target ? { group: target.group } : { waiter: target.id, role: target.role ?? "waiter" };
    const requestId = this.request("transfer", { ...to, ...(note && { note }) }, assigned.client.address);
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

  /**
   * Accept or decline an offer. The answer is a change of the offer.
   *
   * @param {string} id
   * @param {boolean} accepts
   */
  answerOffer(id, accepts) {
    this.request(accepts ? "accept_offer" : "decline_offer", { offer: Number(id) });
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
      this.#onNewConnection({ ...payload, address: payload.uuid }, payload.accept_within > 0);
    } else if (type === "ready_success" && !requestId && !payload.ready) {
      this.#ready = false;
      this.#listener.onPaused();
    } else if (type === "ready_success") {
      for (const lost of [...this.#conversations.values()].filter((one) => !one.confirmed)) {
        // it ended, or was taken over, while there was no connection
        this.#removeConversation(lost, lost.requestedEnd ?? "lost");
      }
      this.#listener.onReady(payload.ready);
    } else if (type === "offer") {
      const offered = this.#conversations.get(Number(payload.number));
      if (offered && !payload.yours && !["offered", "accepted"].includes(payload.state)) {
        offered.requestedEnd = undefined; // it stays with this agent
      }
      this.#listener.onOffer(payload);
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
    } else if (assigned && type === "receipt") {
      assigned.listener.onReceived(payload.seq);
    } else if (assigned && type === "approval") {
      assigned.conversation.receiveApproval(payload);
    } else if (assigned && type === "disconnected") {
      const reason = frame.reason === "not_accepted" ? "missed" : "parted";
      this.#removeConversation(assigned, assigned.requestedEnd ?? reason);
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

  /**
   * @param {AssignedClient} client
   * @param {boolean} mustAccept
   */
  #onNewConnection(client, mustAccept) {
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
    assigned.mustAccept = mustAccept;
    // the transfer did not happen
    assigned.requestedEnd = assigned.requestedEnd === "ended" ? "ended" : undefined;
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

  /** The conversation to which a frame belongs. @param {Frame} frame */
  #conversationOfFrame(frame) {
    if (frame.type === "approval") {
      return this.#conversations.get(frame.payload.conversation);
    }
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
