// @ts-check
/**
 * The anonymous user that this browser is: made when the first conversation begins, the same from then on.
 *
 * @module
 */

import { siteStorage } from "../shared/storage.js";

/** @typedef {{ id: string, token: string, renew: number, expires: number }} Pass times in milliseconds since 1970 */

const KEY = "widget:guest";
const MIN_VALID_MS = 30_000; // milliseconds that a token must be good for yet
const GUEST_PATH = "/api/v1/guest";
const HTTP_FORBIDDEN = 403;
const FETCH_TIMEOUT_MS = 15_000;

/** There are no guests. */
export class NoGuests extends Error {}

export class Guest {
  /** The id, or undefined before there is one. */
  get id() {
    return this.#pass()?.id;
  }

  /** When its token should be changed for another, in milliseconds since 1970. */
  get renew() {
    return this.#pass()?.renew ?? Infinity;
  }

  /**
   * A token, of a new guest if there is none.
   *
   * @returns {Promise<string>}
   * @throws {NoGuests}
   */
  async token() {
    const pass = this.#pass();
    if (!pass) {
      return (await this.#ask()).token;
    }
    if (Date.now() < pass.renew) {
      return pass.token;
    }
    try {
      return (await this.#ask(pass.token)).token;
    } catch {
      return pass.token; // it is good for some time yet
    }
  }

  forget() {
    siteStorage.removeItem(KEY);
  }

  /** @returns {Pass | undefined} */
  #pass() {
    try {
      const pass = JSON.parse(siteStorage.getItem(KEY) ?? "null");
      if (pass && Date.now() < pass.expires - MIN_VALID_MS) {
        return pass;
      }
    } catch {
      // Whatever it is, it is not ours.
    }
    this.forget();
    return undefined;
  }

  /** @param {string} [token] of the guest that it is to be */
  async #ask(token) {
    const answer = await fetch(GUEST_PATH, {
      method: "POST",
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
    });
    if (answer.status === HTTP_FORBIDDEN) {
      throw new NoGuests();
    }
    if (!answer.ok) {
      throw new Error(`${GUEST_PATH}: ${answer.status}`);
    }
    const { id, token: got, expires_in: seconds } = await answer.json();
    const now = Date.now();
    const pass = { id, token: got, renew: now + seconds * 500, expires: now + seconds * 1000 };
    siteStorage.setItem(KEY, JSON.stringify(pass));
    return pass;
  }
}
