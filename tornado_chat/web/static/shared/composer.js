// @ts-check
/**
 * `<chat-composer>`: the field in which a message is written, and its send button.
 *
 * Events: `send` with the text, `typing` with a boolean, `draft` with the current text.
 *
 * @module
 */

import { icon, make } from "./elements.js";
import { newId } from "./outbox.js";
import { text } from "./strings.js";

const MAX_CHARACTERS = 10_000; // fits into the server's frame limit in any script
const TYPING_REPEAT_MS = 3_000;
const TYPING_PAUSE_MS = 4_000;

export class ChatComposer extends HTMLElement {
  #form = make("form", "composer");
  #field = make("textarea");
  #button = make("button", "send");
  #problem = make("p", "note-text");
  /** What the reader has to know until the text changes. */
  #note = "";
  #isTyping = false;
  #typingSentMs = 0;
  /** @type {number | undefined} */
  #pauseTimer;

  connectedCallback() {
    if (this.firstChild) {
      return; // the element was only moved
    }
    const hint = make("p", "visually-hidden", text("write_hint"));
    const id = newId(); // a page may have several composers
    hint.id = `hint-${id}`;
    this.#problem.id = `note-${id}`;
    this.#problem.setAttribute("role", "status");
    this.#field.rows = 1;
    this.#field.placeholder = text("write");
    this.#field.setAttribute("aria-label", text("write_label"));
    this.#field.setAttribute("aria-describedby", `${hint.id} ${this.#problem.id}`);
    this.#field.setAttribute("enterkeyhint", "send");
    this.#field.autocomplete = "off";
    this.#button.type = "submit";
    this.#button.append(icon("send"), make("span", "visually-hidden", text("send")));
    this.#button.title = text("send");
    this.#form.append(make("div", "composer-field", this.#field, this.#button), this.#problem, hint);
    this.append(this.#form);

    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener("keydown", (event) => {
      // During input method composition Enter selects a candidate; some browsers report it as key code 229.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
        event.preventDefault();
        this.#submit();
      }
    });
    this.#field.addEventListener("input", () => this.#onInput());
    this.#field.addEventListener("blur", () => this.#setTyping(false));
    this.#field.addEventListener("paste", (event) => this.#onFiles(event, event.clipboardData));
    // Without this the browser would leave the page and show the dropped file.
    this.addEventListener("dragover", (event) => hasFilesOnly(event.dataTransfer) && event.preventDefault());
    this.addEventListener("drop", (event) => this.#onFiles(event, event.dataTransfer));
    this.#refresh();
  }

  get value() {
    return this.#field.value;
  }

  set value(value) {
    this.#field.value = value;
    this.#refresh();
  }

  get disabled() {
    return this.#field.disabled;
  }

  set disabled(disabled) {
    this.#field.disabled = disabled;
    this.#refresh();
  }

  /** The name of the recipient, on pages with several composers. */
  set label(/** @type {string} */ label) {
    this.#field.placeholder = label;
    this.#field.setAttribute("aria-label", label);
  }

  focus() {
    this.#field.focus();
    this.#field.setSelectionRange(this.value.length, this.value.length);
  }

  #submit() {
    const value = this.value.trim();
    if (!value || this.#excess() > 0 || this.disabled) {
      return;
    }
    this.value = "";
    this.#setTyping(false);
    this.dispatchEvent(new CustomEvent("draft", { detail: "" }));
    this.dispatchEvent(new CustomEvent("send", { detail: value }));
    this.#field.focus();
  }

  /**
   * Say that files cannot be sent.
   *
   * @param {Event} event
   * @param {DataTransfer | null} data
   */
  #onFiles(event, data) {
    if (hasFilesOnly(data)) {
      event.preventDefault();
      this.#note = text("no_pictures");
      this.#refresh();
    }
  }

  #onInput() {
    this.#note = "";
    this.#refresh();
    this.dispatchEvent(new CustomEvent("draft", { detail: this.value }));
    this.#setTyping(this.value.trim() !== "");
  }

  /** @param {boolean} typing */
  #setTyping(typing) {
    clearTimeout(this.#pauseTimer);
    if (typing) {
      this.#pauseTimer = setTimeout(() => this.#setTyping(false), TYPING_PAUSE_MS);
    }
    const now = Date.now();
    if (typing !== this.#isTyping || (typing && now - this.#typingSentMs > TYPING_REPEAT_MS)) {
      this.#isTyping = typing;
      this.#typingSentMs = now;
      this.dispatchEvent(new CustomEvent("typing", { detail: typing }));
    }
  }

  #excess() {
    return this.value.length - MAX_CHARACTERS;
  }

  #refresh() {
    const excess = this.#excess();
    this.#problem.textContent = excess > 0 ? text("too_long", { count: excess }) : this.#note;
    this.#field.setAttribute("aria-invalid", String(excess > 0));
    this.#button.disabled = this.disabled || excess > 0 || this.value.trim() === "";
    // The field grows with its text, up to the maximum height in the style sheet.
    this.#field.style.height = "auto";
    const height = this.#field.scrollHeight;
    this.#field.style.height = height ? `${height}px` : "auto"; // a hidden field has no scroll height
  }
}

customElements.define("chat-composer", ChatComposer);

/**
 * Whether there are files and no text, which would be inserted: a copied table, for instance, has a picture, too.
 *
 * @param {DataTransfer | null} data
 */
function hasFilesOnly(data) {
  const types = data?.types ?? [];
  return types.includes("Files") && !types.includes("text/plain");
}
