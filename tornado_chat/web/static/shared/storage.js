// @ts-check
/**
 * Access to the browser's storage. In frames of other sites it may be forbidden: then values are kept in
 * memory, as long as the page is open.
 *
 * @module
 */

class FallbackStorage {
  /** @param {() => Storage} storage throws if access is forbidden */
  constructor(storage) {
    this.#storage = storage;
  }

  #storage;
  /** @type {Map<string, string>} */
  #memory = new Map();

  /** @param {string} key */
  getItem(key) {
    try {
      return this.#memory.get(key) ?? this.#storage().getItem(key);
    } catch {
      return null;
    }
  }

  /**
   * @param {string} key
   * @param {string} value
   */
  setItem(key, value) {
    try {
      this.#storage().setItem(key, value);
      this.#memory.delete(key);
    } catch {
      this.#memory.set(key, value);
    }
  }

  /** @param {string} key */
  removeItem(key) {
    this.#memory.delete(key);
    try {
      this.#storage().removeItem(key);
    } catch {
      // The value was only in memory.
    }
  }

  /** Remove all values whose key begins with the prefix. @param {string} prefix */
  removePrefix(prefix) {
    this.keys()
      .filter((key) => key.startsWith(prefix))
      .forEach((key) => this.removeItem(key));
  }

  keys() {
    try {
      return Object.keys(this.#storage());
    } catch {
      return [...this.#memory.keys()];
    }
  }
}

/** Storage of this tab, which survives reloads. */
export const tabStorage = new FallbackStorage(() => sessionStorage);

/** Storage of all tabs, until a value is removed. */
export const siteStorage = new FallbackStorage(() => localStorage);
