// @ts-check
/**
 * The messages of trainees that wait for this supervisor: approve, edit or refuse them.
 *
 * Keys in a message: `a` approves, `e` edits, `r` refuses; in the text field Ctrl+Enter sends and Escape
 * goes back.
 *
 * @module
 */

import { ApiClient, ApiError } from "../shared/api_client.js";
import { formatRemaining, Ticker } from "../shared/countdown.js";
import { find, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";

/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */

/**
 * @typedef {object} HeldMessage
 * @property {number} id
 * @property {"session" | "conversation"} kind
 * @property {number} number of the session or conversation
 * @property {{ role: string, id: string, name: string | null }} sender
 * @property {string} media
 * @property {string} text
 * @property {string} time
 * @property {string | null} until
 */

const POLL_MS = 2_000; // how often the list is requested
const HIDDEN_POLL_MS = 15_000; // the same while the page is not shown
const PAGE_ITEMS = 50;
/** @type {Record<string, "approve" | "edit" | "refuse">} */
const ACTION_BY_KEY = { a: "approve", e: "edit", r: "refuse" };

/** One message in the list. */
class HeldItem {
  /**
   * @param {HeldMessage} held
   * @param {(what: "approve" | "refuse", body: Record<string, string>) => Promise<void>} decide
   */
  constructor(held, decide) {
    this.held = held;
    this.#decide = decide;
    const place = text(`approval_in_${held.kind}`, { number: held.number });
    const sender = held.sender.name || held.sender.id;
    const words = make("p", "held-text", held.text);
    words.dir = "auto";
    this.element = make(
      "li",
      "held-message",
      make("p", "held-meta", make("span", "", `${sender} · ${place}`), this.#clock),
      words,
      this.#buttons,
      this.#form,
    );
    this.element.tabIndex = 0;
    this.element.setAttribute("aria-label", `${sender}, ${place}: ${held.text}`);
    this.element.setAttribute("aria-keyshortcuts", "a e r");
    this.#approveButton = this.#makeButton("approve", "primary-button", () => this.#send("approve", {}));
    this.#editButton = this.#makeButton("approval_edit", "secondary-button", () => this.#open("edit"));
    this.#editButton.hidden = held.media !== "text";
    const refuseButton = this.#makeButton("approval_refuse", "secondary-button", () => this.#open("refuse"));
    this.#buttons.append(this.#approveButton, this.#editButton, refuseButton);
    this.#form.hidden = true;
    this.element.addEventListener("keydown", (event) => this.#onKey(event));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  #decide;
  #clock = make("span", "held-clock");
  #buttons = make("div", "held-buttons");
  #form = make("form", "held-form");
  #approveButton;
  #editButton;
  /** What the open form does. @type {"edit" | "refuse"} */
  #opened = "edit";

  /** Show the remaining time, and whether an earlier message has to be decided first. @param {boolean} isFirst */
  show(isFirst) {
    const { until } = this.held;
    this.#clock.textContent =
      until === null
        ? text("approval_unlimited")
        : text("approval_left", { time: formatRemaining(Date.parse(until) - Date.now()) });
    this.#clock.classList.toggle("urgent", until !== null && Date.parse(until) - Date.now() < 30_000);
    for (const button of [this.#approveButton, this.#editButton]) {
      button.disabled = !isFirst;
      button.title = isFirst ? "" : text("approval_after_earlier");
    }
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.target instanceof HTMLTextAreaElement) {
      if (event.key === "Escape") {
        this.#close();
      } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        this.#submit();
      }
      return;
    }
    const action = ACTION_BY_KEY[event.key.toLowerCase()];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    event.preventDefault();
    if (action === "refuse") {
      this.#open("refuse");
    } else if (!this.#approveButton.disabled) {
      if (action === "approve") {
        this.#send("approve", {});
      } else if (!this.#editButton.hidden) {
        this.#open("edit");
      }
    }
  }

  /** @param {"edit" | "refuse"} what */
  #open(what) {
    this.#opened = what;
    const field = make("textarea", "held-field");
    field.rows = what === "edit" ? 4 : 2;
    field.value = what === "edit" ? this.held.text : "";
    field.maxLength = what === "edit" ? 100_000 : 1_000;
    field.setAttribute("aria-label", text(what === "edit" ? "approval_text" : "approval_note"));
    field.placeholder = what === "edit" ? "" : text("approval_note");
    const key = what === "edit" ? "approval_send_edited" : "approval_refuse";
    const submit = make("button", "primary-button", text(key));
    submit.classList.toggle("danger", what === "refuse");
    const cancel = this.#makeButton("approval_cancel", "secondary-button", () => this.#close());
    this.#form.replaceChildren(field, make("div", "held-buttons", submit, cancel));
    this.#form.hidden = false;
    this.#buttons.hidden = true;
    field.focus();
  }

  #close() {
    this.#form.hidden = true;
    this.#buttons.hidden = false;
    this.element.focus();
  }

  #submit() {
    const value = this.#form.querySelector("textarea")?.value.trim() ?? "";
    if (this.#opened === "refuse") {
      this.#send("refuse", value ? { note: value } : {});
    } else if (value) {
      this.#send("approve", { text: value });
    }
  }

  /**
   * @param {"approve" | "refuse"} what
   * @param {Record<string, string>} body
   */
  #send(what, body) {
    this.element.classList.add("is-sending");
    void this.#decide(what, body).finally(() => this.element.classList.remove("is-sending"));
  }

  /**
   * @param {string} key
   * @param {string} className
   * @param {() => void} act
   */
  #makeButton(key, className, act) {
    const button = make("button", className, text(key));
    button.type = "button";
    button.addEventListener("click", act);
    return button;
  }
}

