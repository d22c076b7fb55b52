// @ts-check
/**
 * `<chat-messages>`: what was said, with what became of one's own messages.
 *
 * Events: `older` (the reader nears the beginning), `read` with the number up to which the other
 * side's messages were on the screen, `edit` and `again` with the id of a refused message.
 *
 * @module
 */

import { icon, make } from "./elements.js";
import { linked } from "./links.js";
import { language, systemText, text } from "./strings.js";
import { parseTime, sameDay, Times } from "./time.js";

/** @typedef {import("./conversation.js").Said} Said */
/** @typedef {import("./outbox.js").Unsent} Unsent */

/** A line of the list, and what is known of it. */
class Item {
  /**
   * @param {HTMLLIElement} element
   * @param {Partial<Item>} known
   */
  constructor(element, known) {
    this.element = element;
    Object.assign(this, known);
  }

  /** Not known while it is being sent. @type {number | undefined} */
  seq;
  /** @type {Date | undefined} */
  time;
  /** @type {"own" | "other" | "system"} */
  side = "system";
  /** Of an own message that is on its way. @type {string | undefined} */
  id;
  /** The line before it that tells the day. @type {HTMLLIElement | undefined} */
  day;
  /** The place for what became of an own message. @type {HTMLElement | undefined} */
  fate;
}

const END_TOLERANCE_PX = 48; // pixels that count as being at the end
const GROUP_WINDOW_MS = 4 * 60_000; // milliseconds within which messages of one side belong together

export class ChatMessages extends HTMLElement {
  #times = new Times(language);
  #log = make("div", "log");
  #list = make("ol", "list");
  #newer = make("button", "newer");
  #typing = make("div", "typing");
  /** @type {Item[]} */
  #items = [];
  #otherName = "";
  #seen = 0;
  #watched = true;
  #held = false;
  #more = false;
  /** Whether addresses become links. To be set before there is anything. */
  links = false;
  #atEnd = true;
  #loaded = false;
  /** @type {HTMLElement | undefined} */
  #empty;
  /** @type {Item | undefined} */
  #lastOwn;
  /** What an empty list says: the keys of a title and of a sentence. */
  emptyTexts = ["empty_title", "empty_text"];
  #removed = new AbortController();
  #top = 0;
  // A keyboard that slides in, a growing composer, a turned telephone: who was at the end stays there.
  #resized = new ResizeObserver(() => this.#atEnd && this.toEnd());

