// @ts-check
/**
 * What this tab remembers of the conversation that it shows, so that a reload goes on with it.
 *
 * @module
 */

import { tabStorage } from "../shared/storage.js";

/** @typedef {{ number: number, read: number, rated: boolean, name: string }} StoredConversation */

export class ShownConversation {
  /** @param {string} key of the tab's storage */
  constructor(key) {
    this.#key = key;
    this.#stored = JSON.parse(tabStorage.getItem(key) ?? "null");
  }

  #key;
  /** @type {StoredConversation | null} */
  #stored;

  /** Which conversation it is. */
  get number() {
    return this.#stored?.number;
  }

  /** How far it was read. */
  get read() {
    return this.#stored?.read ?? 0;
  }

  get rated() {
    return this.#stored?.rated ?? false;
  }

  /** Of the waiter; may be empty. */
  get name() {
    return this.#stored?.name ?? "";
  }

  /** From now on it is this conversation. @param {number} number */
  begin(number) {
    if (number !== this.number) {
      this.#stored = { number, read: 0, rated: false, name: "" };
      this.update({});
    }
  }

  /** @param {Partial<StoredConversation>} changes */
  update(changes) {
    if (this.#stored) {
      Object.assign(this.#stored, changes);
      tabStorage.setItem(this.#key, JSON.stringify(this.#stored));
    }
  }

  clear() {
    this.#stored = null;
    tabStorage.removeItem(this.#key);
  }
}
