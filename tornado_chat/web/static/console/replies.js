// @ts-check
/**
 * Quick replies: texts that a waiter says often, by name. They are the waiter's own, kept in this browser.
 *
 * @module
 */

/** @typedef {{ name: string, words: string }} Reply */

export class QuickReplies {
  /** @param {string} waiterId the waiter's id */
  constructor(waiterId) {
    this.#key = `console:replies:${waiterId}`;
  }

  #key;

  /** By name. @returns {Reply[]} */
  get all() {
    try {
      return JSON.parse(localStorage.getItem(this.#key) ?? "[]");
    } catch {
      return [];
    }
  }

  /**
   * Those with a name that begins so, and then those that have it anywhere.
   *
   * @param {string} typed
   */
  matching(typed) {
    const prefix = typed.toLowerCase();
    const rank = (/** @type {Reply} */ reply) =>
      reply.name.toLowerCase().startsWith(prefix)
        ? 0
        : `${reply.name} ${reply.words}`.toLowerCase().includes(prefix)
          ? 1
          : 2;
    return this.all.filter((reply) => rank(reply) < 2).sort((one, other) => rank(one) - rank(other));
  }

  /**
   * @param {Reply} reply
   * @param {string} [previousName] the name that it had
   */
  save(reply, previousName) {
    const others = this.all.filter(({ name }) => name !== previousName && name !== reply.name);
    this.#store([...others, reply]);
  }

  /** @param {string} name */
  remove(name) {
    this.#store(this.all.filter((reply) => reply.name !== name));
  }

  /** @param {Reply[]} replies */
  #store(replies) {
    replies.sort((one, other) => one.name.localeCompare(other.name));
    localStorage.setItem(this.#key, JSON.stringify(replies));
  }
}
