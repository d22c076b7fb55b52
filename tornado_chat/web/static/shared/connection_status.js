// @ts-check
/**
 * `<chat-connection-status>`: a line that shows the status of the connection. It is empty while the
 * connection is fine.
 *
 * Event: `retry`, when the reader clicks on the button.
 *
 * @module
 */

import { make } from "./elements.js";
import { text } from "./strings.js";

/** @typedef {import("./connection.js").ConnectionStatus} ConnectionStatus */

const COUNTDOWN_INTERVAL_MS = 1_000;
const RECONNECTED_NOTICE_MS = 2_500; // how long "connected again" is shown

export class ConnectionStatusBar extends HTMLElement {
  #text = make("span", "text");
  #retryButton = make("button", "link-button", text("retry_now"));
  /** @type {number | undefined} */
  #timer;

  connectedCallback() {
    this.setAttribute("role", "status");
    this.classList.add("connection-status");
    this.#retryButton.type = "button";
    this.#retryButton.hidden = true;
    this.#retryButton.addEventListener("click", () => this.dispatchEvent(new CustomEvent("retry")));
    this.append(this.#text, this.#retryButton);
    this.showText("neutral", "");
  }

  /** @param {ConnectionStatus} status */
  show(status) {
    this.#stopTimer();
    if (status.state === "open") {
      this.showText("success", status.wasOpen ? text("connected_again") : "");
      this.#timer = setTimeout(() => this.showText("success", ""), RECONNECTED_NOTICE_MS);
    } else if (status.state === "connecting") {
      this.showText("neutral", text(status.wasOpen ? "reconnecting" : "connecting"));
    } else if (status.state === "closed") {
      this.showText("neutral", ""); // the page shows its own notice
    } else if (status.retryAtMs === undefined) {
      this.showText("warning", text("offline"));
    } else {
      this.#waitUntil(status.retryAtMs);
    }
  }

  /**
   * @param {"neutral" | "success" | "warning"} tone
   * @param {string} content
   * @param {boolean} [retry]
   */
  showText(tone, content, retry = false) {
    this.dataset.tone = content ? tone : "none";
    this.#text.textContent = content;
    this.#retryButton.hidden = !retry;
  }

  /** @param {number} retryAt */
  #waitUntil(retryAt) {
    const seconds = () => Math.round((retryAt - Date.now()) / 1000);
    if (seconds() < 2) {
      this.showText("neutral", text("reconnecting"));
      return;
    }
    // Screen readers announce it once; otherwise they would read it every second.
    const show = (/** @type {boolean} */ isAnnounced) => {
      this.setAttribute("aria-live", isAnnounced ? "polite" : "off");
      this.showText("warning", text("retry_in", { seconds: Math.max(1, seconds()) }), true);
    };
    show(true);
    this.#timer = setInterval(() => show(false), COUNTDOWN_INTERVAL_MS);
  }

  #stopTimer() {
    clearTimeout(this.#timer); // a timeout or an interval
    this.setAttribute("aria-live", "polite");
  }
}

customElements.define("chat-connection-status", ConnectionStatusBar);
