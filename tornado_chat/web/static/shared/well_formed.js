// @ts-check
/**
 * Texts that the server can take.
 *
 * A text of JavaScript may hold half of a character (a lone surrogate): half an emoji, after a paste or a cut.
 * No UTF-8 text has one, so the server refuses a frame with it as a whole.
 *
 * @module
 */

/**
 * Return the text with U+FFFD for each half of a character.
 *
 * @param {string} text
 */
export function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "\uFFFD"); // with the flag `u` a whole pair does not match
}

/**
 * Encode a value as JSON for the server.
 *
 * @param {unknown} value
 */
export function toJson(value) {
  return JSON.stringify(value, (_key, inner) => (typeof inner === "string" ? wellFormed(inner) : inner));
}
