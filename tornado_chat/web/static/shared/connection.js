// @ts-check
/**
 * One WebSocket after the other, until the server says that it is over.
 *
 * Whatever the network does, the listener is told how it stands. What is in a frame is none of this
 * module's business: the dialects are `chat.js`, `support.js` and `following.js`.
 *
 * @module
 */

import { SignInExpired } from "./identity.js";

/**
 * How the connection stands.
 *
 * - `connecting`: a socket is being opened
 * - `open`: let in
 * - `waiting`: there is none; the next attempt is at `retryAt`, or when the network is back
 * - `closed`: for good, for the reason that `code` says
 *
 * @typedef {object} ConnectionStatus
 * @property {"connecting" | "open" | "waiting" | "closed"} state
 * @property {boolean} wasOpen whether it was open before
 * @property {number} [retryAtMs] milliseconds since 1970; none without a network
 * @property {number} [code] of the WebSocket's close
 * @property {string} [reason]
 */

/**
 * @typedef {object} Dialect
 * @property {(token: string) => string} path path and query of the socket
 * @property {(frame: any) => void} onFrame
 * @property {() => void} [onOpen] the socket is there; nobody is let in yet
 * @property {() => void} [onAccepted] let in: `admit()` was called for this socket
 * @property {(status: ConnectionStatus) => void} onStatus
 * @property {() => void} [sendProbe] send something that the server answers: nothing was heard for long
 * @property {() => number} [oldestPendingMs] when the oldest frame without an answer went out, or Infinity
 * @property {(code: number, clean: boolean) => number} [mapCloseCode] the code that a close amounts to
 */

/**
 * A token that is valid for some time yet, of `signin.js`: `refused` is one that the server did not take. It
 * throws `SignInOver` if there is no other; any other error means that none is to be had now.
 *
 * @typedef {(refused?: string) => Promise<string>} TokenSource
 */

/** Closed by these, a socket may be opened again; so it may by all that are not the server's (below 4000). */
const RETRYABLE_CLOSE_CODES = new Set([4408, 4429]);
const CLOSE_NORMAL = 1000;
const CLOSE_ABNORMAL = 1006;
const CLOSE_SERVICE_RESTART = 1012;
const CLOSE_TRY_AGAIN_LATER = 1013;
const CLOSE_UNAUTHENTICATED = 4401;
const CLOSE_RATE_LIMITED = 4429;

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 20_000;
const MIN_RETRY_MS_BY_CODE = new Map([
  [CLOSE_SERVICE_RESTART, 0],
  [CLOSE_TRY_AGAIN_LATER, 5_000],
  [CLOSE_RATE_LIMITED, 10_000],
]);
const ACCEPT_TIMEOUT_MS = 10_000;
const ACK_TIMEOUT_MS = 15_000;
const IDLE_PROBE_MS = 40_000;
const PROBE_TIMEOUT_MS = 10_000;
const WATCH_INTERVAL_MS = 1_000;

export class Connection {
  /**
   * @param {TokenSource} token
   * @param {Dialect} dialect
   */
  constructor(token, dialect) {
    this.#token = token;
    this.#dialect = dialect;
    const options = { signal: this.#stopped.signal };
    addEventListener("online", () => this.retry(), options);
    addEventListener("offline", () => this.drop(), options);
    document.addEventListener("visibilitychange", () => document.hidden || this.retry(), options);
  }

  #token;
  #dialect;
  #stopped = new AbortController();
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ConnectionStatus["state"]} */
  #state = "connecting";
  #wasOpen = false;
  #failures = 0;
  /** The attempt that is under way: what an earlier one still brings is not listened to. */
  #attempt = 0;
  /** The tokens that were given last, and refused last. */
  #lastToken = "";
  #refusedToken = "";
  #lastFrameMs = 0;
  /** When an answer was asked for, since anything was heard; 0: not yet. */
  #probeSentMs = 0;
  /** @type {number | undefined} */
  #retryTimer;
  /** @type {number | undefined} */
  #watchTimer;

  /** Whether somebody is let in at this moment. */
  get open() {
    return this.#state === "open";
  }

  /** Open the first socket. */
  start() {
    void this.#connect();
  }

  /** Do not wait any longer for the next attempt. */
  retry() {
    if (this.#state === "waiting") {
      void this.#connect();
    }
  }

  /** Let in: frames go out from now on. To be called by the dialect, once for each socket. */
  markAccepted() {
    this.#failures = 0;
    this.#setState("open");
    this.#wasOpen = true;
    this.#dialect.onAccepted?.();
  }

