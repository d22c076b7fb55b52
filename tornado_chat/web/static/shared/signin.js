// @ts-check
/**
 * Finds out who uses the page. Three sources are tried in this order:
 *
 * - `fragment`: a token in the URL, `#token=…`. It is removed from the address bar at once; this tab stores
 *   it.
 * - `message`: the page that frames or opened this one posts a token. Its origin must be listed in `[web]
 *   origins`, or be the server's own. `token_host.js` handles the messages.
 * - `account`: the person has signed in at `/signin`; the browser has a cookie.
 *
 * `docs/signin.md` describes this for developers who embed pages.
 *
 * @module
 */

import { addressOf } from "./base.js";
import { TokenHost } from "./token_host.js";
import { metaContent, readToken, SignInExpired } from "./identity.js";

/**
 * @typedef {object} SignedIn
 * @property {string} id
 * @property {string} role
 * @property {string} name the name that others see; may be empty
 * @property {(refused?: string, isRenewal?: boolean) => Promise<string>} token resolves to a token with enough
 *   remaining lifetime, renewed if necessary. `refused`: a token that the server refused (4401, 401); it is not
 *   returned again. `isRenewal`: never leave the page, and rather return the same token, or throw.
 *   Throws `SignInExpired` if there is no way to get a token. If the account is signed out, the promise stays
 *   pending while the page leaves for `/signin` and comes back. Any other error: the server cannot be
 *   reached, try again.
 * @property {"fragment" | "message" | "account"} by
 * @property {() => Promise<void>} [signOut] for accounts: ends the sign-in, clears this tab's storage and
 *   goes to `/signin`. A page with unsent messages asks first
 */

/**
 * A person whose role may not use the page.
 *
 * @typedef {object} WrongRole
 * @property {string} wrongRole
 * @property {string} name
 * @property {(() => Promise<void>) | null} signInAgain goes to the page on which another person can sign in;
 *   null without such a page
 */

const MIN_VALID_MS = 60_000; // the remaining lifetime that a token must have
const FETCH_TIMEOUT_MS = 15_000;
const FRAME_TOKEN_TIMEOUT_MS = 10_000; // how long the framing page may take to post a token
const OPENER_TOKEN_TIMEOUT_MS = 3_000; // how long the opening page may take
// the same with accounts: the opener may be an ordinary page with a link, which posts no token
const OPENER_TOKEN_SHORT_TIMEOUT_MS = 1_000;

const TOKEN_KEY = `token:${location.pathname}`;
const PERSON_KEY = "person";

const hasAccounts = metaContent("accounts") === "on";
const isFramed = window.parent !== window;

/**
 * Find out who uses the page. Go to `/signin` if no person is signed in and accounts exist.
 *
 * @param {object} wanted
 * @param {readonly string[]} wanted.roles the roles that may use the page; permissions are checked by the
 *   server
 * @returns {Promise<SignedIn | WrongRole | null>} null: no person is signed in, and there is no way to sign
 *   in
 * @throws {Error} if the server cannot be reached
 */
export async function signIn({ roles }) {
  const host = TokenHost.find(metaContent("origins").split(" ").filter(Boolean));
  const given = takeFragment();
  if (given) {
    return checkRole(roles, new FragmentToken(given, host), given);
  }
  if (host) {
    const posted = await host.firstToken(
      isFramed
        ? FRAME_TOKEN_TIMEOUT_MS
        : hasAccounts
          ? OPENER_TOKEN_SHORT_TIMEOUT_MS
          : OPENER_TOKEN_TIMEOUT_MS,
    );
    if (posted) {
      return checkRole(roles, new PostedToken(host), posted);
    }
  }
  if (!hasAccounts || isFramed) {
    return null; // the server's cookies are not sent in a frame of another site
  }
  const issued = await requestToken();
  if (!issued) {
    return goToSignIn();
  }
  return checkRole(roles, new AccountToken(issued), issued.token);
}

/** Go to `/signin`, which comes back. @returns {Promise<never>} */
function goToSignIn() {
  const back = location.pathname + location.search + location.hash;
  location.assign(addressOf(`/signin?${new URLSearchParams({ next: back })}`));
  return new Promise(() => {});
}

/**
 * @param {readonly string[]} roles
 * @param {FragmentToken | PostedToken | AccountToken} source
 * @param {string} token
 * @returns {SignedIn | WrongRole}
 */
function checkRole(roles, source, token) {
  const { id, role, name } = readToken(token);
  if (role && !roles.includes(role)) {
    return { wrongRole: role, name, signInAgain: source.signInAgain };
  }
  rememberPerson(`${role}:${id}`);
  return {
    id,
    role: role || roles[0], // not a JWT: a plugin may use its own token format
    name,
    by: source.by,
    token: (refused, isRenewal) => source.token(refused, isRenewal),
    ...(source instanceof AccountToken ? { signOut: () => source.signOut() } : {}),
  };
}

/**
 * Clear the tab's storage (drafts, unsent messages) if it belongs to another person.
 *
 * @param {string} person
 */
function rememberPerson(person) {
  const before = sessionStorage.getItem(PERSON_KEY);
  const token = sessionStorage.getItem(TOKEN_KEY);
  if (before !== null && before !== person) {
    sessionStorage.clear();
    if (token) {
      sessionStorage.setItem(TOKEN_KEY, token);
    }
  }
  sessionStorage.setItem(PERSON_KEY, person);
}

