// @ts-check
/**
 * `<session-transcript>`: what two others say to each other, by name, to be read only.
 *
 * It looks like a script, not like a chat: whoever supervises must never take it for a place to write.
 *
 * @module
 */

import { icon, make } from "../shared/elements.js";
import { language, text } from "../shared/strings.js";
import { parseTime, sameDay, Times } from "../shared/time.js";

/** @typedef {import("../shared/following.js").Line} Line */

/**
 * @typedef {object} Item
 * @property {HTMLLIElement} element
 * @property {number} seq
 * @property {boolean} consultant
 * @property {Date} time
 * @property {HTMLLIElement} [before] what stands between it and the line before: a day, or what is missing
 */

const END_TOLERANCE_PX = 48; // pixels that count as being at the end

export class SessionTranscript extends HTMLElement {
  #times = new Times(language);
  #log = make("div", "log script");
  #list = make("ol", "lines");
  #newer = make("button", "newer");
  /** @type {Item[]} */
  #items = [];
  #names = { visitor: text("role_user"), consultant: text("role_consultant") };
  /** Undefined: not known yet. @type {boolean | undefined} */
  #readable;
  #atEnd = true;
  #note = make("p", "script-note", text("lines_loading"));
  #end = make("p", "script-end");
  #top = 0;
  #resized = new ResizeObserver(() => this.#atEnd && this.toEnd());

  connectedCallback() {
    if (!this.firstChild) {
      this.#build();
    }
    this.#resized.observe(this.#log);
    this.#resized.observe(this.#list);
    this.#log.scrollTop = this.#top; // it may have been moved
  }

  disconnectedCallback() {
    this.#resized.disconnect();
  }

  #build() {
    this.#log.setAttribute("role", "log");
    this.#log.tabIndex = 0; // so that the keyboard can scroll it
    // Several sessions at once would all talk: the one with the focus does.
    this.#log.setAttribute("aria-live", "off");
    this.addEventListener("focusin", () => this.#log.setAttribute("aria-live", "polite"));
    this.addEventListener("focusout", () => this.#log.setAttribute("aria-live", "off"));
    this.#end.hidden = true;
    this.#log.append(this.#note, this.#list, this.#end);
    this.#newer.type = "button";
    this.#newer.hidden = true;
    this.#newer.append(icon("down"), make("span", "", text("new_messages")));
    this.#newer.addEventListener("click", () => {
      this.toEnd();
      this.#log.focus({ preventScroll: true });
    });
    this.append(this.#log, this.#newer);
    this.#log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.names = this.#names;
  }

  /** How the two are called. @param {{ visitor: string, consultant: string }} names */
  set names(names) {
    this.#names = names;
    this.#log.setAttribute("aria-label", text("lines_of", names));
    for (const item of this.#items) {
      this.#nameOf(item).textContent = item.consultant ? names.consultant : names.visitor;
    }
  }

  /**
   * @param {Line[]} lines by number
   * @param {boolean} news
   */
  add(lines, news) {
    const items = lines.map((line) => this.#item(line));
    const last = this.#items.at(-1)?.seq ?? 0;
    if (items[0].seq > last) {
      const from = this.#items.length;
      this.#items.push(...items);
      this.#list.append(...items.map((item) => item.element));
      this.#arrange(from, this.#items.length);
    } else {
      items.forEach((item) => this.#insert(item));
    }
    this.#showNote();
    if (this.#atEnd) {
      this.toEnd();
    } else if (news) {
      this.#newer.hidden = false;
    }
  }

  /** Whether what was said before can be known. */
  set readable(/** @type {boolean} */ readable) {
    this.#readable = readable;
    this.#showNote();
    this.#arrange(0, this.#items.length);
  }

  /** It is over: in these words. @param {string} words */
  end(words) {
    this.#end.hidden = false;
    this.#end.textContent = words;
    if (this.#atEnd) {
      this.toEnd();
    }
  }

  /** There is nothing to be heard, for this reason. @param {string} words */
  refuse(words) {
    this.#note.remove();
    this.#end.classList.add("refused-end");
    this.end(words);
  }

  toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#atEnd = true;
    this.#newer.hidden = true;
  }

  /** @param {Line} line @returns {Item} */
  #item(line) {
    const time = parseTime(line.time);
    const { visitor, consultant } = this.#names;
    const words = make("p", "words", line.msg);
    words.dir = "auto";
    const clock = make("time", "", this.#times.clock(time));
    clock.dateTime = line.time;
    const by = make("span", "by", line.senderType ? consultant : visitor);
    const element = make("li", `line ${line.senderType ? "consultant" : "visitor"}`, by, words, clock);
    return { element, seq: line.seq, consultant: line.senderType, time };
  }

  /** @param {Item} item */
  #nameOf(item) {
    return /** @type {HTMLElement} */ (item.element.firstElementChild);
  }

  /** @param {Item} item */
  #insert(item) {
    let index = this.#items.length;
    while (index > 0 && this.#items[index - 1].seq > item.seq) {
      index -= 1;
    }
    const next = this.#items[index];
    this.#list.insertBefore(item.element, next ? (next.before ?? next.element) : null);
    this.#items.splice(index, 0, item);
    this.#arrange(index, index + 2);
  }

  /**
   * Days, what is missing, and who goes on speaking.
   *
   * @param {number} from
   * @param {number} to
   */
  #arrange(from, to) {
    for (let at = from; at < Math.min(to, this.#items.length); at += 1) {
      const item = this.#items[at];
      const previous = this.#items[at - 1];
      const missing = previous ? item.seq - previous.seq - 1 : 0;
      const newDay = !previous || !sameDay(previous.time, item.time);
      const between = missing
        ? text(this.#readable === false ? "lines_missing" : "lines_coming", { count: missing })
        : newDay
          ? this.#times.day(item.time)
          : "";
      if (between !== (item.before?.textContent ?? "")) {
        item.before?.remove();
        item.before = between ? make("li", missing ? "gap" : "day", make("span", "", between)) : undefined;
        if (item.before) {
          item.element.before(item.before);
        }
      }
      const follows = !between && previous?.consultant === item.consultant;
      item.element.classList.toggle("follows", follows);
      this.#nameOf(item).classList.toggle("hidden", follows);
    }
  }

  #showNote() {
    const first = this.#items[0]?.seq;
    const unread = this.#readable === false && first !== 1;
    const empty = this.#readable === true && first === undefined;
    const words = {
      lines_loading: this.#readable === undefined,
      lines_unreadable: unread,
      lines_none: empty,
    };
    const key = /** @type {keyof typeof words | undefined} */ (
      Object.keys(words).find((key) => words[/** @type {keyof typeof words} */ (key)])
    );
    this.#note.hidden = key === undefined;
    this.#note.textContent = key ? text(key) : "";
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    if (clientHeight === 0) {
      return; // put aside
    }
    this.#top = scrollTop;
    this.#atEnd = scrollHeight - scrollTop - clientHeight <= END_TOLERANCE_PX;
    if (this.#atEnd) {
      this.#newer.hidden = true;
    }
  }
}

customElements.define("session-transcript", SessionTranscript);
