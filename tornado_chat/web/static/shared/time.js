// @ts-check
/**
 * Formatting of times. The server sends ISO times with an offset; they are shown in the reader's zone.
 *
 * @module
 */

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const DAY_CHECK_MS = MINUTE_MS; // not one timer to midnight: a sleeping device holds up its timers
const CHANGE_WINDOW_MS = 6 * 60 * MINUTE_MS; // longer than any change of clocks

/** Formats times in one language. */
export class TimeFormatter {
  /** @param {string} language a BCP 47 tag */
  constructor(language) {
    /** @type {Intl.DateTimeFormatOptions} */
    const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    this.#clock = new Intl.DateTimeFormat(language, clock);
    this.#clockWithOffset = new Intl.DateTimeFormat(language, { ...clock, timeZoneName: "shortOffset" });
    this.#day = new Intl.DateTimeFormat(language, { weekday: "long", month: "long", day: "numeric" });
    this.#dayOfYear = new Intl.DateTimeFormat(language, { year: "numeric", month: "long", day: "numeric" });
    this.#relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  }

  #clock;
  #clockWithOffset;
  #day;
  #dayOfYear;
  #relative;

  /**
   * "02:30"; with the offset in the hour that the clocks show twice, as in "02:30 GMT+2".
   *
   * @param {Date} time
   */
  clock(time) {
    return (isShownTwice(time) ? this.#clockWithOffset : this.#clock).format(time);
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
 * @param {string | undefined} text as in 2024-05-01T09:30:00.123+08:00; a space instead of the T is accepted, and
 *   a text without an offset is a time of the reader's zone
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

/**
 * Call a function after each midnight of the reader: "Today" has become "Yesterday".
 *
 * @param {() => void} act
 * @param {AbortSignal} [signal] ends it
 */
export function onNewDay(act, signal) {
  let day = midnight(new Date());
  const check = () => {
    const today = midnight(new Date());
    if (today !== day) {
      day = today;
      act();
    }
  };
  const timer = setInterval(check, DAY_CHECK_MS);
  signal?.addEventListener("abort", () => clearInterval(timer));
  document.addEventListener("visibilitychange", check, { signal });
}

/**
 * Whether the clocks of the reader's zone show this time twice, because they go back.
 *
 * @param {Date} time
 */
export function isShownTwice(time) {
  const offsetAt = (/** @type {number} */ atMs) => new Date(atMs).getTimezoneOffset(); // minutes west of UTC
  const timeMs = time.getTime();
  const before = offsetAt(timeMs - CHANGE_WINDOW_MS);
  const repeatedMinutes = offsetAt(timeMs + CHANGE_WINDOW_MS) - before;
  if (repeatedMinutes <= 0) {
    return false;
  }
  const direction = time.getTimezoneOffset() === before ? 1 : -1;
  const twin = new Date(timeMs + direction * repeatedMinutes * MINUTE_MS);
  return twin.getTimezoneOffset() - time.getTimezoneOffset() === direction * repeatedMinutes;
}

/** @param {Date} time */
function midnight(time) {
  return new Date(time.getFullYear(), time.getMonth(), time.getDate()).getTime();
}
