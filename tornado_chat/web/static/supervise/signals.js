// @ts-check
/**
 * Drawing attention, calmly and for as long as it takes: the title, sounds, desktop notifications.
 *
 * A desktop notification says what kind of thing it is and in which session, never a name or anything that was
 * said: it is on a screen that others may see.
 *
 * @module
 */

import { text } from "../shared/strings.js";
import { Tones } from "../shared/tones.js";

/** @typedef {import("../shared/tones.js").Tone} Tone */
/** @typedef {import("./inbox.js").Kind} Kind */
/** @typedef {import("./inbox.js").Notice} Notice */

/**
 * How each kind sounds, and after how many milliseconds again, as long as nobody has seen to it.
 *
 * @type {Record<Kind, { tones: Tone[], again?: number }>}
 */
const SOUNDS = {
  alert: { tones: [[587, 0], [784, 0.2], [587, 0.6], [784, 0.8]], again: 20_000 }, // prettier-ignore
  call: { tones: [[523, 0], [659, 0.16], [784, 0.32]], again: 45_000 }, // prettier-ignore
  appointment: { tones: [[659, 0]] },
  note: { tones: [[659, 0]] },
};

/** @typedef {{ sound: boolean, notifications: boolean }} Settings */

const KEY = "supervise:signals";

export class Signals {
  /** @param {(notice: Notice) => void} open a notification was clicked */
  constructor(open) {
    this.#open = open;
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    /** @type {Settings} */
    this.settings = { sound: true, notifications: false, ...kept };
    for (const touch of ["click", "keydown"]) {
      addEventListener(touch, () => this.#touched(), { capture: true, once: true });
    }
  }

  #open;
  #tones = new Tones();
  /** What nobody has seen to yet. @type {Kind | undefined} */
  #lasting;
  /** @type {number | undefined} */
  #timer;
  /** Told when it changes whether a sound that is due cannot be heard. */
  blocked = (/** @type {boolean} */ _blocked) => {};

  /** What the browser lets us do. @returns {NotificationPermission | "none"} */
  get permission() {
    return "Notification" in globalThis ? Notification.permission : "none";
  }

  /** @param {Partial<Settings>} changes */
  set(changes) {
    Object.assign(this.settings, changes);
    localStorage.setItem(KEY, JSON.stringify(this.settings));
    if (changes.sound) {
      this.#tones.play(SOUNDS.note.tones);
    }
    this.#showBlocked();
  }

  /** Ask for desktop notifications; only to be called when somebody has just clicked on something. */
  async allow() {
    const permission = this.permission === "none" ? "none" : await Notification.requestPermission();
    this.set({ notifications: permission === "granted" });
    return permission;
  }

  /** Something has come. @param {Notice} notice */
  arrived(notice) {
    this.#play(notice.kind);
    this.#notify(notice);
  }

  /**
   * What is there that nobody has seen to.
   *
   * @param {{ alerts: number, calls: number, unread: number }} open `calls`: those that came while this page was open
   */
  show({ alerts, calls, unread }) {
    const count = unread ? `(${unread}) ` : "";
    document.title = alerts
      ? text("title_alerts", { count: alerts, title: text("supervise") })
      : count + text("supervise");
    const lasting = alerts ? "alert" : calls ? "call" : undefined;
    if (lasting !== this.#lasting) {
      this.#lasting = lasting;
      this.#again();
    }
    this.#showBlocked();
  }

  #again() {
    clearTimeout(this.#timer);
    const again = this.#lasting && SOUNDS[this.#lasting].again;
    if (again) {
      this.#timer = setTimeout(() => {
        if (this.#lasting) {
          this.#play(this.#lasting);
        }
        this.#again();
      }, again);
    }
  }

  /** @param {Kind} kind */
  #play(kind) {
    if (this.settings.sound) {
      this.#tones.play(SOUNDS[kind].tones);
    }
  }

  /** Somebody is here: what could not be heard until now is heard. */
  #touched() {
    setTimeout(() => {
      if (this.#lasting) {
        this.#play(this.#lasting);
      }
      this.#showBlocked();
    });
  }

  #showBlocked() {
    this.blocked(this.settings.sound && this.#lasting !== undefined && !this.#tones.allowed);
  }

  /** @param {Notice} notice */
  #notify(notice) {
    const looking = !document.hidden && document.hasFocus(); // then the page itself shows it
    if (looking || !this.settings.notifications || this.permission !== "granted") {
      return;
    }
    const title = text(`notify_${notice.kind}`);
    try {
      const notification = new Notification(title, {
        body: notice.session ? text("session_number", { number: notice.session }) : "",
        tag: `tornado-chat-${notice.id}`,
        requireInteraction: SOUNDS[notice.kind].again !== undefined,
        silent: true,
      });
      notification.addEventListener("click", () => {
        window.focus();
        this.#open(notice);
        notification.close();
      });
    } catch {
      // On some telephones only a service worker may notify; the sound and the title remain.
    }
  }
}
