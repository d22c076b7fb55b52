// @ts-check
/**
 * Who waits in the line, who serves, and what time it is at the server: asked every few seconds.
 *
 * @module
 */

import { parseTime } from "../shared/time.js";

/** @typedef {import("./support_api.js").SupportApi} SupportApi */
/** @typedef {import("./support_api.js").Status} Status */

const POLL_INTERVAL_MS = 4_000;
const POLL_SOON_MS = 250; // after something that changes it; several such things at once are asked about once

export class QueueStatus {
  /**
   * @param {SupportApi} api
   * @param {() => void} onChange
   */
  constructor(api, onChange) {
    this.#api = api;
    this.#onChange = onChange;
    document.addEventListener("visibilitychange", () => this.#schedule(0));
  }

  #api;
  #onChange;
  /** @type {number | undefined} */
  #timer;
  #isConnected = false;
  #isPolling = false;
  /** @type {number | null} */
  #clockOffsetMs = null;
  /** Null while it is not known. @type {Status | null} */
  status = null;

  /** Milliseconds as `parseTime` makes them of the server's times, which have no zone; null while not known. */
  serverNowMs() {
    return this.#clockOffsetMs === null ? null : Date.now() - this.#clockOffsetMs;
  }

  /** Whether there is a server to ask. @param {boolean} isConnected */
  setConnected(isConnected) {
    this.#isConnected = isConnected;
    if (!isConnected) {
      clearTimeout(this.#timer);
      this.status = null;
      this.#onChange();
    } else {
      this.#schedule(0);
    }
  }

  /** Something has happened that changes it. */
  refreshSoon() {
    this.#schedule(POLL_SOON_MS);
  }

  /** @param {number} delayMs */
  #schedule(delayMs) {
    clearTimeout(this.#timer);
    if (this.#isConnected && !document.hidden) {
      this.#timer = setTimeout(() => void this.#poll(), delayMs);
    }
  }

  async #poll() {
    if (this.#isPolling) {
      return;
    }
    this.#isPolling = true;
    try {
      const status = await this.#api.getStatus();
      if (this.#isConnected) {
        this.status = status;
        this.#clockOffsetMs = Date.now() - parseTime(status.time).getTime();
      }
    } catch {
      this.status = null; // not known is better than wrong
    } finally {
      this.#isPolling = false;
    }
    this.#onChange();
    this.#schedule(POLL_INTERVAL_MS);
  }
}
