// @ts-check
/**
 * The anonymous user that this browser is: made when the first conversation begins, the same from then on.
 *
 * @module
 */

import { siteStorage } from "../shared/storage.js";

/** @typedef {{ id: string, token: string, renew: number, expires: number }} StoredGuest times in milliseconds since 1970 */

const KEY = "widget:guest";
const MIN_VALID_MS = 30_000; // milliseconds that a token must be good for yet
const GUEST_PATH = "/api/v1/guest";
const HTTP_FORBIDDEN = 403;
const FETCH_TIMEOUT_MS = 15_000;

/** There are no guests. */
export class GuestsDisabled extends Error {}

export class Guest {
  /** The id, or undefined before there is one. */
  get id() {
    return this.#load()?.id;
  }

  /** When its token should be changed for another, in milliseconds since 1970. */
  get renewAtMs() {
    return this.#load()?.renew ?? Infinity;
  }

  /**
   * A token, of a new guest if there is none.
   *
   * @returns {Promise<string>}
   * @throws {GuestsDisabled}
   */
  async token() {
    const stored = this.#load();
    if (!stored) {
      return (await this.#request()).token;
    }
    if (Date.now() < stored.renew) {
      return stored.token;
    }
    try {
      return (await this.#request(stored.token)).token;
    } catch {
      return stored.token; // it is good for some time yet
    }
  }

  forget() {
    siteStorage.removeItem(KEY);
  }

  /** @returns {StoredGuest | undefined} */
  #load() {
    try {
      const stored = JSON.parse(siteStorage.getItem(KEY) ?? "null");
      if (stored && Date.now() < stored.expires - MIN_VALID_MS) {
        return stored;
      }
    } catch {
      // Whatever it is, it is not ours.
    }
    this.forget();
    return undefined;
  }

  /** @param {string} [token] of the guest that it is to be */
  async #request(token) {
    const response = await fetch(GUEST_PATH, {
      method: "POST",
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
    });
    if (response.status === HTTP_FORBIDDEN) {
      throw new GuestsDisabled();
    }
    if (!response.ok) {
      throw new Error(`${GUEST_PATH}: ${response.status}`);
    }
    const { id, token: issuedToken, expires_in: seconds } = await response.json();
    const now = Date.now();
    const stored = { id, token: issuedToken, renew: now + seconds * 500, expires: now + seconds * 1000 };
    siteStorage.setItem(KEY, JSON.stringify(stored));
    return stored;
  }
}
