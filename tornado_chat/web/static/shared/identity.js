// @ts-check
/**
 * What a page knows from the server when it is loaded, and what tokens say of themselves.
 *
 * @module
 */

/**
 * What the server wrote into the page's head: `id-claim`, `role-claim`, `name-claim`, `origins`, `pages`, `accounts`.
 *
 * @param {string} name
 */
export function metaContent(name) {
  return document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? "";
}

/**
 * What a token says. It decides what a page offers; what is allowed decides the server.
 *
 * @param {string} token
 * @returns {{ id: string, role: string, name: string, expiresMs: number }} texts are empty where it says nothing;
 *   `expires` in milliseconds since 1970, Infinity where it does not say
 */
export function readToken(token) {
  /** @type {Record<string, unknown>} */
  let claims = {};
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    claims = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // not a JWT: a plugin may have tokens of its own
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

/** There was somebody, and is no more: the host has to open the page again. */
export class SignInExpired extends Error {}
