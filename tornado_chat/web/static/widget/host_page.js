// @ts-check
/**
 * The page around the frame, through its `widget.js`: who is signed in there, and what it is told.
 *
 * Whose page it is says the address of the frame. That is only a claim, but the browser delivers nothing
 * to any other origin, and nothing from another one is listened to.
 *
 * @module
 */

/**
 * @typedef {object} Hello
 * @property {boolean} signedIn whether the page has a token, or a way to get one
 * @property {boolean} guests whether anybody may come without
 * @property {boolean} open whether the panel is
 * @property {boolean} focus whether the reader has just opened it
 * @property {boolean} active whether it is open, or a conversation may be going on
 * @property {boolean} forget the last guest is to be forgotten
 */

/**
 * @typedef {object} HostListener
 * @property {(hello: Hello) => void} onHello once, at the beginning
 * @property {(signedIn: boolean, forget: boolean) => void} onIdentity somebody else may be signed in
 * @property {() => void} onOpen
 * @property {() => void} onClose
 * @property {() => void} onWake another tab has begun a conversation
 */

const TOKEN_TIMEOUT_MS = 20_000; // milliseconds that a page may take for a token

/** The page cannot say who is signed in right now. */
class TokenUnavailable extends Error {}

export class HostPage {
  /**
   * @param {string} origin of the page, as the address of the frame has it
   * @param {string[]} allowed origins, "*" for all; the server's policy says the same to the browser
   * @param {HostListener} listener
   */
  constructor(origin, allowed, listener) {
    this.#origin = origin;
    this.#listener = listener;
    if (origin === location.origin || allowed.includes("*") || allowed.includes(origin)) {
      addEventListener("message", (event) => {
        if (event.origin === origin && event.source === parent) {
          this.#onMessage(event.data);
        }
      });
      this.#post({ chat: "ready" });
    }
  }

  #origin;
  #listener;
  #lastRequest = 0;
  /** @type {Map<number, { resolve: (token: string | null) => void, reject: (error: Error) => void }>} */
  #requests = new Map();

  /**
   * The token of who is signed in there; null: nobody is.
   *
   * @returns {Promise<string | null>}
   */
  token() {
    const number = (this.#lastRequest += 1);
    return new Promise((resolve, reject) => {
      this.#requests.set(number, { resolve, reject });
      setTimeout(() => this.#requests.delete(number) && reject(new TokenUnavailable()), TOKEN_TIMEOUT_MS);
      this.#post({ chat: "token", number });
    });
  }

  /**
   * @param {boolean} going whether there is a conversation, or a place in the line
   * @param {number} unread
   */
  postState(going, unread) {
    this.#post({ chat: "state", going, unread });
  }

  postForgotten() {
    this.#post({ chat: "forgotten" });
  }

  postClose() {
    this.#post({ chat: "close" });
  }

  /** @param {object} message */
  #post(message) {
    parent.postMessage(message, this.#origin);
  }

  /** @param {any} data */
  #onMessage(data) {
    if (data.chat === "hello") {
      this.#listener.onHello(data);
    } else if (data.chat === "identity") {
      this.#listener.onIdentity(data.signedIn === true, data.forget === true);
    } else if (data.chat === "token") {
      const request = this.#requests.get(data.number);
      this.#requests.delete(data.number);
      if (data.failed) {
        request?.reject(new TokenUnavailable());
      } else {
        request?.resolve(typeof data.token === "string" ? data.token : null);
      }
    } else if (data.chat === "open") {
      this.#listener.onOpen();
    } else if (data.chat === "close") {
      this.#listener.onClose();
    } else if (data.chat === "wake") {
      this.#listener.onWake();
    }
  }
}
