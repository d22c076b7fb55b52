// @ts-check
/**
 * The page that frames the widget, reached through its `widget.js`: the page sends the identity of its user,
 * and receives the state of the widget.
 *
 * The frame's URL names the page's origin. That is only a claim, but the browser delivers messages to no
 * other origin, and messages from other origins are ignored.
 *
 * @module
 */

/**
 * @typedef {object} Hello
 * @property {boolean} signedIn whether the page has a token, or a function that returns one
 * @property {boolean} guests whether guests are admitted
 * @property {boolean} open whether the panel is open
 * @property {boolean} focus whether the reader has just opened the panel
 * @property {boolean} active whether the panel is open, or a conversation may be going on
 * @property {boolean} forget whether to forget the last guest
 */

/**
 * @typedef {object} HostListener
 * @property {(hello: Hello) => void} onHello called once, first
 * @property {(signedIn: boolean, forget: boolean) => void} onIdentity another person may be signed in
 * @property {() => void} onOpen
 * @property {() => void} onClose
 * @property {() => void} onWake another tab has started a conversation
 */

const TOKEN_TIMEOUT_MS = 20_000; // how long the page may take to provide a token

/** The page cannot provide a token at the moment. */
class TokenUnavailable extends Error {}

export class HostPage {
  /**
   * @param {string} origin the page's origin, from the frame's URL
   * @param {string[]} allowed the allowed origins, "*" for all; the server's CSP enforces the same in the
   *   browser
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
   * Return the token of the person who is signed in to the page; null if no person is.
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
   * @param {boolean} going whether there is a conversation, or a position in the queue
   * @param {number} unread
   */
  postState(going, unread) {
    this.#post({ chat: "state", going, unread });
  }

  /** The server has refused the group that the page names. @param {string} group */
  postUnknownGroup(group) {
    this.#post({ chat: "group", group });
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
