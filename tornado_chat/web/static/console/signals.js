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
   * @param {(number: number) => void} open the conversation with this number is wanted
   */
  constructor(settings, open) {
    this.#settings = settings;
    this.#open = open;
  }

  #settings;
  #open;
  /** @type {AudioContext | undefined} */
  #audio;
  #last = 0;

  /** What the browser lets us do. @returns {NotificationPermission | "none"} */
  get permission() {
    return "Notification" in window ? Notification.permission : "none";
  }

  /** Ask the waiter; only to be called when it has just clicked on something. */
  async allow() {
    return this.permission === "none" ? "none" : Notification.requestPermission();
  }

  /**
   * The visitor of a conversation that nobody looks at has said something.
   *
   * @param {Case} one
   * @param {string} words
   */
  message(one, words) {
    this.#play(MESSAGE_TONES);
    const body = this.#settings.get("showText") ? words.slice(0, MAX_BODY_CHARACTERS) : text("note_message");
    this.#notify(one, one.name, { body });
  }

  /** Somebody new has been given to the waiter. @param {Case} one */
  arrived(one) {
    this.#last = 0;
    this.#play(ARRIVAL_TONES);
    const body = text("note_arrived_text");
    this.#notify(one, text("note_arrived", { name: one.name }), { body, requireInteraction: true });
  }

  /** How it sounds. */
  sample() {
    this.#last = 0;
    this.#play(MESSAGE_TONES);
  }

  /**
   * @param {Case} one
   * @param {string} title
   * @param {NotificationOptions} options
   */
  #notify(one, title, options) {
    const looking = !document.hidden && document.hasFocus(); // then the page itself shows it
    if (looking || !this.#settings.get("notifications") || this.permission !== "granted") {
      return;
    }
    try {
      const notification = new Notification(title, {
        tag: `conversation-${one.number}`,
        silent: true,
        ...options,
      });
      notification.addEventListener("click", () => {
        window.focus();
        this.#open(one.number);
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
    if (Date.now() - this.#last < MIN_SOUND_INTERVAL_MS) {
      return;
    }
    this.#last = Date.now();
    this.#audio ??= new AudioContext();
    const audio = this.#audio;
    void audio.resume().then(() => {
      for (const [frequency, begin] of tones) {
        tone(audio, frequency, audio.currentTime + begin);
      }
    });
  }
}

/**
 * @param {AudioContext} audio
 * @param {number} frequency
 * @param {number} begin
 */
function tone(audio, frequency, begin) {
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  oscillator.type = "sine";
  oscillator.frequency.value = frequency;
  gain.gain.setValueAtTime(0, begin);
  gain.gain.linearRampToValueAtTime(PEAK_GAIN, begin + 0.015);
  gain.gain.exponentialRampToValueAtTime(0.0001, begin + TONE_SECONDS);
  oscillator.connect(gain).connect(audio.destination);
  oscillator.start(begin);
  oscillator.stop(begin + TONE_SECONDS);
}
