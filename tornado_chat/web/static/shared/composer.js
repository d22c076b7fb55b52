// @ts-check
/**
 * `<chat-composer>`: where one writes.
 *
 * Events: `say` with the text, `typing` with whether one is, `draft` with the text so far.
 *
 * @module
 */

import { icon, make } from "./elements.js";
import { newId } from "./outbox.js";
import { text } from "./strings.js";

const MAX_CHARACTERS = 10_000; // characters; in any script within the frames that servers take
const TYPING_REPEAT_MS = 3_000;
const TYPING_PAUSE_MS = 4_000;

export class ChatComposer extends HTMLElement {
  #form = make("form", "composer");
  #field = make("textarea");
  #button = make("button", "send");
  #note = make("p", "note");
  #typing = false;
  #told = 0;
  /** @type {number | undefined} */
  #pause;

  connectedCallback() {
    if (this.firstChild) {
      return; // it was only moved
    }
    const hint = make("p", "hidden", text("write_hint"));
    const id = newId(); // there may be several on a page
    hint.id = `hint-${id}`;
    this.#note.id = `note-${id}`;
    this.#note.setAttribute("role", "status");
    this.#field.rows = 1;
    this.#field.placeholder = text("write");
    this.#field.setAttribute("aria-label", text("write_label"));
    this.#field.setAttribute("aria-describedby", `${hint.id} ${this.#note.id}`);
    this.#field.setAttribute("enterkeyhint", "send");
    this.#field.autocomplete = "off";
    this.#button.type = "submit";
    this.#button.append(icon("send"), make("span", "hidden", text("send")));
    this.#button.title = text("send");
    this.#form.append(make("div", "field", this.#field, this.#button), this.#note, hint);
    this.append(this.#form);

    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say();
    });
    this.#field.addEventListener("keydown", (event) => {
      // While an input method composes, Enter chooses a word; 229 is how some of them say so.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
        event.preventDefault();
        this.#say();
      }
    });
    this.#field.addEventListener("input", () => this.#changed());
    this.#field.addEventListener("blur", () => this.#tellTyping(false));
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

  /** To whom one writes, where there are several places to write in. */
  set label(/** @type {string} */ label) {
    this.#field.placeholder = label;
    this.#field.setAttribute("aria-label", label);
  }

  focus() {
    this.#field.focus();
    this.#field.setSelectionRange(this.value.length, this.value.length);
  }

  #say() {
    const value = this.value.trim();
    if (!value || this.#tooMany() > 0 || this.disabled) {
      return;
    }
    this.value = "";
    this.#tellTyping(false);
    this.dispatchEvent(new CustomEvent("draft", { detail: "" }));
    this.dispatchEvent(new CustomEvent("say", { detail: value }));
    this.#field.focus();
  }

  #changed() {
    this.#refresh();
    this.dispatchEvent(new CustomEvent("draft", { detail: this.value }));
    this.#tellTyping(this.value.trim() !== "");
  }

  /** @param {boolean} typing */
  #tellTyping(typing) {
    clearTimeout(this.#pause);
    if (typing) {
      this.#pause = setTimeout(() => this.#tellTyping(false), TYPING_PAUSE_MS);
    }
    const now = Date.now();
    if (typing !== this.#typing || (typing && now - this.#told > TYPING_REPEAT_MS)) {
      this.#typing = typing;
      this.#told = now;
      this.dispatchEvent(new CustomEvent("typing", { detail: typing }));
    }
  }

  #tooMany() {
    return this.value.length - MAX_CHARACTERS;
  }

  #refresh() {
    const tooMany = this.#tooMany();
    this.#note.textContent = tooMany > 0 ? text("too_long", { count: tooMany }) : "";
    this.#field.setAttribute("aria-invalid", String(tooMany > 0));
    this.#button.disabled = this.disabled || tooMany > 0 || this.value.trim() === "";
    // It grows with the text, up to the most that the style allows.
    this.#field.style.height = "auto";
    const height = this.#field.scrollHeight;
    this.#field.style.height = height ? `${height}px` : "auto"; // none while it is not to be seen
  }
}

customElements.define("chat-composer", ChatComposer);
