// @ts-check
/**
 * The left messages: what visitors wrote who gave up before an agent came. A button in the sidebar says how
 * many wait for an answer; its dialog has the list.
 *
 * @module
 */

import { find, make } from "../shared/elements.js";
import { language, text } from "../shared/strings.js";
import { TimeFormatter, parseTime } from "../shared/time.js";
import { clientName } from "./case.js";
import { closableDialog } from "./dialogs.js";

/** @typedef {import("../shared/groups.js").GroupTitles} GroupTitles */
/** @typedef {import("./support_api.js").LeftMessage} LeftMessage */
/** @typedef {import("./support_api.js").SupportApi} SupportApi */

const POLL_INTERVAL_MS = 20_000;

export class LeftMessages {
  /**
   * @param {SupportApi} api
   * @param {GroupTitles} groups
   */
  constructor(api, groups) {
    this.#api = api;
    this.#groups = groups;
    document.addEventListener("visibilitychange", () => this.#schedule(0));
    this.#button.addEventListener("click", () => this.#open());
    this.#more.addEventListener("click", () => this.#load(this.#next ?? 0));
  }

  #api;
  #groups;
  #button = find("#left-button", HTMLButtonElement);
  #dialog = closableDialog("#left-dialog");
  #list = find("#left-list");
  #more = find("#left-more", HTMLButtonElement);
  #problem = find("#left-problem");
  #times = new TimeFormatter(language);
  /** @type {LeftMessage[]} */
  #items = [];
  /** The `after` of the following page; null: there is none. @type {number | null} */
  #next = null;
  #isConnected = false;
  /** @type {number | undefined} */
  #timer;

  /** The groups of the left messages. */
  get groups() {
    return this.#items.map(({ group }) => group);
  }

  /** Start or stop polling. @param {boolean} isConnected */
  setConnected(isConnected) {
    if (isConnected !== this.#isConnected) {
      this.#isConnected = isConnected;
      this.#schedule(0);
    }
  }

  /** @param {number} delayMs */
  #schedule(delayMs) {
    clearTimeout(this.#timer);
    if (this.#isConnected && !document.hidden) {
      this.#timer = setTimeout(() => void this.#poll(), delayMs);
    }
  }

  async #poll() {
    if (!this.#dialog.open) {
      await this.#load(0); // an open list does not change under the reader's hands
    }
    this.#schedule(POLL_INTERVAL_MS);
  }

  async #open() {
    this.#list.replaceChildren();
    this.#dialog.showModal();
    await this.#load(0);
  }

  /** Load a page. @param {number} after 0: the first page */
  async #load(after) {
    this.#problem.textContent = "";
    try {
      const { items, next } = await this.#api.getLeftMessages(after);
      this.#items = after ? [...this.#items, ...items] : items;
      this.#next = next;
      this.#groups.request(this.groups);
    } catch (error) {
      this.#problem.textContent = /** @type {Error} */ (error).message;
      return;
    }
    if (this.#dialog.open) {
      const added = after ? this.#items.filter(({ conversation }) => !this.#find(conversation)) : this.#items;
      this.#list[after ? "append" : "replaceChildren"](...added.map((item) => this.#makeRow(item)));
    }
    this.#showCount();
  }

  #showCount() {
    const count = this.#items.length;
    this.#button.hidden = count === 0;
    this.#button.textContent = text("left_button", { count: this.#next === null ? count : `${count}+` });
    find("#left-empty").hidden = count > 0;
    this.#more.hidden = this.#next === null;
  }

  /** @param {string} conversation @returns {HTMLElement | null} */
  #find(conversation) {
    return this.#list.querySelector(`[data-left="${conversation}"]`);
  }

  /** @param {LeftMessage} item */
  #makeRow(item) {
    const date = parseTime(item.time);
    const group = this.#groups.of(item.group);
    const time = `${this.#times.day(date)} ${this.#times.clock(date)}`;
    const about = [time, group].filter(Boolean).join(" · ");
    const beginning = make("span", "left-beginning", item.beginning || text("left_picture"));
    const open = make(
      "button",
      "left-open",
      make("b", "", clientName(item.user_name, item.user_id)),
      make("small", "", about),
      beginning,
    );
    open.type = "button";
    open.setAttribute("aria-expanded", "false");
    const words = make("div", "left-words");
    words.hidden = true;
    const row = make("li", "left-row", open, words);
    row.dataset.left = item.conversation;
    open.addEventListener("click", async () => {
      const isOpen = open.getAttribute("aria-expanded") === "true";
      open.setAttribute("aria-expanded", String(!isOpen));
      beginning.hidden = !isOpen;
      words.hidden = isOpen;
      if (!isOpen && !words.firstChild) {
        await this.#fill(words, item, row);
      }
    });
    return row;
  }

  /**
   * Show the whole text of a left message, and the button that marks it as handled.
   *
   * @param {HTMLElement} words
   * @param {LeftMessage} item
   * @param {HTMLElement} row
   */
  async #fill(words, item, row) {
    const problem = make("p", "problem");
    problem.setAttribute("role", "alert");
    try {
      const { messages } = await this.#api.getMessages(item.conversation);
      const handled = make("button", "secondary-button", text("left_handled"));
      handled.type = "button";
      handled.addEventListener("click", async () => {
        handled.disabled = true;
        problem.textContent = "";
        try {
          await this.#api.markHandled(item.conversation);
          this.#remove(item, row);
        } catch (error) {
          handled.disabled = false;
          problem.textContent = /** @type {Error} */ (error).message;
        }
      });
      words.replaceChildren(
        make("small", "left-id", `${text("about_id")} ${item.user_id}`),
        ...messages.map((message) => make("p", "", message.text)),
        problem,
        make("div", "buttons", handled),
      );
    } catch (error) {
      words.replaceChildren();
      problem.textContent = /** @type {Error} */ (error).message;
      words.append(problem);
    }
  }

  /** @param {LeftMessage} item @param {HTMLElement} row */
  #remove(item, row) {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    this.#items = this.#items.filter((each) => each !== item);
    this.#showCount();
    const focused = next?.querySelector("button") ?? this.#dialog.querySelector(".close-button");
    /** @type {HTMLElement | null} */ (focused)?.focus();
    if (!this.#items.length && this.#next !== null) {
      void this.#load(this.#next);
    }
  }
}
