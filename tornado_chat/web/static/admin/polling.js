// @ts-check
/**
 * Asks for `GET /api/v1/status` again and again, as long as somebody looks.
 *
 * @module
 */

/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */

/** @typedef {{ role: string, id: number | string, present: boolean }} Participant */
/** @typedef {{ kind: string, id: number, state: string, since: string, seconds: number, people: Participant[] }} Talk */
/** @typedef {{ states: Record<string, number>, items: Talk[] }} Talks */
/** @typedef {{ conversation: number, id: number | string, since: string, seconds: number }} Waiting */
/**
 * @typedef {{ id: number | string, name: string | null, state: string, conversations: number, capacity: number,
 *   since: string, seconds: number }} Waiter
 */
/**
 * @typedef {{ name: string, version: string, state: string, calls: number, failures: number, seconds: number,
 *   suspended_for: number }} Plugin
 */
/**
 * @typedef {{ step: number, time: number[], sockets: number[], line: number[], longest_wait: number[],
 *   received: number[], delivered: number[], p50: (number | null)[], p99: (number | null)[],
 *   lag: number[] }} History
 */
/**
 * The server at one moment, as `docs/monitoring.md` has it.
 *
 * @typedef {object} Status
 * @property {string} time
 * @property {Record<string, string>} problems
 * @property {Record<string, number>} sockets
 * @property {{ length: number, longest_wait: number, first: Waiting[] }} line
 * @property {{ states: Record<string, number>, items: Waiter[] }} waiters
 * @property {Talks} conversations
 * @property {Talks} rooms
 * @property {{ received: number, delivered: number, p50: number | null, p99: number | null }} messages
 * @property {History} history
 * @property {Plugin[]} plugins
 * @property {{ kind: string, bytes: number | null, last_commit: string | null, backlog: number,
 *   errors: number }} database
 * @property {{ pid: number, version: string, python: string, started: string, uptime: number,
 *   memory: number | null, loop_lag: number }} process
 */

/**
 * @typedef {object} Listener
 * @property {(status: Status) => void} got
 * @property {(reason: string) => void} missed no answer, or one that is none; the server's words, if it had any
 * @property {(error: unknown) => void} over nobody is signed in any more, or not the right one: no more polling
 */

const POLL_INTERVAL_MS = 2_000;
const FETCH_TIMEOUT_MS = 8_000;
const HTTP_UNAUTHENTICATED = 401;
const HTTP_FORBIDDEN = 403;

/** Who is here may not see it. */
export class Forbidden extends Error {}

export class Polling {
  /**
   * @param {TokenSource} token
   * @param {Listener} listener
   * @param {(error: unknown) => boolean} isOver whether what `token` threw means that there will be none
   */
  constructor(token, listener, isOver) {
    this.#token = token;
    this.#listener = listener;
    this.#isOver = isOver;
  }

  #token;
  #listener;
  #isOver;
  /** @type {number | undefined} */
  #timer;
  #asking = false;
  #over = false;

  start() {
    document.addEventListener("visibilitychange", () => this.#now());
    addEventListener("online", () => this.#now());
    this.#now();
  }

  #now() {
    clearTimeout(this.#timer);
    if (!document.hidden && !this.#asking && !this.#over) {
      void this.#poll();
    }
  }

  async #poll() {
    this.#asking = true;
    const began = Date.now();
    try {
      const token = await this.#token();
      let answer = await ask(token);
      if (answer.status === HTTP_UNAUTHENTICATED) {
        answer = await ask(await this.#token(token));
      }
      if (answer.status === HTTP_FORBIDDEN) {
        throw new Forbidden();
      }
      if (answer.ok) {
        this.#listener.got(await answer.json());
      } else {
        const problem = await answer.json().catch(() => ({})); // a proxy's page is none
        this.#listener.missed(String(problem.detail ?? answer.status));
      }
    } catch (error) {
      if (error instanceof Forbidden || this.#isOver(error)) {
        this.#over = true;
        this.#listener.over(error);
        return;
      }
      this.#listener.missed("");
    } finally {
      this.#asking = false;
    }
    this.#timer = setTimeout(() => this.#now(), Math.max(0, began + POLL_INTERVAL_MS - Date.now()));
  }
}

/** @param {string} token */
function ask(token) {
  return fetch("/api/v1/status", {
    headers: { Authorization: `Bearer ${token}` },
    cache: "no-store",
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  });
}
