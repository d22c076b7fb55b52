// @ts-check
/**
 * The left side: oneself, one's conversations, and who waits in the line.
 *
 * Everything is written over in place, and only where it differs: nothing moves that did not change.
 *
 * @module
 */

import { find, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { elapsed, parseTime } from "../shared/time.js";
import { visitorName } from "./case.js";
import { howLong } from "./panel.js";

/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("./columns.js").Columns} Columns */
/** @typedef {import("./desk.js").Desk} Desk */
/** @typedef {import("./line.js").Line} Line */

const MAX_QUEUE_ROWS = 20;

/** One conversation in the list. */
class Row {
  #avatar = make("span", "avatar");
  #name = make("span", "row-name");
  #last = make("span", "row-last");
  #waits = make("span", "row-waits");
  #waitsWords = make("span", "hidden");
  #count = make("span", "row-count");
  #countWords = make("span", "hidden");

  /**
   * @param {Case} one
   * @param {() => void} open
   */
  constructor(one, open) {
    this.case = one;
    this.#avatar.setAttribute("aria-hidden", "true");
    this.#count.setAttribute("aria-hidden", "true");
    this.#waits.setAttribute("aria-hidden", "true");
    this.button = make(
      "button",
      "row",
      this.#avatar,
      make("span", "row-words", this.#name, this.#countWords, this.#last),
      make("span", "row-signs", this.#waits, this.#waitsWords, this.#count),
    );
    this.button.type = "button";
    this.button.addEventListener("click", open);
    this.element = make("li", "", this.button);
  }

  /**
   * @param {boolean} visible
   * @param {boolean} active
   * @param {boolean} namesakes somebody else here is called the same
   */
  show(visible, active, namesakes) {
    const { case: one } = this;
    const { unread, unsent } = one;
    const fresh = one.fresh && unread === 0;
    write(this.#avatar, Array.from(one.visitor.name || "?")[0].toUpperCase());
    write(this.#name, namesakes ? `${one.name} · ${one.number}` : one.name);
    write(this.#last, lastWords(one, visible));
    write(this.#count, unread > 99 ? "99+" : unread ? String(unread) : fresh ? "•" : "");
    write(this.#countWords, [unread && text("unread", { count: unread })].filter(Boolean).join(" "));
    this.#count.hidden = unread === 0 && !fresh;
    this.button.classList.toggle("open", visible);
    this.button.classList.toggle("over", one.state === "over");
    this.button.classList.toggle("unread", unread > 0 || one.fresh);
    this.#last.dataset.sign = one.isTyping ? "typing" : unsent;
    if (active) {
      this.button.setAttribute("aria-current", "true");
    } else {
      this.button.removeAttribute("aria-current");
    }
  }

  /** @param {number | null} now */
  tick(now) {
    const since = this.case.waitsSince;
    const waits = since === undefined || now === null ? 0 : now - parseTime(since).getTime();
    write(this.#waits, waits > 0 ? elapsed(waits) : "");
    this.#waits.dataset.waits = howLong(waits);
    write(this.#waitsWords, waits > 0 ? text("waits", { time: elapsed(waits) }) : "");
  }
}

export class Rail {
  /**
   * @param {object} acts
   * @param {(number: number) => void} acts.open
   * @param {() => void} acts.toggleReady
   */
  constructor({ open, toggleReady }) {
    this.#open = open;
    this.#ready.addEventListener("click", toggleReady);
    // Up and down lead through the list, as they do in one.
    this.#list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const buttons = Array.from(this.#list.querySelectorAll("button"));
      const index = buttons.findIndex((button) => button === document.activeElement);
      if (step && !event.altKey && index >= 0) {
        event.preventDefault();
        buttons[Math.min(buttons.length - 1, Math.max(0, index + step))].focus();
      }
    });
  }

  #open;
  #ready = find("#ready", HTMLButtonElement);
  #list = find("#rows");
  #lineRows = find("#line-rows");
  /** @type {Map<number, Row>} */
  #rows = new Map();

  /**
   * @param {Desk} desk
   * @param {Columns} columns
   * @param {Line} line
   * @param {string | number} me one's id
   */
  show(desk, columns, line, me) {
    const own = line.status?.waiters.find((each) => String(each.id) === String(me));
    this.#showState(desk, own?.capacity);
    this.#showRows(desk, columns);
    this.#showLine(line);
    this.tick(line);
  }

  /** Once a second. @param {Line} line */
  tick(line) {
    const now = line.now();
    this.#rows.forEach((row) => row.tick(now));
    for (const time of /** @type {NodeListOf<HTMLElement>} */ (
      this.#lineRows.querySelectorAll("[data-since]")
    )) {
      const waits = now === null ? 0 : now - parseTime(time.dataset.since).getTime();
      write(time, elapsed(waits));
      time.dataset.waits = howLong(waits);
    }
  }

  /** @param {number} number */
  focus(number) {
    this.#rows.get(number)?.button.focus();
  }

  /** @param {Desk} desk @param {number | undefined} capacity */
  #showState(desk, capacity) {
    const standing = find("#my-standing");
    standing.dataset.connected = String(desk.connected);
    write(find(".words", HTMLElement, standing), text(desk.connected ? "online" : "no_connection"));
    this.#ready.setAttribute("aria-checked", String(desk.wanted));
    const full = capacity !== undefined && desk.load >= capacity;
    const words = desk.barred
      ? text("barred", { reason: desk.barred })
      : desk.connected && !desk.known
        ? text("ready_wait")
        : text(desk.wanted ? (full ? "ready_full" : "ready_words") : "paused_words");
    write(find("#ready-words"), words);
    this.#ready.classList.toggle("barred", desk.barred !== "");
    write(
      find("#load"),
      capacity === undefined
        ? desk.load
          ? String(desk.load)
          : ""
        : text("load", { count: desk.load, capacity }),
    );
  }

  /** @param {Desk} desk @param {Columns} columns */
  #showRows(desk, columns) {
    const { cases } = desk;
    const { visible } = columns;
    for (const [number, row] of this.#rows) {
      if (desk.find(number) !== row.case) {
        row.element.remove();
        this.#rows.delete(number);
      }
    }
    cases.forEach((one, index) => {
      let row = this.#rows.get(one.number);
      if (!row) {
        row = new Row(one, () => this.#open(one.number));
        this.#rows.set(one.number, row);
        this.#list.insertBefore(row.element, this.#list.children[index] ?? null);
      }
      const namesakes = cases.some((other) => other !== one && other.name === one.name);
      row.show(visible.includes(one.number), columns.active === one.number, namesakes);
    });
    find("#nobody").hidden = cases.length > 0;
  }

  /** @param {Line} line */
  #showLine(line) {
    const queue = line.status?.queue;
    const length = queue?.length ?? 0;
    write(find("#line-length"), length ? String(length) : "");
    find("#line-nobody").hidden = length > 0;
    write(find("#line-nobody"), text(queue ? "line_nobody" : "line_unknown"));
    const shown = queue?.first.slice(0, MAX_QUEUE_ROWS) ?? [];
    const key = JSON.stringify([shown, length]);
    if (this.#lineRows.dataset.key === key) {
      return;
    }
    this.#lineRows.dataset.key = key;
    this.#lineRows.replaceChildren(
      ...shown.map(({ id, name, since }, index) => {
        const waits = make("span", "row-waits");
        waits.dataset.since = since;
        const place = make("span", "line-place", String(index + 1));
        return make("li", "line-row", place, make("span", "line-name", visitorName(name, id)), waits);
      }),
    );
    if (length > shown.length) {
      this.#lineRows.append(make("li", "line-more", text("line_more", { count: length - shown.length })));
    }
  }
}

/** What the list says of a conversation below its name. @param {Case} one @param {boolean} visible */
function lastWords(one, visible) {
  const { last, draft } = one;
  if (one.isTyping) {
    return text("typing_short");
  }
  if (one.unsent === "refused") {
    return text("not_sent");
  }
  if (one.state === "over") {
    return text("over");
  }
  if (one.ending) {
    return text("ending");
  }
  if (one.unsent === "sending") {
    return text("sending_some");
  }
  if (draft.trim() && !visible) {
    return text("draft") + draft;
  }
  return last ? (last.own ? text("you_said") : "") + last.text : one.fresh ? text("new_here") : "";
}

/** @param {HTMLElement} element @param {string} words */
function write(element, words) {
  if (element.textContent !== words) {
    element.textContent = words;
  }
}
