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

export class Host {
  /**
   * The host, if there is a window that may be one.
   *
   * @param {readonly string[]} origins whose tokens are taken, besides our own origin's
   * @returns {Host | null}
   */
  static find(origins) {
    const other = window.parent !== window ? window.parent : window.opener;
    if (!other || other.closed || (origins.length === 0 && !isOurs(other))) {
      return null;
    }
    return new Host(other, [location.origin, ...origins]);
  }

  /**
   * @param {Window} other
   * @param {readonly string[]} origins
   */
  constructor(other, origins) {
    this.#other = other;
    addEventListener("message", (event) => {
      const { source, origin, data } = event;
      if (source !== other || !origins.includes(origin) || data?.type !== "tornado-chat:token") {
        return;
      }
      if (typeof data.token === "string" && data.token) {
        this.#origin = origin;
        this.current = data.token;
        this.#heard.forEach((tell) => tell());
      }
    });
  }

  #other;
  /** Whom we talk to, as soon as it is known. What we say before holds no secret. */
  #origin = "*";
  /** @type {Set<() => void>} */
  #heard = new Set();

  /** The last token that was posted. */
  current = "";

  /**
   * The first token; empty if none is posted in time.
   *
   * @param {number} time milliseconds
   */
  async first(time) {
    const again = setInterval(() => this.#say("ready"), READY_INTERVAL_MS);
    this.#say("ready");
    await this.#news(time);
    clearInterval(again);
    return this.current;
  }

  /**
   * A token that is none of the refused, and valid for some time yet. Empty if there is none.
   *
   * @param {string | undefined} refused
   * @param {number} enough milliseconds
   */
  async token(refused, enough) {
    const lasts = (/** @type {number} */ time) =>
      this.current !== refused && readToken(this.current).expires - Date.now() > time;
    if (!this.current || !lasts(enough)) {
      this.#say("expired");
      await this.#news(TOKEN_TIMEOUT_MS);
    }
    return lasts(0) ? this.current : "";
  }

  /** @param {"ready" | "expired"} what */
  #say(what) {
    this.#other.postMessage({ type: `tornado-chat:${what}` }, this.#origin);
  }

  /**
   * Until a token is posted, or it has taken too long.
   *
   * @param {number} time
   */
  #news(time) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#heard.delete(done);
        resolve(undefined);
      };
      const timer = setTimeout(done, time);
      this.#heard.add(done);
    });
  }
}

/** @param {Window} other */
function isOurs(other) {
  try {
    return other.location.origin === location.origin;
  } catch {
    return false; // another origin's
  }
}
