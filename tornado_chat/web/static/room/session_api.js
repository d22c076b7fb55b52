// @ts-check
/**
 * The HTTP API of one room.
 *
 * @module
 */

import { requestHeaders } from "../shared/api_client.js";
import { addressOf } from "../shared/base.js";
import { parseJson } from "../shared/numbers.js";
import { text } from "../shared/strings.js";
import { toJson } from "../shared/well_formed.js";

/** @typedef {import("../shared/room_link.js").RoomLink} RoomLink */

/**
 * @typedef {object} Session
 * @property {string | null} [user_name] of a session
 * @property {string | null} [supervisor_name] of a record
 * @property {string | null} consultant_name
 * @property {string} state
 * @property {number | null} rate
 * @property {Record<string, number>} [received] by role: up to which message it has arrived at the participant
 * @property {Record<string, number>} [read] by role: up to which message the participant has read
 */

/** @typedef {{ seq: number, msg: string, senderType: boolean, time: string }} MessageRow */

const FETCH_TIMEOUT_MS = 15_000;
const OPEN_STATES = new Set(["ready", "active"]);
const END_POLL_MAX_ATTEMPTS = 20;
const END_POLL_INTERVAL_MS = 250;
const DOWNLOAD_URL_LIFETIME_MS = 60_000;
const PAGE_MESSAGES = 500; // the server's maximum

/** A request failed; the message is shown to the person. */
export class ApiError extends Error {}

/** The HTTP API of one room. Every method throws `ApiError`. */
export class SessionApi {
  /** @param {RoomLink} link */
  constructor(link) {
    this.#link = link;
  }

  #link;

  /** @returns {Promise<Session>} */
  async getSession() {
    return this.#requestJson("");
  }

  /** Wait until the server has stored the end, which follows all messages. */
  async waitForEnd() {
    for (
      let attempt = 0;
      attempt < END_POLL_MAX_ATTEMPTS && OPEN_STATES.has((await this.getSession()).state);
      attempt += 1
    ) {
      await new Promise((resolve) => setTimeout(resolve, END_POLL_INTERVAL_MS));
    }
  }

  /**
   * Call a supervisor. Return the number of the supervision record.
   *
   * @param {string} supervisor
   * @returns {Promise<string>}
   */
  async callSupervisor(supervisor) {
    return (await this.#requestJson("/supervision", { supervisor_id: supervisor })).record_id;
  }

  /**
   * @param {number} rate
   * @param {string} feedback
   */
  async rate(rate, feedback) {
    await this.#request("/rating", { rate, feedback: feedback || null });
  }

  /**
   * Download the transcript with the browser.
   *
   * @param {string} format
   */
  async download(format) {
    const response = await this.#request(`/export?${new URLSearchParams({ format })}`);
    const address = URL.createObjectURL(await response.blob());
    const link = document.createElement("a");
    link.href = address;
    link.download = `session-${this.#link.session}.${format}`;
    link.click();
    // the browser may still be asking for a file name
    setTimeout(() => URL.revokeObjectURL(address), DOWNLOAD_URL_LIFETIME_MS);
  }

  /**
   * Return all messages.
   *
   * @returns {Promise<MessageRow[]>}
   */
  async getMessages() {
    /** @type {MessageRow[]} */
    const rows = [];
    for (let after = 0; ;) {
      const page = await this.#requestJson(`/messages?after=${after}&limit=${PAGE_MESSAGES}`);
      rows.push(...page.items);
      if (page.next === null) {
        return rows;
      }
      after = page.next;
    }
  }

  /**
   * @param {string} path
   * @param {object} [body] sent by POST
   */
  async #requestJson(path, body) {
    return parseJson(await (await this.#request(path, body)).text());
  }

  /**
   * @param {string} path
   * @param {object} [body] sent by POST
   */
  async #request(path, body) {
    const { token, renew, session, type } = this.#link;
    /** @type {Response} */
    let response;
    try {
      response = await fetch(
        addressOf(`/api/v1/${type === 1 ? "supervisions" : "sessions"}/${session}${path}`),
        {
          method: body ? "POST" : "GET",
          headers: requestHeaders(renew ? await renew() : token),
          body: body && toJson(body),
          signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
        },
      );
    } catch {
      throw new ApiError(text("failed_network"));
    }
    if (!response.ok) {
      const problem = await response.json().catch(() => ({}));
      throw new ApiError(text("failed", { reason: problem.detail || problem.title || response.status }));
    }
    return response;
  }
}
