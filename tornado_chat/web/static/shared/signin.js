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

import { Host } from "./host.js";
import { known, readToken, SignInOver } from "./identity.js";

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

const accounts = known("accounts") === "on";
const framed = window.parent !== window;

/**
 * Find out who is here. Goes to `/signin` if it is nobody, and anybody can sign in there.
 *
 * @param {object} wanted
 * @param {readonly string[]} wanted.roles whom the page is for. What somebody may do decides the server
 * @returns {Promise<SignedIn | WrongRole | null>} null: nobody, and there is no way to sign in
 * @throws {Error} the server cannot be reached
 */
export async function signIn({ roles }) {
  const host = Host.find(known("origins").split(" ").filter(Boolean));
  const given = takeFragment();
  if (given) {
    return fit(roles, new ByFragment(given, host), given);
  }
  if (host) {
    const posted = await host.first(
      framed ? FRAME_TOKEN_TIMEOUT_MS : accounts ? OPENER_TOKEN_SHORT_TIMEOUT_MS : OPENER_TOKEN_TIMEOUT_MS,
    );
    if (posted) {
      return fit(roles, new ByMessage(host), posted);
    }
  }
  if (!accounts || framed) {
    return null; // a frame of another site has no cookies of ours
  }
  const made = await askForToken();
  if (!made) {
    return goToSignIn();
  }
  return fit(roles, new ByAccount(made), made.token);
}

/** Leave for `/signin`, and come back. @returns {Promise<never>} */
function goToSignIn() {
  const back = location.pathname + location.search + location.hash;
  location.assign(`/signin?${new URLSearchParams({ next: back })}`);
  return new Promise(() => {});
}

/**
 * @param {readonly string[]} roles
 * @param {ByFragment | ByMessage | ByAccount} way
 * @param {string} token
 * @returns {SignedIn | WrongRole}
 */
function fit(roles, way, token) {
  const { id, role, name } = readToken(token);
  if (role && !roles.includes(role)) {
    return { wrongRole: role, name, signInAgain: way.signInAgain };
  }
  remember(`${role}:${id}`);
  return {
    id,
    role: role || roles[0], // no JWT: a plugin may have tokens of its own
    name,
    by: way.by,
    token: (refused) => way.token(refused),
    ...(way instanceof ByAccount ? { signOut: () => way.signOut() } : {}),
  };
}

/**
 * What the tab remembers (drafts, unsent messages) is of one person, and for nobody else to find.
 *
 * @param {string} person
 */
function remember(person) {
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

class ByFragment {
  by = /** @type {const} */ ("fragment");

  /**
   * @param {string} given
   * @param {Host | null} host
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
      return orOver(await this.#host.token(refused, MIN_VALID_MS)); // it has posted a newer one
    }
    if (this.#given !== refused && readToken(this.#given).expires > Date.now()) {
      return this.#given;
    }
    if (this.#host) {
      return orOver(await this.#host.token(refused, MIN_VALID_MS));
    }
    sessionStorage.removeItem(TOKEN_KEY);
    return accounts && !framed ? goToSignIn() : orOver("");
  }

  signInAgain =
    accounts && !framed
      ? async () => {
          sessionStorage.removeItem(TOKEN_KEY);
          await goToSignIn();
        }
      : null;
}

class ByMessage {
  by = /** @type {const} */ ("message");
  signInAgain = null;

  /** @param {Host} host */
  constructor(host) {
    this.#host = host;
  }

  #host;

  /** @param {string} [refused] */
  async token(refused) {
    return orOver(await this.#host.token(refused, MIN_VALID_MS));
  }
}

class ByAccount {
  by = /** @type {const} */ ("account");

  /** @param {Made} made */
  constructor(made) {
    this.#made = made;
    this.#until = Date.now() + made.expires_in * 1000;
  }

  #made;
  #until;
  /** Of several that ask at once, one does. @type {Promise<string> | undefined} */
  #asking;

  /** @param {string} [refused] */
  async token(refused) {
    if (this.#made.token !== refused && this.#until - Date.now() > MIN_VALID_MS) {
      return this.#made.token;
    }
    this.#asking ??= this.#renew().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #renew() {
    const made = await askForToken();
    if (!made) {
      return goToSignIn();
    }
    if (made.role !== this.#made.role || made.id !== this.#made.id) {
      location.reload(); // somebody else has signed in, in another tab
      return new Promise(() => {});
    }
    this.#made = made;
    this.#until = Date.now() + made.expires_in * 1000;
    return made.token;
  }

  async signOut() {
    await ask("DELETE", "session");
    sessionStorage.clear();
    await goToSignIn();
  }

  signInAgain = () => this.signOut();
}

/** @param {string} token */
function orOver(token) {
  if (!token) {
    throw new SignInOver("nobody is signed in any more");
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
  if (readToken(token).expires <= Date.now()) {
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

/** @typedef {{ token: string, expires_in: number, id: string | number, role: string, name: string }} Made */

/** @returns {Promise<Made | null>} null: nobody is signed in */
async function askForToken() {
  const answer = await ask("POST", "token");
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
 * @param {"session" | "token"} what
 * @param {object} [body]
 */
export function ask(method, what, body = {}) {
  return fetch(`/api/v1/staff/${what}`, {
    method,
    headers: method === "POST" ? { "Content-Type": "application/json" } : {},
    body: method === "POST" ? JSON.stringify(body) : null,
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  });
}
