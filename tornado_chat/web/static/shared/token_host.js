// @ts-check
/**
 * The page of the host that has ours in a frame, or opened it, and posts tokens to it.
 *
 * We say `{type: "tornado-chat:ready"}` until it answers, and `{type: "tornado-chat:expired"}` when we need another;
 * it says `{type: "tornado-chat:token", token}`, then or whenever it likes.
 *
 * @module
 */

import { readToken } from "./identity.js";

const READY_INTERVAL_MS = 500; // milliseconds; the host may still be loading
const TOKEN_TIMEOUT_MS = 10_000;

export class TokenHost {
  /**
   * The host, if there is a window that may be one.
   *
   * @param {readonly string[]} origins whose tokens are taken, besides our own origin's
   * @returns {TokenHost | null}
   */
  static find(origins) {
    const hostWindow = window.parent !== window ? window.parent : window.opener;
    if (!hostWindow || hostWindow.closed || (origins.length === 0 && !isSameOrigin(hostWindow))) {
      return null;
    }
    return new TokenHost(hostWindow, [location.origin, ...origins]);
  }

  /**
   * @param {Window} hostWindow
   * @param {readonly string[]} origins
   */
  constructor(hostWindow, origins) {
    this.#window = hostWindow;
    addEventListener("message", (event) => {
      const { source, origin, data } = event;
      if (source !== hostWindow || !origins.includes(origin) || data?.type !== "tornado-chat:token") {
        return;
      }
      if (typeof data.token === "string" && data.token) {
        this.#origin = origin;
        this.current = data.token;
        this.#tokenListeners.forEach((notify) => notify());
      }
    });
  }

  #window;
  /** Whom we talk to, as soon as it is known. What we say before holds no secret. */
  #origin = "*";
  /** @type {Set<() => void>} */
  #tokenListeners = new Set();

  /** The last token that was posted. */
  current = "";

  /**
   * The first token; empty if none is posted in time.
   *
   * @param {number} timeoutMs milliseconds
   */
  async firstToken(timeoutMs) {
    const timer = setInterval(() => this.#post("ready"), READY_INTERVAL_MS);
    this.#post("ready");
    await this.#nextToken(timeoutMs);
    clearInterval(timer);
    return this.current;
  }

  /**
   * A token that is none of the refused, and valid for some time yet. Empty if there is none.
   *
   * @param {string | undefined} refused
   * @param {number} minValidMs milliseconds
   */
  async token(refused, minValidMs) {
    const isValidFor = (/** @type {number} */ time) =>
      this.current !== refused && readToken(this.current).expiresMs - Date.now() > time;
    if (!this.current || !isValidFor(minValidMs)) {
      this.#post("expired");
      await this.#nextToken(TOKEN_TIMEOUT_MS);
    }
    return isValidFor(0) ? this.current : "";
  }

  /** @param {"ready" | "expired"} what */
  #post(what) {
    this.#window.postMessage({ type: `tornado-chat:${what}` }, this.#origin);
  }

  /**
   * Until a token is posted, or it has taken too long.
   *
   * @param {number} timeoutMs
   */
  #nextToken(timeoutMs) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#tokenListeners.delete(done);
        resolve(undefined);
      };
      const timer = setTimeout(done, timeoutMs);
      this.#tokenListeners.add(done);
    });
  }
}

/** @param {Window} other */
function isSameOrigin(other) {
  try {
    return other.location.origin === location.origin;
  } catch {
    return false; // another origin's
  }
}
