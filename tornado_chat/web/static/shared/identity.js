// @ts-check
/**
 * The values that the server writes into the page, and the claims of tokens.
 *
 * @module
 */

import { parseJson } from "./numbers.js";

/**
 * The content of a `<meta>` element that the server wrote into the page's head: `id-claim`, `role-claim`,
 * `name-claim`, `origins`, `pages`, `accounts` or `groups`. Empty if it is missing.
 *
 * @param {string} name
 */
export function metaContent(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
}

/**
 * When a token expires, in milliseconds since 1970; Infinity without an expiry.
 *
 * @param {string} token
 */
export function tokenExpiryMs(token) {
  const { exp } = readClaims(token);
  return typeof exp === "number" ? exp * 1000 : Infinity;
}

/** @param {string} token @returns {Record<string, unknown>} */
function readClaims(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    return parseJson(new TextDecoder().decode(bytes));
  } catch {
    return {}; // not a JWT: a plugin may use its own token format
  }
}

/**
 * Read the claims of a token. They decide what the page offers; permissions are checked by the server.
 *
 * @param {string} token
 * @returns {{ id: string, role: string, name: string, expiresMs: number }} a missing claim is an empty
 *   string; `expiresMs` is in milliseconds since 1970, Infinity without an expiry
 */
export function readToken(token) {
  const claims = readClaims(token);
  const claim = (/** @type {string} */ name) => String(claims[metaContent(name)] ?? "");
  return {
    id: claim("id-claim"),
    role: claim("role-claim"),
    name: claim("name-claim"),
    expiresMs: tokenExpiryMs(token),
  };
}

/** The person's sign-in has expired: the host has to open the page again. */
export class SignInExpired extends Error {}
