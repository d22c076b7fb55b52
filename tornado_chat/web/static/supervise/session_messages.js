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

import { ApiError } from "./api.js";

/** @typedef {import("../shared/receive_only_sockets.js").ObservedMessage} ObservedMessage */

/**
 * @typedef {object} SessionMessagesListener
 * @property {(messages: ObservedMessage[], news: boolean) => void} onMessages not told before, by number; they may belong between
 *   others. `news`: said just now
 * @property {(readable: boolean) => void} onLoaded what was said before is told by now, or never will be
 */

const RETRY_MS = 5_000; // milliseconds after which the API is asked once more

export class SessionMessages {
  /**
   * @param {(after: number) => Promise<ObservedMessage[]>} fetch
   * @param {SessionMessagesListener} listener
   */
  constructor(fetch, listener) {
    this.#fetch = fetch;
    this.#listener = listener;
  }

  #fetch;
  #listener;
  /** @type {Set<number>} */
  #knownSeqs = new Set();
  /** Everything up to here is known. */
  #completeSeq = 0;
  #isReadable = true;
  #isResyncing = false;
  #resyncAgain = false;
  #stopped = false;
  /** @type {number | undefined} */
  #timer;

  /** By the socket. @param {ObservedMessage} message */
  receive(message) {
    const expectedSeq = this.#completeSeq + 1;
    if (this.#isNew(message)) {
      this.#listener.onMessages([message], true);
      if (message.seq > expectedSeq) {
        void this.resync();
      }
    }
  }

  /** Something may be missing: ask. */
  async resync() {
    this.#resyncAgain = true;
    if (this.#isResyncing || !this.#isReadable || this.#stopped) {
      return;
    }
    this.#isResyncing = true;
    clearTimeout(this.#timer);
    try {
      while (this.#resyncAgain && !this.#stopped) {
        this.#resyncAgain = false;
        const messages = await this.#fetch(this.#completeSeq);
        this.#deliver(messages);
      }
    } catch (error) {
      this.#onError(error);
    } finally {
      this.#isResyncing = false;
    }
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** @param {ObservedMessage[]} messages */
  #deliver(messages) {
    if (this.#stopped) {
      return;
    }
    const missing = messages.filter((message) => this.#isNew(message));
    if (missing.length) {
      this.#listener.onMessages(missing, false);
    }
    this.#listener.onLoaded(true);
  }

  /** @param {unknown} error */
  #onError(error) {
    if (!(error instanceof ApiError)) {
      throw error;
    }
    if (error.isTransient) {
      this.#timer = setTimeout(() => void this.resync(), RETRY_MS);
    } else if (!this.#stopped) {
      this.#isReadable = false;
      this.#listener.onLoaded(false);
    }
  }

  /** @param {ObservedMessage} message */
  #isNew(message) {
    const isNew = !this.#knownSeqs.has(message.seq);
    this.#knownSeqs.add(message.seq);
    while (this.#knownSeqs.has(this.#completeSeq + 1)) {
      this.#completeSeq += 1;
    }
    return isNew;
  }
}
