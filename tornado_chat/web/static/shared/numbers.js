// @ts-check
/**
 * Numbers of sessions and records, and ids of people, which can be larger than a JavaScript number holds.
 *
 * A host may choose any number from 1 to 2^63 - 1, and JavaScript is exact only up to 2^53. So a session or
 * record is named by the digits of its number, as a text.
 *
 * @module
 */

const MAX_NUMBER = 2n ** 63n - 1n; // the server's limit
const LONG_DIGITS = /\d{16}/; // every number above 2^53 has at least 16 digits
/** A text of a JSON document, whose digits stay as they are, or a number. */
const JSON_TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const WHOLE = /^-?\d+$/;

/**
 * Return the digits of a session's or record's number.
 *
 * @param {unknown} value a text or a number
 * @returns {string | undefined} undefined: it is no such number
 */
export function parseNumber(value) {
  const digits = String(value ?? "");
  if (!/^\d{1,19}$/.test(digits)) {
    return undefined;
  }
  const number = BigInt(digits);
  return number >= 1n && number <= MAX_NUMBER ? String(number) : undefined;
}

/**
 * Parse JSON. Whole numbers that JavaScript cannot hold become texts with the same digits.
 *
 * @param {string} json
 * @returns {any}
 */
export function parseJson(json) {
  return JSON.parse(LONG_DIGITS.test(json) ? json.replace(JSON_TOKEN, quoteIfInexact) : json);
}

/** @param {string} token */
function quoteIfInexact(token) {
  return WHOLE.test(token) && !Number.isSafeInteger(Number(token)) ? `"${token}"` : token;
}
