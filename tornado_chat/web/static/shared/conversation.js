// @ts-check
/**
 * The messages of one conversation: each exactly once and in order, even if it was sent or received twice.
 *
 * A written message waits in the outbox until the server acknowledges it, and is sent again with the same id
 * over each new socket. A received message has a sequence number and is reported once.
 *
 * @module
 */

import { ApprovalStates } from "./approval_states.js";

/** @typedef {import("./approval_states.js").Approval} Approval */
/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./outbox.js").OutboxEntry} OutboxEntry */

/**
 * The person that wrote a message. `name` is null if it has none.
 *
 * @typedef {{ role: string, id: string, name: string | null }} Sender
 */

/**
 * @typedef {object} Message
 * @property {number} seq
 * @property {string} text
 * @property {boolean} own whether this person wrote it
 * @property {string} time server time
 * @property {boolean} [colleague] whether another person of this side wrote it
 * @property {Sender} [sender] undefined for a message that was just written here
 */

/**
 * An agent of a hand-over. `own`: the reader.
 *
 * @typedef {{ id: string, name: string | null, own?: boolean }} HandoverAgent
 */

/**
 * A change of the agent. `lost`: the agent before had lost its connection.
 *
 * @typedef {{ from: HandoverAgent, to: HandoverAgent, time: string, lost?: boolean }} Handover
 */

/**
 * @typedef {object} ConversationListener
 * @property {(message: Message) => void} onMessage
 * @property {(messages: Message[], hasOlder: boolean) => void} onHistory earlier messages, oldest first;
 *   `hasOlder`: whether there are messages before the very first one that was reported
 * @property {(id: string, seq: number, time: string) => void} onStored
 * @property {(id: string, reason: string) => void} onRefused
 * @property {(handover: Handover) => void} [onHandover] a change of the agent, each once
 * @property {(approval: Approval) => void} [onApproval] the state of an own message that needs an approval
 */

/**
 * The connection to the server. Both methods may be called at any time; a request that cannot be sent now is
 * repeated later.
 *
 * @typedef {object} ConversationTransport
 * @property {(entry: OutboxEntry) => boolean} send returns whether it was sent
 * @property {(before: number) => void} requestOlder request a page of messages before this sequence number
 */

/** The part of a time without its offset, which servers of version 0.1 do not send. */
const LOCAL_TIME_CHARACTERS = "2025-03-20T08:26:45.391706".length;

export class Conversation {
  /**
   * @param {Outbox} outbox
   * @param {ConversationListener} listener
   * @param {ConversationTransport} transport
   */
  constructor(outbox, listener, transport) {
    this.outbox = outbox;
    this.#listener = listener;
    this.#transport = transport;
  }

  #listener;
  #transport;
  /**
   * The times of the reported messages by their sequence numbers.
   *
   * @type {Map<number, string>}
   */
  #knownSeqs = new Map();
  #lastSeq = 0;
  /** The times of the reported hand-overs. @type {Set<string>} */
  #knownHandovers = new Set();
  /** The oldest reported sequence number, and whether there are messages before it. */
  #oldestSeq = Infinity;
  #hasOlder = false;
  /**
   * When each unacknowledged id was sent over the current socket, in milliseconds.
   *
   * @type {Map<string, number>}
   */
  #sentMsById = new Map();
  /** The ids of messages that the server holds for an approval. @type {Set<string>} */
  #heldIds = new Set();
  #approvals = new ApprovalStates();

  /** The highest reported sequence number. */
  get lastSeq() {
    return this.#lastSeq;
  }