export class ApprovalPanel {
  /** @param {TokenSource} token */
  constructor(token) {
    this.#client = new ApiClient(token);
  }

  #client;
  /** By the number of the held message. @type {Map<number, HeldItem>} */
  #items = new Map();
  #clock = new Ticker();
  /** @type {number | undefined} */
  #timer;
  #isStopped = false;

  start() {
    document.addEventListener("visibilitychange", () => !document.hidden && this.refresh());
    this.refresh();
  }

  stop() {
    this.#isStopped = true;
    this.#clock.stop();
    clearTimeout(this.#timer);
  }

  /** Request the list now. */
  refresh() {
    clearTimeout(this.#timer);
    void this.#load().finally(() => {
      clearTimeout(this.#timer);
      if (!this.#isStopped) {
        this.#timer = setTimeout(() => this.refresh(), document.hidden ? HIDDEN_POLL_MS : POLL_MS);
      }
    });
  }

  async #load() {
    try {
      const page = await this.#client.request(`/approvals?limit=${PAGE_ITEMS}`);
      if (!this.#isStopped) {
        this.#show(page.items);
      }
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      // the next request may succeed; the page shows elsewhere that there is no connection
    }
  }

  /** @param {HeldMessage[]} waiting */
  #show(waiting) {
    const list = find("#held-messages");
    for (const [id, item] of this.#items) {
      if (!waiting.some((held) => held.id === id)) {
        const hadFocus = item.element.contains(document.activeElement);
        const next = item.element.nextElementSibling ?? item.element.previousElementSibling;
        item.element.remove();
        this.#items.delete(id);
        if (hadFocus && next instanceof HTMLElement) {
          next.focus();
        }
      }
    }
    for (const held of waiting) {
      if (!this.#items.has(held.id)) {
        const item = new HeldItem(held, (what, body) => this.#decide(held.id, what, body));
        this.#items.set(held.id, item);
        list.append(item.element);
      }
    }
    find("#approvals-title").textContent = text("approvals_title", { count: this.#items.size });
    find("#approvals").hidden = !this.#items.size && !find("#approvals-problem").textContent;
    if (this.#items.size) {
      this.#clock.run(() => this.#showClocks());
    } else {
      this.#clock.stop();
    }
  }

  #showClocks() {
    /** The conversations' senders with an earlier message. @type {Set<string>} */
    const seen = new Set();
    for (const item of this.#items.values()) {
      const { kind, number, sender } = item.held;
      const key = `${kind} ${number} ${sender.role} ${sender.id}`;
      item.show(!seen.has(key));
      seen.add(key);
    }
  }

  /**
   * @param {number} id
   * @param {"approve" | "refuse"} what
   * @param {Record<string, string>} body
   */
  async #decide(id, what, body) {
    const problem = find("#approvals-problem");
    problem.textContent = "";
    try {
      await this.#client.request(`/approvals/${id}/${what}`, { body });
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      problem.textContent = error.message;
    }
    await this.#load();
  }
}
