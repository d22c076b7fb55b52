// @ts-check
/**
 * Who is here: a token in the address, `#token=…`. It leaves the address bar at once; this tab remembers it.
 *
 * @module
 */

/**
 * @typedef {object} SignedIn
 * @property {string} id
 * @property {string} role
 * @property {string} name what others see; may be empty
 * @property {(refused?: string) => Promise<string>} token a token that is valid for some time yet
 * @property {"fragment" | "message" | "account"} by
 * @property {() => Promise<void>} [signOut]
 */

/**
 * Somebody who has no business on this page.
 *
 * @typedef {object} WrongRole
 * @property {string} wrongRole
 * @property {string} name
 */

const TOKEN = `token:${location.pathname}`;

/**
 * Find out who is here.
 *
 * @param {object} wanted
 * @param {readonly string[]} wanted.roles whom the page is for. What somebody may do decides the server
 * @returns {Promise<SignedIn | WrongRole | null>} null: nobody
 */
export async function signIn({ roles }) {
  const token = takeFragment();
  if (!token) {
    return null;
  }
  addEventListener("hashchange", () => location.hash && location.reload());
  const { id, role, name } = readToken(token);
  if (role && !roles.includes(role)) {
    return { wrongRole: role, name };
  }
  return { id, role: role || roles[0], name, token: () => Promise.resolve(token), by: "fragment" };
}

function takeFragment() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    history.replaceState(history.state, "", location.pathname + location.search);
    sessionStorage.setItem(TOKEN, given);
  }
  return given || sessionStorage.getItem(TOKEN);
}

/** What the token says of itself. @param {string} token */
function readToken(token) {
  const roleClaim = document.querySelector('meta[name="role-claim"]')?.getAttribute("content") ?? "type";
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return {
      id: String(claims.id ?? ""),
      role: String(claims[roleClaim] ?? ""),
      name: String(claims.name ?? ""),
    };
  } catch {
    return { id: "", role: "", name: "" }; // not a JWT: a plugin may have tokens of its own
  }
}
