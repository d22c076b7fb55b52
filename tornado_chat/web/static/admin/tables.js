// @ts-check
/**
 * Lists that change every two seconds: unchanged cells are left alone, so that the reader keeps the place. On
 * phones a row is shown as a card.
 *
 * @module
 */

import { make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { count } from "./numbers.js";

/**
 * The text of a part of a cell, and its CSS class.
 *
 * @typedef {readonly [words: string, className?: string]} Part
 */

/**
 * @template T
 * @typedef {object} Column
 * @property {string} head a text key
 * @property {(row: T, index: number) => Part[]} cell
 * @property {boolean} [number] whether it is right-aligned
 */

/** @template T */
export class List {
  /**
   * @param {object} list
   * @param {string} list.title a text key
   * @param {string} list.empty the text key for an empty list
   * @param {(row: T) => string} list.id
   * @param {Column<T>[]} list.columns the first one is the row's header
   */
  constructor({ title, empty, id, columns }) {
    this.#id = id;
    this.#columns = columns;
    const heading = make("h2", "", text(title));
    heading.id = `list-${title}`;
    this.element.setAttribute("aria-labelledby", heading.id);
    this.element.dataset.list = title;
    const heads = columns.map(({ head, number }) => {
      const cell = makeRolePart("th", "columnheader", number);
      cell.scope = "col";
      cell.textContent = text(head);
      return cell;
    });
    const row = makeRolePart("tr", "row");
    row.append(...heads);
    const head = makeRolePart("thead", "rowgroup");
    head.append(row);
    this.#table.setAttribute("aria-labelledby", heading.id);
    this.#table.append(head, this.#body);
    this.#emptyText.textContent = text(empty);
    this.element.append(
      make("header", "list-head", heading, this.#stateCounts),
      this.#emptyText,
      this.#table,
      this.#moreText,
    );
  }

  element = make("section", "listing panel");
  #id;
  #columns;
  #stateCounts = make("p", "state-counts");
  #emptyText = make("p", "list-empty");
  // Explicit roles: browsers do not treat a table as a table if CSS shows it as cards.
  #table = makeRolePart("table", "table");
  #body = makeRolePart("tbody", "rowgroup");
  #moreText = make("p", "list-more small");
  /** @type {Map<string, HTMLTableRowElement>} */
  #rows = new Map();

  /**
   * @param {T[]} items
   * @param {number} total the full length, of which the items may be the first part
   * @param {string[]} states the number of items by state, in words
   */
  show(items, total, states) {
    setText(this.#stateCounts, states.join(" · "));
    this.#emptyText.hidden = items.length > 0;
    this.#table.hidden = items.length === 0;
    this.#moreText.hidden = total <= items.length;
    setText(
      this.#moreText,
      text("cut", { shown: count(items.length), total: count(total), count: count(total) }),
    );
    /** @type {Map<string, HTMLTableRowElement>} */
    const rows = new Map();
    items.forEach((item, index) => {
      const id = this.#id(item);
      const row = this.#rows.get(id) ?? this.#makeRow();
      this.#columns.forEach(({ cell }, at) => fillCell(row.cells[at], cell(item, index)));
      rows.set(id, row);
      if (this.#body.children[index] !== row) {
        this.#body.insertBefore(row, this.#body.children[index] ?? null);
      }
    });
    for (const [id, row] of this.#rows) {
      if (!rows.has(id)) {
        row.remove();
      }
    }
    this.#rows = rows;
  }

  #makeRow() {
    const row = makeRolePart("tr", "row");
    this.#columns.forEach(({ head, number }, index) => {
      const cell = index ? makeRolePart("td", "cell", number) : makeRolePart("th", "rowheader", number);
      cell.dataset.head = text(head);
      row.append(cell);
    });
    return row;
  }
}

/** A list of names and values. */
export class Facts {
  /**
   * @param {string} title a text key
   * @param {readonly string[]} names text keys
   */
  constructor(title, names) {
    const heading = make("h2", "", text(title));
    heading.id = `list-${title}`;
    this.element.setAttribute("aria-labelledby", heading.id);
    this.element.dataset.list = title;
    this.#values = names.map(() => make("dd"));
    const list = make("dl", "facts");
    names.forEach((name, index) =>
      list.append(make("div", "", make("dt", "", text(name)), this.#values[index])),
    );
    this.element.append(make("header", "list-head", heading), list);
  }

  element = make("section", "panel");
  #values;

  /** @param {readonly string[]} values in the order of the names */
  show(values) {
    values.forEach((value, index) => setText(this.#values[index], value));
  }
}

/**
 * @param {HTMLElement} cell
 * @param {Part[]} parts
 */
function fillCell(cell, parts) {
  const before = /** @type {HTMLElement[]} */ ([...cell.children]);
  const same =
    before.length === parts.length && parts.every(([, name = ""], at) => before[at].className === name);
  if (same) {
    parts.forEach(([words], at) => setText(before[at], words));
  } else {
    cell.replaceChildren(...parts.map(([words, className]) => make("span", className, words)));
  }
}

/**
 * @template {"table" | "thead" | "tbody" | "tr" | "th" | "td"} T
 * @param {T} tag
 * @param {string} role
 * @param {boolean} [number]
 */
function makeRolePart(tag, role, number = false) {
  const element = make(tag, number ? "number" : "");
  element.setAttribute("role", role);
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {string} words
 */
export function setText(element, words) {
  if (element.textContent !== words) {
    element.textContent = words;
  }
}
