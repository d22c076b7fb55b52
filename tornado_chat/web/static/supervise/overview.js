// @ts-check
/**
 * The list of what is on the desk, with what nobody has seen of it: tabs, on a telephone.
 *
 * @module
 */

import { find, icon, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";

/** @typedef {import("./desk.js").Desk} Desk */
/** @typedef {import("./inbox.js").Notice} Notice */
/** @typedef {import("./pane.js").SessionPane} SessionPane */

/** @typedef {{ item: HTMLLIElement, button: HTMLButtonElement, shown: string }} Row */

export class Overview {
  /**
   * @param {(pane: SessionPane | undefined) => void} choose undefined: the inbox
   */
  constructor(choose) {
    this.#choose = choose;
    find("#to-inbox").addEventListener("click", () => choose(undefined));
  }

  #choose;
  #list = find("#watching-rows");
  #nothing = find("#watching-none");
  #inbox = find("#to-inbox");
  /** @type {Map<SessionPane, Row>} */
  #rows = new Map();

  /**
   * @param {Desk} desk
   * @param {Notice[]} alerts
   * @param {number} unread in the inbox
   */
  show(desk, alerts, unread) {
    for (const [pane, row] of this.#rows) {
      if (!desk.panes.includes(pane)) {
        row.item.remove();
        this.#rows.delete(pane);
      }
    }
    let before = this.#list.firstElementChild;
    for (const pane of desk.panes) {
      const row = this.#row(pane);
      if (row.item === before) {
        before = before.nextElementSibling;
      } else {
        this.#list.insertBefore(row.item, before);
      }
      const alerted = alerts.some((notice) => notice.session === pane.session);
      this.#fill(row, pane, alerted);
      const current = String(desk.current === pane);
      if (row.button.getAttribute("aria-current") !== current) {
        row.button.setAttribute("aria-current", current);
        if (desk.current === pane) {
          row.button.scrollIntoView({ inline: "center", block: "nearest" });
        }
      }
    }
    this.#nothing.hidden = desk.panes.length > 0;
    this.#inbox.setAttribute("aria-current", String(desk.current === undefined));
    const count = make("span", "count", String(unread));
    this.#inbox.replaceChildren(icon("note"), make("span", "", text("inbox")), ...(unread ? [count] : []));
    this.#inbox.classList.toggle("alerted", alerts.length > 0);
  }

  /** @param {SessionPane} pane */
  #row(pane) {
    let row = this.#rows.get(pane);
    if (!row) {
      const button = make("button", "watching-row");
      button.type = "button";
      button.addEventListener("click", () => this.#choose(pane));
      row = { item: make("li", "", button), button, shown: "" };
      this.#rows.set(pane, row);
    }
    return row;
  }

  /**
   * @param {Row} row
   * @param {SessionPane} pane
   * @param {boolean} alerted
   */
  #fill(row, pane, alerted) {
    const { visitor, consultant } = pane.names;
    const { lines, record } = pane.unread;
    const marks = [];
    if (alerted) {
      marks.push(make("span", "mark-alert", icon("alert"), make("span", "hidden", text("alert_open"))));
    }
    if (record) {
      marks.push(counted("count", record, text("unread_record", { count: record, name: consultant })));
    }
    if (lines) {
      marks.push(counted("count lines-count", lines, text("unread_lines", { count: lines })));
    }
    const state = pane.over ? text("state_over") : pane.aside ? text("is_aside") : "";
    const name = pane.known ? `${visitor} · ${consultant}` : text("session_number", { number: pane.session });
    const words = make("span", "row-words", make("span", "row-name", name));
    if (state) {
      words.append(make("span", "row-state", state));
    }
    const content = make("span", "", words, make("span", "row-marks", ...marks));
    content.className = "row-content";
    const shown = `${content.textContent} ${alerted}`;
    if (shown !== row.shown) {
      row.button.replaceChildren(content);
      row.shown = shown;
    }
    row.button.classList.toggle("aside", pane.aside);
    row.button.classList.toggle("over", pane.over);
    row.button.classList.toggle("alerted", alerted);
  }
}

/**
 * @param {string} className
 * @param {number} count
 * @param {string} words
 */
function counted(className, count, words) {
  const mark = make("span", className, String(count), make("span", "hidden", ` ${words}`));
  mark.title = words;
  return mark;
}
