// @ts-check
/**
 * Formatting of numbers in the reader's language.
 *
 * @module
 */

import { language, text } from "../shared/strings.js";
import { parseTime, sameDay } from "../shared/time.js";

const NO_VALUE = "–";
const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Units and their length in seconds, the largest first. @type {readonly [string, number][]} */
const DURATION_UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

const integerFormat = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const tenthsFormat = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
const twoDigitsFormat = new Intl.NumberFormat(language, { maximumSignificantDigits: 2 });
const clockFormat = new Intl.DateTimeFormat(language, {
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const secondsFormat = new Intl.DateTimeFormat(language, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const dayFormat = new Intl.DateTimeFormat(language, {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});

/** @param {number} value */
export function count(value) {
  return integerFormat.format(value);
}

/** @param {number} perSecond */
export function rate(perSecond) {
  return text("per_second", { rate: (perSecond < 1 ? twoDigitsFormat : tenthsFormat).format(perSecond) });
}

/**
 * "4 sec", "2 min 10 sec", "3 hr 5 min", "2 days 4 hr".
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  const rounded = Math.max(0, Math.floor(seconds));
  const first = DURATION_UNITS.findIndex(([, size]) => rounded >= size);
  if (first < 0) {
    return unit("second", 0);
  }
  const [name, size] = DURATION_UNITS[first];
  const words = [unit(name, Math.floor(rounded / size))];
  const next = DURATION_UNITS[first + 1];
  const rest = next ? Math.floor((rounded % size) / next[1]) : 0;
  if (next && rest && rounded < 10 * size) {
    words.push(unit(next[0], rest)); // from ten units on the rest is irrelevant
  }
  return words.join(" ");
}

/**
 * "2.7 ms", "1.4 sec".
 *
 * @param {number | null} seconds
 */
export function latency(seconds) {
  if (seconds === null) {
    return NO_VALUE;
  }
  const milliseconds = 1000 * seconds;
  if (seconds < 1) {
    return unit(
      "millisecond",
      milliseconds < 10 ? Math.round(milliseconds * 10) / 10 : Math.round(milliseconds),
    );
  }
  return unit("second", Math.round(seconds * 10) / 10);
}

/** @param {number | null} size */
export function bytes(size) {
  if (size === null) {
    return text("unknown");
  }
  const power = Math.min(BYTE_UNITS.length - 1, size < 1 ? 0 : Math.floor(Math.log2(size) / 10));
  return `${tenthsFormat.format(size / 1024 ** power)} ${BYTE_UNITS[power]}`;
}

/**
 * @param {Date} time
 * @param {{ seconds?: boolean }} [more]
 */
export function clock(time, { seconds = false } = {}) {
  return (seconds ? secondsFormat : clockFormat).format(time);
}

/**
 * Format a server time, with the day if it is not today.
 *
 * @param {string} time
 * @param {string} now server time
 */
export function moment(time, now) {
  const then = parseTime(time);
  return (sameDay(then, parseTime(now)) ? clockFormat : dayFormat).format(then);
}

/**
 * @param {string} name
 * @param {number} value
 */
function unit(name, value) {
  return new Intl.NumberFormat(language, { style: "unit", unit: name, unitDisplay: "short" }).format(value);
}
