// @ts-check
/**
 * What was written and is not known to be stored. It survives a reload, and only in this tab.
 *
 * @module
 */

import { tabStorage } from "./storage.js";

/**
 * @typedef {object} OutboxEntry
 * @property {string} id the same on every attempt, so that the server stores the message once
 * @property {string} text
 * @property {number} [after] the last seq that was known when it was first sent; not sent yet without
 * @property {number} [seq] where the message was seen, though nobody acknowledged it yet
 * @property {number} [conversation] for which it was written, where there can be several
 * @property {string} [refused] why the server did not take it; it waits for its author
 */

/** The unsent messages of one room, in the order of writing. */
export class Outbox {
  /** @param {string} key of the tab's storage */
  constructor(key) {
    this.#key = key;
    /** @type {OutboxEntry[]} */
    this.entries = JSON.parse(tabStorage.getItem(key) ?? "[]");
    // Where a message was seen is this page's knowledge: one that is loaded again has seen nothing yet.
    this.entries.forEach((entry) => delete entry.seq);
  }

  #key;

  /** @param {string} text */
  add(text) {
    const entry = /** @type {OutboxEntry} */ ({ id: newId(), text });
    this.entries.push(entry);
    this.save();
    return entry;
  }

  /** @param {string} id */
  find(id) {
    return this.entries.find((entry) => entry.id === id);
  }

  /** It may be sent once more. @param {string} id */
  retry(id) {
    const entry = this.find(id);
    if (entry) {
      delete entry.refused;
      this.save();
    }
    return entry;
  }

  /** @param {string} id */
  remove(id) {
    this.entries = this.entries.filter((entry) => entry.id !== id);
    this.save();
  }

  /** Call after changing an entry. */
  save() {
    if (this.entries.length) {
      tabStorage.setItem(this.#key, JSON.stringify(this.entries));
    } else {
      tabStorage.removeItem(this.#key);
    }
  }
}

/** An id that nobody else makes. */
export function newId() {
  // Not crypto.randomUUID(): a server tried out over plain HTTP in a local network has none.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
