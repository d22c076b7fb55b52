// @ts-check
/**
 * The fragment of a room's URL: `#token=…&session=4&type=0`. For a consultant, `&supervisor=3` names the
 * supervisor on duty. `&back=desk` says that the page came from `/desk`, to which it leads back.
 *
 * A fragment never reaches a server or its logs. If it has a token, it is removed from the address bar at
 * once, so that it is not shown, bookmarked or shared by mistake; this tab stores it for reloads. Without a
 * token the fragment only names the room, and `signin.js` finds out who the person is.
 *
 * @module
 */

import { parseNumber } from "./numbers.js";

/**
 * @typedef {object} RoomLink
 * @property {string} token empty if the URL has none
 * @property {(refused?: string) => Promise<string>} [renew] the token source of `signin.js`
 * @property {boolean} [hasAccount] whether the browser is signed in, so that URLs need no token
 * @property {string} session the digits of the session's number, or of the supervision record's
 * @property {0 | 1} type 0: a session, 1: a supervision record
 * @property {Role} role the role of the token's owner
 * @property {string} supervisor the supervisor whom the consultant calls with one click; empty: the
 *   consultant enters an id
 * @property {boolean} isFromDesk whether the page leads back to `/desk`
 */

/** @typedef {"user" | "consultant" | "supervisor"} Role */

const KEY = `ticket:${location.pathname}`;

/**
 * Take the room link from the URL, or from this tab's storage.
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
  const session = parseNumber(parameters.get("session"));
  const type = parameters.get("type") || "0";
  if (session === undefined || !/^[01]$/.test(type)) {
    return null;
  }
  const kind = type === "1" ? 1 : 0;
  const supervisor = parameters.get("supervisor")?.trim() ?? "";
  const isFromDesk = parameters.get("back") === "desk";
  return { token, session, type: kind, role: roleOf(token, roleClaim, kind), supervisor, isFromDesk };
}

/**
 * Reload when another link is opened in this tab: only the fragment changes then, and the browser does not
 * reload.
 */
export function reloadOnNewLink() {
  addEventListener("hashchange", () => location.hash && location.reload());
}

/**
 * The URL of another room for the same person.
 *
 * @param {RoomLink} link
 * @param {string} session
 * @param {0 | 1} type
 */
export async function roomAddress(link, session, type) {
  const room = { session, type: String(type) };
  const token = link.renew ? await link.renew() : link.token;
  return `${location.pathname}#${new URLSearchParams(link.hasAccount ? room : { token, ...room })}`;
}

/**
 * Read the role from a token. It decides what the page offers; permissions are checked by the server.
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
    // The agent of a support conversation has the consultant's place in a record.
    const agents = type === 1 ? ["consultant", "waiter"] : ["consultant"];
    return agents.includes(JSON.parse(atob(payload))[claim]) ? "consultant" : other;
  } catch {
    return other; // not a JWT: a plugin may use its own token format
  }
}
