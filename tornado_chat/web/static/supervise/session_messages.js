// @ts-check
/**
 * The messages of a session, each once, from two sources.
 *
 * The socket sends new messages; after a reconnect it continues where this person stopped listening in any
 * window. The API has all messages, if the person may read them. Whenever messages may be missing, the API is
 * asked for those after the last message without a gap.
 *
 * @module
 */

import { ApiError } from "./api.js";

/** @typedef {import("../shared/receive_only_sockets.js").ObservedMessage} ObservedMessage */

/**
 * @typedef {object} SessionMessagesListener
 * @property {(messages: ObservedMessage[], isNew: boolean) => void} onMessages messages that were not
 *   reported before, by sequence number; they may belong between reported ones. `isNew`: just written
 * @property {(readable: boolean) => void} onLoaded earlier messages were reported, or never will be
 */

const RETRY_MS = 5_000; // the delay before the API is asked again

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
  /** All messages up to this sequence number are known. */
  #completeSeq = 0;
  #isReadable = true;
  #isResyncing = false;
  #resyncAgain = false;
  #stopped = false;
  /** @type {number | undefined} */
  #timer;

  /** Handle a message from the socket. @param {ObservedMessage} message */
  receive(message) {
    const expectedSeq = this.#completeSeq + 1;
    if (this.#isNew(message)) {
      this.#listener.onMessages([message], true);
      if (message.seq > expectedSeq) {
        void this.resync();
      }
    }
  }

  /** Request missing messages from the API. */
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
