// @ts-check
/**
 * Who is here, and for what: `#token=…&session=4&type=0`, for a consultant with `&supervisor=3`, who is on duty.
 *
 * A fragment never reaches a server or its logs. With a token it leaves the address bar at once, so that it is not
 * shown, bookmarked or shared by mistake; for reloads this tab remembers it. Without one it says only which
 * room is meant, and `signin.js` finds out who is here.
 *
 * @module
 */

/**
 * @typedef {object} RoomLink
 * @property {string} token empty if the address has none
 * @property {(refused?: string) => Promise<string>} [renew] a token that is valid for some time yet, of `signin.js`
 * @property {boolean} [hasAccount] whether the browser is signed in, so that addresses need no token
 * @property {number} session the number of the session, or of the supervision record
 * @property {0 | 1} type 0: a session, 1: a supervision record
 * @property {Role} role whose token it is
 * @property {string} supervisor whom a consultant calls by one click; empty: has to say whom
 */

/** @typedef {"user" | "consultant" | "supervisor"} Role */

const KEY = `ticket:${location.pathname}`;

/**
 * Takes the ticket out of the address, or what this tab remembers of it.
 *
 * @param {string} roleClaim the claim of the token with the role
 * @returns {RoomLink | null} null: there is none, or it is not complete
 */
export function takeRoomLink(roleClaim) {
  const fragment = location.hash.slice(1);
  if (new URLSearchParams(fragment).has("token")) {
    history.replaceState(history.state, "", location.pathname + location.search);
    sessionStorage.setItem(KEY, fragment);
  }
  const parameters = new URLSearchParams(fragment || sessionStorage.getItem(KEY) || "");
  const token = parameters.get("token") ?? "";
  const session = parameters.get("session") ?? "";
  const type = parameters.get("type") || "0";
  if (!/^\d{1,15}$/.test(session) || !/^[01]$/.test(type)) {
    return null;
  }
  const kind = type === "1" ? 1 : 0;
  const supervisor = parameters.get("supervisor")?.trim() ?? "";
  return { token, session: Number(session), type: kind, role: roleOf(token, roleClaim, kind), supervisor };
}

/** Another link was opened in this tab: only the fragment changes, so the page must start again itself. */
export function reloadOnNewLink() {
  addEventListener("hashchange", () => location.hash && location.reload());
}

/**
 * The address of another room for the same person.
 *
 * @param {RoomLink} link
 * @param {number} session
 * @param {0 | 1} type
 */
export async function roomAddress(link, session, type) {
  const room = { session: String(session), type: String(type) };
  const token = link.renew ? await link.renew() : link.token;
  return `${location.pathname}#${new URLSearchParams(link.hasAccount ? room : { token, ...room })}`;
}

/**
 * What the token says of itself. It decides what the page offers; what is allowed decides the server.
 *
 * @param {string} token
 * @param {string} claim
 * @param {0 | 1} type
 * @returns {Role}
 */
function roleOf(token, claim, type) {
  const other = type === 1 ? "supervisor" : "user";
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(payload))[claim] === "consultant" ? "consultant" : other;
  } catch {
    return other; // not a JWT: a plugin may have tokens of its own
  }
}
