// @ts-check
/**
 * The values that the server writes into the page, and the claims of tokens.
 *
 * @module
 */

import { parseJson } from "./numbers.js";

/**
 * The content of a `<meta>` element that the server wrote into the page's head: `id-claim`, `role-claim`,
 * `name-claim`, `origins`, `pages` or `accounts`. Empty if it is missing.
 *
 * @param {string} name
 */
export function metaContent(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
}

/**
 * Read the claims of a token. They decide what the page offers; permissions are checked by the server.
 *
 * @param {string} token
 * @returns {{ id: string, role: string, name: string, expiresMs: number }} a missing claim is an empty
 *   string; `expiresMs` is in milliseconds since 1970, Infinity without an expiry
 */
export function readToken(token) {
  /** @type {Record<string, unknown>} */
  let claims = {};
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    claims = parseJson(new TextDecoder().decode(bytes));
  } catch {
    // not a JWT: a plugin may use its own token format
  }
  const claim = (/** @type {string} */ name) => String(claims[metaContent(name)] ?? "");
  const { exp } = claims;
  return {
    id: claim("id-claim"),
    role: claim("role-claim"),
    name: claim("name-claim"),
    expiresMs: typeof exp === "number" ? exp * 1000 : Infinity,
  };
}

/** The person's sign-in has expired: the host has to open the page again. */
export class SignInExpired extends Error {}
