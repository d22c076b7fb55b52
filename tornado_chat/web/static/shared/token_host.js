// @ts-check
/**
 * The host page that frames or opened this page, and posts tokens to it.
 *
 * This page posts `{type: "tornado-chat:ready"}` until the host answers, and `{type: "tornado-chat:expired"}`
 * when it needs another token. The host posts `{type: "tornado-chat:token", token}`, then or at any time.
 *
 * @module
 */

import { readToken } from "./identity.js";

const READY_INTERVAL_MS = 500; // the host may still be loading
const TOKEN_TIMEOUT_MS = 10_000;

export class TokenHost {
  /**
   * Return the host, if there is a window that can be one.
   *
   * @param {readonly string[]} origins the origins whose tokens are accepted, besides the server's own
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
  /** The target origin of messages, once it is known. Messages that are posted before contain no secrets. */
  #origin = "*";
  /** @type {Set<() => void>} */
  #tokenListeners = new Set();

  /** The last token that was posted. */
  current = "";

  /**
   * Return the first token; empty if none is posted in time.
   *
   * @param {number} timeoutMs
   */
  async firstToken(timeoutMs) {
    const timer = setInterval(() => this.#post("ready"), READY_INTERVAL_MS);
    this.#post("ready");
    await this.#nextToken(timeoutMs);
    clearInterval(timer);
    return this.current;
  }

  /**
   * Return a token that was not refused and has enough remaining lifetime. Empty if there is none.
   *
   * @param {string | undefined} refused
   * @param {number} minValidMs
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
   * Wait until a token is posted, or the time is over.
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
    return false; // a window of another origin
  }
}