  connectedCallback() {
    if (!this.firstChild) {
      this.#build();
    }
    this.#removed = new AbortController();
    document.addEventListener("visibilitychange", () => this.#tellRead(), { signal: this.#removed.signal });
    this.#resized.observe(this.#log);
    this.#log.scrollTop = this.#top; // to be somewhere else in the page does not mean to read from the beginning
  }

  disconnectedCallback() {
    this.#removed.abort();
    this.#resized.disconnect();
  }

  #build() {
    this.#log.setAttribute("role", "log");
    this.#log.setAttribute("aria-live", "polite");
    this.#log.setAttribute("aria-relevant", "additions");
    this.#log.setAttribute("aria-label", text("conversation"));
    this.#log.setAttribute("aria-busy", "true"); // until the past is there, which is no news
    this.#log.tabIndex = 0; // so that the keyboard can scroll it
    this.#log.append(this.#list);
    this.#newer.type = "button";
    this.#newer.hidden = true;
    this.#newer.append(icon("down"), make("span"));
    this.#newer.addEventListener("click", () => {
      this.toEnd(true);
      this.#log.focus({ preventScroll: true });
    });
    this.#typing.hidden = true;
    this.#typing.append(make("span", "dots", make("i"), make("i"), make("i")), make("span", "who"));
    this.append(this.#log, this.#typing, this.#newer);
    this.#log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  /** How the other side is called. */
  set otherName(/** @type {string} */ name) {
    if (name === this.#otherName) {
      return; // what is written anew in a log is read out anew
    }
    this.#otherName = name;
    for (const who of this.querySelectorAll(".other .who-said")) {
      who.textContent = `${name}: `;
    }
    const who = this.#typing.querySelector(".who");
    if (who) {
      who.textContent = text("is_typing", { name });
    }
  }

  /** Whether the list can be seen at all: what nobody sees was not read. */
  set watched(/** @type {boolean} */ watched) {
    this.#watched = watched;
    this.#tellRead();
  }

  /** Whether what is written waits for more than the network: for somebody to send it to. */
  set held(/** @type {boolean} */ held) {
    this.#held = held;
    this.#items
      .filter((item) => item.id !== undefined && !item.element.classList.contains("refused"))
      .forEach((item) => this.#showFate(item));
  }

  /** Whether the other side is typing. */
  set typing(/** @type {boolean} */ typing) {
    this.#typing.hidden = !typing;
  }

  /** Something new. @param {Said} said */
  add(said) {
    const item = this.#message(said);
    this.#place(item, "news");
    if (!said.own && !this.#atEnd) {
      this.#showNewer(true);
    }
  }

  /**
   * Something of before, which is not announced.
   *
   * @param {Said[]} past
   * @param {boolean} more whether there is anything before the very first
   */
  addPast(past, more) {
    this.#more = more;
    this.#log.setAttribute("aria-busy", "true");
    const height = this.#log.scrollHeight;
    const top = this.#log.scrollTop;
    const shown = new Set(this.#items.map((item) => item.seq));
    for (const said of past.filter(({ seq }) => !shown.has(seq))) {
      this.#place(this.#message(said), "past");
    }
    this.#loaded = true;
    this.#showEmpty();
    if (this.#atEnd) {
      this.toEnd();
    } else {
      // What the reader looks at stays where it is.
      this.#log.scrollTop = top + this.#log.scrollHeight - height;
    }
    // Not before the next frame: what is added while busy must have been seen as such.
    requestAnimationFrame(() => {
      this.#log.setAttribute("aria-busy", "false");
      this.#scrolled();
    });
  }

  /** An own message that is on its way. @param {Unsent} unsent */
  addUnsent(unsent) {
    const item = this.#message({ text: unsent.text, own: true }, unsent.id);
    this.#place(item, "news");
    this.toEnd();
  }

  /** @param {string} msg @param {string} time */
  addSystem(msg, time) {
    const content = make("span", "", systemText(msg));
    const element = make("li", "system", content);
    const item = new Item(element, { side: "system", time: parseTime(time) });
    this.#place(item, "news");
  }

  /**
   * The server has it.
   *
   * @param {string} id
   * @param {number} seq
   * @param {string} time
   */
  markStored(id, seq, time) {
    const item = this.#items.find((item) => item.id === id);
    if (!item) {
      return;
    }
    if (this.#items.some((item) => item.seq === seq)) {
      this.#remove(item); // the past had it already
      return;
    }
    item.id = undefined;
    item.seq = seq;
    item.element.classList.remove("refused"); // it had been given up too early
    item.time = parseTime(time);
    this.#showTime(item);
    this.#showFate(item);
    // Others' messages may have been stored between.
    const index = this.#items.indexOf(item);
    const after = this.#items.slice(index + 1).some((other) => other.seq !== undefined && other.seq < seq);
    const before = this.#items
      .slice(0, index)
      .some((other) => (other.seq ?? 0) > seq || other.id !== undefined);
    if (after || before) {
      this.#remove(item);
      this.#place(item, "past");
    } else {
      this.#arrange(index);
    }
    if (this.#atEnd) {
      this.toEnd();
    }
  }

  /**
   * The server did not take it: it stays, with the reason.
   *
   * @param {string} id
   * @param {string} reason
   * @param {boolean} [final] nothing can be done about it any more
   */
  markRefused(id, reason, final = false) {
    const item = this.#items.find((item) => item.id === id);
    if (!item?.fate) {
      return;
    }
    item.element.classList.add("refused");
    item.fate.replaceChildren(icon("refused"), make("span", "", `${text("refused")}: ${reason}`));
    if (!final) {
      const act = (/** @type {string} */ name, /** @type {string} */ key) => {
        const button = make("button", "quiet", text(key));
        button.type = "button";
        button.addEventListener("click", () => this.dispatchEvent(new CustomEvent(name, { detail: id })));
        return button;
      };
      item.fate.append(make("span", "actions", act("edit", "edit"), act("again", "send_again")));
    }
    this.#arrange(this.#items.indexOf(item));
    if (this.#atEnd) {
      this.toEnd();
    }
  }

  /** It is tried once more. @param {string} id */
  markSending(id) {
    const item = this.#items.find((item) => item.id === id);
    if (item) {
      item.element.classList.remove("refused");
      this.#showFate(item);
    }
  }

  /** Take a message that was not sent out of the list. @param {string} id */
  removeUnsent(id) {
    const item = this.#items.find((item) => item.id === id);
    if (item) {
      this.#remove(item);
    }
  }

  /** The other side has read up to here. @param {number} seq */
  markSeen(seq) {
    if (seq > this.#seen) {
      this.#seen = seq;
      this.#items
        .filter((item) => item.side === "own" && item.seq !== undefined)
        .forEach((item) => this.#showFate(item));
    }
  }

  /** Scroll to the end. @param {boolean} [smoothly] */
  toEnd(smoothly = false) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#log.scrollTo({ top: this.#log.scrollHeight, behavior: smoothly && !calm ? "smooth" : "instant" });
    this.#atEnd = true;
    this.#showNewer(false);
    this.#tellRead();
  }

  // --- lines ---

  /**
   * @param {{ text: string, own: boolean, seq?: number, time?: string }} said
   * @param {string} [id]
   */
  #message(said, id) {
    const side = said.own ? "own" : "other";
    const who = make("span", "who-said hidden", said.own ? `${text("you")}: ` : `${this.#otherName}: `);
    const words = make("p", "words", ...(this.links ? linked(said.text) : [said.text]));
    words.dir = "auto";
    const meta = make("div", "meta");
    const element = make("li", `message ${side}`, make("div", "bubble", who, words), meta);
    const item = new Item(element, {
      side,
      id,
      seq: said.seq,
      time: said.time ? parseTime(said.time) : undefined,
    });
    if (said.own) {
      item.fate = make("span", "fate");
      meta.append(item.fate);
      this.#showFate(item);
    }
    this.#showTime(item);
    return item;
  }

  /** @param {Item} item */
  #showTime(item) {
    const meta = item.element.querySelector(".meta");
    if (item.time && meta && !meta.querySelector("time")) {
      const time = make("time", "", this.#times.clock(item.time));
      time.dateTime = `${localDay(item.time)}T${this.#times.clock(item.time)}`;
      meta.prepend(time);
    }
  }

  /** @param {Item} item */
  #showFate(item) {
    const unsent = this.#held ? "held" : "sending";
    const fate = item.seq === undefined ? unsent : item.seq <= this.#seen ? "seen" : "stored";
    if (item.fate && item.fate.dataset.fate !== fate) {
      item.element.dataset.fate = item.fate.dataset.fate = fate;
      item.fate.replaceChildren(icon(fate), make("span", "fate-words", text(fate)));
    } else if (item.fate?.querySelector(".actions")) {
      item.fate.replaceChildren(icon(fate), make("span", "fate-words", text(fate)));
    }
  }

  // --- their order ---

  /**
   * Put an item where it belongs: messages by their numbers, what is on its way at the end, what the
   * server tells where it came.
   *
   * @param {Item} item
   * @param {"news" | "past"} kind
   */
  #place(item, kind) {
    let index = this.#items.length;
    if (item.id === undefined) {
      while (index > 0 && this.#isAfter(this.#items[index - 1], item, kind)) {
        index -= 1;
      }
    }
    const next = this.#items[index];
    this.#list.insertBefore(item.element, next ? (next.day ?? next.element) : null);
    this.#items.splice(index, 0, item);
    this.#arrange(index);
    this.#showEmpty();
    if (this.#atEnd && kind === "news") {
      this.toEnd();
    }
  }

  /**
   * Whether `other` comes after the new `item`.
   *
   * @param {Item} other
   * @param {Item} item
   * @param {"news" | "past"} kind
   */
  #isAfter(other, item, kind) {
    if (other.id !== undefined) {
      return true;
    }
    if (item.seq === undefined || other.seq === undefined) {
      return kind === "past" && (other.time?.getTime() ?? 0) > (item.time?.getTime() ?? 0);
    }
    return other.seq > item.seq;
  }

  /** @param {Item} item */
  #remove(item) {
    const index = this.#items.indexOf(item);
    item.day?.remove();
    item.day = undefined;
    item.element.remove();
    this.#items.splice(index, 1);
    this.#arrange(index);
    this.#showEmpty();
  }

  /** Days and groups, where an item came or went. @param {number} index */
  #arrange(index) {
    for (const at of [index - 1, index, index + 1]) {
      const item = this.#items[at];
      if (!item) {
        continue;
      }
      const previous = this.#items[at - 1];
      const newDay =
        item.time !== undefined &&
        !(previous?.time && sameDay(previous.time, item.time)) &&
        !this.#dayBefore(at, item.time);
      if (newDay && item.time && !item.day) {
        const day = make("time", "", this.#times.day(item.time));
        day.dateTime = localDay(item.time);
        item.day = make("li", "day", day);
        item.element.before(item.day);
      } else if (!newDay && item.day) {
        item.day.remove();
        item.day = undefined;
      }
      item.element.classList.toggle("follows", !newDay && previous !== undefined && together(previous, item));
      previous?.element.classList.toggle("followed", !newDay && together(previous, item));
      if (at === this.#items.length - 1) {
        item.element.classList.remove("followed");
      }
    }
    const lastOwn = this.#items.findLast((item) => item.side === "own");
    if (lastOwn !== this.#lastOwn) {
      this.#lastOwn?.element.classList.remove("last-own");
      lastOwn?.element.classList.add("last-own");
      this.#lastOwn = lastOwn;
    }
  }

  /**
   * Whether the last item with a time before `at` is of the day of `time`: what is on its way has none.
   *
   * @param {number} at
   * @param {Date} time
   */
  #dayBefore(at, time) {
    for (let index = at - 1; index >= 0; index -= 1) {
      const before = this.#items[index].time;
      if (before) {
        return sameDay(before, time);
      }
    }
    return false;
  }

  #showEmpty() {
    const empty = this.#loaded && !this.#items.some((item) => item.side !== "system");
    if (empty && !this.#empty) {
      this.#empty = make(
        "div",
        "empty",
        icon("leaf"),
        make("p", "empty-title", text(this.emptyTexts[0])),
        make("p", "", text(this.emptyTexts[1])),
      );
      this.#log.prepend(this.#empty);
    } else if (!empty && this.#empty) {
      this.#empty.remove();
      this.#empty = undefined;
    }
  }

  // --- where the reader is ---

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    if (clientHeight === 0) {
      return; // it is not to be seen
    }
    this.#top = scrollTop;
    this.#atEnd = scrollHeight - scrollTop - clientHeight <= END_TOLERANCE_PX;
    if (this.#atEnd) {
      this.#showNewer(false);
      this.#tellRead();
    } else if (this.#newer.hidden && scrollHeight - scrollTop - clientHeight > clientHeight) {
      this.#showNewer(true, "to_the_end");
    }
    if (this.#more && scrollTop < clientHeight / 2) {
      this.#more = false; // the answer says it again
      this.dispatchEvent(new CustomEvent("older"));
    }
  }

  /** @param {boolean} show @param {string} [key] */
  #showNewer(show, key = "new_messages") {
    this.#newer.hidden = !show;
    this.#newer.classList.toggle("news", show && key === "new_messages");
    const label = this.#newer.querySelector("span");
    if (label && show) {
      label.textContent = text(key);
    }
  }

  #tellRead() {
    const last = this.#items.findLast((item) => item.side === "other" && item.seq !== undefined)?.seq;
    const here = this.isConnected && this.#watched && !document.hidden;
    if (last !== undefined && this.#atEnd && here && this.#loaded) {
      this.dispatchEvent(new CustomEvent("read", { detail: last }));
    }
  }
}

customElements.define("chat-messages", ChatMessages);

/**
 * @param {Item} previous
 * @param {Item} item
 */
function together(previous, item) {
  const near =
    !previous.time || !item.time || item.time.getTime() - previous.time.getTime() < GROUP_WINDOW_MS;
  const refused = previous.element.classList.contains("refused");
  return previous.side === item.side && item.side !== "system" && near && !refused;
}

/** @param {Date} time */
function localDay(time) {
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
}