  /** When the oldest unacknowledged message was sent, or Infinity. */
  get oldestInFlightMs() {
    return Math.min(...this.#sentMsById.values());
  }

  // --- sending ---

  /**
   * Put a message into the outbox, and send it as soon as possible.
   *
   * Whatever waits in the outbox is sent first: a new message must not overtake one that a cut has held up.
   *
   * @param {string} text
   * @returns {OutboxEntry}
   */
  send(text) {
    const entry = this.outbox.add(text);
    this.flush();
    return entry;
  }

  /** Send a refused message again. @param {string} id */
  resend(id) {
    if (this.outbox.retry(id)) {
      this.flush();
    }
  }

  /** Forget what was sent over the previous socket: it may be lost. */
  resetInFlight() {
    this.#sentMsById.clear();
    this.#heldIds.clear();
  }

  /** Send everything that waits in the outbox, in the order of writing. */
  flush() {
    for (const entry of this.outbox.entries) {
      if (entry.refused === undefined) {
        this.#trySend(entry);
      }
    }
  }

  /**
   * Refuse the longest message in flight: it exceeded the server's limit, which closes the socket every time.
   */
  refuseLongest() {
    const sent = this.outbox.entries.filter((entry) => this.#sentMsById.has(entry.id));
    sent.sort((one, other) => other.text.length - one.text.length);
    if (sent[0]) {
      this.refuse(sent[0].id, "");
    }
  }

  /** Request the messages before the oldest reported one. */
  loadOlder() {
    if (this.#hasOlder) {
      this.#transport.requestOlder(this.#oldestSeq);
    }
  }

  /** @param {OutboxEntry} entry */
  #trySend(entry) {
    if (this.#sentMsById.has(entry.id) || this.#heldIds.has(entry.id)) {
      return;
    }
    const after = entry.after;
    entry.after ??= this.#lastSeq;
    if (this.#transport.send(entry)) {
      this.#sentMsById.set(entry.id, Date.now());
      if (after === undefined) {
        this.outbox.save();
      }
    } else {
      entry.after = after;
    }
  }

  // --- receiving ---

  /** Handle a message from the server. @param {Message} message */
  receive(message) {
    if (this.#isNew(message) && !this.#matchesOutbox(message)) {
      this.#listener.onMessage(message);
    }
  }

  /**
   * Handle a page of history: the first page after connecting, or an older page that was requested.
   *
   * @param {Message[]} messages oldest first
   * @param {boolean} hasOlder whether there is anything before them
   */
  receiveHistory(messages, hasOlder) {
    const unknown = messages.filter((message) => this.#isNew(message) && !this.#matchesOutbox(message));
    const firstSeq = messages[0]?.seq;
    if (firstSeq !== undefined && firstSeq <= this.#oldestSeq) {
      this.#oldestSeq = firstSeq;
      this.#hasOlder = hasOlder;
    }
    this.#listener.onHistory(unknown, this.#hasOlder);
    // Another window of the same person received what came while this one was away, so the server does not
    // send it again. Request page by page until nothing is missing. If an answer is lost with the connection,
    // the first page of the next connection starts the request again.
    const missingSeq = firstSeq === undefined ? 0 : this.#lastMissingBefore(firstSeq);
    if (missingSeq) {
      this.#transport.requestOlder(missingSeq + 1);
    }
  }

  /** Handle changes of the agent, some of which may be known. @param {Handover[]} handovers */
  receiveHandovers(handovers) {
    for (const handover of handovers) {
      if (!this.#knownHandovers.has(handover.time)) {
        this.#knownHandovers.add(handover.time);
        this.#listener.onHandover?.(handover);
      }
    }
  }

  /**
   * Handle the acknowledgement that the server has stored a message.
   *
   * @param {string} id
   * @param {number} seq
   * @param {string} time
   */
  acknowledge(id, seq, time) {
    this.#sentMsById.delete(id);
    this.#heldIds.delete(id);
    const entry = this.outbox.find(id);
    if (!entry) {
      return;
    }
    this.outbox.remove(id);
    const message = { seq, text: entry.text, own: true, time };
    if (entry.seq === undefined) {
      this.#isNew(message);
      this.#listener.onStored(id, seq, time);
    } else if (entry.seq !== seq && this.#isNew(message)) {
      this.#listener.onMessage(message); // an identical message of another window was taken for this one
    }
  }

  /**
   * Handle the state of an own message that needs an approval. Its acknowledgement comes after the decision.
   *
   * @param {Approval} approval
   */
  receiveApproval(approval) {
    const id = approval.client_id ?? "";
    if (!this.#approvals.accept(approval)) {
      return;
    }
    this.#sentMsById.delete(id);
    if (approval.state === "held") {
      this.#heldIds.add(id);
    } else {
      this.#heldIds.delete(id);
    }
    const entry = this.outbox.find(id);
    if (entry && (approval.state === "refused" || approval.state === "expired")) {
      entry.judged = true; // the error that follows refuses it
      this.outbox.save();
    }
    this.#listener.onApproval?.(approval);
  }

  /**
   * Handle the refusal of a message.
   *
   * @param {string} id
   * @param {string} reason
   */
  refuse(id, reason) {
    this.#sentMsById.delete(id);
    const entry = this.outbox.find(id);
    if (entry) {
      entry.refused = reason;
      delete entry.seq;
      this.outbox.save();
      this.#listener.onRefused(id, reason);
    }
  }

  /**
   * Return the last unreported sequence number between the oldest reported one and `seq`; 0 if there is none.
   *
   * @param {number} seq
   */
  #lastMissingBefore(seq) {
    for (let candidate = seq - 1; candidate > this.#oldestSeq; candidate -= 1) {
      if (!this.#knownSeqs.has(candidate)) {
        return candidate;
      }
    }
    return 0;
  }

  /** @param {Message} message */
  #isNew(message) {
    const knownTime = this.#knownSeqs.get(message.seq);
    const time = message.time.slice(0, LOCAL_TIME_CHARACTERS);
    const isNew = knownTime === undefined;
    if (!isNew && knownTime !== time) {
      // The server's database has gone back to an older copy and gives the numbers of lost messages again, so
      // the shown messages are not those of the server. What waits in the outbox survives.
      location.reload();
    }
    this.#knownSeqs.set(message.seq, time);
    this.#lastSeq = Math.max(this.#lastSeq, message.seq);
    return isNew;
  }

  /**
   * Whether a message is one of the outbox whose acknowledgement is still to come, or was lost with a
   * connection.
   *
   * Such a message must not be shown twice. It stays in the outbox until it is acknowledged.
   *
   * @param {Message} message
   */
  #matchesOutbox(message) {
    const entry =
      message.own &&
      this.outbox.entries.find(
        (entry) =>
          entry.seq === undefined &&
          entry.refused === undefined &&
          entry.text === message.text &&
          entry.after !== undefined &&
          entry.after < message.seq,
      );
    if (!entry) {
      return false;
    }
    entry.seq = message.seq;
    this.#listener.onStored(entry.id, message.seq, message.time);
    return true;
  }
}
