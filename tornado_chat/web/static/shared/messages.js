// @ts-check
/**
 * `<chat-messages>`: the list of messages, with the delivery state of the reader's own messages.
 *
 * Events: `older` (the reader scrolls near the beginning), `read` with the highest sequence number of the
 * other side that was on the screen, `edit` and `resend` with the id of a refused message.
 *
 * @module
 */

import { makeEditedNote, refusalText, showHeld } from "./approvals.js";
import { makeCopyButton } from "./clipboard.js";
import { Ticker } from "./countdown.js";
import { icon, make } from "./elements.js";
import { linkify } from "./links.js";
import { language, systemText, text } from "./strings.js";
import { onNewDay, parseTime, sameDay, TimeFormatter } from "./time.js";

/** @typedef {import("./approval_states.js").Approval} Approval */
/** @typedef {import("./conversation.js").Handover} Handover */
/** @typedef {import("./conversation.js").HandoverAgent} HandoverAgent */
/** @typedef {import("./conversation.js").Message} Message */
/** @typedef {import("./outbox.js").OutboxEntry} OutboxEntry */

/** One row of the list and its state. */
class Item {
  /**
   * @param {HTMLLIElement} element
   * @param {Partial<Item>} known
   */
  constructor(element, known) {
    this.element = element;
    Object.assign(this, known);
  }

  /** Undefined while the message is being sent. @type {number | undefined} */
  seq;
  /** @type {Date | undefined} */
  time;
  /** `colleague`: another person of the reader's side. @type {"own" | "colleague" | "other" | "system"} */
  side = "system";
  /** Role and id of the person that wrote the message; empty if they are unknown. */
  author = "";
  /** The name of this person; undefined: the one of the other side. @type {string | undefined} */
  authorName;
  /** The id of an own message that is not stored yet. @type {string | undefined} */
  id;
  /** The row above this one that shows the day. @type {HTMLLIElement | undefined} */
  dayElement;
  /** The element that shows the delivery state of an own message. @type {HTMLElement | undefined} */
  deliveryElement;
  /** The approval for which an own message waits. @type {Approval | undefined} */
  approval;
}

const END_TOLERANCE_PX = 48; // a scroll position this close to the end counts as the end
const GROUP_WINDOW_MS = 4 * 60_000; // messages of one side within this time are shown as a group

export class ChatMessages extends HTMLElement {
  #times = new TimeFormatter(language);
  #log = make("div", "log");
  #list = make("ol", "message-list");
  #newerButton = make("button", "jump-to-end");
  #typingElement = make("div", "typing");
  /** @type {Item[]} */
  #items = [];
  #otherName = "";
  /** The people other than the reader that wrote shown messages, with their side. @type {Map<string, string>} */
  #authors = new Map();
  #receivedSeq = 0;
  #readSeq = 0;
  #visible = true;
  #held = false;
  #hasOlder = false;
  #atEnd = true;
  /** The number of messages that arrived below the visible part. */
  #newCount = 0;
  #loaded = false;
  /** @type {HTMLElement | undefined} */
  #emptyElement;
  /** @type {Item | undefined} */
  #lastOwn;
  /** The text keys of an empty list: a title and a sentence. */
  emptyTextKeys = ["empty_title", "empty_text"];
  /** The approvals of sent messages, by sequence number. @type {Map<number, Approval>} */
  #approvals = new Map();
  #clock = new Ticker();
  #disconnected = new AbortController();
  #scrollTop = 0;
  // If the list was at its end, it stays there when the keyboard appears, the composer grows or the device is
  // rotated.
  #resizeObserver = new ResizeObserver(() => this.#atEnd && this.scrollToEnd());

  connectedCallback() {
    if (!this.firstChild) {
      this.#build();
    }
    this.#disconnected = new AbortController();
    document.addEventListener("visibilitychange", () => this.#reportRead(), {
      signal: this.#disconnected.signal,
    });
    onNewDay(() => this.#showDays(), this.#disconnected.signal);
    this.#resizeObserver.observe(this.#log);
    this.#log.scrollTop = this.#scrollTop; // moving the element in the page resets the scroll position
  }

  disconnectedCallback() {
    this.#disconnected.abort();
    this.#clock.stop();
    this.#resizeObserver.disconnect();
  }

