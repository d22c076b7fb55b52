// @ts-check
/**
 * The anonymous user of this browser. It is created when the first conversation begins, and stays the same
 * from then on.
 *
 * @module
 */

import { addressOf } from "../shared/base.js";
import { siteStorage } from "../shared/storage.js";

/**
 * @typedef {{ id: string, token: string, renew: number, expires: number }} StoredGuest times in milliseconds
 *   since 1970
 */

const KEY = "widget:guest";
const MIN_VALID_MS = 30_000; // the remaining lifetime that a token must have
const GUEST_PATH = "/api/v1/guest";
const HTTP_FORBIDDEN = 403;
const FETCH_TIMEOUT_MS = 15_000;

/** The server does not admit guests. */
export class GuestsDisabled extends Error {}

export class Guest {
  /** The guest's id; undefined before the guest is created. */
  get id() {
    return this.#load()?.id;
  }

  /** When the token should be renewed, in milliseconds since 1970. */
  get renewAtMs() {
    return this.#load()?.renew ?? Infinity;
  }

  /**
   * Return a token; create a guest if there is none.
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
      return stored.token; // it is still valid
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
      // The value was not written by this module.
    }
    this.forget();
    return undefined;
  }

  /** @param {string} [token] the token of an existing guest; without it a new guest is created */
  async #request(token) {
    const response = await fetch(addressOf(GUEST_PATH), {
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
