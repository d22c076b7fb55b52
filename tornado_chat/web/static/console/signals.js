// @ts-check
/**
 * Sounds and desktop notifications.
 *
 * By default a notification names the client, not the message: other people may see the screen. The sounds
 * are a few soft synthesized tones.
 *
 * @module
 */

import { text } from "../shared/strings.js";
import { wellFormed } from "../shared/well_formed.js";

/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("./settings.js").Settings} Settings */

/** Tones: frequency in Hz, and start in seconds. */
const MESSAGE_TONES = [
  [659, 0],
  [880, 0.11],
];
const ARRIVAL_TONES = [
  [523, 0],
  [659, 0.13],
  [784, 0.26],
  [1047, 0.39],
  [784, 0.75],
  [1047, 0.88],
];
const PEAK_GAIN = 0.07; // of 1
const TONE_SECONDS = 0.32;
const MIN_SOUND_INTERVAL_MS = 1_500; // a burst of messages is one event
const MAX_BODY_CHARACTERS = 140;

export class Signals {
  /**
   * @param {Settings} settings
   * @param {(number: number) => void} onOpen opens the conversation with this number
   */
  constructor(settings, onOpen) {
    this.#settings = settings;
    this.#onOpen = onOpen;
  }

  #settings;
  #onOpen;
  /** @type {AudioContext | undefined} */
  #audio;
  #lastSoundMs = 0;

  /**
   * The browser's permission for notifications; `none`: not supported.
   *
   * @returns {NotificationPermission | "none"}
   */
  get permission() {
    return "Notification" in window ? Notification.permission : "none";
  }

  /** Ask for the permission; only to be called in a click handler. */
  async requestPermission() {
    return this.permission === "none" ? "none" : Notification.requestPermission();
  }

  /**
   * The client of a conversation that is not visible has sent a message.
   *
   * @param {Case} item
   * @param {string} content
   */
  message(item, content) {
    this.#play(MESSAGE_TONES);
    const body = this.#settings.get("showText")
      ? wellFormed(content.slice(0, MAX_BODY_CHARACTERS))
      : text("note_message");
    this.#notify(item, item.name, { body });
  }

  /** A client was assigned to the agent. @param {Case} item */
  arrived(item) {
    this.#lastSoundMs = 0;
    this.#play(ARRIVAL_TONES);
    const body = text("note_arrived_text");
    this.#notify(item, text("note_arrived", { name: item.name }), { body, requireInteraction: true });
  }

  /** Play an example. */
  playSample() {
    this.#lastSoundMs = 0;
    this.#play(MESSAGE_TONES);
  }

  /**
   * @param {Case} item
   * @param {string} title
   * @param {NotificationOptions} options
   */
  #notify(item, title, options) {
    const isVisible = !document.hidden && document.hasFocus(); // then the page itself shows it
    if (isVisible || !this.#settings.get("notifications") || this.permission !== "granted") {
      return;
    }
    try {
      const notification = new Notification(title, {
        tag: `conversation-${item.number}`,
        silent: true,
        ...options,
      });
      notification.addEventListener("click", () => {
        window.focus();
        this.#onOpen(item.number);
        notification.close();
      });
    } catch {
      // On some phones only a service worker may notify; the sound and the title remain.
    }
  }

  /** @param {number[][]} tones */
  #play(tones) {
    // Before the first user interaction browsers play no sound, and log a warning.
    if (!this.#settings.get("sound") || navigator.userActivation?.hasBeenActive === false) {
      return;
    }
    if (Date.now() - this.#lastSoundMs < MIN_SOUND_INTERVAL_MS) {
      return;
    }
    this.#lastSoundMs = Date.now();
    this.#audio ??= new AudioContext();
    const audio = this.#audio;
    void audio.resume().then(() => {
      for (const [frequency, startSeconds] of tones) {
        playTone(audio, frequency, audio.currentTime + startSeconds);
      }
    });
  }
}

/**
 * @param {AudioContext} audio
 * @param {number} frequency
 * @param {number} startSeconds
 */
function playTone(audio, frequency, startSeconds) {
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  oscillator.type = "sine";
  oscillator.frequency.value = frequency;
  gain.gain.setValueAtTime(0, startSeconds);
  gain.gain.linearRampToValueAtTime(PEAK_GAIN, startSeconds + 0.015);
  gain.gain.exponentialRampToValueAtTime(0.0001, startSeconds + TONE_SECONDS);
  oscillator.connect(gain).connect(audio.destination);
  oscillator.start(startSeconds);
  oscillator.stop(startSeconds + TONE_SECONDS);
}
