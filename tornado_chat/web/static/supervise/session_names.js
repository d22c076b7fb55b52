// @ts-check
/**
 * The names of the participants of sessions, as far as the person may read them: requested once, shared by
 * all views.
 *
 * @module
 */

import { text } from "../shared/strings.js";

/** @typedef {import("./api.js").SupervisionApi} SupervisionApi */
/** @typedef {import("./api.js").Session} Session */

/** @typedef {{ visitor: string, consultant: string }} Names */

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

  /**
   * @param {string} session
   * @returns {Names | null}
   */
  get(session) {
    if (!this.#names.has(session)) {
      this.#names.set(session, null);
      this.#api.getSession(session).then(
        (found) => this.update(found),
        () => {}, // the number is shown instead; observing the session requests it again
      );
    }
    return this.#names.get(session) ?? null;
  }

  /** @param {Session} session */
  update(session) {
    const names = namesOf(session);
    const number = String(session.session_id);
    const before = this.#names.get(number);
    if (before?.visitor !== names.visitor || before?.consultant !== names.consultant) {
      this.#names.set(number, names);
      this.#onChange();
    }
  }
}

/** @param {Session} session @returns {Names} */
export function namesOf(session) {
  return {
    visitor: session.user_name || text("visitor_id", { id: session.user_id }),
    consultant: session.consultant_name || text("consultant_id", { id: session.consultant_id }),
  };
}
