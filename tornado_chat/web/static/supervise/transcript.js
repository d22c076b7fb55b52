// @ts-check
/**
 * `<session-transcript>`: the messages of an observed session, with names, read-only.
 *
 * It looks like a script and not like a chat: a supervisor must not mistake it for a place to write.
 *
 * @module
 */

import { icon, make } from "../shared/elements.js";
import { linkify } from "../shared/links.js";
import { language, text } from "../shared/strings.js";
import { onNewDay, parseTime, sameDay, TimeFormatter } from "../shared/time.js";

/** @typedef {import("../shared/receive_only_sockets.js").ObservedMessage} ObservedMessage */

/**
 * @typedef {object} Item
 * @property {HTMLLIElement} element
 * @property {number} seq
 * @property {boolean} isConsultant
 * @property {string} author role and id of the person that wrote it
 * @property {string | null} name of this person
 * @property {Date} time
 * @property {HTMLLIElement} [separator] the row before it: a day, or the number of missing messages
 */

const END_TOLERANCE_PX = 48; // a scroll position this close to the end counts as the end

export class SessionTranscript extends HTMLElement {
  #times = new TimeFormatter(language);
  #log = make("div", "log transcript");
  #list = make("ol", "transcript-list");
  #newerButton = make("button", "jump-to-end");
  /** @type {Item[]} */
  #items = [];
  #names = { visitor: text("role_user"), consultant: text("role_consultant") };
  /** Undefined: unknown. @type {boolean | undefined} */
  #isReadable;
  #atEnd = true;
  /** The number of messages that arrived below the visible part. */
  #newCount = 0;
  #noteText = make("p", "transcript-note", text("messages_loading"));
  #endText = make("p", "transcript-end");
  #scrollTop = 0;
  #disconnected = new AbortController();
  #resizeObserver = new ResizeObserver(() => this.#atEnd && this.scrollToEnd());

