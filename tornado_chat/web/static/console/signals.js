// @ts-check
/**
 * Drawing attention: sounds and desktop notifications.
 *
 * A notification says who, not what: it is on a screen that others may see. Sounds are made here, of a few
 * soft tones.
 *
 * @module
 */

import { text } from "../shared/strings.js";

/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("./settings.js").Settings} Settings */

/** Tones: frequency in Hz, and when they begin, in seconds. */
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
const MIN_SOUND_INTERVAL_MS = 1_500; // milliseconds between two sounds: a burst of messages is one event
const MAX_BODY_CHARACTERS = 140; // characters of a message in a notification

export class Signals {
  /**
   * @param {Settings} settings
   * @param {(number: number) => void} onOpen the conversation with this number is wanted
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

  /** What the browser lets us do. @returns {NotificationPermission | "none"} */
  get permission() {
    return "Notification" in window ? Notification.permission : "none";
  }

  /** Ask the waiter; only to be called when it has just clicked on something. */
  async requestPermission() {
    return this.permission === "none" ? "none" : Notification.requestPermission();
  }

  /**
   * The visitor of a conversation that nobody looks at has said something.
   *
   * @param {Case} item
   * @param {string} content
   */
  message(item, content) {
    this.#play(MESSAGE_TONES);
    const body = this.#settings.get("showText")
      ? content.slice(0, MAX_BODY_CHARACTERS)
      : text("note_message");
    this.#notify(item, item.name, { body });
  }

  /** Somebody new has been given to the waiter. @param {Case} item */
  arrived(item) {
    this.#lastSoundMs = 0;
    this.#play(ARRIVAL_TONES);
    const body = text("note_arrived_text");
    this.#notify(item, text("note_arrived", { name: item.name }), { body, requireInteraction: true });
  }

  /** How it sounds. */
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
      // On some telephones only a service worker may notify; the sound and the title remain.
    }
  }

  /** @param {number[][]} tones */
  #play(tones) {
    // Before anybody has touched the page browsers let nothing sound, and complain about attempts.
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
