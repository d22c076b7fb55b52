// @ts-check
/**
 * Details of a client: id, conversation, and earlier conversations with their messages.
 *
 * @module
 */

import { find, icon, make } from "../shared/elements.js";
import { guestName } from "../shared/guest_names.js";
import { ChatMessages } from "../shared/messages.js";
import { language, text } from "../shared/strings.js";
import { parseTime, TimeFormatter } from "../shared/time.js";

/** @typedef {import("../shared/groups.js").GroupTitles} GroupTitles */
/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("./support_api.js").EarlierConversation} EarlierConversation */
/** @typedef {import("./support_api.js").SupportApi} SupportApi */

const MAX_STARS = 5;

/** The loaded pages of earlier conversations of one client. */
class EarlierPages {
  /** @type {EarlierConversation[]} */
  items = [];
  /**
   * Where the next page begins; null: no more pages, undefined: none was requested.
   *
   * @type {number | null | undefined}
   */
  next = undefined;
  problem = "";
}

export class Details {
  /**
   * @param {SupportApi} api
   * @param {GroupTitles} groups
   * @param {() => void} close
   */
  constructor(api, groups, close) {
    this.#api = api;
    this.#groups = groups;
    const closeButton = find("#details-close");
    closeButton.append(icon("close"));
    closeButton.setAttribute("aria-label", text("close"));
    closeButton.addEventListener("click", close);
    this.#back.append(icon("back"));
    this.#back.setAttribute("aria-label", text("earlier"));
    this.#back.addEventListener("click", () => {
      const read = this.#openEarlier;
      this.#openEarlier = null;
      this.#render();
      find(`[data-earlier="${read?.conversation}"]`, HTMLElement, this.#body).focus();
    });
    this.#element.addEventListener("keydown", (event) => event.key === "Escape" && close());
  }

  #api;
  #groups;
  #element = find("#details");
  #body = find("#details-body");
  #title = find("#details-title");
  #back = find("#details-back");
  #times = new TimeFormatter(language);
  /** @type {Case | null} */
  #case = null;
  /** The earlier conversation that is shown. @type {EarlierConversation | null} */
  #openEarlier = null;
  /** By case, for as long as the case is in the list. @type {WeakMap<Case, EarlierPages>} */
  #pagesByCase = new WeakMap();

  /** @param {Case | null} item null: hide the details */
  show(item) {
    this.#element.hidden = item === null;
    if (item !== this.#case) {
      this.#case = item;
      this.#openEarlier = null;
      this.#render();
    }
  }

  focus() {
    this.#title.focus();
  }

  #render() {
    const item = this.#case;
    this.#back.hidden = this.#openEarlier === null;
    if (!item) {
      this.#body.replaceChildren();
    } else if (this.#openEarlier) {
      this.#showTranscript(this.#openEarlier);
    } else {
      this.#showPerson(item);
    }
  }

  /** @param {Case} item */
  #showPerson(item) {
    this.#title.textContent = item.name;
    const facts = make("dl", "facts");
    const { id, name } = item.client;
    const group = this.#groups.of(item.client.group);
    for (const [key, value] of [
      ["about_id", id],
      ...(group ? [["about_group", group]] : []),
      ["about_number", String(item.number)],
      ["about_since", this.#formatTime(item.client.since)],
    ]) {
      facts.append(make("div", "", make("dt", "", text(key)), make("dd", "", value)));
    }
    const isGuest = !name && guestName(id) !== null;
    this.#body.replaceChildren(
      ...(isGuest ? [make("p", "small about-guest", text("about_guest"))] : []),
      facts,
      make("h3", "", text("earlier")),
    );
    const pages = this.#pagesByCase.get(item) ?? new EarlierPages();
    this.#pagesByCase.set(item, pages);
    if (pages.next === undefined && item.state === "ended") {
      this.#body.append(make("p", "empty-text", text("earlier_over")));
      return;
    }
    if (pages.next === undefined && !pages.problem) {
      this.#body.append(make("p", "empty-text", text("earlier_loading")));
      void this.#load(item, pages);
      return;
    }
    this.#body.append(
      make(
        "ol",
        "earlier",
        ...pages.items.map((earlier) => make("li", "", this.#makeEarlierButton(earlier))),
      ),
    );
    if (pages.problem) {
      this.#body.append(
        make("p", "problem", pages.problem),
        this.#makeButton("try_again", () => this.#load(item, pages)),
      );
    } else if (!pages.items.length) {
      this.#body.append(make("p", "empty-text", text("earlier_none")));
    } else if (pages.next !== null) {
      this.#body.append(this.#makeButton("earlier_more", () => this.#load(item, pages)));
    }
  }

  /** @param {EarlierConversation} earlier */
  #makeEarlierButton(earlier) {
    const waiter =
      earlier.waiter_name || (earlier.waiter_id === null ? "" : text("agent", { id: earlier.waiter_id }));
    const about = waiter
      ? text("earlier_with", { waiter, count: earlier.messages })
      : text("earlier_unanswered");
    const button = make(
      "button",
      "earlier-item",
      make("b", "", this.#formatTime(earlier.created)),
      make("span", "", about),
    );
    if (earlier.rate !== null) {
      const stars = "★".repeat(earlier.rate) + "☆".repeat(MAX_STARS - earlier.rate);
      const drawn = make("span", "stars-given", stars);
      drawn.setAttribute("aria-hidden", "true");
      button.append(drawn, make("span", "visually-hidden", text("earlier_stars", { rate: earlier.rate })));
    }
    if (earlier.feedback) {
      button.append(make("q", "", earlier.feedback));
    }
    button.type = "button";
    button.dataset.earlier = earlier.conversation;
    button.addEventListener("click", () => {
      this.#openEarlier = earlier;
      this.#render();
      this.#title.focus();
    });
    return button;
  }

  /** @param {Case} item @param {EarlierPages} pages */
  async #load(item, pages) {
    try {
      const page = await this.#api.getEarlier(item.client.id, pages.next ?? null);
      pages.items.push(...page.items);
      pages.next = page.next;
      pages.problem = "";
    } catch (error) {
      pages.problem = /** @type {Error} */ (error).message;
    }
    if (this.#case === item && !this.#openEarlier) {
      this.#render();
    }
  }

  /** @param {EarlierConversation} earlier */
  async #showTranscript(earlier) {
    this.#title.textContent = this.#formatTime(earlier.created);
    const list = new ChatMessages();
    this.#body.replaceChildren(list);
    list.otherName = earlier.user_name || (this.#case?.name ?? text("visitor"));
    try {
      const { messages, handovers } = await this.#api.getMessages(earlier.conversation);
      if (list.isConnected) {
        list.addHistory(messages, false);
        handovers.forEach((handover) => list.addHandover(handover));
      }
    } catch (error) {
      const isOver = this.#case?.state === "ended";
      list.replaceWith(
        isOver
          ? make("p", "empty-text", text("earlier_over"))
          : make("p", "problem", /** @type {Error} */ (error).message),
      );
    }
  }

  /** @param {string} key @param {() => unknown} act */
  #makeButton(key, act) {
    const button = make("button", "secondary-button", text(key));
    button.type = "button";
    button.addEventListener("click", act);
    return button;
  }

  /** @param {string} time */
  #formatTime(time) {
    const date = parseTime(time);
    return `${this.#times.day(date)} ${this.#times.clock(date)}`;
  }
}
