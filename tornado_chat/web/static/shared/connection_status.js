// @ts-check
/**
 * `<chat-connection-status>`: a line that shows the status of the connection. It is empty while the
 * connection is fine.
 *
 * Event: `retry`, when the reader clicks on the button.
 *
 * @module
 */

import { formatRemaining, Ticker } from "./countdown.js";
import { make } from "./elements.js";
import { text } from "./strings.js";

/** @typedef {import("./connection.js").ConnectionStatus} ConnectionStatus */

const RECONNECTED_NOTICE_MS = 2_500; // how long "connected again" is shown

export class ConnectionStatusBar extends HTMLElement {
  #text = make("span", "text");
  #retryButton = make("button", "link-button", text("retry_now"));
  /** @type {number | undefined} */
  #timer;
  #ticker = new Ticker();

  connectedCallback() {
    this.setAttribute("role", "status");
    this.classList.add("connection-status");
    this.#retryButton.type = "button";
    this.#retryButton.hidden = true;
    this.#retryButton.addEventListener("click", () => this.dispatchEvent(new CustomEvent("retry")));
    this.append(this.#text, this.#retryButton);
    this.#render("neutral", "");
  }

  /**
   * @param {ConnectionStatus} status
   * @param {number} [awaitedUntilMs] until when the conversation waits for the reader if the connection is lost,
   *   in milliseconds since 1970; undefined: not known, or without an end
   */
  show(status, awaitedUntilMs) {
    this.#stopTimer();
    if (status.state === "open") {
      this.#render("success", status.wasOpen ? text("connected_again") : "");
      this.#timer = setTimeout(() => this.#render("success", ""), RECONNECTED_NOTICE_MS);
    } else if (status.state === "connecting") {
      const key = status.wasOpen ? "reconnecting" : "connecting";
      this.#showRunning("neutral", awaitedUntilMs, () => text(key));
    } else if (status.state === "closed") {
      this.#render("neutral", ""); // the page shows its own notice
    } else if (status.retryAtMs === undefined) {
      this.#showRunning("warning", awaitedUntilMs, () => text("offline"));
    } else {
      this.#waitUntil(status.retryAtMs, awaitedUntilMs);
    }
  }

  /**
   * Show a text until the next call, instead of the status.
   *
   * @param {"neutral" | "success" | "warning"} tone
   * @param {string} content
   */
  showText(tone, content) {
    this.#stopTimer();
    this.#render(tone, content);
  }

  /**
   * @param {"neutral" | "success" | "warning"} tone
   * @param {string} content
   * @param {boolean} [retry]
   */
  #render(tone, content, retry = false) {
    this.dataset.tone = content ? tone : "none";
    this.#text.textContent = content;
    this.#retryButton.hidden = !retry;
  }

  /**
   * @param {number} retryAt
   * @param {number} [awaitedUntilMs]
   */
  #waitUntil(retryAt, awaitedUntilMs) {
    const seconds = () => Math.round((retryAt - Date.now()) / 1000);
    if (seconds() < 2) {
      this.#showRunning("neutral", awaitedUntilMs, () => text("reconnecting"));
    } else {
      const content = () => text("retry_in", { seconds: Math.max(1, seconds()) });
      this.#showRunning("warning", awaitedUntilMs, content, true);
    }
  }

  /**
   * Show a text every second anew, with the time for which the conversation still waits for the reader.
   *
   * @param {"neutral" | "warning"} tone
   * @param {number | undefined} awaitedUntilMs
   * @param {() => string} content
   * @param {boolean} [retry]
   */
  #showRunning(tone, awaitedUntilMs, content, retry = false) {
    let wasAwaited = true;
    this.#ticker.run((isFirst) => {
      const remainingMs = (awaitedUntilMs ?? Infinity) - Date.now();
      const isAwaited = remainingMs > 0;
      // Screen readers announce it once, and the end of the wait; otherwise they would read it every second.
      this.setAttribute("aria-live", isFirst || isAwaited !== wasAwaited ? "polite" : "off");
      wasAwaited = isAwaited;
      const parts = [content()];
      if (!isAwaited) {
        parts.push(text("awaited_no_more"));
      } else if (awaitedUntilMs !== undefined) {
        parts.push(text("awaited", { time: formatRemaining(remainingMs) }));
      }
      this.#render(tone, parts.join(" "), retry);
    });
  }

  #stopTimer() {
    clearTimeout(this.#timer);
    this.#ticker.stop();
    this.setAttribute("aria-live", "polite");
  }
}

customElements.define("chat-connection-status", ConnectionStatusBar);
