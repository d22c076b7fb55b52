// @ts-check
/**
 * Quick replies: texts with a name. Each agent has its own, stored in this browser.
 *
 * @module
 */

/** @typedef {{ name: string, words: string }} Reply */

export class QuickReplies {
  /** @param {string} waiterId the agent's id */
  constructor(waiterId) {
    this.#key = `console:replies:${waiterId}`;
  }

  #key;

  /** Sorted by name. @returns {Reply[]} */
  get all() {
    try {
      return JSON.parse(localStorage.getItem(this.#key) ?? "[]");
    } catch {
      return [];
    }
  }

  /**
   * The replies whose name begins with the text, followed by those that contain it.
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
   * @param {string} [previousName] the name before the change
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
