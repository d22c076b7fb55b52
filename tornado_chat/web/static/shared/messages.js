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
import { linkUrls } from "./links.js";
import { language, systemText, text } from "./strings.js";
import { parseTime, sameDay, TimeFormatter } from "./time.js";

/** @typedef {import("./conversation.js").Message} Message */
/** @typedef {import("./outbox.js").OutboxEntry} OutboxEntry */

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
  dayElement;
  /** The place for what became of an own message. @type {HTMLElement | undefined} */
  deliveryElement;
}

const END_TOLERANCE_PX = 48; // pixels that count as being at the end
const GROUP_WINDOW_MS = 4 * 60_000; // milliseconds within which messages of one side belong together

export class ChatMessages extends HTMLElement {
  #times = new TimeFormatter(language);
  #log = make("div", "log");
  #list = make("ol", "list");
  #newerButton = make("button", "newer");
  #typingElement = make("div", "typing");
  /** @type {Item[]} */
  #items = [];
  #otherName = "";
  #readSeq = 0;
  #visible = true;
  #held = false;
  #hasOlder = false;
  /** Whether addresses become links. To be set before there is anything. */
  linkUrls = false;
  #atEnd = true;
  #loaded = false;
  /** @type {HTMLElement | undefined} */
  #emptyElement;
  /** @type {Item | undefined} */
  #lastOwn;
  /** What an empty list says: the keys of a title and of a sentence. */
  emptyTextKeys = ["empty_title", "empty_text"];
  #disconnected = new AbortController();
  #scrollTop = 0;
  // A keyboard that slides in, a growing composer, a turned telephone: who was at the end stays there.
  #resizeObserver = new ResizeObserver(() => this.#atEnd && this.scrollToEnd());

