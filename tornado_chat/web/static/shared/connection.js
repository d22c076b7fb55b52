// @ts-check
/**
 * A WebSocket that is reopened after each loss, until the server closes it for good.
 *
 * The listener gets every change of the connection's status. The contents of frames belong to the dialects
 * `chat.js`, `support.js` and `receive_only_sockets.js`.
 *
 * @module
 */

import { socketAddressOf } from "./base.js";
import { SignInExpired, tokenExpiryMs } from "./identity.js";
import { parseJson } from "./numbers.js";
import { toJson } from "./well_formed.js";

/**
 * The status of the connection.
 *
 * - `connecting`: a socket is being opened
 * - `open`: the server has accepted the client
 * - `waiting`: no socket; the next attempt is at `retryAtMs`, or when the network is back
 * - `closed`: closed for good; `code` tells why
 *
 * @typedef {object} ConnectionStatus
 * @property {"connecting" | "open" | "waiting" | "closed"} state
 * @property {boolean} wasOpen whether the connection was open at any time before
 * @property {number} [retryAtMs] milliseconds since 1970; undefined without a network
 * @property {number} [code] the WebSocket close code
 * @property {string} [reason]
 */

/**
 * @typedef {object} Dialect
 * @property {(token: string) => string} path path and query of the socket's URL
 * @property {(frame: any) => void} onFrame
 * @property {() => void} [onOpen] the socket is open, but the server has not accepted the client yet
 * @property {() => void} [onAccepted] `markAccepted()` was called for this socket
 * @property {(status: ConnectionStatus) => void} onStatus
 * @property {() => void} [sendProbe] send a frame that the server answers: the socket was silent for too long
 * @property {() => number} [oldestPendingMs] when the oldest unanswered frame was sent, or Infinity
 * @property {(token: string) => void} [sendToken] send a newer token of the same person for this socket
 * @property {(code: number, clean: boolean) => number} [mapCloseCode] the close code by which to continue
 */

/**
 * A function that resolves to a token with enough remaining lifetime (`signin.js`). `refused` is a token that
 * the server refused. It throws `SignInExpired` if there is no other token; any other error means that no
 * token can be had at the moment.
 *
 * `isRenewal`: the token is for the open socket, so the source must not leave the page; it may return the same
 * token.
 *
 * @typedef {(refused?: string, isRenewal?: boolean) => Promise<string>} TokenSource
 */

