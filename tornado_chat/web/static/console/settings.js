// @ts-check
/**
 * The agent's settings, stored in this browser.
 *
 * @module
 */

const KEY = "console:settings";

/** @typedef {"sound" | "notifications" | "showText" | "shortcuts" | "details"} Setting */

/** @type {Record<Setting, boolean>} */
const DEFAULTS = { sound: true, notifications: false, showText: false, shortcuts: true, details: false };

export class Settings {
  #values = { ...DEFAULTS, ...readStored() };

  /** @param {Setting} name */
  get(name) {
    return this.#values[name];
  }

  /**
   * @param {Setting} name
   * @param {boolean} value
   */
  set(name, value) {
    this.#values[name] = value;
    localStorage.setItem(KEY, JSON.stringify(this.#values));
  }
}

/** @returns {Partial<Record<Setting, boolean>>} */
function readStored() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}
