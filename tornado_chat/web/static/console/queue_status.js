// @ts-check
/**
 * The queue, the agents and the server time: polled every few seconds.
 *
 * @module
 */

import { parseTime } from "../shared/time.js";

/** @typedef {import("./support_api.js").SupportApi} SupportApi */
/** @typedef {import("./support_api.js").Status} Status */

const POLL_INTERVAL_MS = 4_000;
const POLL_SOON_MS = 250; // after an event that changes the queue; several events lead to one request

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
  /** Null if unknown. @type {Status | null} */
  status = null;

  /**
   * The server's current time in milliseconds, comparable with its other times: this device's clock may be
   * wrong. Null if unknown.
   */
  serverNowMs() {
    return this.#clockOffsetMs === null ? null : Date.now() - this.#clockOffsetMs;
  }

  /** Start or stop polling. @param {boolean} isConnected */
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

  /** Poll soon: an event has changed the queue. */
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
      this.status = null; // unknown is better than wrong
    } finally {
      this.#isPolling = false;
    }
    this.#onChange();
    this.#schedule(POLL_INTERVAL_MS);
  }
}
