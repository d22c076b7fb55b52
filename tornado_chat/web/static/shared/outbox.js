// @ts-check
/**
 * Messages that are not known to be stored. They survive a reload, but only in this tab.
 *
 * @module
 */

import { tabStorage } from "./storage.js";
import { wellFormed } from "./well_formed.js";

/**
 * @typedef {object} OutboxEntry
 * @property {string} id the same on every attempt, so that the server stores the message once
 * @property {string} text
 * @property {number} [after] the last sequence number that was known when it was first sent; undefined: not
 *   sent yet
 * @property {number} [seq] its sequence number, if it was received back before its acknowledgement
 * @property {number} [conversation] the conversation for which it was written, if there can be several
 * @property {string} [refused] why the server refused it; the author has to act
 * @property {boolean} [judged] whether a supervisor has refused it, so that it cannot be sent again as it is
 */

/** The unsent messages of one room, in the order of writing. */
export class Outbox {
  /** @param {string} key a key of the tab's storage */
  constructor(key) {
    this.#key = key;
    /** @type {OutboxEntry[]} */
    this.entries = JSON.parse(tabStorage.getItem(key) ?? "[]");
    // A reloaded page has not received any message yet, so a stored sequence number is meaningless.
    this.entries.forEach((entry) => delete entry.seq);
    // An earlier version of this page stored texts as they were written.
    this.entries.forEach((entry) => (entry.text = wellFormed(entry.text)));
  }

  #key;

  /** @param {string} text */
  add(text) {
    const entry = /** @type {OutboxEntry} */ ({ id: newId(), text: wellFormed(text) });
    this.entries.push(entry);
    this.save();
    return entry;
  }

  /** @param {string} id */
  find(id) {
    return this.entries.find((entry) => entry.id === id);
  }

  /** Allow a refused message to be sent again. @param {string} id */
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

  /** Save the entries; to be called after each change of an entry. */
  save() {
    if (this.entries.length) {
      tabStorage.setItem(this.#key, JSON.stringify(this.entries));
    } else {
      tabStorage.removeItem(this.#key);
    }
  }
}

/** Return a unique id. */
export function newId() {
  // Not crypto.randomUUID(): it is missing on a server that is tried over plain HTTP in a local network.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