  connectedCallback() {
    if (!this.firstChild) {
      this.#build();
    }
    this.#disconnected = new AbortController();
    onNewDay(() => this.#updateGrouping(0, this.#items.length), this.#disconnected.signal);
    this.#resizeObserver.observe(this.#log);
    this.#resizeObserver.observe(this.#list);
    this.#log.scrollTop = this.#scrollTop; // moving the element in the page resets the scroll position
  }

  disconnectedCallback() {
    this.#disconnected.abort();
    this.#resizeObserver.disconnect();
  }

  #build() {
    this.#log.setAttribute("role", "log");
    this.#log.tabIndex = 0; // makes it scrollable with the keyboard
    // Only the focused session is announced: several at once would be unintelligible.
    this.#log.setAttribute("aria-live", "off");
    this.addEventListener("focusin", () => this.#log.setAttribute("aria-live", "polite"));
    this.addEventListener("focusout", () => this.#log.setAttribute("aria-live", "off"));
    this.#endText.hidden = true;
    this.#log.append(this.#noteText, this.#list, this.#endText);
    this.#newerButton.type = "button";
    this.#newerButton.hidden = true;
    this.#newerButton.append(icon("down"), make("span"));
    this.#newerButton.addEventListener("click", () => {
      this.scrollToEnd();
      this.#log.focus({ preventScroll: true });
    });
    this.append(this.#log, this.#newerButton);
    this.#log.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    this.names = this.#names;
  }

  /** The names of the participants. @param {{ visitor: string, consultant: string }} names */
  set names(names) {
    this.#names = names;
    this.#log.setAttribute("aria-label", text("messages_of", names));
    for (const item of this.#items) {
      this.#nameElement(item).textContent = this.#nameOf(item);
    }
  }

  /**
   * @param {ObservedMessage[]} messages by sequence number
   * @param {boolean} isNew
   */
  add(messages, isNew) {
    if (Math.abs(this.#log.scrollTop - this.#scrollTop) > 1) {
      this.#onScroll(); // the reader has scrolled, and the browser says so with the next frame only
    }
    const items = messages.map((message) => this.#makeItem(message));
    const last = this.#items.at(-1)?.seq ?? 0;
    if (items[0].seq > last) {
      const from = this.#items.length;
      this.#items.push(...items);
      this.#list.append(...items.map((item) => item.element));
      this.#updateGrouping(from, this.#items.length);
    } else {
      items.forEach((item) => this.#insert(item));
    }
    this.#showNote();
    if (this.#atEnd) {
      this.scrollToEnd();
    } else if (isNew) {
      this.#showNewCount(this.#newCount + messages.length);
    }
  }

  /** Whether earlier messages can be read. */
  set isReadable(/** @type {boolean} */ isReadable) {
    this.#isReadable = isReadable;
    this.#showNote();
    this.#updateGrouping(0, this.#items.length);
  }

  /** Show that the session has ended. @param {string} words */
  showEnd(words) {
    this.#endText.hidden = false;
    this.#endText.textContent = words;
    if (this.#atEnd) {
      this.scrollToEnd();
    }
  }

  /** Show why the session cannot be observed. @param {string} words */
  showRefusal(words) {
    this.#noteText.remove();
    this.#endText.classList.add("transcript-refused");
    this.showEnd(words);
  }

  scrollToEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#atEnd = true;
    this.#showNewCount(0);
  }

  /** @param {number} count */
  #showNewCount(count) {
    this.#newCount = count;
    this.#newerButton.hidden = count === 0;
    this.#newerButton.lastChild?.replaceWith(make("span", "", text("new_messages", { count })));
  }

  /** @param {ObservedMessage} message @returns {Item} */
  #makeItem(message) {
    const time = parseTime(message.time);
    const { sender } = message;
    const person = {
      isConsultant: message.senderType,
      author: sender ? `${sender.role}:${sender.id}` : String(message.senderType),
      name: sender?.name ?? null,
    };
    const words = make("p", "text", ...linkify(message.msg));
    words.dir = "auto";
    const clock = make("time", "", this.#times.clock(time));
    clock.dateTime = message.time;
    const author = make("span", "author", this.#nameOf(person));
    const element = make(
      "li",
      `transcript-message ${message.senderType ? "consultant" : "visitor"}`,
      author,
      words,
      clock,
    );
    return { element, seq: message.seq, time, ...person };
  }

  /** The name of the person that wrote a message. @param {{ isConsultant: boolean, name: string | null }} item */
  #nameOf({ isConsultant, name }) {
    return name ?? (isConsultant ? this.#names.consultant : this.#names.visitor);
  }

  /** @param {Item} item */
  #nameElement(item) {
    return /** @type {HTMLElement} */ (item.element.firstElementChild);
  }

  /** @param {Item} item */
  #insert(item) {
    let index = this.#items.length;
    while (index > 0 && this.#items[index - 1].seq > item.seq) {
      index -= 1;
    }
    const next = this.#items[index];
    this.#list.insertBefore(item.element, next ? (next.separator ?? next.element) : null);
    this.#items.splice(index, 0, item);
    this.#updateGrouping(index, index + 2);
  }

  /**
   * Update separators and groups.
   *
   * @param {number} from
   * @param {number} to
   */
  #updateGrouping(from, to) {
    for (let at = from; at < Math.min(to, this.#items.length); at += 1) {
      const item = this.#items[at];
      const previous = this.#items[at - 1];
      const missingCount = previous ? item.seq - previous.seq - 1 : 0;
      const newDay = !previous || !sameDay(previous.time, item.time);
      const separatorText = missingCount
        ? text(this.#isReadable === false ? "messages_missing" : "messages_coming", { count: missingCount })
        : newDay
          ? this.#times.day(item.time)
          : "";
      if (separatorText !== (item.separator?.textContent ?? "")) {
        item.separator?.remove();
        item.separator = separatorText
          ? make("li", missingCount ? "missing" : "day", make("span", "", separatorText))
          : undefined;
        if (item.separator) {
          item.element.before(item.separator);
        }
      }
      const follows = !separatorText && previous?.author === item.author;
      item.element.classList.toggle("grouped-previous", follows);
      this.#nameElement(item).classList.toggle("visually-hidden", follows);
    }
  }

  #showNote() {
    const first = this.#items[0]?.seq;
    const isUnreadable = this.#isReadable === false && first !== 1;
    const isEmpty = this.#isReadable === true && first === undefined;
    const words = {
      messages_loading: this.#isReadable === undefined,
      messages_unreadable: isUnreadable,
      messages_none: isEmpty,
    };
    const key = /** @type {keyof typeof words | undefined} */ (
      Object.keys(words).find((key) => words[/** @type {keyof typeof words} */ (key)])
    );
    this.#noteText.hidden = key === undefined;
    this.#noteText.textContent = key ? text(key) : "";
  }

  #onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    if (clientHeight === 0) {
      return; // the pane is minimized
    }
    this.#scrollTop = scrollTop;
    this.#atEnd = scrollHeight - scrollTop - clientHeight <= END_TOLERANCE_PX;
    if (this.#atEnd && this.#newCount) {
      this.#showNewCount(0);
    }
  }
}

customElements.define("session-transcript", SessionTranscript);
