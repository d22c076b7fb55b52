// @ts-check
/**
 * The open sessions of the counsellor, whenever they were opened, and those of today that have ended. They are
 * requested every few seconds, because a visitor who enters a session sends no notification.
 *
 * @module
 */

import { ApiError } from "./desk_api.js";
import { dayOf, isOpen } from "./session.js";

/** @typedef {import("./desk_api.js").DeskApi} DeskApi */
/** @typedef {import("./session.js").Session} Session */

const POLL_INTERVAL_MS = 8_000;
const POLL_INTERVAL_HIDDEN_MS = 20_000;
const ENDED_REQUEST_PERIOD = 8; // requests of open sessions for one of those that have ended

export class TodaysSessions {
  /**
   * @param {DeskApi} api
   * @param {() => void} onChange called after each request
   */
  constructor(api, onChange) {
    this.#api = api;
    this.#onChange = onChange;
  }

  #api;
  #onChange;
  /** @type {number | undefined} */
  #timer;
  #isRequesting = false;
  #requestAgain = false;
  #isStopped = false;
  /** The beginning of the day of `ended`, in milliseconds since 1970. */
  #dayMs = 0;
  #requestCount = 0;

  /** @type {readonly Session[]} */
  open = [];
  /** Today's sessions that have ended. @type {readonly Session[]} */
  ended = [];
  /** When the sessions were as they are here; undefined: never loaded. @type {Date | undefined} */
  loadedAt;
  /** Why they could not be loaded again; null: they could. @type {ApiError | null} */
  error = null;

  start() {
    document.addEventListener("visibilitychange", () => document.hidden || void this.refresh());
    addEventListener("online", () => void this.refresh());
    void this.refresh();
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  /** @param {string} number */
  findOpen(number) {
    return this.open.find((session) => session.session_id === number);
  }

  /** Request the sessions now. */
  async refresh() {
    this.#requestAgain = true;
    if (this.#isRequesting || this.#isStopped) {
      return;
    }
    this.#isRequesting = true;
    clearTimeout(this.#timer);
    try {
      while (this.#requestAgain && !this.#isStopped) {
        this.#requestAgain = false;
        await this.#request();
      }
      this.error = null;
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      this.error = error;
    } finally {
      this.#isRequesting = false;
    }
    if (!this.#isStopped) {
      const interval = document.hidden ? POLL_INTERVAL_HIDDEN_MS : POLL_INTERVAL_MS;
      this.#timer = setTimeout(() => void this.refresh(), interval);
      this.#onChange();
    }
  }

  async #request() {
    const now = new Date();
    const { from } = dayOf(now);
    const open = await this.#api.listAllSessions({ state: "open" });
    const numbers = new Set(open.map((session) => session.session_id));
    const hasEnded = this.open.some((session) => !numbers.has(session.session_id));
    const isDue = this.#requestCount % ENDED_REQUEST_PERIOD === 0;
    this.#requestCount += 1;
    if (isDue || hasEnded || this.error || this.#dayMs !== from.getTime()) {
      const today = await this.#api.listAllSessions({ from });
      const endedNow = today.filter((session) => !isOpen(session));
      // A session of an earlier day that has ended just now is one of today, too: it was worked on today.
      const seen = new Set(endedNow.map((session) => session.session_id));
      const late = this.#dayMs === from.getTime() ? this.#late(numbers, seen) : [];
      const lateEnded = await Promise.all(late.map((number) => this.#api.getSession(number)));
      this.ended = [...endedNow, ...lateEnded.filter((session) => !isOpen(session))];
      this.#dayMs = from.getTime();
    }
    this.open = open;
    this.loadedAt = now;
  }

  /**
   * The numbers of sessions that were open or ended in the last answer, and are in no list of today any more.
   *
   * @param {Set<string>} openNumbers
   * @param {Set<string>} endedNumbers
   */
  #late(openNumbers, endedNumbers) {
    return [...this.open, ...this.ended]
      .map((session) => session.session_id)
      .filter((number) => !openNumbers.has(number) && !endedNumbers.has(number));
  }
}
