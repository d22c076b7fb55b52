// @ts-check
/**
 * Formatting of times. The server sends local ISO times without a zone; they are shown unchanged.
 *
 * @module
 */

const DAY_MS = 86_400_000;

/** Formats times in one language. */
export class TimeFormatter {
  /** @param {string} language a BCP 47 tag */
  constructor(language) {
    this.#clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    this.#day = new Intl.DateTimeFormat(language, { weekday: "long", month: "long", day: "numeric" });
    this.#dayOfYear = new Intl.DateTimeFormat(language, { year: "numeric", month: "long", day: "numeric" });
    this.#relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  }

  #clock;
  #day;
  #dayOfYear;
  #relative;

  /** @param {Date} time */
  clock(time) {
    return this.#clock.format(time);
  }

  /**
   * "today", "yesterday", a weekday and day, or the whole date.
   *
   * @param {Date} time
   * @param {Date} [now]
   */
  day(time, now = new Date()) {
    const daysAgo = Math.round((midnight(now) - midnight(time)) / DAY_MS);
    if (daysAgo === 0 || daysAgo === 1) {
      const text = this.#relative.format(-daysAgo, "day");
      return text.charAt(0).toUpperCase() + text.slice(1);
    }
    return (time.getFullYear() === now.getFullYear() ? this.#day : this.#dayOfYear).format(time);
  }
}

/**
 * Parse a time of the server.
 *
 * @param {string | undefined} text as in 2024-05-01T09:30:00.123; a space instead of the T is accepted
 * @returns {Date} the current time if the text is invalid
 */
export function parseTime(text) {
  const time = new Date((text ?? "").replace(" ", "T"));
  return Number.isNaN(time.getTime()) ? new Date() : time;
}

/**
 * Format a duration: `0:42`, `12:05`, `1:02:05`.
 *
 * @param {number} milliseconds
 */
export function formatElapsed(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const twoDigits = (/** @type {number} */ number) => String(number % 60).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes}:${twoDigits(seconds)}`
    : `${Math.floor(minutes / 60)}:${twoDigits(minutes)}:${twoDigits(seconds)}`;
}

/**
 * Whether two times are on the same day.
 *
 * @param {Date} one
 * @param {Date} other
 */
export function sameDay(one, other) {
  return midnight(one) === midnight(other);
}

/** @param {Date} time */
function midnight(time) {
  return new Date(time.getFullYear(), time.getMonth(), time.getDate()).getTime();
}
