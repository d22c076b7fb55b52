// @ts-check
/**
 * One session that is listened to: who is in it, how it stands, what is said, and its end.
 *
 * @module
 */

import { ObserveSocket } from "../shared/following.js";
import { Failed } from "./api.js";
import { Lines } from "./lines.js";

/** @typedef {import("../shared/connection.js").Standing} Standing */
/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./api.js").Session} Session */
/** @typedef {import("./lines.js").Reader} Reader */

/**
 * @typedef {object} WatchedListener
 * @property {(standing: Standing) => void} standing of the socket; `closed` with 1000 or 4409 is followed by `ended`
 * @property {(session: Session) => void} session what the API knows; not told if one may not read it
 * @property {(present: { user: boolean, consultant: boolean } | null) => void} presence null: not known
 * @property {() => void} ended
 */

/** The close codes after which a session is over. */
const ENDED_CLOSE_CODES = new Set([1000, 4409]);
const OPEN_STATES = new Set(["ready", "active"]);
const END_POLL_INTERVAL_MS = 500;
const END_POLL_MAX_ATTEMPTS = 20;

export class Watched {
  /**
   * @param {number} session
   * @param {TokenSource} token
   * @param {Api} api
   * @param {WatchedListener & Reader} listener
   */
  constructor(session, token, api, listener) {
    this.#session = session;
    this.#api = api;
    this.#listener = listener;
    this.#lines = new Lines((after) => api.lines(session, after), listener);
    this.#socket = new ObserveSocket(token, session, {
      standing: (standing) => this.#standing(standing),
      admitted: () => {
        void this.#lines.complete();
        void this.#look();
      },
      line: (line) => this.#lines.said(line),
      presence: ({ user = false, consultant = false }) => {
        listener.presence({ user, consultant });
        void this.#look(); // the second one to come starts the session
      },
      ended: () => {}, // the close says so, too
    });
  }

  #session;
  #api;
  #listener;
  #lines;
  #socket;
  #stopped = false;

  start() {
    this.#socket.start();
  }

  retry() {
    this.#socket.retry();
  }

  stop() {
    this.#stopped = true;
    this.#socket.stop();
    this.#lines.stop();
  }

  /** @param {Standing} standing */
  #standing(standing) {
    this.#listener.standing(standing);
    if (standing.state !== "open") {
      this.#listener.presence(null);
    }
    if (standing.state === "closed" && ENDED_CLOSE_CODES.has(standing.code ?? 0)) {
      void this.#end();
    }
  }

  async #end() {
    this.#listener.ended();
    // The end is stored after the last words; whoever knows it has all of them.
    for (let attempt = 0; attempt < END_POLL_MAX_ATTEMPTS && !this.#stopped; attempt += 1) {
      const session = await this.#look();
      if (session === null || (session && !OPEN_STATES.has(session.state))) {
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, END_POLL_INTERVAL_MS));
    }
    void this.#lines.complete();
  }

  /** @returns {Promise<Session | null | undefined>} null: one may not; undefined: not now */
  async #look() {
    try {
      const session = await this.#api.session(this.#session);
      if (!this.#stopped) {
        this.#listener.session(session);
      }
      return session;
    } catch (error) {
      return error instanceof Failed && error.passing ? undefined : null;
    }
  }
}
