// @ts-check
/**
 * The list of open sessions with their unread counts; on a phone, tabs.
 *
 * @module
 */

import { find, icon, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { keyText } from "./conversation_key.js";

/** @typedef {import("./pane_layout.js").PaneLayout} PaneLayout */
/** @typedef {import("./inbox.js").Notice} Notice */
/** @typedef {import("./pane.js").SessionPane} SessionPane */

/** @typedef {{ item: HTMLLIElement, button: HTMLButtonElement, shown: string }} Row */

export class Overview {
  /** @param {(pane: SessionPane | undefined) => void} onChoose undefined: the inbox */
  constructor(onChoose) {
    this.#onChoose = onChoose;
    find("#to-inbox").addEventListener("click", () => onChoose(undefined));
  }

  #onChoose;
  #list = find("#session-rows");
  #emptyText = find("#sessions-empty");
  #inbox = find("#to-inbox");
  /** @type {Map<SessionPane, Row>} */
  #rows = new Map();

  /**
   * @param {PaneLayout} layout
   * @param {Notice[]} alerts
   * @param {number} unread the number of unread notices
   */
  show(layout, alerts, unread) {
    for (const [pane, row] of this.#rows) {
      if (!layout.panes.includes(pane)) {
        row.item.remove();
        this.#rows.delete(pane);
      }
    }
    let before = this.#list.firstElementChild;
    for (const pane of layout.panes) {
      const row = this.#rowOf(pane);
      if (row.item === before) {
        before = before.nextElementSibling;
      } else {
        this.#list.insertBefore(row.item, before);
      }
      const hasAlert = alerts.some((notice) => notice.session === pane.session);
      this.#fillRow(row, pane, hasAlert);
      const current = String(layout.current === pane);
      if (row.button.getAttribute("aria-current") !== current) {
        row.button.setAttribute("aria-current", current);
        if (layout.current === pane) {
          row.button.scrollIntoView({ inline: "center", block: "nearest" });
        }
      }
    }
    this.#emptyText.hidden = layout.panes.length > 0;
    this.#inbox.setAttribute("aria-current", String(layout.current === undefined));
    const count = make("span", "count", String(unread));
    this.#inbox.replaceChildren(icon("note"), make("span", "", text("inbox")), ...(unread ? [count] : []));
    this.#inbox.classList.toggle("has-alert", alerts.length > 0);
  }

  /** @param {SessionPane} pane */
  #rowOf(pane) {
    let row = this.#rows.get(pane);
    if (!row) {
      const button = make("button", "session-row");
      button.type = "button";
      button.addEventListener("click", () => this.#onChoose(pane));
      row = { item: make("li", "", button), button, shown: "" };
      this.#rows.set(pane, row);
    }
    return row;
  }

  /**
   * @param {Row} row
   * @param {SessionPane} pane
   * @param {boolean} hasAlert
   */
  #fillRow(row, pane, hasAlert) {
    const { visitor, consultant } = pane.names;
    const { messages, record } = pane.unread;
    const marks = [];
    if (hasAlert) {
      marks.push(
        make("span", "mark-alert", icon("alert"), make("span", "visually-hidden", text("alert_open"))),
      );
    }
    if (record) {
      marks.push(makeCount("count", record, text("unread_record", { count: record, name: consultant })));
    }
    if (messages) {
      marks.push(makeCount("count messages-count", messages, text("unread_lines", { count: messages })));
    }
    const state = pane.isOver ? text("state_over") : pane.minimized ? text("is_minimized") : "";
    const name = pane.namesKnown ? `${visitor} · ${consultant}` : keyText(pane.session);
    const words = make("span", "row-text", make("span", "row-name", name));
    if (state) {
      words.append(make("span", "row-state", state));
    }
    const content = make("span", "", words, make("span", "row-marks", ...marks));
    content.className = "row-content";
    const shown = `${content.textContent} ${hasAlert}`;
    if (shown !== row.shown) {
      row.button.replaceChildren(content);
      row.shown = shown;
    }
    row.button.classList.toggle("minimized", pane.minimized);
    row.button.classList.toggle("is-ended", pane.isOver);
    row.button.classList.toggle("has-alert", hasAlert);
  }
}

/**
 * @param {string} className
 * @param {number} count
 * @param {string} words
 */
function makeCount(className, count, words) {
  const mark = make("span", className, String(count), make("span", "visually-hidden", ` ${words}`));
  mark.title = words;
  return mark;
}
