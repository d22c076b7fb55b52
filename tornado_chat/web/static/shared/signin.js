// @ts-check
/**
 * Who is here, by one of three ways, in this order:
 *
 * - `fragment`: a token in the address, `#token=…`. It leaves the address bar at once; this tab remembers it.
 * - `message`: the page that has this one in a frame, or opened it, posts a token. It must be of an origin of
 *   `[web] origins`, or of ours. `host.js` has the messages.
 * - `account`: somebody signed in at `/signin`; the browser has a cookie.
 *
 * `docs/signin.md` tells it to people who embed pages.
 *
 * @module
 */

import { TokenHost } from "./token_host.js";
import { metaContent, readToken, SignInExpired } from "./identity.js";

/**
 * @typedef {object} SignedIn
 * @property {string} id
 * @property {string} role
 * @property {string} name what others see; may be empty
 * @property {(refused?: string) => Promise<string>} token a token that is valid for some time yet, renewed where
 *   needed. `refused`: one that the server did not take (4401, 401), which is then not given again. Throws
 *   `SignInOver` when there is no way to get one. Of an account that is not signed in any more the promise stays open: the
 *   page is left for `/signin`, and comes back. Other errors: the server cannot be reached, try again.
 * @property {"fragment" | "message" | "account"} by
 * @property {() => Promise<void>} [signOut] of an account: ends the session, forgets what this tab remembers
 *   and goes to `/signin`. A page with something unsent asks before
 */

/**
 * Somebody who has no business on this page.
 *
 * @typedef {object} WrongRole
 * @property {string} wrongRole
 * @property {string} name
 * @property {(() => Promise<void>) | null} signInAgain goes to where somebody else can sign in, if there is such a place
 */

const MIN_VALID_MS = 60_000; // milliseconds that a token has to be valid yet
const FETCH_TIMEOUT_MS = 15_000;
const FRAME_TOKEN_TIMEOUT_MS = 10_000; // how long the page around this one may take to post a token
const OPENER_TOKEN_TIMEOUT_MS = 3_000; // or the one that opened it
const OPENER_TOKEN_SHORT_TIMEOUT_MS = 1_000; // which may not know of any token, as the link it followed was just a link

const TOKEN_KEY = `token:${location.pathname}`;
const PERSON_KEY = "person";

const hasAccounts = metaContent("accounts") === "on";
const isFramed = window.parent !== window;

/**
 * Find out who is here. Goes to `/signin` if it is nobody, and anybody can sign in there.
 *
 * @param {object} wanted
 * @param {readonly string[]} wanted.roles whom the page is for. What somebody may do decides the server
 * @returns {Promise<SignedIn | WrongRole | null>} null: nobody, and there is no way to sign in
 * @throws {Error} the server cannot be reached
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
    return null; // a frame of another site has no cookies of ours
  }
  const issued = await requestToken();
  if (!issued) {
    return goToSignIn();
  }
  return checkRole(roles, new AccountToken(issued), issued.token);
}

/** Leave for `/signin`, and come back. @returns {Promise<never>} */
function goToSignIn() {
  const back = location.pathname + location.search + location.hash;
  location.assign(`/signin?${new URLSearchParams({ next: back })}`);
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
    role: role || roles[0], // no JWT: a plugin may have tokens of its own
    name,
    by: source.by,
    token: (refused) => source.token(refused),
    ...(source instanceof AccountToken ? { signOut: () => source.signOut() } : {}),
  };
}

/**
 * What the tab remembers (drafts, unsent messages) is of one person, and for nobody else to find.
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

// --- the three ways ---

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

  /** @param {string} [refused] */
  async token(refused) {
    if (this.#host?.current) {
      return orExpired(await this.#host.token(refused, MIN_VALID_MS)); // it has posted a newer one
    }
    if (this.#given !== refused && readToken(this.#given).expiresMs > Date.now()) {
      return this.#given;
    }
    if (this.#host) {
      return orExpired(await this.#host.token(refused, MIN_VALID_MS));
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
  /** Of several that ask at once, one does. @type {Promise<string> | undefined} */
  #renewal;

  /** @param {string} [refused] */
  async token(refused) {
    if (this.#issued.token !== refused && this.#expiresMs - Date.now() > MIN_VALID_MS) {
      return this.#issued.token;
    }
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async #renew() {
    const issued = await requestToken();
    if (!issued) {
      return goToSignIn();
    }
    if (issued.role !== this.#issued.role || issued.id !== this.#issued.id) {
      location.reload(); // somebody else has signed in, in another tab
      return new Promise(() => {});
    }
    this.#issued = issued;
    this.#expiresMs = Date.now() + issued.expires_in * 1000;
    return issued.token;
  }

  async signOut() {
    await requestStaff("DELETE", "session");
    sessionStorage.clear();
    await goToSignIn();
  }

  signInAgain = () => this.signOut();
}

/** @param {string} token */
function orExpired(token) {
  if (!token) {
    throw new SignInExpired("nobody is signed in any more");
  }
  return token;
}

/** The token of the address, or the one that this tab remembers; empty if there is none, or it has expired. */
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

/** Another link was opened in this tab: only the fragment changes, so the page must start again itself. */
addEventListener("hashchange", () => {
  if (new URLSearchParams(location.hash.slice(1)).has("token")) {
    location.reload();
  }
});

// --- the server's accounts ---

/** @typedef {{ token: string, expires_in: number, id: string | number, role: string, name: string }} IssuedToken */

/** @returns {Promise<IssuedToken | null>} null: nobody is signed in */
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
 * @param {"GET" | "POST" | "DELETE"} method
 * @param {"session" | "token"} resource
 * @param {object} [body]
 */
export function requestStaff(method, resource, body = {}) {
  return fetch(`/api/v1/staff/${resource}`, {
    method,
    headers: method === "POST" ? { "Content-Type": "application/json" } : {},
    body: method === "POST" ? JSON.stringify(body) : null,
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  });
}
