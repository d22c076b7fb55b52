// @ts-check
/**
 * Remaining times, as in "1:20", and how to show them while they run.
 *
 * @module
 */

const INTERVAL_MS = 1_000;

/**
 * Return the remaining time as minutes and seconds; 0:00 if there is none left.
 *
 * @param {number} remainingMs
 */
export function formatRemaining(remainingMs) {
  const seconds = Math.max(0, Math.ceil(remainingMs / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** Calls a function now and every second, until it is stopped or runs for something else. */
export class Ticker {
  /** @type {number | undefined} */
  #timer;

  /** @param {(isFirst: boolean) => void} show */
  run(show) {
    this.stop();
    show(true);
    this.#timer = setInterval(() => show(false), INTERVAL_MS);
  }

  stop() {
    clearInterval(this.#timer);
  }
}
