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
 * @property {(hello: Hello) => void} hello once, at the beginning
 * @property {(signedIn: boolean, forget: boolean) => void} identity somebody else may be signed in
 * @property {() => void} open
 * @property {() => void} close
 * @property {() => void} wake another tab has begun a conversation
 */

const TOKEN_TIMEOUT_MS = 20_000; // milliseconds that a page may take for a token

/** The page cannot say who is signed in right now. */
class NoAnswer extends Error {}

export class Host {
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
          this.#hear(event.data);
        }
      });
      this.#tell({ chat: "ready" });
    }
  }

  #origin;
  #listener;
  #questions = 0;
  /** @type {Map<number, { resolve: (token: string | null) => void, reject: (error: Error) => void }>} */
  #asked = new Map();

  /**
   * The token of who is signed in there; null: nobody is.
   *
   * @returns {Promise<string | null>}
   */
  token() {
    const number = (this.#questions += 1);
    return new Promise((resolve, reject) => {
      this.#asked.set(number, { resolve, reject });
      setTimeout(() => this.#asked.delete(number) && reject(new NoAnswer()), TOKEN_TIMEOUT_MS);
      this.#tell({ chat: "token", number });
    });
  }

  /**
   * @param {boolean} going whether there is a conversation, or a place in the line
   * @param {number} unread
   */
  state(going, unread) {
    this.#tell({ chat: "state", going, unread });
  }

  forgotten() {
    this.#tell({ chat: "forgotten" });
  }

  close() {
    this.#tell({ chat: "close" });
  }

  /** @param {object} message */
  #tell(message) {
    parent.postMessage(message, this.#origin);
  }

  /** @param {any} data */
  #hear(data) {
    if (data.chat === "hello") {
      this.#listener.hello(data);
    } else if (data.chat === "identity") {
      this.#listener.identity(data.signedIn === true, data.forget === true);
    } else if (data.chat === "token") {
      const question = this.#asked.get(data.number);
      this.#asked.delete(data.number);
      if (data.failed) {
        question?.reject(new NoAnswer());
      } else {
        question?.resolve(typeof data.token === "string" ? data.token : null);
      }
    } else if (data.chat === "open" || data.chat === "close" || data.chat === "wake") {
      this.#listener[/** @type {"open" | "close" | "wake"} */ (data.chat)]();
    }
  }
}
