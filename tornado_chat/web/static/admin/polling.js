// @ts-check
/**
 * Polls `GET /api/v1/status` while the page is visible.
 *
 * @module
 */

import { requestHeaders } from "../shared/api_client.js";
import { addressOf } from "../shared/base.js";

/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */

/** @typedef {{ role: string, id: string, name: string | null, present: boolean }} Participant */
/**
 * @typedef
 *   {{ kind: string, id: string, state: string, since: string, seconds: number, people: Participant[] }}
 *   ConversationRow
 */
/** @typedef {{ states: Record<string, number>, items: ConversationRow[] }} ConversationRows */
/**
 * @typedef
 *   {{ conversation: string, id: string, name: string | null, since: string, seconds: number, group?: string }}
 *   WaitingRow
 */
/**
 * @typedef
 *   {{ id: string, name: string | null, state: string, conversations: number, capacity: number,
 *   since: string, seconds: number, role?: string, groups?: string[] }} WaiterRow
 */
/**
 * `serving`: the agents of the group, of whom `free` could take a user now.
 *
 * @typedef
 *   {{ name: string, waiting: number, longest_wait: number, serving: number, free: number,
 *   conversations: number, expected_wait?: number | null }} GroupRow
 */
/**
 * @typedef {{ name: string, version: string, state: string, calls: number, failures: number, seconds: number,
 *   suspended_for: number }} PluginRow
 */
/**
 * @typedef {{ step: number, time: number[], sockets: number[], line: number[], longest_wait: number[],
 *   received: number[], delivered: number[], p50: (number | null)[], p99: (number | null)[],
 *   lag: number[] }} History
 */
/**
 * The state of the server, as described in `docs/monitoring.md`.
 *
 * @typedef {object} Status
 * @property {string} time
 * @property {Record<string, string>} problems
 * @property {string[]} [degraded] the problems that do not prevent serving
 * @property {Record<string, number>} sockets
 * @property {{ length: number, longest_wait: number, first: WaitingRow[] }} line
 * @property {{ states: Record<string, number>, items: WaiterRow[] }} waiters
 * @property {GroupRow[]} [groups] undefined from a server without groups
 * @property {ConversationRows} conversations
 * @property {ConversationRows} rooms
 * @property {{ received: number, delivered: number, p50: number | null, p99: number | null }} messages
 * @property {History} history
 * @property {PluginRow[]} plugins
 * @property {{ kind: string, bytes: number | null, last_commit: string | null, backlog: number,
 *   errors: number }} database
 * @property {{ pid: number, version: string, python: string, started: string, uptime: number,
 *   memory: number | null, loop_lag: number }} process
 */

/**
 * @typedef {object} StatusListener
 * @property {(status: Status) => void} onStatus
 * @property {(reason: string) => void} onFailure no answer or an error; `reason` is the server's message, if
 *   there is one
 * @property {(error: unknown) => void} onSignedOut the person is signed out or has another role; polling has
 *   stopped
 */

const POLL_INTERVAL_MS = 2_000;
const FETCH_TIMEOUT_MS = 8_000;
const HTTP_UNAUTHENTICATED = 401;
const HTTP_FORBIDDEN = 403;

/** The person may not read the status. */
export class Forbidden extends Error {}

export class StatusPoller {
  /**
   * @param {TokenSource} token
   * @param {StatusListener} listener
   * @param {(error: unknown) => boolean} isSignedOut whether an error of `token` means that there will be no
   *   token
   */
  constructor(token, listener, isSignedOut) {
    this.#token = token;
    this.#listener = listener;
    this.#isSignedOut = isSignedOut;
  }

  #token;
  #listener;
  #isSignedOut;
  /** @type {number | undefined} */
  #timer;
  #isPolling = false;
  #isStopped = false;

  start() {
    document.addEventListener("visibilitychange", () => this.#pollNow());
    addEventListener("online", () => this.#pollNow());
    this.#pollNow();
  }

  #pollNow() {
    clearTimeout(this.#timer);
    if (!document.hidden && !this.#isPolling && !this.#isStopped) {
      void this.#poll();
    }
  }

  async #poll() {
    this.#isPolling = true;
    const startMs = Date.now();
    try {
      const token = await this.#token();
      let response = await requestStatus(token);
      if (response.status === HTTP_UNAUTHENTICATED) {
        response = await requestStatus(await this.#token(token));
      }
      if (response.status === HTTP_FORBIDDEN) {
        throw new Forbidden();
      }
      if (response.ok) {
        this.#listener.onStatus(await response.json());
      } else {
        const problem = await response.json().catch(() => ({})); // the error page of a proxy is not JSON
        this.#listener.onFailure(String(problem.detail ?? response.status));
      }
    } catch (error) {
      if (error instanceof Forbidden || this.#isSignedOut(error)) {
        this.#isStopped = true;
        this.#listener.onSignedOut(error);
        return;
      }
      this.#listener.onFailure("");
    } finally {
      this.#isPolling = false;
    }
    this.#timer = setTimeout(() => this.#pollNow(), Math.max(0, startMs + POLL_INTERVAL_MS - Date.now()));
  }
}

/** @param {string} token */
function requestStatus(token) {
  return fetch(addressOf("/api/v1/status"), {
    headers: requestHeaders(token),
    cache: "no-store",
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  });
}
