// @ts-check
/**
 * Quick replies: texts that a waiter says often, by name. They are the waiter's own, kept in this browser.
 *
 * @module
 */

/** @typedef {{ name: string, words: string }} Reply */

export class Replies {
  /** @param {string} who the waiter's id */
  constructor(who) {
    this.#key = `console:replies:${who}`;
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
    const wanted = typed.toLowerCase();
    const where = (/** @type {Reply} */ reply) =>
      reply.name.toLowerCase().startsWith(wanted)
        ? 0
        : `${reply.name} ${reply.words}`.toLowerCase().includes(wanted)
          ? 1
          : 2;
    return this.all.filter((reply) => where(reply) < 2).sort((one, other) => where(one) - where(other));
  }

  /**
   * @param {Reply} reply
   * @param {string} [before] the name that it had
   */
  keep(reply, before) {
    const others = this.all.filter(({ name }) => name !== before && name !== reply.name);
    this.#save([...others, reply]);
  }

  /** @param {string} name */
  remove(name) {
    this.#save(this.all.filter((reply) => reply.name !== name));
  }

  /** @param {Reply[]} replies */
  #save(replies) {
    replies.sort((one, other) => one.name.localeCompare(other.name));
    localStorage.setItem(this.#key, JSON.stringify(replies));
  }
}
