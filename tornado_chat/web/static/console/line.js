// @ts-check
/**
 * Who waits in the line, who serves, and what time it is at the server: asked every few seconds.
 *
 * @module
 */

import { parseTime } from "../shared/time.js";

/** @typedef {import("./records.js").Records} Records */
/** @typedef {import("./records.js").Status} Status */

const POLL_INTERVAL_MS = 4_000;
const POLL_SOON_MS = 250; // after something that changes it; several such things at once are asked about once

export class Line {
  /**
   * @param {Records} records
   * @param {() => void} changed
   */
  constructor(records, changed) {
    this.#records = records;
    this.#changed = changed;
    document.addEventListener("visibilitychange", () => this.#plan(0));
  }

  #records;
  #changed;
  /** @type {number | undefined} */
  #timer;
  #watching = false;
  #asking = false;
  /** @type {number | null} */
  #offset = null;
  /** Null while it is not known. @type {Status | null} */
  status = null;

  /** Milliseconds as `parseTime` makes them of the server's times, which have no zone; null while not known. */
  now() {
    return this.#offset === null ? null : Date.now() - this.#offset;
  }

  /** Whether there is a server to ask. @param {boolean} watching */
  watch(watching) {
    this.#watching = watching;
    if (!watching) {
      clearTimeout(this.#timer);
      this.status = null;
      this.#changed();
    } else {
      this.#plan(0);
    }
  }

  /** Something has happened that changes it. */
  look() {
    this.#plan(POLL_SOON_MS);
  }

  /** @param {number} delay */
  #plan(delay) {
    clearTimeout(this.#timer);
    if (this.#watching && !document.hidden) {
      this.#timer = setTimeout(() => void this.#ask(), delay);
    }
  }

  async #ask() {
    if (this.#asking) {
      return;
    }
    this.#asking = true;
    try {
      const status = await this.#records.status();
      if (this.#watching) {
        this.status = status;
        this.#offset = Date.now() - parseTime(status.time).getTime();
      }
    } catch {
      this.status = null; // not known is better than wrong
    } finally {
      this.#asking = false;
    }
    this.#changed();
    this.#plan(POLL_INTERVAL_MS);
  }
}
