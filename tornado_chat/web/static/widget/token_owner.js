// @ts-check
/**
 * The owner of a token, so that nothing of one person is ever shown to another.
 *
 * @module
 */

import { parseJson } from "../shared/numbers.js";

/**
 * Return a key for the owner of a token: the same key for each token of one person.
 *
 * @param {string} token
 * @param {string} claim the claim that holds the id
 */
export function ownerOf(token, claim) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
    const id = parseJson(new TextDecoder().decode(bytes))[claim];
    if (id !== undefined) {
      return `user:${id}`;
    }
  } catch {
    // Not a JWT: a plugin may use its own token format.
  }
  return `token:${fingerprint(token)}`;
}

/** Distinguish tokens without storing them (FNV-1a, twice). @param {string} token */
function fingerprint(token) {
  let [one, other] = [0x811c9dc5, 0x9e3779b9];
  for (let at = 0; at < token.length; at += 1) {
    one = Math.imul(one ^ token.charCodeAt(at), 0x01000193);
    other = Math.imul(other ^ token.charCodeAt(token.length - 1 - at), 0x01000193);
  }
  return [one, other].map((each) => (each >>> 0).toString(36)).join("");
}
