// @ts-check
/**
 * What was said in one conversation: everything once, and in order, whatever was sent twice.
 *
 * What is written waits in the outbox until the server acknowledges it, and goes out again by the same
 * id over each new socket. What arrives is numbered, and told once.
 *
 * @module
 */

/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./outbox.js").OutboxEntry} OutboxEntry */

/**
 * @typedef {object} Message
 * @property {number} seq
 * @property {string} text
 * @property {boolean} own
 * @property {string} time the server's
 */

/**
 * @typedef {object} ConversationListener
 * @property {(message: Message) => void} onMessage
 * @property {(messages: Message[], hasOlder: boolean) => void} onHistory messages of before, oldest first; `hasOlder`: whether
 *   there is anything before the very first that was told
 * @property {(id: string, seq: number, time: string) => void} onStored
 * @property {(id: string, reason: string) => void} onRefused
 */

/**
 * The way to the server. Both may be called at any time; what cannot go out now is asked for again.
 *
 * @typedef {object} ConversationTransport
 * @property {(entry: OutboxEntry) => boolean} send returns whether it went out
 * @property {(before: number) => void} requestOlder ask for a page of what was said before
 */

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
  /** @type {Set<number>} */
  #knownSeqs = new Set();
  #lastSeq = 0;
  /** The oldest that was told, and whether there is anything before it. */
  #oldestSeq = Infinity;
  #hasOlder = false;
  /** Ids that went out over this socket, with the time. @type {Map<string, number>} */
  #sentMsById = new Map();

  /** The last number that was told. */
  get lastSeq() {
    return this.#lastSeq;
  }

  /** When the oldest unanswered message went out, or Infinity. */
  get oldestInFlightMs() {
    return Math.min(...this.#sentMsById.values());
  }

  // --- sending ---

  /**
   * Say something; it goes out as soon as it can.
   *
   * @param {string} text
   * @returns {OutboxEntry}
   */
  send(text) {
    const entry = this.outbox.add(text);
    this.#trySend(entry);
    return entry;
  }

  /** Try once more what was refused. @param {string} id */
  resend(id) {
    const entry = this.outbox.retry(id);
    if (entry) {
      this.#trySend(entry);
    }
  }

  /** There is another socket: nothing is on its way any more. */
  resetInFlight() {
    this.#sentMsById.clear();
  }

  /** The way is free: send what waits. */
  flush() {
    for (const entry of this.outbox.entries) {
      if (entry.refused === undefined) {
        this.#trySend(entry);
      }
    }
  }

  /** One of them was more than the server takes, which hangs up on it: it must not do so for ever. */
  refuseLongest() {
    const sent = this.outbox.entries.filter((entry) => this.#sentMsById.has(entry.id));
    sent.sort((one, other) => other.text.length - one.text.length);
    if (sent[0]) {
      this.refuse(sent[0].id, "");
    }
  }

  /** Ask for what was said before the oldest that was told. */
  loadOlder() {
    if (this.#hasOlder) {
      this.#transport.requestOlder(this.#oldestSeq);
    }
  }

  /** @param {OutboxEntry} entry */
  #trySend(entry) {
    if (this.#sentMsById.has(entry.id)) {
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

  /** Something was said. @param {Message} message */
  receive(message) {
    if (this.#isNew(message) && !this.#matchesOutbox(message)) {
      this.#listener.onMessage(message);
    }
  }

  /**
   * A page of the past: of joining, or an older one that was asked for.
   *
   * @param {Message[]} messages oldest first
   * @param {boolean} hasOlder whether there is anything before them
   */
  receiveHistory(messages, hasOlder) {
    const unknown = messages.filter((said) => this.#isNew(said) && !this.#matchesOutbox(said));
    const firstSeq = messages[0]?.seq;
    if (firstSeq !== undefined && firstSeq <= this.#oldestSeq) {
      this.#oldestSeq = firstSeq;
      this.#hasOlder = hasOlder;
    }
    this.#listener.onHistory(unknown, this.#hasOlder);
    // Another window of the same person got what came while this one was away, and so the server does not
    // send it again: ask, page by page, until nothing is missing. An answer may be lost with the connection;
    // then the next one's first page asks again.
    const missingSeq = firstSeq === undefined ? 0 : this.#lastMissingBefore(firstSeq);
    if (missingSeq) {
      this.#transport.requestOlder(missingSeq + 1);
    }
  }

  /**
   * The server has stored what was said.
   *
   * @param {string} id
   * @param {number} seq
   * @param {string} time
   */
  acknowledge(id, seq, time) {
    this.#sentMsById.delete(id);
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
      this.#listener.onMessage(message); // the one that looked like it was said in another window
    }
  }

  /**
   * The server did not take it.
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
   * The last number before this one that was not told, though earlier ones were; 0 if there is none.
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
    const isNew = !this.#knownSeqs.has(message.seq);
    this.#knownSeqs.add(message.seq);
    this.#lastSeq = Math.max(this.#lastSeq, message.seq);
    return isNew;
  }

  /**
   * Whether it is one of the outbox, whose acknowledgement is still on its way, or was lost with a
   * connection. Then it must not be shown a second time. It stays in the outbox until it is acknowledged.
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
