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
/** @typedef {import("./outbox.js").Unsent} Unsent */

/**
 * @typedef {object} Said
 * @property {number} seq
 * @property {string} text
 * @property {boolean} own
 * @property {string} time the server's
 */

/**
 * @typedef {object} Reader
 * @property {(said: Said) => void} message
 * @property {(past: Said[], more: boolean) => void} past messages of before, oldest first; `more`: whether
 *   there is anything before the very first that was told
 * @property {(id: string, seq: number, time: string) => void} stored
 * @property {(id: string, reason: string) => void} refused
 */

/**
 * The way to the server. Both may be called at any time; what cannot go out now is asked for again.
 *
 * @typedef {object} Line
 * @property {(entry: Unsent) => boolean} say returns whether it went out
 * @property {(before: number) => void} older ask for a page of what was said before
 */

export class Conversation {
  /**
   * @param {Outbox} outbox
   * @param {Reader} reader
   * @param {Line} line
   */
  constructor(outbox, reader, line) {
    this.outbox = outbox;
    this.#reader = reader;
    this.#line = line;
  }

  #reader;
  #line;
  /** @type {Set<number>} */
  #known = new Set();
  #last = 0;
  /** The oldest that was told, and whether there is anything before it. */
  #oldest = Infinity;
  #more = false;
  /** Ids that went out over this socket, with the time. @type {Map<string, number>} */
  #inFlight = new Map();

  /** The last number that was told. */
  get last() {
    return this.#last;
  }

  /** When the oldest unanswered message went out, or Infinity. */
  get oldestInFlight() {
    return Math.min(...this.#inFlight.values());
  }

  // --- sending ---

  /**
   * Say something; it goes out as soon as it can.
   *
   * @param {string} text
   * @returns {Unsent}
   */
  say(text) {
    const entry = this.outbox.add(text);
    this.#send(entry);
    return entry;
  }

  /** Try once more what was refused. @param {string} id */
  sayAgain(id) {
    const entry = this.outbox.retry(id);
    if (entry) {
      this.#send(entry);
    }
  }

  /** There is another socket: nothing is on its way any more. */
  cut() {
    this.#inFlight.clear();
  }

  /** The way is free: send what waits. */
  flush() {
    for (const entry of this.outbox.entries) {
      if (entry.refused === undefined) {
        this.#send(entry);
      }
    }
  }

  /** One of them was more than the server takes, which hangs up on it: it must not do so for ever. */
  refuseLongest() {
    const sent = this.outbox.entries.filter((entry) => this.#inFlight.has(entry.id));
    sent.sort((one, other) => other.text.length - one.text.length);
    if (sent[0]) {
      this.refuse(sent[0].id, "");
    }
  }

  /** Ask for what was said before the oldest that was told. */
  older() {
    if (this.#more) {
      this.#line.older(this.#oldest);
    }
  }

  /** @param {Unsent} entry */
  #send(entry) {
    if (this.#inFlight.has(entry.id)) {
      return;
    }
    const after = entry.after;
    entry.after ??= this.#last;
    if (this.#line.say(entry)) {
      this.#inFlight.set(entry.id, Date.now());
      if (after === undefined) {
        this.outbox.save();
      }
    } else {
      entry.after = after;
    }
  }

  // --- receiving ---

  /** Something was said. @param {Said} said */
  said(said) {
    if (this.#isNew(said) && !this.#recognised(said)) {
      this.#reader.message(said);
    }
  }

  /**
   * A page of the past: of joining, or an older one that was asked for.
   *
   * @param {Said[]} lines oldest first
   * @param {boolean} more whether there is anything before them
   */
  past(lines, more) {
    const past = lines.filter((said) => this.#isNew(said) && !this.#recognised(said));
    const first = lines[0]?.seq;
    if (first !== undefined && first <= this.#oldest) {
      this.#oldest = first;
      this.#more = more;
    }
    this.#reader.past(past, this.#more);
    // Another window of the same person got what came while this one was away, and so the server does not
    // send it again: ask, page by page, until nothing is missing. An answer may be lost with the connection;
    // then the next one's first page asks again.
    const missing = first === undefined ? 0 : this.#missingBefore(first);
    if (missing) {
      this.#line.older(missing + 1);
    }
  }

  /**
   * The server has stored what was said.
   *
   * @param {string} id
   * @param {number} seq
   * @param {string} time
   */
  acknowledged(id, seq, time) {
    this.#inFlight.delete(id);
    const entry = this.outbox.find(id);
    if (!entry) {
      return;
    }
    this.outbox.remove(id);
    const said = { seq, text: entry.text, own: true, time };
    if (entry.seq === undefined) {
      this.#isNew(said);
      this.#reader.stored(id, seq, time);
    } else if (entry.seq !== seq && this.#isNew(said)) {
      this.#reader.message(said); // the one that looked like it was said in another window
    }
  }

  /**
   * The server did not take it.
   *
   * @param {string} id
   * @param {string} reason
   */
  refuse(id, reason) {
    this.#inFlight.delete(id);
    const entry = this.outbox.find(id);
    if (entry) {
      entry.refused = reason;
      delete entry.seq;
      this.outbox.save();
      this.#reader.refused(id, reason);
    }
  }

  /**
   * The last number before this one that was not told, though earlier ones were; 0 if there is none.
   *
   * @param {number} seq
   */
  #missingBefore(seq) {
    for (let each = seq - 1; each > this.#oldest; each -= 1) {
      if (!this.#known.has(each)) {
        return each;
      }
    }
    return 0;
  }

  /** @param {Said} said */
  #isNew(said) {
    const isNew = !this.#known.has(said.seq);
    this.#known.add(said.seq);
    this.#last = Math.max(this.#last, said.seq);
    return isNew;
  }

  /**
   * Whether it is one of the outbox, whose acknowledgement is still on its way, or was lost with a
   * connection. Then it must not be shown a second time. It stays in the outbox until it is acknowledged.
   *
   * @param {Said} said
   */
  #recognised(said) {
    const entry =
      said.own &&
      this.outbox.entries.find(
        (entry) =>
          entry.seq === undefined &&
          entry.refused === undefined &&
          entry.text === said.text &&
          entry.after !== undefined &&
          entry.after < said.seq,
      );
    if (!entry) {
      return false;
    }
    entry.seq = said.seq;
    this.#reader.stored(entry.id, said.seq, said.time);
    return true;
  }
}
