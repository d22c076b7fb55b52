// @ts-check
/**
 * An observed session: its participants, its state, its messages and its end.
 *
 * @module
 */

import { ObserveSocket } from "../shared/receive_only_sockets.js";
import { ApiError } from "./api.js";
import { isSupport, numberOf } from "./conversation_key.js";
import { SessionMessages } from "./session_messages.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("./api.js").SupervisionApi} SupervisionApi */
/** @typedef {import("./api.js").Session} Session */
/** @typedef {import("./session_messages.js").SessionMessagesListener} SessionMessagesListener */

/**
 * @typedef {object} ObservedSessionListener
 * @property {(status: ConnectionStatus) => void} onStatus the socket's status; `onEnd` follows `closed` with
 *   1000 or 4409
 * @property {(session: Session) => void} onSession the API's description; not called if the person may not
 *   read it
 * @property {(present: { user: boolean, consultant: boolean } | null) => void} onPresence null: unknown
 * @property {() => void} onEnd
 * @property {() => void} onAccepted the socket is open
 * @property {(part: "supervisor" | "agent" | null) => void} onPart
 * @property {(id: string) => void} onStored
 * @property {(words: string, id: string | undefined) => void} onRefused
 */

/** Close codes after which a session has ended. */
const ENDED_CLOSE_CODES = new Set([1000, 4409]);
const OPEN_STATES = new Set(["ready", "active"]);
const END_POLL_INTERVAL_MS = 500;
const END_POLL_MAX_ATTEMPTS = 20;

export class ObservedSession {
  /**
   * @param {string} session
   * @param {TokenSource} token
   * @param {SupervisionApi} api
   * @param {ObservedSessionListener & SessionMessagesListener} listener
   */
  constructor(session, token, api, listener) {
    this.#session = session;
    this.#api = api;
    this.#listener = listener;
    this.#messages = new SessionMessages((after) => api.getMessages(session, after), listener);
    const conversation = { [isSupport(session) ? "conversationId" : "sessionId"]: numberOf(session) };
    this.#socket = new ObserveSocket(token, conversation, {
      onPart: (part) => {
        listener.onPart(part);
        void this.#loadSession(); // it has another agent
      },
      onStored: (id) => listener.onStored(id),
      onRefused: (words, id) => listener.onRefused(words, id),
      onStatus: (status) => this.#onStatus(status),
      onAccepted: () => {
        void this.#messages.resync();
        void this.#loadSession();
        listener.onAccepted();
      },
      onMessage: (message) => this.#messages.receive(message),
      onPresence: ({ user = false, ...agents }) => {
        listener.onPresence({ user, consultant: Object.values(agents).some(Boolean) });
        void this.#loadSession(); // the second participant starts the session
      },
      onEnd: () => {}, // the close code says so, too
    });
  }

  #session;
  #api;
  #listener;
  #messages;
  #socket;
  #stopped = false;

  start() {
    this.#socket.start();
  }

  retry() {
    this.#socket.retry();
  }

  /** @param {{ msg: string, id: string }} frame */
  say(frame) {
    return this.#socket.say(frame);
  }

  stop() {
    this.#stopped = true;
    this.#socket.stop();
    this.#messages.stop();
  }

  /** @param {ConnectionStatus} status */
  #onStatus(status) {
    this.#listener.onStatus(status);
    if (status.state !== "open") {
      this.#listener.onPresence(null);
    }
    if (status.state === "closed" && ENDED_CLOSE_CODES.has(status.code ?? 0)) {
      void this.#onEnd();
    }
  }

  async #onEnd() {
    this.#listener.onEnd();
    // The end is stored after the last message: once it is visible, all messages are.
    for (let attempt = 0; attempt < END_POLL_MAX_ATTEMPTS && !this.#stopped; attempt += 1) {
      const session = await this.#loadSession();
      if (session === null || (session && !OPEN_STATES.has(session.state))) {
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, END_POLL_INTERVAL_MS));
    }
    void this.#messages.resync();
  }

  /**
   * @returns {Promise<Session | null | undefined>} null: the person may not read it; undefined: no answer at
   *   the moment
   */
  async #loadSession() {
    try {
      const session = await this.#api.getSession(this.#session);
      if (!this.#stopped) {
        this.#listener.onSession(session);
      }
      return session;
    } catch (error) {
      return error instanceof ApiError && error.isTransient ? undefined : null;
    }
  }
}