  connectedCallback() {
    if (!this.firstChild) {
      this.#build();
    }
    this.#disconnected = new AbortController();
    document.addEventListener("visibilitychange", () => this.#reportRead(), {
      signal: this.#disconnected.signal,
    });
    this.#resizeObserver.observe(this.#log);
    this.#log.scrollTop = this.#scrollTop; // to be somewhere else in the page does not mean to read from the beginning
  }

  disconnectedCallback() {
    this.#disconnected.abort();
    this.#resizeObserver.disconnect();
  }

  #build() {
    this.#log.setAttribute("role", "log");
    this.#log.setAttribute("aria-live", "polite");
    this.#log.setAttribute("aria-relevant", "additions");
    this.#log.setAttribute("aria-label", text("conversation"));
    this.#log.setAttribute("aria-busy", "true"); // until the past is there, which is no news
    this.#log.tabIndex = 0; // so that the keyboard can scroll it
    this.#log.append(this.#list);
    this.#newerButton.type = "button";
    this.#newerButton.hidden = true;
    this.#newerButton.append(icon("down"), make("span"));
    this.#newerButton.addEventListener("click", () => {
      this.scrollToEnd(true);
      this.#log.focus({ preventScroll: true });
    });
    this.#typingElement.hidden = true;
    this.#typingElement.append(make("span", "dots", make("i"), make("i"), make("i")), make("span", "who"));
    this.append(this.#log, this.#typingElement, this.#newerButton);
    this.#log.addEventListener("scroll", () => this.#onScroll(), { passive: true });
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
    const who = this.#typingElement.querySelector(".who");
    if (who) {
      who.textContent = text("is_typing", { name });
    }
  }

  /** Whether the list can be seen at all: what nobody sees was not read. */
  set visible(/** @type {boolean} */ watched) {
    this.#visible = watched;
    this.#reportRead();
  }

  /** Whether what is written waits for more than the network: for somebody to send it to. */
  set held(/** @type {boolean} */ held) {
    this.#held = held;
    this.#items
      .filter((item) => item.id !== undefined && !item.element.classList.contains("refused"))
      .forEach((item) => this.#showDelivery(item));
  }

  /** Whether the other side is typing. */
  set typing(/** @type {boolean} */ typing) {
    this.#typingElement.hidden = !typing;
  }

  /** Something new. @param {Message} message */
  add(message) {
    const item = this.#makeItem(message);
    this.#insert(item, "new");
    if (!message.own && !this.#atEnd) {
      this.#showNewer(true);
    }
  }

  /**
   * Something of before, which is not announced.
   *
   * @param {Message[]} messages
   * @param {boolean} hasOlder whether there is anything before the very first
   */
  addHistory(messages, hasOlder) {
    this.#hasOlder = hasOlder;
    this.#log.setAttribute("aria-busy", "true");
    const height = this.#log.scrollHeight;
    const top = this.#log.scrollTop;
    const shown = new Set(this.#items.map((item) => item.seq));
    for (const said of messages.filter(({ seq }) => !shown.has(seq))) {
      this.#insert(this.#makeItem(said), "history");
    }
    this.#loaded = true;
    this.#showEmpty();
    if (this.#atEnd) {
      this.scrollToEnd();
    } else {
      // What the reader looks at stays where it is.
      this.#log.scrollTop = top + this.#log.scrollHeight - height;
    }
    // Not before the next frame: what is added while busy must have been seen as such.
    requestAnimationFrame(() => {
      this.#log.setAttribute("aria-busy", "false");
      this.#onScroll();
    });
  }

  /** An own message that is on its way. @param {OutboxEntry} entry */
  addUnsent(entry) {
    const item = this.#makeItem({ text: entry.text, own: true }, entry.id);
    this.#insert(item, "new");
    this.scrollToEnd();
  }

  /** @param {string} msg @param {string} time */
  addSystem(msg, time) {
    const content = make("span", "", systemText(msg));
    const element = make("li", "system", content);
    const item = new Item(element, { side: "system", time: parseTime(time) });
    this.#insert(item, "new");
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
    this.#showDelivery(item);
    // Others' messages may have been stored between.
    const index = this.#items.indexOf(item);
    const after = this.#items.slice(index + 1).some((other) => other.seq !== undefined && other.seq < seq);
    const before = this.#items
      .slice(0, index)
      .some((other) => (other.seq ?? 0) > seq || other.id !== undefined);
    if (after || before) {
      this.#remove(item);
      this.#insert(item, "history");
    } else {
      this.#updateGrouping(index);
    }
    if (this.#atEnd) {
      this.scrollToEnd();
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
    if (!item?.deliveryElement) {
      return;
    }
    item.element.classList.add("refused");
    item.deliveryElement.replaceChildren(icon("refused"), make("span", "", `${text("refused")}: ${reason}`));
    if (!final) {
      const act = (/** @type {string} */ name, /** @type {string} */ key) => {
        const button = make("button", "quiet", text(key));
        button.type = "button";
        button.addEventListener("click", () => this.dispatchEvent(new CustomEvent(name, { detail: id })));
        return button;
      };
      item.deliveryElement.append(make("span", "actions", act("edit", "edit"), act("resend", "send_again")));
    }
    this.#updateGrouping(this.#items.indexOf(item));
    if (this.#atEnd) {
      this.scrollToEnd();
    }
  }

  /** It is tried once more. @param {string} id */
  markSending(id) {
    const item = this.#items.find((item) => item.id === id);
    if (item) {
      item.element.classList.remove("refused");
      this.#showDelivery(item);
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
  markRead(seq) {
    if (seq > this.#readSeq) {
      this.#readSeq = seq;
      this.#items
        .filter((item) => item.side === "own" && item.seq !== undefined)
        .forEach((item) => this.#showDelivery(item));
    }
  }

  /** Scroll to the end. @param {boolean} [smoothly] */
  scrollToEnd(smoothly = false) {
    const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#log.scrollTo({
      top: this.#log.scrollHeight,
      behavior: smoothly && !reducedMotion ? "smooth" : "instant",
    });
    this.#atEnd = true;
    this.#showNewer(false);
    this.#reportRead();
  }

  // --- lines ---

  /**
   * @param {{ text: string, own: boolean, seq?: number, time?: string }} message
   * @param {string} [id]
   */
  #makeItem(message, id) {
    const side = message.own ? "own" : "other";
    const author = make("span", "who-said hidden", message.own ? `${text("you")}: ` : `${this.#otherName}: `);
    const textElement = make("p", "words", ...(this.linkUrls ? linkUrls(message.text) : [message.text]));
    textElement.dir = "auto";
    const meta = make("div", "meta");
    const element = make("li", `message ${side}`, make("div", "bubble", author, textElement), meta);
    const item = new Item(element, {
      side,
      id,
      seq: message.seq,
      time: message.time ? parseTime(message.time) : undefined,
    });
    if (message.own) {
      item.deliveryElement = make("span", "fate");
      meta.append(item.deliveryElement);
      this.#showDelivery(item);
    }
    this.#showTime(item);
    return item;
  }

  /** @param {Item} item */
  #showTime(item) {
    const meta = item.element.querySelector(".meta");
    if (item.time && meta && !meta.querySelector("time")) {
      const time = make("time", "", this.#times.clock(item.time));
      time.dateTime = `${isoDay(item.time)}T${this.#times.clock(item.time)}`;
      meta.prepend(time);
    }
  }

  /** @param {Item} item */
  #showDelivery(item) {
    const pending = this.#held ? "held" : "sending";
    const delivery = item.seq === undefined ? pending : item.seq <= this.#readSeq ? "seen" : "stored";
    if (item.deliveryElement && item.deliveryElement.dataset.fate !== delivery) {
      item.element.dataset.fate = item.deliveryElement.dataset.fate = delivery;
      item.deliveryElement.replaceChildren(icon(delivery), make("span", "fate-words", text(delivery)));
    } else if (item.deliveryElement?.querySelector(".actions")) {
      item.deliveryElement.replaceChildren(icon(delivery), make("span", "fate-words", text(delivery)));
    }
  }

  // --- their order ---

  /**
   * Put an item where it belongs: messages by their numbers, what is on its way at the end, what the
   * server tells where it came.
   *
   * @param {Item} item
   * @param {"new" | "history"} kind
   */
  #insert(item, kind) {
    let index = this.#items.length;
    if (item.id === undefined) {
      while (index > 0 && this.#isAfter(this.#items[index - 1], item, kind)) {
        index -= 1;
      }
    }
    const next = this.#items[index];
    this.#list.insertBefore(item.element, next ? (next.dayElement ?? next.element) : null);
    this.#items.splice(index, 0, item);
    this.#updateGrouping(index);
    this.#showEmpty();
    if (this.#atEnd && kind === "new") {
      this.scrollToEnd();
    }
  }

  /**
   * Whether `other` comes after the new `item`.
   *
   * @param {Item} other
   * @param {Item} item
   * @param {"new" | "history"} kind
   */
  #isAfter(other, item, kind) {
    if (other.id !== undefined) {
      return true;
    }
    if (item.seq === undefined || other.seq === undefined) {
      return kind === "history" && (other.time?.getTime() ?? 0) > (item.time?.getTime() ?? 0);
    }
    return other.seq > item.seq;
  }

  /** @param {Item} item */
  #remove(item) {
    const index = this.#items.indexOf(item);
    item.dayElement?.remove();
    item.dayElement = undefined;
    item.element.remove();
    this.#items.splice(index, 1);
    this.#updateGrouping(index);
    this.#showEmpty();
  }

  /** Days and groups, where an item came or went. @param {number} index */
  #updateGrouping(index) {
    for (const at of [index - 1, index, index + 1]) {
      const item = this.#items[at];
      if (!item) {
        continue;
      }
      const previous = this.#items[at - 1];
      const newDay =
        item.time !== undefined &&
        !(previous?.time && sameDay(previous.time, item.time)) &&
        !this.#isDayOfPrevious(at, item.time);
      if (newDay && item.time && !item.dayElement) {
        const day = make("time", "", this.#times.day(item.time));
        day.dateTime = isoDay(item.time);
        item.dayElement = make("li", "day", day);
        item.element.before(item.dayElement);
      } else if (!newDay && item.dayElement) {
        item.dayElement.remove();
        item.dayElement = undefined;
      }
      item.element.classList.toggle(
        "follows",
        !newDay && previous !== undefined && belongTogether(previous, item),
      );
      previous?.element.classList.toggle("followed", !newDay && belongTogether(previous, item));
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
  #isDayOfPrevious(at, time) {
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
    if (empty && !this.#emptyElement) {
      this.#emptyElement = make(
        "div",
        "empty",
        icon("leaf"),
        make("p", "empty-title", text(this.emptyTextKeys[0])),
        make("p", "", text(this.emptyTextKeys[1])),
      );
      this.#log.prepend(this.#emptyElement);
    } else if (!empty && this.#emptyElement) {
      this.#emptyElement.remove();
      this.#emptyElement = undefined;
    }
  }

  // --- where the reader is ---

  #onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    if (clientHeight === 0) {
      return; // it is not to be seen
    }
    this.#scrollTop = scrollTop;
    this.#atEnd = scrollHeight - scrollTop - clientHeight <= END_TOLERANCE_PX;
    if (this.#atEnd) {
      this.#showNewer(false);
      this.#reportRead();
    } else if (this.#newerButton.hidden && scrollHeight - scrollTop - clientHeight > clientHeight) {
      this.#showNewer(true, "to_the_end");
    }
    if (this.#hasOlder && scrollTop < clientHeight / 2) {
      this.#hasOlder = false; // the answer says it again
      this.dispatchEvent(new CustomEvent("older"));
    }
  }

  /** @param {boolean} show @param {string} [key] */
  #showNewer(show, key = "new_messages") {
    this.#newerButton.hidden = !show;
    this.#newerButton.classList.toggle("news", show && key === "new_messages");
    const label = this.#newerButton.querySelector("span");
    if (label && show) {
      label.textContent = text(key);
    }
  }

  #reportRead() {
    const lastSeq = this.#items.findLast((item) => item.side === "other" && item.seq !== undefined)?.seq;
    const isInView = this.isConnected && this.#visible && !document.hidden;
    if (lastSeq !== undefined && this.#atEnd && isInView && this.#loaded) {
      this.dispatchEvent(new CustomEvent("read", { detail: lastSeq }));
    }
  }
}

customElements.define("chat-messages", ChatMessages);

/**
 * @param {Item} previous
 * @param {Item} item
 */
function belongTogether(previous, item) {
  const near =
    !previous.time || !item.time || item.time.getTime() - previous.time.getTime() < GROUP_WINDOW_MS;
  const refused = previous.element.classList.contains("refused");
  return previous.side === item.side && item.side !== "system" && near && !refused;
}

/** @param {Date} time */
function isoDay(time) {
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
}
