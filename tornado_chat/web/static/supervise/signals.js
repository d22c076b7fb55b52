// @ts-check
/**
 * Page title, sounds and desktop notifications; alerts and calls repeat until they are handled.
 *
 * A desktop notification names the kind of event and the session, never a person or a message: other people
 * may see the screen.
 *
 * @module
 */

import { text } from "../shared/strings.js";
import { TonePlayer } from "../shared/tones.js";

/** @typedef {import("../shared/tones.js").Tone} Tone */
/** @typedef {import("./inbox.js").NoticeKind} NoticeKind */
/** @typedef {import("./inbox.js").Notice} Notice */

/**
 * The sounds of each kind, and the interval after which they repeat until the notice is handled.
 *
 * @type {Record<NoticeKind, { tones: Tone[], repeatMs?: number }>}
 */
const SOUNDS = {
  alert: { tones: [[587, 0], [784, 0.2], [587, 0.6], [784, 0.8]], repeatMs: 20_000 }, // prettier-ignore
  call: { tones: [[523, 0], [659, 0.16], [784, 0.32]], repeatMs: 45_000 }, // prettier-ignore
  appointment: { tones: [[659, 0]] },
  note: { tones: [[659, 0]] },
};

/** @typedef {{ sound: boolean, notifications: boolean }} Settings */

const KEY = "supervise:signals";

export class Signals {
  /** @param {(notice: Notice) => void} onOpen called when a desktop notification is clicked */
  constructor(onOpen) {
    this.#onOpen = onOpen;
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    /** @type {Settings} */
    this.settings = { sound: true, notifications: false, ...stored };
    for (const event of ["click", "keydown"]) {
      addEventListener(event, () => this.#onFirstInteraction(), { capture: true, once: true });
    }
  }

  #onOpen;
  #tones = new TonePlayer();
  /** The most urgent kind that was not handled yet. @type {NoticeKind | undefined} */
  #unresolvedKind;
  /** @type {number | undefined} */
  #repeatTimer;
  /** Called with whether a due sound cannot be played, when that changes. */
  onBlocked = (/** @type {boolean} */ _blocked) => {};

  /**
   * The browser's permission for notifications; `none`: not supported.
   *
   * @returns {NotificationPermission | "none"}
   */
  get permission() {
    return "Notification" in globalThis ? Notification.permission : "none";
  }

  /** @param {Partial<Settings>} changes */
  update(changes) {
    Object.assign(this.settings, changes);
    localStorage.setItem(KEY, JSON.stringify(this.settings));
    if (changes.sound) {
      this.#tones.play(SOUNDS.note.tones);
    }
    this.#reportBlocked();
  }

  /** Ask for the permission; only to be called in a click handler. */
  async requestPermission() {
    const permission = this.permission === "none" ? "none" : await Notification.requestPermission();
    this.update({ notifications: permission === "granted" });
    return permission;
  }

  /** A notice has arrived. @param {Notice} notice */
  arrived(notice) {
    this.#play(notice.kind);
    this.#notify(notice);
  }

  /**
   * Show the number of open notices.
   *
   * @param {{ alerts: number, calls: number, unread: number }} open `calls`: those that arrived while this
   *   page was open
   */
  show({ alerts, calls, unread }) {
    const prefix = unread ? `(${unread}) ` : "";
    document.title = alerts
      ? text("title_alerts", { count: alerts, title: text("supervise") })
      : prefix + text("supervise");
    const unresolvedKind = alerts ? "alert" : calls ? "call" : undefined;
    if (unresolvedKind !== this.#unresolvedKind) {
      this.#unresolvedKind = unresolvedKind;
      this.#scheduleRepeat();
    }
    this.#reportBlocked();
  }

  #scheduleRepeat() {
    clearTimeout(this.#repeatTimer);
    const repeatMs = this.#unresolvedKind && SOUNDS[this.#unresolvedKind].repeatMs;
    if (repeatMs) {
      this.#repeatTimer = setTimeout(() => {
        if (this.#unresolvedKind) {
          this.#play(this.#unresolvedKind);
        }
        this.#scheduleRepeat();
      }, repeatMs);
    }
  }

  /** @param {NoticeKind} kind */
  #play(kind) {
    if (this.settings.sound) {
      this.#tones.play(SOUNDS[kind].tones);
    }
  }

  /** The first user interaction: browsers allow sounds from now on, so play a due one. */
  #onFirstInteraction() {
    setTimeout(() => {
      if (this.#unresolvedKind) {
        this.#play(this.#unresolvedKind);
      }
      this.#reportBlocked();
    });
  }

  #reportBlocked() {
    this.onBlocked(this.settings.sound && this.#unresolvedKind !== undefined && !this.#tones.isAllowed);
  }

  /** @param {Notice} notice */
  #notify(notice) {
    const isVisible = !document.hidden && document.hasFocus(); // then the page itself shows it
    if (isVisible || !this.settings.notifications || this.permission !== "granted") {
      return;
    }
    const title = text(`notify_${notice.kind}`);
    try {
      const notification = new Notification(title, {
        body: notice.session ? text("session_number", { number: notice.session }) : "",
        tag: `tornado-chat-${notice.id}`,
        requireInteraction: SOUNDS[notice.kind].repeatMs !== undefined,
        silent: true,
      });
      notification.addEventListener("click", () => {
        window.focus();
        this.#onOpen(notice);
        notification.close();
      });
    } catch {
      // On some phones only a service worker may notify; the sound and the title remain.
    }
  }
}
