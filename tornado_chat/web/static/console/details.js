// @ts-check
/**
 * About a visitor: who it is, and earlier conversations with what was said in them.
 *
 * @module
 */

import { find, icon, make } from "../shared/elements.js";
import { ChatMessages } from "../shared/messages.js";
import { language, text } from "../shared/strings.js";
import { parseTime, Times } from "../shared/time.js";

/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("./records.js").Earlier} Earlier */
/** @typedef {import("./records.js").Records} Records */

const MAX_STARS = 5;

/** What was found out about one visitor. */
class Past {
  /** @type {Earlier[]} */
  items = [];
  /** Where the next page begins; undefined: nothing was asked yet. @type {number | null | undefined} */
  next = undefined;
  problem = "";
}

export class Details {
  /**
   * @param {Records} records
   * @param {() => void} close
   */
  constructor(records, close) {
    this.#records = records;
    const closing = find("#details-close");
    closing.append(icon("close"));
    closing.setAttribute("aria-label", text("close"));
    closing.addEventListener("click", close);
    this.#back.append(icon("back"));
    this.#back.setAttribute("aria-label", text("earlier"));
    this.#back.addEventListener("click", () => {
      const read = this.#reading;
      this.#reading = null;
      this.#show();
      find(`[data-earlier="${read?.conversation}"]`, HTMLElement, this.#body).focus();
    });
    this.#aside.addEventListener("keydown", (event) => event.key === "Escape" && close());
  }

  #records;
  #aside = find("#details");
  #body = find("#details-body");
  #title = find("#details-title");
  #back = find("#details-back");
  #times = new Times(language);
  /** @type {Case | null} */
  #case = null;
  /** The conversation of before that is being read. @type {Earlier | null} */
  #reading = null;
  /** By the case, for as long as that is on the desk. @type {WeakMap<Case, Past>} */
  #pasts = new WeakMap();

  /** @param {Case | null} one null: nothing */
  show(one) {
    this.#aside.hidden = one === null;
    if (one !== this.#case) {
      this.#case = one;
      this.#reading = null;
      this.#show();
    }
  }

  focus() {
    this.#title.focus();
  }

  #show() {
    const one = this.#case;
    this.#back.hidden = this.#reading === null;
    if (!one) {
      this.#body.replaceChildren();
    } else if (this.#reading) {
      this.#showLines(this.#reading);
    } else {
      this.#showPerson(one);
    }
  }

  /** @param {Case} one */
  #showPerson(one) {
    this.#title.textContent = one.name;
    const facts = make("dl", "facts");
    for (const [key, value] of [
      ["about_id", String(one.visitor.id)],
      ["about_number", String(one.number)],
      ["about_since", this.#when(one.visitor.since)],
    ]) {
      facts.append(make("div", "", make("dt", "", text(key)), make("dd", "", value)));
    }
    this.#body.replaceChildren(facts, make("h3", "", text("earlier")));
    const past = this.#pasts.get(one) ?? new Past();
    this.#pasts.set(one, past);
    if (past.next === undefined && !past.problem) {
      this.#body.append(make("p", "nothing", text("earlier_loading")));
      void this.#load(one, past);
      return;
    }
    this.#body.append(make("ol", "earlier", ...past.items.map((item) => make("li", "", this.#item(item)))));
    if (past.problem) {
      this.#body.append(
        make("p", "problem", past.problem),
        this.#button("try_again", () => this.#load(one, past)),
      );
    } else if (!past.items.length) {
      this.#body.append(make("p", "nothing", text("earlier_none")));
    } else if (past.next !== null) {
      this.#body.append(this.#button("earlier_more", () => this.#load(one, past)));
    }
  }

  /** @param {Earlier} item */
  #item(item) {
    const waiter = item.waiter_name || (item.waiter_id === null ? "" : text("agent", { id: item.waiter_id }));
    const about = waiter ? text("earlier_with", { waiter, count: item.messages }) : text("earlier_nobody");
    const button = make(
      "button",
      "earlier-one",
      make("b", "", this.#when(item.created)),
      make("span", "", about),
    );
    if (item.rate !== null) {
      const stars = "★".repeat(item.rate) + "☆".repeat(MAX_STARS - item.rate);
      const drawn = make("span", "stars-given", stars);
      drawn.setAttribute("aria-hidden", "true");
      button.append(drawn, make("span", "hidden", text("earlier_stars", { rate: item.rate })));
    }
    if (item.feedback) {
      button.append(make("q", "", item.feedback));
    }
    button.type = "button";
    button.dataset.earlier = String(item.conversation);
    button.addEventListener("click", () => {
      this.#reading = item;
      this.#show();
      this.#title.focus();
    });
    return button;
  }

  /** @param {Case} one @param {Past} past */
  async #load(one, past) {
    try {
      const page = await this.#records.earlier(one.visitor.id, past.next ?? null);
      past.items.push(...page.items);
      past.next = page.next;
      past.problem = "";
    } catch (error) {
      past.problem = /** @type {Error} */ (error).message;
    }
    if (this.#case === one && !this.#reading) {
      this.#show();
    }
  }

  /** @param {Earlier} item */
  async #showLines(item) {
    this.#title.textContent = this.#when(item.created);
    const messages = new ChatMessages();
    messages.links = true;
    this.#body.replaceChildren(messages);
    messages.otherName = item.user_name || text("visitor");
    try {
      const lines = await this.#records.lines(item.conversation);
      if (messages.isConnected) {
        messages.addPast(lines, false);
      }
    } catch (error) {
      messages.replaceWith(make("p", "problem", /** @type {Error} */ (error).message));
    }
  }

  /** @param {string} key @param {() => unknown} act */
  #button(key, act) {
    const button = make("button", "plain-button", text(key));
    button.type = "button";
    button.addEventListener("click", act);
    return button;
  }

  /** @param {string} time */
  #when(time) {
    const date = parseTime(time);
    return `${this.#times.day(date)} ${this.#times.clock(date)}`;
  }
}