/**
 * Application close codes after which the socket is reopened. Codes below 4000, except 1000, are always
 * retried.
 */
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
const RENEW_BEFORE_MS = 55_000; // before the token expires; sources return another one by then
const RENEW_RETRY_MS = 20_000;

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
  /** The number of the current attempt: results of earlier attempts are ignored. */
  #attempt = 0;
  /** The tokens that were used last and refused last. */
  #lastToken = "";
  #refusedToken = "";
  /** When a newer token is to be sent on the open socket. */
  #renewAtMs = Infinity;
  #lastFrameMs = 0;
  /** @type {number | undefined} */
  #heardMs;
  /** When the probe was sent, if no frame has arrived since; 0: no probe is pending. */
  #probeSentMs = 0;
  /** @type {number | undefined} */
  #retryTimer;
  /** @type {number | undefined} */
  #watchTimer;

  /** Whether the server has accepted the client on the current socket. */
  get open() {
    return this.#state === "open";
  }

  /** When the server was heard last over an open connection, in milliseconds since 1970; undefined: never. */
  get heardMs() {
    return this.#heardMs;
  }

  start() {
    void this.#connect();
  }

  /** Make the next attempt now. */
  retry() {
    if (this.#state === "waiting") {
      void this.#connect();
    }
  }

  /**
   * Start to send frames. The dialect calls this once for each socket, when the server has accepted the
   * client.
   */
  markAccepted() {
    this.#failures = 0;
    this.#heardMs = Date.now();
    this.#setState("open");
    this.#wasOpen = true;
    this.#dialect.onAccepted?.();
  }

  /**
   * Send a frame. Return whether it was sent.
   *
   * @param {object} frame
   * @param {boolean} [beforeAccepted] send even before the server has accepted the client
   */
  send(frame, beforeAccepted = false) {
    if ((this.open || beforeAccepted) && this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(toJson(frame));
      return true;
    }
    return false;
  }

  /**
   * Close the socket; `Dialect.mapCloseCode` decides whether it is reopened.
   *
   * @param {number} code
   * @param {string} reason
   */
  close(code, reason) {
    this.#socket?.close(code, reason);
  }

  /** Close the connection for good, without a status change. */
  stop() {
    this.#stopped.abort();
    this.#discardSocket();
    this.#state = "closed";
  }

  /** Drop the socket without waiting for the other end, which may be unreachable. */
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
        // no token at the moment is treated like no network
        this.#handleCloseCode(isExpired ? CLOSE_UNAUTHENTICATED : CLOSE_ABNORMAL, "");
      }
      return;
    }
    if (attempt !== this.#attempt || this.#state !== "connecting") {
      return;
    }
    this.#useToken(token);
    const socket = new WebSocket(socketAddressOf(this.#dialect.path(token)));
    this.#socket = socket;
    this.#lastFrameMs = Date.now();
    this.#probeSentMs = 0;
    socket.onopen = () => this.#dialect.onOpen?.();
    socket.onmessage = (event) => {
      this.#lastFrameMs = Date.now();
      if (this.open) {
        this.#heardMs = this.#lastFrameMs;
      }
      this.#probeSentMs = 0;
      this.#dialect.onFrame(parseJson(event.data));
    };
    socket.onclose = (event) => this.#onClose(event.code, event.reason, event.wasClean);
    clearInterval(this.#watchTimer);
    this.#watchTimer = setInterval(() => this.#checkLiveness(), WATCH_INTERVAL_MS);
  }

  /** @param {string} token */
  #useToken(token) {
    this.#lastToken = token;
    this.#renewAtMs = tokenExpiryMs(token) - RENEW_BEFORE_MS;
  }

  /** Send a newer token before the one of the open socket expires: the server closes the socket then. */
  async #renewIfDue() {
    if (!this.open || !this.#dialect.sendToken || Date.now() < this.#renewAtMs) {
      return;
    }
    this.#renewAtMs = Date.now() + RENEW_RETRY_MS;
    const attempt = this.#attempt;
    const token = await this.#token("", true).catch(() => this.#lastToken);
    if (attempt === this.#attempt && this.open && token !== this.#lastToken) {
      this.#useToken(token);
      this.#dialect.sendToken(token);
    }
  }

  /**
   * Drop a connection that died silently, of which the browser does not tell.
   *
   * In background windows this runs only once a minute. Silence alone therefore proves nothing: a probe must
   * have been sent, and its timeout must have passed.
   */
  #checkLiveness() {
    void this.#renewIfDue();
    const now = Date.now();
    if (now < this.#lastFrameMs) {
      // The clock was set back: measure the silence from now on, or it would not be noticed for as long.
      this.#lastFrameMs = now;
      this.#probeSentMs &&= now;
    }
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

  /** Ask for another token after the server has refused one. @param {string} reason */
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

  /** @param {number} code the close code of the lost socket */
  #scheduleRetry(code) {
    const ceilingMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
    this.#failures += 1;
    const delayMs = (MIN_RETRY_MS_BY_CODE.get(code) ?? 0) + ceilingMs * (0.5 + Math.random() / 2);
    if (navigator.onLine) {
      this.#retryTimer = setTimeout(() => void this.#connect(), delayMs);
      this.#setState("waiting", { retryAtMs: Date.now() + delayMs });
    } else {
      this.#setState("waiting"); // the `online` event continues
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