  #build() {
    this.#log.setAttribute("role", "log");
    this.#log.setAttribute("aria-live", "polite");
    this.#log.setAttribute("aria-relevant", "additions");
    this.#log.setAttribute("aria-label", text("conversation"));
    this.#log.setAttribute("aria-busy", "true"); // until the history is loaded, which must not be announced
    this.#log.tabIndex = 0; // makes it scrollable with the keyboard
    this.#log.append(this.#list);
    this.#newerButton.type = "button";
    this.#newerButton.hidden = true;
    this.#newerButton.append(icon("down"), make("span"));
    this.#newerButton.addEventListener("click", () => {
      this.scrollToEnd(true);
      this.#log.focus({ preventScroll: true });
    });
    this.#typingElement.hidden = true;
    this.#typingElement.append(
      make("span", "dots", make("i"), make("i"), make("i")),
      make("span", "typing-name"),
    );
    this.append(this.#log, this.#typingElement, this.#newerButton);
    this.#log.addEventListener("scroll", () => this.#onScroll(), { passive: true });
  }

  /** The name of the other side. */
  set otherName(/** @type {string} */ name) {
    if (name === this.#otherName) {
      return; // screen readers would announce a rewritten text again
    }
    this.#otherName = name;
    this.#items.filter((item) => item.side === "other").forEach((item) => this.#showAuthor(item));
    const nameElement = this.#typingElement.querySelector(".typing-name");
    if (nameElement) {
      nameElement.textContent = text("is_typing", { name });
    }
  }

  /** Whether the list is visible: messages in a hidden list do not count as read. */
  set visible(/** @type {boolean} */ watched) {
    this.#visible = watched;
    this.#reportRead();
  }

  /** Whether unsent messages wait for an agent, and not only for the network. */
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

  /** Add a new message. @param {Message} message */
  add(message) {
    const item = this.#makeItem(message);
    this.#insert(item, "new");
    if (!message.own && !this.#atEnd) {
      this.#newCount += 1;
      this.#showNewer(true);
    }
  }

  /**
   * Add earlier messages, which are not announced.
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
    for (const message of messages.filter(({ seq }) => !shown.has(seq))) {
      this.#insert(this.#makeItem(message), "history");
    }
    this.#loaded = true;
    this.#showEmpty();
    if (this.#atEnd) {
      this.scrollToEnd();
    } else {
      // Keep the visible messages in place.
      this.#log.scrollTop = top + this.#log.scrollHeight - height;
    }
    // In the next frame: screen readers must see the additions while the log is busy.
    requestAnimationFrame(() => {
      this.#log.setAttribute("aria-busy", "false");
      this.#onScroll();
    });
  }

  /** Add an own message that is not stored yet. @param {OutboxEntry} entry */
  addUnsent(entry) {
    const item = this.#makeItem({ text: entry.text, own: true }, entry.id);
    this.#insert(item, "new");
    this.scrollToEnd();
  }

  /** Add a system message. @param {string} msg @param {string} time */
  addSystem(msg, time) {
    const content = make("span", "", systemText(msg));
    const element = make("li", "system", content);
    const item = new Item(element, { side: "system", time: parseTime(time) });
    this.#insert(item, "new");
  }

  /** Add a line that says that the agent has changed. @param {Handover} handover */
  addHandover({ from, to, time, lost }) {
    const words =
      from.name || to.name || from.own || to.own
        ? text(lost ? "taken_over" : "handed_over", { from: agentText(from), to: agentText(to) })
        : text("agent_changed");
    const element = make("li", "system handover", make("span", "", words));
    this.#insert(new Item(element, { side: "system", time: parseTime(time) }), "history");
    if (this.#atEnd) {
      this.scrollToEnd();
    }
  }

  /**
   * The server has stored a message.
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
      this.#remove(item); // it was already part of the history
      return;
    }
    item.id = item.approval = undefined;
    item.seq = seq;
    item.element.classList.remove("refused"); // it was marked as refused too early
    item.time = parseTime(time);
    this.#showTime(item);
    this.#showDelivery(item);
    // Messages of the other side may have been stored in between.
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
   * Mark a message as refused by the server. It stays in the list, with the reason.
   *
   * @param {string} id
   * @param {string} reason
   * @param {boolean} [final] it can neither be edited nor sent again
   * @param {boolean} [mayResend] whether it can be sent again as it is
   */
  markRefused(id, reason, final = false, mayResend = true) {
    const item = this.#items.find((item) => item.id === id);
    if (!item?.deliveryElement) {
      return;
    }
    item.element.classList.add("refused");
    item.deliveryElement.replaceChildren(icon("refused"), make("span", "", `${text("refused")}: ${reason}`));
    const copied = () => item.element.querySelector(".text")?.textContent ?? "";
    const actions = make("span", "actions", makeCopyButton(copied));
    if (!final) {
      const act = (/** @type {string} */ name, /** @type {string} */ key) => {
        const button = make("button", "link-button", text(key));
        button.type = "button";
        button.addEventListener("click", () => this.dispatchEvent(new CustomEvent(name, { detail: id })));
        return button;
      };
      actions.append(act("edit", "edit"), ...(mayResend ? [act("resend", "send_again")] : []));
    }
    item.deliveryElement.append(actions);
    this.#updateGrouping(this.#items.indexOf(item));
    if (this.#atEnd) {
      this.scrollToEnd();
    }
  }

  /** A refused message is being sent again. @param {string} id */
  markSending(id) {
    const item = this.#items.find((item) => item.id === id);
    if (item) {
      item.element.classList.remove("refused");
      this.#showDelivery(item);
    }
  }

  /**
   * Show the state of an own message that needs an approval. A message of another window is added.
   *
   * @param {Approval} approval
   */
  showApproval(approval) {
    const { client_id: id = "", seq, state } = approval;
    let item = this.#items.find((each) => each.id === id);
    if (state === "held") {
      if (!item && id) {
        this.addUnsent({ id, text: approval.text });
        item = this.#items.find((each) => each.id === id);
      }
      if (item) {
        item.approval = { approvers: item.approval?.approvers, ...approval };
        this.#clock.run(() => this.#showClocks());
      }
      return;
    }
    if (item) {
      item.approval = undefined;
    }
    if (seq === undefined) {
      this.markRefused(id, refusalText(approval), false, false);
      return;
    }
    this.#approvals.set(seq, approval);
    const sent = this.#items.find((each) => each.seq === seq);
    if (sent && item && sent !== item) {
      this.#remove(item);
    }
    this.#showEdited(sent);
  }

  /** Show how long messages still wait for their approval. */
  #showClocks() {
    const waiting = this.#items.filter((item) => item.approval && item.id !== undefined);
    waiting.forEach((item) => this.#showDelivery(item));
    if (!waiting.length) {
      this.#clock.stop();
    }
  }

  /** Show at a message that a supervisor has edited it. @param {Item | undefined} item */
  #showEdited(item) {
    const approval = item?.seq === undefined ? undefined : this.#approvals.get(item.seq);
    const note = approval && makeEditedNote(approval);
    if (item && note && !item.element.querySelector(".approval-note")) {
      item.element.querySelector(".message-meta")?.before(note);
    }
  }

  /** Remove an unsent message from the list. @param {string} id */
  removeUnsent(id) {
    const item = this.#items.find((item) => item.id === id);
    if (item) {
      this.#remove(item);
    }
  }

  /** Everything up to `seq` has arrived at the other side. @param {number} seq */
  markReceived(seq) {
    if (seq > this.#receivedSeq) {
      this.#receivedSeq = seq;
      this.#showDeliveries();
    }
  }

  /** The other side has read everything up to `seq`. @param {number} seq */
  markRead(seq) {
    if (seq > this.#readSeq) {
      this.#readSeq = seq;
      this.#showDeliveries();
    }
  }

  #showDeliveries() {
    this.#items
      .filter((item) => item.side === "own" && item.seq !== undefined)
      .forEach((item) => this.#showDelivery(item));
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

  // --- rows ---

  /**
   * @param {Omit<Message, "seq" | "time"> & { seq?: number, time?: string }} message
   * @param {string} [id]
   */
  #makeItem(message, id) {
    const side = message.own ? "own" : message.colleague ? "colleague" : "other";
    const author = make("span", "message-author visually-hidden");
    const textElement = make("p", "text", ...linkify(message.text));
    textElement.dir = "auto";
    const meta = make("div", "message-meta");
    const element = make("li", `message ${side}`, make("div", "bubble", author, textElement), meta);
    const { sender } = message;
    const item = new Item(element, {
      side,
      author: message.own || !sender ? "" : `${sender.role}:${sender.id}`,
      authorName: message.own
        ? text("you")
        : (sender?.name ?? (message.colleague ? text(`role_${sender?.role}`) : undefined)),
      id,
      seq: message.seq,
      time: message.time ? parseTime(message.time) : undefined,
    });
    if (message.own) {
      item.deliveryElement = make("span", "delivery");
      meta.append(item.deliveryElement);
      this.#showDelivery(item);
    }
    if (!message.own) {
      const name = make("span", "author-name");
      name.setAttribute("aria-hidden", "true"); // screen readers get the name with each message
      element.prepend(name);
      this.#noteAuthor(item);
    }
    this.#showAuthor(item);
    this.#showTime(item);
    this.#showEdited(item);
    return item;
  }

  /** Show names above the messages as soon as more than one person writes to the reader. @param {Item} item */
  #noteAuthor({ author, side }) {
    if (!this.#authors.has(author)) {
      this.#authors.set(author, side);
      this.classList.toggle("has-several-authors", this.#authors.size > 1);
      this.#items.filter((item) => item.side === "other").forEach((item) => this.#showAuthor(item));
    }
  }

  /** @param {Item} item */
  #showAuthor(item) {
    // The name of the other side is that of its present person, who may not have written this message.
    const isAlone = [...this.#authors.values()].filter((side) => side === "other").length < 2;
    const role = item.author.split(":", 1)[0];
    const name = item.authorName ?? (isAlone || !role ? this.#otherName : text(`role_${role}`));
    for (const [selector, content] of [
      [".message-author", `${name}: `],
      [".author-name", name],
    ]) {
      const nameElement = item.element.querySelector(selector);
      if (nameElement && nameElement.textContent !== content) {
        nameElement.textContent = content;
      }
    }
  }

  /** @param {Item} item */
  #showTime(item) {
    const meta = item.element.querySelector(".message-meta");
    if (item.time && meta && !meta.querySelector("time")) {
      const time = make("time", "", this.#times.clock(item.time));
      time.dateTime = item.time.toISOString();
      meta.prepend(time);
    }
  }

  /** @param {Item} item */
  #showDelivery(item) {
    if (item.deliveryElement && item.approval && item.seq === undefined) {
      item.element.dataset.delivery = item.deliveryElement.dataset.delivery = "approval";
      showHeld(item.deliveryElement, item.approval);
      return;
    }
    const pending = this.#held ? "held" : "sending";
    const delivery = item.seq === undefined ? pending : this.#stateOf(item.seq);
    if (item.deliveryElement && item.deliveryElement.dataset.delivery !== delivery) {
      item.element.dataset.delivery = item.deliveryElement.dataset.delivery = delivery;
      item.deliveryElement.replaceChildren(icon(delivery), make("span", "delivery-text", text(delivery)));
    } else if (item.deliveryElement?.querySelector(".actions")) {
      item.deliveryElement.replaceChildren(icon(delivery), make("span", "delivery-text", text(delivery)));
    }
  }

  /** The state of a stored message: each state is what the server knows, and no more. @param {number} seq */
  #stateOf(seq) {
    return seq <= this.#readSeq ? "read" : seq <= this.#receivedSeq ? "delivered" : "stored";
  }

  // --- order ---

  /**
   * Insert an item at its position: messages by sequence number, unsent messages at the end, system messages
   * in the order of arrival.
   *
   * @param {Item} item
   * @param {"new" | "history"} kind
   */
  #insert(item, kind) {
    if (kind === "new") {
      this.#noteScroll();
    }
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
   * Whether `other` belongs after the new `item`.
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

  /**
   * Update day rows and groups around an index at which an item was inserted or removed.
   *
   * @param {number} index
   */
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
        "grouped-previous",
        !newDay && previous !== undefined && belongTogether(previous, item),
      );
      previous?.element.classList.toggle("grouped-next", !newDay && belongTogether(previous, item));
      if (at === this.#items.length - 1) {
        item.element.classList.remove("grouped-next");
      }
    }
    const lastOwn = this.#items.findLast((item) => item.side === "own");
    if (lastOwn !== this.#lastOwn) {
      this.#lastOwn?.element.classList.remove("last-own");
      lastOwn?.element.classList.add("last-own");
      this.#lastOwn = lastOwn;
    }
  }

  /** Show the days again, relative to today. */
  #showDays() {
    for (const { dayElement, time } of this.#items) {
      const day = dayElement?.querySelector("time");
      if (day && time) {
        day.textContent = this.#times.day(time);
      }
    }
  }

  /**
   * Whether the last item before `at` that has a time (unsent messages have none) is of the same day as
   * `time`.
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

  // --- scroll position ---

  /** Notice that the reader has scrolled: the browser says so with the next frame only. */
  #noteScroll() {
    if (Math.abs(this.#log.scrollTop - this.#scrollTop) > 1) {
      this.#onScroll();
    }
  }

  #onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    if (clientHeight === 0) {
      return; // the list is hidden
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
      this.#hasOlder = false; // the next history page sets it again
      this.dispatchEvent(new CustomEvent("older"));
    }
  }

  /** @param {boolean} show @param {string} [key] */
  #showNewer(show, key = "new_messages") {
    this.#newCount = show ? this.#newCount : 0;
    this.#newerButton.hidden = !show;
    this.#newerButton.classList.toggle("has-new", show && key === "new_messages");
    const label = this.#newerButton.querySelector("span");
    if (label && show) {
      label.textContent = text(key, { count: this.#newCount });
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
 * Whether two adjacent items are shown as a group.
 *
 * @param {Item} previous
 * @param {Item} item
 */
function belongTogether(previous, item) {
  const near =
    !previous.time || !item.time || item.time.getTime() - previous.time.getTime() < GROUP_WINDOW_MS;
  const refused = previous.element.classList.contains("refused");
  const sameAuthor = previous.side === item.side && previous.author === item.author;
  return sameAuthor && item.side !== "system" && near && !refused;
}

/** The name of an agent in a line about a hand-over. @param {HandoverAgent} agent */
function agentText({ name, own }) {
  return own ? text("you_in_sentence") : name || text("role_waiter");
}

/** @param {Date} time */
function isoDay(time) {
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
}
