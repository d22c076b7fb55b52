// @ts-check
/**
 * What the browser keeps, for this tab and for good. In frames of other sites it may be told to keep
 * nothing: then it lasts as long as the page.
 *
 * @module
 */

class FallbackStorage {
  /** @param {() => Storage} storage asking for it fails where it is forbidden */
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
      // Then it was only in memory.
    }
  }

  /** Forget everything whose key begins so. @param {string} prefix */
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

/** For this tab, reloads included. */
export const tabStorage = new FallbackStorage(() => sessionStorage);

/** For all tabs, until it is removed. */
export const siteStorage = new FallbackStorage(() => localStorage);
