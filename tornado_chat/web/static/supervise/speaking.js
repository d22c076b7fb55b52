// @ts-check
/**
 * Taking part in an observed conversation: join, leave, take over, and the field for both participants.
 *
 * A text stays in the field until the server has stored it: after an interruption it is sent again with the
 * same id, so it is stored once.
 *
 * @module
 */

import { make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { ApiError } from "./api.js";

/** @typedef {"supervisor" | "agent" | null} Part */

/**
 * @typedef {object} SpeakingActions
 * @property {() => Promise<void>} join
 * @property {() => Promise<void>} leave
 * @property {(former: "observe" | "leave") => Promise<void>} takeOver
 * @property {(frame: { msg: string, id: string }) => boolean} send false: there is no connection
 */

export class Speaking {
  /** @param {SpeakingActions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.#join = this.#makeButton("join", () => actions.join());
    this.#leave = this.#makeButton("leave_talk", () => actions.leave());
    this.#takeOver = this.#makeButton("take_over", async () => this.#ask(true));
    const cancel = this.#makeButton("cancel", async () => this.#ask(false));
    const former = (/** @type {"observe" | "leave"} */ what) =>
      this.#makeButton(`take_over_${what}`, async () => {
        await actions.takeOver(what);
        this.#ask(false);
      });
    this.#question.append(make("p", "", text("take_over_question")));
    this.#question.append(former("observe"), former("leave"), cancel);
    this.#problem.setAttribute("role", "alert");
    this.#buildForm();
    this.element.append(
      make("div", "speaking-buttons", this.#words, this.#join, this.#takeOver, this.#leave),
      this.#question,
      this.#form,
      this.#problem,
    );
    this.#ask(false);
    this.part = null;
  }

  #actions;
  element = make("section", "speaking");
  #words = make("p", "speaking-words");
  #question = make("div", "speaking-question");
  #form = make("form", "speaking-form");
  #field = make("textarea", "speaking-field");
  #sendButton = make("button", "primary-button", text("send"));
  #problem = make("p", "problem");
  #join;
  #leave;
  #takeOver;
  /** The message that is not stored yet. @type {{ msg: string, id: string } | undefined} */
  #pending;
  /** @type {Part} */
  #part = null;
  #clientName = "";

  /** Whether something was written that is not stored. */
  get hasUnsent() {
    return this.#pending !== undefined || this.#field.value.trim() !== "";
  }

  get part() {
    return this.#part;
  }

  /** As what the person takes part; null: it listens. */
  set part(/** @type {Part} */ part) {
    this.#part = part;
    this.element.dataset.part = part ?? "";
    this.#words.textContent = text(part ? `part_${part}` : "part_none");
    this.#join.hidden = part !== null;
    this.#takeOver.hidden = part === "agent";
    this.#leave.hidden = part !== "supervisor";
    this.#form.hidden = part === null;
    this.#showLabel();
    if (part === "agent") {
      this.#ask(false);
    }
  }

  /** The name of the client. */
  set clientName(/** @type {string} */ name) {
    this.#clientName = name;
    this.#showLabel();
  }

  #showLabel() {
    const words =
      this.#part === "agent" ? text("speaking_to", { name: this.#clientName }) : text("speaking_label");
    this.#field.setAttribute("aria-label", words);
    this.#field.placeholder = words;
  }

  /** The socket is open again: send what is not stored. */
  onAccepted() {
    if (this.#pending) {
      this.#actions.send(this.#pending);
    }
  }

  /** A message is stored. @param {string} id */
  onStored(id) {
    if (this.#pending?.id === id) {
      this.#pending = undefined;
      this.#field.value = "";
      this.#field.readOnly = false;
      this.#problem.textContent = "";
    }
  }

  /** A message was refused. @param {string} words @param {string | undefined} id */
  onRefused(words, id) {
    if (id === undefined || this.#pending?.id === id) {
      this.#pending = undefined;
      this.#field.readOnly = false;
      this.#problem.textContent = words;
    }
  }

  #buildForm() {
    this.#field.rows = 2;
    this.#field.maxLength = 4000;
    this.#sendButton.type = "submit";
    this.#form.append(this.#field, this.#sendButton);
    this.#field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.#form.requestSubmit();
      }
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const msg = this.#field.value.trim();
      if (msg && !this.#pending) {
        this.#pending = { msg, id: crypto.randomUUID() };
        this.#field.readOnly = true;
        this.#actions.send(this.#pending);
      }
    });
  }

  /** Ask what becomes of the agent. @param {boolean} asks */
  #ask(asks) {
    this.#question.hidden = !asks;
    this.#takeOver.setAttribute("aria-expanded", String(asks));
  }

  /**
   * @param {string} key
   * @param {() => Promise<void>} act
   */
  #makeButton(key, act) {
    const button = make("button", "secondary-button", text(key));
    button.type = "button";
    button.addEventListener("click", async () => {
      button.disabled = true;
      this.#problem.textContent = "";
      try {
        await act();
      } catch (error) {
        if (!(error instanceof ApiError)) {
          throw error;
        }
        this.#problem.textContent = error.message;
      } finally {
        button.disabled = false;
      }
    });
    return button;
  }
}
