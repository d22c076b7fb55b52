// @ts-check
/**
 * The key of an observed conversation: the digits of a session's number, or `c` and those of a support
 * conversation's. People type it, links have it, and the tab remembers it.
 *
 * @module
 */

import { parseNumber } from "../shared/numbers.js";
import { text } from "../shared/strings.js";

const SUPPORT_PREFIX = "c";

/**
 * @param {unknown} value
 * @returns {string | undefined} undefined: it is no key
 */
export function parseKey(value) {
  const key = String(value ?? "")
    .trim()
    .toLowerCase();
  return key.startsWith(SUPPORT_PREFIX) ? supportKey(key.slice(1)) : parseNumber(key);
}

/**
 * The key of a support conversation.
 *
 * @param {unknown} number
 * @returns {string | undefined} undefined: it is no number
 */
export function supportKey(number) {
  const digits = parseNumber(number);
  return digits === undefined ? undefined : SUPPORT_PREFIX + digits;
}

/** @param {string} key */
export function isSupport(key) {
  return key.startsWith(SUPPORT_PREFIX);
}

/** The digits of the number. @param {string} key */
export function numberOf(key) {
  return isSupport(key) ? key.slice(1) : key;
}

/** The words for a conversation. @param {string} key */
export function keyText(key) {
  return text(isSupport(key) ? "conversation_number" : "session_number", { number: numberOf(key) });
}
