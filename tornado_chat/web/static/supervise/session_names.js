// @ts-check
/**
 * The names of the participants of sessions and the ends of sessions, as far as the person may read them:
 * requested once, shared by all views. The page asks again for sessions that may have ended meanwhile.
 *
 * @module
 */

import { guestName } from "../shared/guest_names.js";
import { text } from "../shared/strings.js";
import { ApiError } from "./api.js";

/** @typedef {import("./api.js").SupervisionApi} SupervisionApi */
/** @typedef {import("./api.js").Session} Session */

/** @typedef {{ visitor: string, consultant: string }} Names */

/**
 * The end of a session: the server time, and whether the session was cancelled before it began.
 *
 * @typedef {{ time: string, cancelled: boolean }} SessionEnd
 */

export class SessionNames {
  /**
   * @param {SupervisionApi} api
   * @param {() => void} onChange
   */
  constructor(api, onChange) {
    this.#api = api;
    this.#onChange = onChange;
  }

  #api;
  #onChange;
  /** Null: unknown, or not loaded yet. @type {Map<string, Names | null>} */
  #names = new Map();
  /** @type {Map<string, SessionEnd>} */
  #ends = new Map();
  /** Sessions that the person may not read. @type {Set<string>} */
  #refused = new Set();

  /**
   * @param {string} session
   * @returns {Names | null}
   */
  get(session) {
    if (!this.#names.has(session)) {
      this.#names.set(session, null);
      void this.#request(session);
    }
    return this.#names.get(session) ?? null;
  }

  /** The end of the session, if it is known to have ended. @param {string} session */
  endOf(session) {
    return this.#ends.get(session);
  }

  /** Request sessions again that are not known to have ended. @param {Iterable<string>} sessions */
  recheck(sessions) {
    for (const session of new Set(sessions)) {
      if (!this.#ends.has(session) && !this.#refused.has(session)) {
        void this.#request(session);
      }
    }
  }

  /** @param {Session} session */
  update(session) {
    const names = this.#namesForCalls(session);
    const number = session.session_id;
    const before = this.#names.get(number);
    const hasEnded = session.ended !== null && !this.#ends.has(number);
    if (session.ended !== null) {
      this.#ends.set(number, { time: session.ended, cancelled: session.state === "cancelled" });
    }
    if (hasEnded || before?.visitor !== names.visitor || before?.consultant !== names.consultant) {
      this.#names.set(number, names);
      this.#onChange();
    }
  }

  /**
   * The names for calls and records: after a take-over the person that has called, and not the supervisor.
   *
   * @param {Session} session
   * @returns {Names}
   */
  #namesForCalls(session) {
    const names = namesOf(session);
    const before = this.#names.get(session.session_id);
    return before && isTakenOver(session) ? { ...names, consultant: before.consultant } : names;
  }

  /** @param {string} session */
  async #request(session) {
    try {
      this.update(await this.#api.getSession(session));
    } catch (error) {
      if (error instanceof ApiError && !error.isTransient) {
        this.#refused.add(session);
      }
      // The number is shown instead of names; observing the session requests it again.
    }
  }
}

/** Whether a supervisor or administrator is the agent. @param {Session} session */
export function isTakenOver(session) {
  return ["supervisor", "admin"].includes(session.agent?.role ?? "");
}

/** @param {Session} session @returns {Names} */
export function namesOf(session) {
  const id = session.consultant_id ?? session.agent?.id ?? "";
  return {
    visitor: session.user_name || guestName(session.user_id) || text("visitor_id", { id: session.user_id }),
    consultant: session.consultant_name || session.agent?.name || (id && text("consultant_id", { id })),
  };
}
