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
import { TonePlayer } from "../shared/tones.js";

/** @typedef {import("../shared/tones.js").Tone} Tone */
/** @typedef {import("./inbox.js").NoticeKind} NoticeKind */
/** @typedef {import("./inbox.js").Notice} Notice */

/**
 * How each kind sounds, and after how many milliseconds again, as long as nobody has seen to it.
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
  /** @param {(notice: Notice) => void} onOpen a notification was clicked */
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
  /** What nobody has seen to yet. @type {NoticeKind | undefined} */
  #unresolvedKind;
  /** @type {number | undefined} */
  #repeatTimer;
  /** Told when it changes whether a sound that is due cannot be heard. */
  onBlocked = (/** @type {boolean} */ _blocked) => {};

  /** What the browser lets us do. @returns {NotificationPermission | "none"} */
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

  /** Ask for desktop notifications; only to be called when somebody has just clicked on something. */
  async requestPermission() {
    const permission = this.permission === "none" ? "none" : await Notification.requestPermission();
    this.update({ notifications: permission === "granted" });
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

  /** Somebody is here: what could not be heard until now is heard. */
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
      // On some telephones only a service worker may notify; the sound and the title remain.
    }
  }
}
