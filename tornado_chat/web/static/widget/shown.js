// @ts-check
/**
 * What this tab remembers of the conversation that it shows, so that a reload goes on with it.
 *
 * @module
 */

import { tabStorage } from "../shared/storage.js";

/** @typedef {{ number: number, read: number, rated: boolean, name: string }} Facts */

export class Shown {
  /** @param {string} key of the tab's storage */
  constructor(key) {
    this.#key = key;
    this.#facts = JSON.parse(tabStorage.getItem(key) ?? "null");
  }

  #key;
  /** @type {Facts | null} */
  #facts;

  /** Which conversation it is. */
  get number() {
    return this.#facts?.number;
  }

  /** How far it was read. */
  get read() {
    return this.#facts?.read ?? 0;
  }

  get rated() {
    return this.#facts?.rated ?? false;
  }

  /** Of the waiter; may be empty. */
  get name() {
    return this.#facts?.name ?? "";
  }

  /** From now on it is this conversation. @param {number} number */
  begin(number) {
    if (number !== this.number) {
      this.#facts = { number, read: 0, rated: false, name: "" };
      this.update({});
    }
  }

  /** @param {Partial<Facts>} facts */
  update(facts) {
    if (this.#facts) {
      Object.assign(this.#facts, facts);
      tabStorage.setItem(this.#key, JSON.stringify(this.#facts));
    }
  }

  forget() {
    this.#facts = null;
    tabStorage.removeItem(this.#key);
  }
}
