// @ts-check
/**
 * The section of earlier sessions: by day, in pages, and searched by the visitor's name and by day.
 *
 * @module
 */

import { find, make } from "../shared/elements.js";
import { language, text } from "../shared/strings.js";
import { onNewDay, sameDay, TimeFormatter } from "../shared/time.js";
import { ApiError } from "./desk_api.js";
import { dayOf, dayOfField, isOpen, timeOf } from "./session.js";
import { SessionRows } from "./session_rows.js";

/** @typedef {import("./desk_api.js").DeskApi} DeskApi */
/** @typedef {import("./desk_api.js").SessionQuery} SessionQuery */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./session_rows.js").SessionActs} SessionActs */

const PAGE_SESSIONS = 30;
const MAX_REQUESTS = 5; // of one click: a search compares a part of the sessions with each request

const times = new TimeFormatter(language);

export class History {
  /**
   * @param {DeskApi} api
   * @param {SessionActs} acts
   */
  constructor(api, acts) {
    this.#api = api;
    this.#acts = acts;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    this.#form.addEventListener("reset", () => setTimeout(() => this.search())); // the fields are empty then
    this.#day.addEventListener("change", () => this.search());
    this.#more.addEventListener("click", () => void this.#load());
    onNewDay(() => this.#onNewDay());
  }

  #api;
  #acts;
  #form = find("#search", HTMLFormElement);
  #name = find("#search-name", HTMLInputElement);
  #day = find("#search-day", HTMLInputElement);
  #list = find("#history-days");
  #status = find("#history-status");
  #more = find("#history-more");
  /** @type {Session[]} */
  #sessions = [];
  /** @type {SessionQuery} */
  #query = {};
  /** The `next` of the last page; null: there is no further page. @type {string | null} */
  #next = "";
  /** Grows with each search, so that late answers of an earlier one are dropped. */
  #searchNumber = 0;
  #current = "";

  /** Load the first page of what the fields say. */
  search() {
    const name = this.#name.value.trim();
    const day = dayOfField(this.#day.value);
    // Without a search, today's sessions are in the section of today.
    this.#query = {
      name,
      ...(day ?? (name ? {} : { before: dayOf(new Date()).from })),
      limit: PAGE_SESSIONS,
    };
    find("#search-reset").hidden = !this.#isSearch;
    this.#searchNumber += 1;
    this.#sessions = [];
    this.#next = "";
    this.#show();
    void this.#load();
  }

  /** The sessions of yesterday have left the section of today, and belong to this one. */
  #onNewDay() {
    if (this.#isSearch) {
      this.#shownKey = ""; // "Today" has become "Yesterday"
      this.#show();
    } else {
      this.search();
    }
  }

  /** Show which session's transcript is open. @param {string} current its number; empty: none */
  show(current) {
    this.#current = current;
    this.#show();
  }

  /** Put the focus on the button of a session. @param {string} number */
  focus(number) {
    this.#rows.forEach((rows) => rows.focus(number));
  }

  get #isSearch() {
    return this.#name.value.trim() !== "" || this.#day.value !== "";
  }

  /** Load the next page; of a search, the next pages until one has a session. */
  async #load() {
    const search = this.#searchNumber;
    const shownCount = this.#sessions.length;
    this.#setStatus(text(this.#isSearch ? "searching" : "loading"));
    this.#more.hidden = true;
    let moreKey = shownCount ? "show_more" : "search_on";
    try {
      const isNothingNew = () => this.#sessions.length === shownCount;
      for (let count = 0; this.#next !== null && isNothingNew() && count < MAX_REQUESTS; count += 1) {
        const page = await this.#api.listSessions({ ...this.#query, after: this.#next });
        if (search !== this.#searchNumber) {
          return;
        }
        this.#sessions.push(...page.items.filter((session) => this.#isSearch || !isOpen(session)));
        this.#next = page.next;
      }
      moreKey = this.#sessions.length ? "show_more" : "search_on";
      this.#setStatus(this.#resultText());
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      if (search !== this.#searchNumber) {
        return;
      }
      moreKey = "try_again";
      this.#setStatus(error.message, true);
    }
    this.#show();
    this.#more.hidden = this.#next === null;
    this.#more.textContent = text(moreKey);
    if (shownCount > 0 && this.#sessions.length > shownCount) {
      this.focus(this.#sessions[shownCount].session_id);
    }
  }

  #resultText() {
    if (this.#sessions.length) {
      return "";
    }
    if (this.#next !== null) {
      return text("history_not_yet");
    }
    return text(this.#isSearch ? "history_none" : "history_empty");
  }

  /**
   * @param {string} content
   * @param {boolean} [isProblem]
   */
  #setStatus(content, isProblem = false) {
    this.#status.textContent = content;
    this.#status.classList.toggle("problem", isProblem);
  }

  /** @type {SessionRows[]} */
  #rows = [];
  #shownKey = "";

  #show() {
    const key = JSON.stringify(this.#sessions);
    if (key !== this.#shownKey) {
      this.#shownKey = key;
      this.#rows = [];
      this.#list.replaceChildren(...this.#makeDays());
    }
    this.#rows.forEach((rows, index) => rows.show(this.#days[index], this.#current));
  }

  /** @type {Session[][]} */
  #days = [];

  #makeDays() {
    this.#days = [];
    for (const session of this.#sessions) {
      const day = this.#days.at(-1);
      if (day && sameDay(timeOf(day[0]), timeOf(session))) {
        day.push(session);
      } else {
        this.#days.push([session]);
      }
    }
    return this.#days.map((sessions) => {
      const list = make("ul", "session-list");
      this.#rows.push(new SessionRows(list, this.#acts));
      return make("section", "", make("h3", "", times.day(timeOf(sessions[0]))), list);
    });
  }
}