  /**
   * Send a frame; before anybody is let in only if `early`. Returns whether it went out.
   *
   * @param {object} frame
   * @param {boolean} [beforeAccepted]
   */
  send(frame, beforeAccepted = false) {
    if ((this.open || beforeAccepted) && this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(frame));
      return true;
    }
    return false;
  }

  /**
   * Close the socket, as its user's word; `Dialect.closing` decides what that amounts to.
   *
   * @param {number} code
   * @param {string} reason
   */
  close(code, reason) {
    this.#socket?.close(code, reason);
  }

  /** Close without a word, for good. */
  stop() {
    this.#stopped.abort();
    this.#discardSocket();
    this.#state = "closed";
  }

  /** Give the socket up without waiting for the other end, which may be out of reach. */
  drop() {
    if (this.#socket && this.#state !== "closed") {
      this.#discardSocket();
      this.#onClose(CLOSE_ABNORMAL, "", false);
    }
  }

  // --- connecting ---

  async #connect() {
    clearTimeout(this.#retryTimer);
    if (!navigator.onLine) {
      this.#setState("waiting");
      return;
    }
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#setState("connecting");
    let token;
    try {
      token = await this.#token(this.#refusedToken);
    } catch (error) {
      if (attempt === this.#attempt && this.#state === "connecting") {
        const isExpired = error instanceof SignInExpired;
        this.#handleCloseCode(isExpired ? CLOSE_UNAUTHENTICATED : CLOSE_ABNORMAL, ""); // no token to be had now is like no network
      }
      return;
    }
    if (attempt !== this.#attempt || this.#state !== "connecting") {
      return;
    }
    this.#lastToken = token;
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}${this.#dialect.path(token)}`);
    this.#socket = socket;
    this.#lastFrameMs = Date.now();
    this.#probeSentMs = 0;
    socket.onopen = () => this.#dialect.onOpen?.();
    socket.onmessage = (event) => {
      this.#lastFrameMs = Date.now();
      this.#probeSentMs = 0;
      this.#dialect.onFrame(JSON.parse(event.data));
    };
    socket.onclose = (event) => this.#onClose(event.code, event.reason, event.wasClean);
    clearInterval(this.#watchTimer);
    this.#watchTimer = setInterval(() => this.#checkLiveness(), WATCH_INTERVAL_MS);
  }

  /**
   * The browser does not tell of a connection that died silently. In windows that nobody looks at this is
   * called once a minute only, so silence alone means nothing: the question must have had its time.
   */
  #checkLiveness() {
    const now = Date.now();
    const silentMs = now - this.#lastFrameMs;
    if (
      (this.#state === "connecting" && silentMs > ACCEPT_TIMEOUT_MS) ||
      (this.#probeSentMs && now - this.#probeSentMs > PROBE_TIMEOUT_MS) ||
      now - (this.#dialect.oldestPendingMs?.() ?? Infinity) > ACK_TIMEOUT_MS
    ) {
      this.drop();
    } else if (silentMs > IDLE_PROBE_MS && !this.#probeSentMs) {
      this.#probeSentMs = now;
      this.#dialect.sendProbe?.();
    }
  }

  #discardSocket() {
    const socket = this.#socket;
    this.#attempt += 1;
    this.#socket = null;
    clearInterval(this.#watchTimer);
    clearTimeout(this.#retryTimer);
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {boolean} clean
   */
  #onClose(code, reason, clean) {
    this.#socket = null;
    clearInterval(this.#watchTimer);
    code = this.#dialect.mapCloseCode?.(code, clean) ?? code;
    if (code === CLOSE_UNAUTHENTICATED) {
      void this.#renewToken(reason);
    } else {
      this.#handleCloseCode(code, reason);
    }
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #handleCloseCode(code, reason) {
    if (code === CLOSE_NORMAL || (code >= 4000 && !RETRYABLE_CLOSE_CODES.has(code))) {
      this.#setState("closed", { code, reason });
    } else {
      this.#scheduleRetry(code);
    }
  }

  /** A token was refused: another one may be had. @param {string} reason */
  async #renewToken(reason) {
    this.#setState("connecting");
    this.#refusedToken = this.#lastToken;
    const attempt = this.#attempt;
    let code = CLOSE_ABNORMAL;
    try {
      if ((await this.#token(this.#refusedToken)) === this.#refusedToken) {
        code = CLOSE_UNAUTHENTICATED;
      }
    } catch (error) {
      code = error instanceof SignInExpired ? CLOSE_UNAUTHENTICATED : CLOSE_ABNORMAL;
    }
    if (attempt === this.#attempt && this.#state === "connecting") {
      this.#handleCloseCode(code, reason);
    }
  }

  /** @param {number} code of the socket that is gone */
  #scheduleRetry(code) {
    const ceilingMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
    this.#failures += 1;
    const delayMs = (MIN_RETRY_MS_BY_CODE.get(code) ?? 0) + ceilingMs * (0.5 + Math.random() / 2);
    if (navigator.onLine) {
      this.#retryTimer = setTimeout(() => void this.#connect(), delayMs);
      this.#setState("waiting", { retryAtMs: Date.now() + delayMs });
    } else {
      this.#setState("waiting"); // the event `online` will go on
    }
  }

  /**
   * @param {ConnectionStatus["state"]} state
   * @param {Partial<ConnectionStatus>} [more]
   */
  #setState(state, more) {
    this.#state = state;
    this.#dialect.onStatus({ state, wasOpen: this.#wasOpen, ...more });
  }
}
