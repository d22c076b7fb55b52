// @ts-check
/**
 * What was said in a session: everything once, from two sources.
 *
 * The socket tells what is said from now on, and after a cut goes on where this person stopped listening, in
 * whichever window that was. The API has everything, if one may read it. So whenever there is reason to think
 * that something is missing, the API is asked for what comes after the last line without a gap before it.
 *
 * @module
 */

import { Failed } from "./api.js";

/** @typedef {import("../shared/following.js").Line} Line */

/**
 * @typedef {object} Reader
 * @property {(lines: Line[], news: boolean) => void} lines not told before, by number; they may belong between
 *   others. `news`: said just now
 * @property {(readable: boolean) => void} loaded what was said before is told by now, or never will be
 */

const RETRY_MS = 5_000; // milliseconds after which the API is asked once more

export class Lines {
  /**
   * @param {(after: number) => Promise<Line[]>} fetch
   * @param {Reader} reader
   */
  constructor(fetch, reader) {
    this.#fetch = fetch;
    this.#reader = reader;
  }

  #fetch;
  #reader;
  /** @type {Set<number>} */
  #known = new Set();
  /** Everything up to here is known. */
  #whole = 0;
  #readable = true;
  #asking = false;
  #askAgain = false;
  #stopped = false;
  /** @type {number | undefined} */
  #timer;

  /** By the socket. @param {Line} line */
  said(line) {
    const expected = this.#whole + 1;
    if (this.#isNew(line)) {
      this.#reader.lines([line], true);
      if (line.seq > expected) {
        void this.complete();
      }
    }
  }

  /** Something may be missing: ask. */
  async complete() {
    this.#askAgain = true;
    if (this.#asking || !this.#readable || this.#stopped) {
      return;
    }
    this.#asking = true;
    clearTimeout(this.#timer);
    try {
      while (this.#askAgain && !this.#stopped) {
        this.#askAgain = false;
        const lines = await this.#fetch(this.#whole);
        this.#tell(lines);
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#asking = false;
    }
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** @param {Line[]} lines */
  #tell(lines) {
    if (this.#stopped) {
      return;
    }
    const missing = lines.filter((line) => this.#isNew(line));
    if (missing.length) {
      this.#reader.lines(missing, false);
    }
    this.#reader.loaded(true);
  }

  /** @param {unknown} error */
  #failed(error) {
    if (!(error instanceof Failed)) {
      throw error;
    }
    if (error.passing) {
      this.#timer = setTimeout(() => void this.complete(), RETRY_MS);
    } else if (!this.#stopped) {
      this.#readable = false;
      this.#reader.loaded(false);
    }
  }

  /** @param {Line} line */
  #isNew(line) {
    const isNew = !this.#known.has(line.seq);
    this.#known.add(line.seq);
    while (this.#known.has(this.#whole + 1)) {
      this.#whole += 1;
    }
    return isNew;
  }
}
