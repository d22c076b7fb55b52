// @ts-check
/**
 * `<chat-standing>`: a line that says how the connection stands, and is not there when all is well.
 *
 * Event: `retry`, when the reader does not want to wait.
 *
 * @module
 */

import { make } from "./elements.js";
import { text } from "./strings.js";

/** @typedef {import("./connection.js").Standing} Standing */

const COUNTDOWN_INTERVAL_MS = 1_000;
const RECONNECTED_NOTICE_MS = 2_500; // milliseconds that "connected again" is shown

export class ChatStanding extends HTMLElement {
  #words = make("span", "words");
  #retry = make("button", "quiet", text("retry_now"));
  /** @type {number | undefined} */
  #countdown;

  connectedCallback() {
    this.setAttribute("role", "status");
    this.classList.add("standing");
    this.#retry.type = "button";
    this.#retry.hidden = true;
    this.#retry.addEventListener("click", () => this.dispatchEvent(new CustomEvent("retry")));
    this.append(this.#words, this.#retry);
    this.say("calm", "");
  }

  /** @param {Standing} standing */
  show(standing) {
    this.#still();
    if (standing.state === "open") {
      this.say("good", standing.before ? text("connected_again") : "");
      this.#countdown = setTimeout(() => this.say("good", ""), RECONNECTED_NOTICE_MS);
    } else if (standing.state === "connecting") {
      this.say("calm", text(standing.before ? "reconnecting" : "connecting"));
    } else if (standing.state === "closed") {
      this.say("calm", ""); // the page says it at length
    } else if (standing.retryAt === undefined) {
      this.say("trouble", text("offline"));
    } else {
      this.#waitUntil(standing.retryAt);
    }
  }

  /**
   * @param {"calm" | "good" | "trouble"} mood
   * @param {string} words
   * @param {boolean} [retry]
   */
  say(mood, words, retry = false) {
    this.dataset.mood = words ? mood : "none";
    this.#words.textContent = words;
    this.#retry.hidden = !retry;
  }

  /** @param {number} retryAt */
  #waitUntil(retryAt) {
    const seconds = () => Math.round((retryAt - Date.now()) / 1000);
    if (seconds() < 2) {
      this.say("calm", text("reconnecting"));
      return;
    }
    // A screen reader tells it once: it would read every second.
    const show = (/** @type {boolean} */ aloud) => {
      this.setAttribute("aria-live", aloud ? "polite" : "off");
      this.say("trouble", text("retry_in", { seconds: Math.max(1, seconds()) }), true);
    };
    show(true);
    this.#countdown = setInterval(() => show(false), COUNTDOWN_INTERVAL_MS);
  }

  #still() {
    clearTimeout(this.#countdown); // of either kind
    this.setAttribute("aria-live", "polite");
  }
}

customElements.define("chat-standing", ChatStanding);