// --- the three sources ---

class FragmentToken {
  by = /** @type {const} */ ("fragment");

  /**
   * @param {string} given
   * @param {TokenHost | null} host
   */
  constructor(given, host) {
    this.#given = given;
    this.#host = host;
  }

  #given;
  #host;

  /**
   * @param {string} [refused]
   * @param {boolean} [isRenewal]
   */
  async token(refused, isRenewal) {
    if (this.#host?.current) {
      return orExpired(await this.#host.token(refused, MIN_VALID_MS)); // the host has posted a newer token
    }
    const isValid = this.#given !== refused && readToken(this.#given).expiresMs > Date.now();
    if (isValid && !(isRenewal && this.#host)) {
      return this.#given;
    }
    if (this.#host) {
      return orExpired(await this.#host.token(refused, MIN_VALID_MS));
    }
    if (isRenewal) {
      return this.#given;
    }
    sessionStorage.removeItem(TOKEN_KEY);
    return hasAccounts && !isFramed ? goToSignIn() : orExpired("");
  }

  signInAgain =
    hasAccounts && !isFramed
      ? async () => {
          sessionStorage.removeItem(TOKEN_KEY);
          await goToSignIn();
        }
      : null;
}

class PostedToken {
  by = /** @type {const} */ ("message");
  signInAgain = null;

  /** @param {TokenHost} host */
  constructor(host) {
    this.#host = host;
  }

  #host;

  /** @param {string} [refused] */
  async token(refused) {
    return orExpired(await this.#host.token(refused, MIN_VALID_MS));
  }
}

class AccountToken {
  by = /** @type {const} */ ("account");

  /** @param {IssuedToken} issued */
  constructor(issued) {
    this.#issued = issued;
    this.#expiresMs = Date.now() + issued.expires_in * 1000;
  }

  #issued;
  #expiresMs;
  /** The pending request; concurrent callers share it. @type {Promise<string> | undefined} */
  #renewal;
  /** Pending for ever, once the page leaves. @type {Promise<never> | undefined} */
  #leaving;

  /**
   * @param {string} [refused]
   * @param {boolean} [isRenewal]
   */
  async token(refused, isRenewal = false) {
    if (this.#issued.token !== refused && this.#expiresMs - Date.now() > MIN_VALID_MS) {
      return this.#issued.token;
    }
    if (isRenewal) {
      return this.#renew(true);
    }
    this.#renewal ??= this.#renew(false).finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  /** @param {boolean} isRenewal */
  async #renew(isRenewal) {
    const issued = await requestToken();
    if (!issued) {
      return isRenewal ? orExpired("") : this.#leave();
    }
    if (isRenewal && (issued.role !== this.#issued.role || issued.id !== this.#issued.id)) {
      return orExpired("");
    }
    if (issued.role !== this.#issued.role || issued.id !== this.#issued.id) {
      location.reload(); // another person has signed in in another tab
      return new Promise(() => {});
    }
    this.#issued = issued;
    this.#expiresMs = Date.now() + issued.expires_in * 1000;
    return issued.token;
  }

  async signOut() {
    await requestStaff("DELETE", "session");
    sessionStorage.clear();
    await this.#leave();
  }

  /**
   * Go to `/signin` once. After signing out the socket is closed, too, and a second navigation would cancel
   * the first.
   *
   * @returns {Promise<never>}
   */
  #leave() {
    this.#leaving ??= goToSignIn();
    return this.#leaving;
  }

  signInAgain = () => this.signOut();
}

/** @param {string} token */
function orExpired(token) {
  if (!token) {
    throw new SignInExpired("no person is signed in any more");
  }
  return token;
}

/**
 * Return the token of the URL, or the one that this tab has stored; empty if there is none or it has expired.
 */
function takeFragment() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("token");
  if (given) {
    fragment.delete("token");
    const rest = String(fragment);
    history.replaceState(history.state, "", location.pathname + location.search + (rest && `#${rest}`));
    sessionStorage.setItem(TOKEN_KEY, given);
  }
  const token = given ?? sessionStorage.getItem(TOKEN_KEY) ?? "";
  if (readToken(token).expiresMs <= Date.now()) {
    sessionStorage.removeItem(TOKEN_KEY);
    return "";
  }
  return token;
}

/**
 * Reload when another link is opened in this tab: only the fragment changes then, and the browser does not
 * reload.
 */
addEventListener("hashchange", () => {
  if (new URLSearchParams(location.hash.slice(1)).has("token")) {
    location.reload();
  }
});

// --- accounts of the server ---

/**
 * @typedef {{ token: string, expires_in: number, id: string, role: string, name: string }}
 *   IssuedToken
 */

/** @returns {Promise<IssuedToken | null>} null: no person is signed in */
async function requestToken() {
  const answer = await requestStaff("POST", "token");
  if (answer.status === 401) {
    return null;
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail || String(answer.status));
  }
  return answer.json();
}

/**
 * Request a resource of the account API.
 *
 * @param {"GET" | "POST" | "DELETE"} method
 * @param {"session" | "token"} resource
 * @param {object} [body]
 */
export function requestStaff(method, resource, body = {}) {
  return fetch(addressOf(`/api/v1/staff/${resource}`), {
    method,
    headers: method === "POST" ? { "Content-Type": "application/json" } : {},
    body: method === "POST" ? JSON.stringify(body) : null,
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  });
}
