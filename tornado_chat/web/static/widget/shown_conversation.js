// @ts-check
/**
 * What this tab stores about the shown conversation, so that a reload continues with it.
 *
 * @module
 */

import { tabStorage } from "../shared/storage.js";

/**
 * `served`: whether an agent has come; undefined in what an earlier version has stored.
 *
 * @typedef {{ number: number, read: number, rated: boolean, name: string, served?: boolean }}
 *   StoredConversation
 */

const MAX_EARLIER = 5; // conversations before the shown one

export class ShownConversation {
  /** @param {string} key a key of the tab's storage */
  constructor(key) {
    this.#key = key;
    this.#stored = JSON.parse(tabStorage.getItem(key) ?? "null");
    this.#earlier = JSON.parse(tabStorage.getItem(`${key}:earlier`) ?? "[]");
  }

  #key;
  /** @type {StoredConversation | null} */
  #stored;
  /** @type {number[]} */
  #earlier;

  /** The number of the conversation. */
  get number() {
    return this.#stored?.number;
  }

  /** The numbers of the conversations that this tab has shown before, the oldest first. */
  get earlier() {
    return this.#earlier;
  }

  /** The sequence number up to which it was read. */
  get read() {
    return this.#stored?.read ?? 0;
  }

  get rated() {
    return this.#stored?.rated ?? false;
  }

  /** Whether an agent has come. */
  get served() {
    return this.#stored?.served ?? true;
  }

  /** The agent's name; may be empty. */
  get name() {
    return this.#stored?.name ?? "";
  }

  /** Store another conversation. @param {number} number */
  begin(number) {
    if (number !== this.number) {
      this.fold();
      this.#stored = { number, read: 0, rated: false, name: "", served: false };
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

  /** Put the conversation among the earlier ones. */
  fold() {
    if (this.number !== undefined) {
      this.#earlier = [...this.#earlier, this.number].slice(-MAX_EARLIER);
      tabStorage.setItem(`${this.#key}:earlier`, JSON.stringify(this.#earlier));
      this.clear();
    }
  }

  clear() {
    this.#stored = null;
    tabStorage.removeItem(this.#key);
  }
}
