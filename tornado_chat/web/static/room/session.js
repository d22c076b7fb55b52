// @ts-check
/**
 * What the HTTP API knows and does of one room.
 *
 * @module
 */

import { text } from "../shared/strings.js";

/** @typedef {import("../shared/token.js").Ticket} Ticket */

/**
 * @typedef {object} Session
 * @property {string | null} [user_name] of a session
 * @property {string | null} [supervisor_name] of a record
 * @property {string | null} consultant_name
 * @property {string} state
 * @property {number | null} rate
 */

/** @typedef {{ seq: number, msg: string, senderType: boolean, time: string }} Line */

const FETCH_TIMEOUT_MS = 15_000;
const OPEN_STATES = new Set(["ready", "active"]);
const END_POLL_MAX_ATTEMPTS = 20;
const END_POLL_INTERVAL_MS = 250;
const DOWNLOAD_URL_LIFETIME_MS = 60_000;
const PAGE_MESSAGES = 500; // the server's most

/** Something did not work; the message is for people. */
export class Failed extends Error {}

/** One room by HTTP. Every method throws `Failed`. */
export class SessionApi {
  /** @param {Ticket} ticket */
  constructor(ticket) {
    this.#ticket = ticket;
  }

  #ticket;

  /** @returns {Promise<Session>} */
  async look() {
    return (await this.#ask("")).json();
  }

  /** Wait until the server has stored the end, which comes after everything that was said. */
  async ended() {
    for (
      let attempt = 0;
      attempt < END_POLL_MAX_ATTEMPTS && OPEN_STATES.has((await this.look()).state);
      attempt += 1
    ) {
      await new Promise((resolve) => setTimeout(resolve, END_POLL_INTERVAL_MS));
    }
  }

  /**
   * Notify a supervisor. Returns the number of the record.
   *
   * @param {string} supervisor
   * @returns {Promise<number>}
   */
  async callSupervisor(supervisor) {
    return (await (await this.#ask("/supervision", { supervisor_id: supervisor })).json()).record_id;
  }

  /**
   * @param {number} rate
   * @param {string} feedback
   */
  async rate(rate, feedback) {
    await this.#ask("/rating", { rate, feedback: feedback || null });
  }

  /**
   * The transcript, handed to the browser as a download.
   *
   * @param {string} format
   */
  async download(format) {
    const answer = await this.#ask(`/export?${new URLSearchParams({ format })}`);
    const address = URL.createObjectURL(await answer.blob());
    const link = document.createElement("a");
    link.href = address;
    link.download = `session-${this.#ticket.session}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), DOWNLOAD_URL_LIFETIME_MS); // the browser may still be asking where to put it
  }

  /**
   * Everything that was said.
   *
   * @returns {Promise<Line[]>}
   */
  async messages() {
    /** @type {Line[]} */
    const lines = [];
    for (let after = 0; ;) {
      const page = await (await this.#ask(`/messages?after=${after}&limit=${PAGE_MESSAGES}`)).json();
      lines.push(...page.items);
      if (page.next === null) {
        return lines;
      }
      after = page.next;
    }
  }

  /**
   * @param {string} path
   * @param {object} [body] asks by POST
   */
  async #ask(path, body) {
    const { token, renew, session, type } = this.#ticket;
    /** @type {Response} */
    let answer;
    try {
      answer = await fetch(`/api/v1/${type === 1 ? "supervisions" : "sessions"}/${session}${path}`, {
        method: body ? "POST" : "GET",
        headers: { Authorization: `Bearer ${renew ? await renew() : token}` },
        body: body && JSON.stringify(body),
        signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
      });
    } catch {
      throw new Failed(text("failed_network"));
    }
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({}));
      throw new Failed(text("failed", { reason: problem.detail || problem.title || answer.status }));
    }
    return answer;
  }
}
