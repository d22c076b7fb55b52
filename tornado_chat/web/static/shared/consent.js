// @ts-check
/**
 * The text that a visitor has to accept before its first message, in both dialects.
 *
 * @module
 */

import { make } from "./elements.js";
import { linkify } from "./links.js";
import { text } from "./strings.js";

/**
 * What the server asks the visitor to accept.
 *
 * @typedef {{ group: string, version: string, language: string, text: string }} ConsentForm
 */

/**
 * The question of a socket, and the visitor's answer until the server has it: a connection that is lost in
 * between asks again.
 */
export class ConsentQuestion {
  /**
   * @param {(form: ConsentForm, problem: string) => void} ask show the question; `problem`: why the last answer
   *   was refused, empty: it was not
   * @param {(version: string, accept: boolean) => void} send send the answer, if there is a connection
   */
  constructor(ask, send) {
    this.#ask = ask;
    this.#send = send;
  }

  #ask;
  #send;
  /** @type {ConsentForm | undefined} */
  #form;
  /** @type {boolean | undefined} */
  #answer;
  /** Whether the server has asked on this connection. */
  #isAsked = false;

  /** Whether the visitor has not accepted yet. */
  get isOpen() {
    return this.#form !== undefined;
  }

  /** There is another connection: if the question is still open, the server asks again. */
  onReconnected() {
    this.#isAsked = false;
  }

  /** The server asks. @param {ConsentForm} form */
  onAsked(form) {
    const isSame = form.group === this.#form?.group && form.version === this.#form.version;
    this.#form = form;
    this.#isAsked = true;
    if (isSame && this.#answer !== undefined) {
      this.#send(form.version, this.#answer); // the connection was lost before the server had the answer
    } else {
      this.#answer = undefined;
      this.#ask(form, "");
    }
  }

  /**
   * The server lets the visitor in. Return whether that closes the question: it was accepted in another window, or
   * the connection was lost before the server's answer.
   */
  onAdmitted() {
    const isAnswered = this.isOpen && !this.#isAsked;
    if (isAnswered) {
      this.close();
    }
    return isAnswered;
  }

  /** The server has refused the answer. @param {string} problem */
  onRefused(problem) {
    this.#answer = undefined;
    if (this.#form) {
      this.#ask(this.#form, problem);
    }
  }

  /** @param {boolean} accept */
  answer(accept) {
    if (this.#form) {
      this.#answer = accept;
      this.#send(this.#form.version, accept);
    }
  }

  /** The server has noted the answer, or there is nothing to ask any more. */
  close() {
    this.#form = this.#answer = undefined;
  }
}

/** Shows the question in a section of the page. */
export class ConsentPanel {
  /**
   * @param {HTMLElement} section
   * @param {{ accept: () => void, decline: () => void }} actions
   */
  constructor(section, actions) {
    this.#title.id = `${section.id}-title`;
    this.#title.tabIndex = -1;
    this.#body.tabIndex = 0; // a long text is scrolled with the keyboard
    this.#body.setAttribute("role", "region");
    this.#body.setAttribute("aria-labelledby", this.#title.id);
    this.#note.id = `${section.id}-note`;
    this.#decline.setAttribute("aria-describedby", this.#note.id);
    this.#problem.setAttribute("role", "alert");
    this.#accept.type = this.#decline.type = "button";
    for (const [button, act] of /** @type {const} */ ([
      [this.#accept, actions.accept],
      [this.#decline, actions.decline],
    ])) {
      button.addEventListener("click", () => {
        this.#setBusy(true);
        act();
      });
    }
    section.setAttribute("aria-labelledby", this.#title.id);
    section.append(
      this.#title,
      this.#body,
      this.#note,
      this.#problem,
      make("div", "buttons", this.#decline, this.#accept),
    );
  }

  #title = make("h2", "", text("consent_title"));
  #body = make("div", "consent-text");
  #note = make("p", "consent-note");
  #problem = make("p", "problem");
  #accept = make("button", "primary-button", text("consent_accept"));
  #decline = make("button", "secondary-button", text("consent_decline"));

  /**
   * @param {ConsentForm} form
   * @param {string} note what happens if the visitor declines
   * @param {string} problem why the last answer was refused; may be empty
   */
  show(form, note, problem) {
    if (this.#body.textContent !== form.text) {
      this.#body.replaceChildren(...linkify(form.text));
      this.#body.scrollTop = 0;
    }
    this.#body.lang = form.language === "en" ? "en" : "zh-CN";
    this.#note.textContent = note;
    this.#problem.textContent = problem;
    this.#setBusy(false);
  }

  focus() {
    this.#title.focus();
  }

  /** @param {boolean} busy whether the visitor has answered, and the server has not noted it yet */
  #setBusy(busy) {
    this.#accept.disabled = this.#decline.disabled = busy;
  }
}
