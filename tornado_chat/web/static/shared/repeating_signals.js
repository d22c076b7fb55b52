// @ts-check
/**
 * Sounds and desktop notifications, for the pages of people on duty. The sound of what was not handled yet
 * repeats.
 *
 * A desktop notification names the kind of event and the session, never a person or a message: other people
 * may see the screen.
 *
 * @module
 */

import { siteStorage } from "./storage.js";
import { TonePlayer } from "./tones.js";

/** @typedef {import("./tones.js").Tone} Tone */

/**
 * @typedef {object} Sound
 * @property {Tone[]} tones
 * @property {number} [repeatMs] the interval after which the sound repeats
 */

/** @typedef {{ sound: boolean, notifications: boolean }} SignalSettings */

/**
 * @typedef {object} DesktopNotification
 * @property {string} title
 * @property {string} tag a later notification with the same tag replaces the earlier one
 * @property {string} body
 * @property {() => void} open called when it is clicked
 */

/** @template {string} Kind */
export class RepeatingSignals {
  /**
   * @param {string} key of the settings in the storage
   * @param {Record<Kind, Sound> & { note: Sound }} sounds by kind of event; `note` is the example
   */
  constructor(key, sounds) {
    this.#key = key;
    this.#sounds = sounds;
    /** @type {SignalSettings} */
    this.settings = { sound: true, notifications: false, ...readStored(key) };
    for (const event of ["click", "keydown"]) {
      addEventListener(event, () => this.#onFirstInteraction(), { capture: true, once: true });
    }
  }

  #key;
  #sounds;
  #tones = new TonePlayer();
  /** The most urgent kind that was not handled yet. @type {Kind | undefined} */
  #repeated;
  /** @type {number | undefined} */
  #repeatTimer;
  /** Called with whether a due sound cannot be played. */
  onBlocked = (/** @type {boolean} */ _blocked) => {};

  /**
   * The browser's permission for notifications; `none`: not supported.
   *
   * @returns {NotificationPermission | "none"}
   */
  get permission() {
    return "Notification" in globalThis ? Notification.permission : "none";
  }

  /** @param {Partial<SignalSettings>} changes */
  update(changes) {
    Object.assign(this.settings, changes);
    siteStorage.setItem(this.#key, JSON.stringify(this.settings));
    if (changes.sound) {
      this.#tones.play(this.#sounds.note.tones);
    }
    this.#reportBlocked();
  }

  /** Ask for the permission; only to be called in a click handler. */
  async requestPermission() {
    const permission = this.permission === "none" ? "none" : await Notification.requestPermission();
    this.update({ notifications: permission === "granted" });
  }

  /**
   * Something has happened just now.
   *
   * @param {Kind} kind
   * @param {DesktopNotification} notification
   */
  signal(kind, notification) {
    this.#play(kind);
    this.#notify(kind, notification);
  }

  /**
   * Repeat the sound of a kind, instead of another one, from now on.
   *
   * @param {Kind | undefined} kind the most urgent kind that was not handled yet; undefined: there is none
   */
  repeat(kind) {
    if (kind !== this.#repeated) {
      this.#repeated = kind;
      this.#scheduleRepeat();
    }
    this.#reportBlocked();
  }

  #scheduleRepeat() {
    clearTimeout(this.#repeatTimer);
    const repeatMs = this.#repeated && this.#sounds[this.#repeated].repeatMs;
    if (repeatMs) {
      this.#repeatTimer = setTimeout(() => {
        this.#playRepeated();
        this.#scheduleRepeat();
      }, repeatMs);
    }
  }

  #playRepeated() {
    if (this.#repeated) {
      this.#play(this.#repeated);
    }
  }

  /** @param {Kind} kind */
  #play(kind) {
    if (this.settings.sound) {
      this.#tones.play(this.#sounds[kind].tones);
    }
  }

  /** The first user interaction: browsers allow sounds from now on, so play a due one. */
  #onFirstInteraction() {
    setTimeout(() => {
      this.#playRepeated();
      this.#reportBlocked();
    });
  }

  #reportBlocked() {
    this.onBlocked(this.settings.sound && this.#repeated !== undefined && !this.#tones.isAllowed);
  }

  /**
   * @param {Kind} kind
   * @param {DesktopNotification} shown
   */
  #notify(kind, { title, tag, body, open }) {
    const isVisible = !document.hidden && document.hasFocus(); // then the page itself shows it
    if (isVisible || !this.settings.notifications || this.permission !== "granted") {
      return;
    }
    try {
      const notification = new Notification(title, {
        body,
        tag: `tornado-chat-${tag}`,
        requireInteraction: this.#sounds[kind].repeatMs !== undefined,
        silent: true,
      });
      notification.addEventListener("click", () => {
        window.focus();
        open();
        notification.close();
      });
    } catch {
      // On some phones only a service worker may notify; the sound and the title remain.
    }
  }
}

/**
 * @param {string} key
 * @returns {Partial<SignalSettings>}
 */
function readStored(key) {
  try {
    return JSON.parse(siteStorage.getItem(key) ?? "{}");
  } catch {
    return {};
  }
}
