// @ts-check
/**
 * Requests to the server's HTTP API, with the person's token.
 *
 * @module
 */

import { addressOf } from "./base.js";
import { parseJson } from "./numbers.js";
import { language, text } from "./strings.js";
import { toJson } from "./well_formed.js";

/** @typedef {import("./connection.js").TokenSource} TokenSource */

/**
 * @typedef {object} ApiRequest
 * @property {object} [body] sent by POST
 * @property {boolean} [keepalive] whether the request is completed when the page is left
 */

const FETCH_TIMEOUT_MS = 15_000;
const PAGE_ITEMS = 500; // the server's maximum
const HTTP_UNAUTHENTICATED = 401;

/** A request failed; the message is shown to the person. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} [status] the HTTP status; 0: no answer
   */
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }

  /** Whether the request may succeed later. */
  get isTransient() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Every method throws `ApiError`. */
export class ApiClient {
  /** @param {TokenSource} token */
  constructor(token) {
    this.#token = token;
  }

  #token;

  /**
   * Request a resource below `/api/v1`, once more with a newer token if the first one was refused.
   *
   * @param {string} path
   * @param {ApiRequest} [request]
   * @returns {Promise<any>}
   */
  async request(path, request = {}) {
    /** @type {Response} */
    let response;
    try {
      const token = await this.#token();
      response = await fetchWith(token, path, request);
      if (response.status === HTTP_UNAUTHENTICATED) {
        const newToken = await this.#token(token);
        response = newToken === token ? response : await fetchWith(newToken, path, request);
      }
    } catch {
      throw new ApiError(text("failed_network"));
    }
    if (!response.ok) {
      const problem = await response.json().catch(() => ({}));
      const reason = problem.detail || problem.title || response.status;
      throw new ApiError(text("failed", { reason }), response.status);
    }
    const answer = await response.text().catch(() => {
      throw new ApiError(text("failed_network")); // the connection was lost during the answer
    });
    return parseJson(answer);
  }

  /**
   * Request all pages of a list that is read by sequence numbers.
   *
   * @param {string} path
   * @param {number} after the sequence number before the first item
   * @returns {Promise<any[]>}
   */
  async requestAll(path, after) {
    const items = [];
    for (let next = after; ;) {
      const page = await this.request(`${path}?after=${next}&limit=${PAGE_ITEMS}`);
      items.push(...page.items);
      if (page.next === null) {
        return items;
      }
      next = page.next;
    }
  }
}

/**
 * Return the headers of a request: the person's token, and the language in which errors are explained.
 *
 * @param {string} token
 */
export function requestHeaders(token) {
  return { Authorization: `Bearer ${token}`, "Accept-Language": language };
}

/**
 * @param {string} token
 * @param {string} path
 * @param {ApiRequest} request
 */
function fetchWith(token, path, { body, keepalive = false }) {
  return fetch(addressOf(`/api/v1${path}`), {
    method: body ? "POST" : "GET",
    headers: requestHeaders(token),
    body: body && toJson(body),
    keepalive,
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  });
}
