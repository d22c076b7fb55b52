// @ts-check
/**
 * What this tab stores about the shown conversation, so that a reload continues with it.
 *
 * @module
 */

import { tabStorage } from "../shared/storage.js";

/** @typedef {{ number: number, read: number, rated: boolean, name: string }} StoredConversation */

export class ShownConversation {
  /** @param {string} key a key of the tab's storage */
  constructor(key) {
    this.#key = key;
    this.#stored = JSON.parse(tabStorage.getItem(key) ?? "null");
  }

  #key;
  /** @type {StoredConversation | null} */
  #stored;

  /** The number of the conversation. */
  get number() {
    return this.#stored?.number;
  }

  /** The sequence number up to which it was read. */
  get read() {
    return this.#stored?.read ?? 0;
  }

  get rated() {
    return this.#stored?.rated ?? false;
  }

  /** The agent's name; may be empty. */
  get name() {
    return this.#stored?.name ?? "";
  }

  /** Store another conversation. @param {number} number */
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
