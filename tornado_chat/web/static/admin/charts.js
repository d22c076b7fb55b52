// @ts-check
/**
 * Small charts of the last 15 minutes: a drawing, the numbers in words, and a table on demand.
 *
 * @module
 */

import { make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { clock, count, duration, latency, rate } from "./numbers.js";

/** @typedef {import("./polling.js").Status} Status */
/** @typedef {import("./polling.js").History} History */
/** @typedef {number | null} Value null: nothing was measured */

/**
 * @typedef {object} Series
 * @property {string} [name] the text key of its name, if there are two series
 * @property {(history: History) => Value[]} history
 * @property {(status: Status) => Value} current
 */

/**
 * @typedef {object} ChartDefinition
 * @property {string} title a text key
 * @property {Series[]} series the first is drawn with an area, the second as a dashed line
 * @property {(value: number) => string} format
 * @property {number} minScale the least value of the full height, so that small values look small
 * @property {boolean} isGauge whether the current value is the newest point; else it is a mean over more than
 *   a step
 * @property {(status: Status) => string} note
 */

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 64;
const MARGIN = 3; // keeps lines from being cut off
const SPAN_SECONDS = 900;

/** @type {readonly ChartDefinition[]} */
const CHARTS = [
  {
    title: "chart_sockets",
    series: [
      { history: (history) => history.sockets, current: (status) => sum(Object.values(status.sockets)) },
    ],
    format: count,
    minScale: 4,
    isGauge: true,
    note: ({ sockets }) =>
      Object.entries(sockets)
        .filter(([, open]) => open > 0)
        .map(([name, open]) => `${name} ${count(open)}`)
        .join(" · "),
  },
  {
    title: "chart_line",
    series: [{ history: (history) => history.line, current: (status) => status.line.length }],
    format: count,
    minScale: 4,
    isGauge: true,
    note: ({ waiters }) => text("line_free", { count: count(waiters.states.ready ?? 0) }),
  },
  {
    title: "chart_wait",
    series: [{ history: (history) => history.longest_wait, current: (status) => status.line.longest_wait }],
    format: duration,
    minScale: 60,
    isGauge: true,
    note: ({ line }) => (line.length ? "" : text("wait_empty")),
  },
  {
    title: "chart_messages",
    series: [
      {
        name: "received",
        history: (history) => history.received,
        current: (status) => status.messages.received,
      },
      {
        name: "delivered",
        history: (history) => history.delivered,
        current: (status) => status.messages.delivered,
      },
    ],
    format: rate,
    minScale: 1,
    isGauge: false,
    note: () => text("last_minute"),
  },
  {
    title: "chart_delivery",
    series: [
      { name: "half", history: (history) => history.p50, current: (status) => status.messages.p50 },
      { name: "nearly_all", history: (history) => history.p99, current: (status) => status.messages.p99 },
    ],
    format: latency,
    minScale: 0.01,
    isGauge: false,
    note: ({ messages }) => text(messages.p50 === null ? "no_messages" : "last_minute"),
  },
  {
    title: "chart_lag",
    series: [{ history: (history) => history.lag, current: (status) => status.process.loop_lag }],
    format: latency,
    minScale: 0.05,
    isGauge: true,
    note: () => text("lag_note"),
  },
];

/** Create all charts in a container. @param {HTMLElement} container */
export function makeCharts(container) {
  const charts = CHARTS.map((definition) => new Chart(definition));
  container.append(...charts.map((chart) => chart.element));
  return charts;
}

export class Chart {
  /** @param {ChartDefinition} definition */
  constructor(definition) {
    this.#definition = definition;
    const head = make("header", "", make("h3", "", text(definition.title)), this.#note);
    this.#values = definition.series.map(() => make("strong", "chart-value"));
    const values = definition.series.map(({ name }, index) => {
      const parts = name ? [legendKey(index), make("span", "chart-name", text(name))] : [];
      return make("p", "chart-figure", this.#values[index], ...parts);
    });
    this.#lines = definition.series.map((_, index) => draw("path", { class: `curve curve-${index}` }));
    this.#svg.append(this.#area, ...this.#lines, this.#dot);
    const ends = make(
      "p",
      "chart-ends",
      make("span", "", text("ago_15")),
      this.#range,
      make("span", "", text("now")),
    );
    this.element.append(head, make("div", "chart-figures", ...values), this.#svg, ends, this.#makeTable());
  }

  element = make("article", "chart panel");
  #definition;
  #values;
  #lines;
  #note = make("p", "chart-note");
  #range = make("span", "chart-range");
  #svg = draw("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
    class: "plot",
  });
  #area = draw("path", { class: "area" });
  #dot = draw("path", { class: "curve-end" });
  #rows = make("tbody");
  #empty = make("p", "small", text("table_empty"));
  #isTableOpen = false;
  /** @type {Status | undefined} */
  #status;

  /** @param {Status} status */
  show(status) {
    this.#status = status;
    const { series, format, minScale, isGauge, note, title } = this.#definition;
    const now = series.map((each) => each.current(status));
    const past = series.map((each, index) =>
      isGauge ? [...each.history(status.history), now[index]] : each.history(status.history),
    );
    const known = past.flat().filter((value) => value !== null);
    const min = known.length ? Math.min(...known) : 0;
    const max = known.length ? Math.max(...known) : 0;
    const words = now.map((value) => (value === null ? "–" : format(value)));
    words.forEach((value, index) => setText(this.#values[index], value));
    setText(this.#note, note(status));
    const range = known.length
      ? text("range", { least: format(min), most: format(max) })
      : text("range_none");
    setText(this.#range, range);
    const values = series.map(({ name }, index) => (name ? `${text(name)} ${words[index]}` : words[index]));
    this.#svg.setAttribute(
      "aria-label",
      text("chart_label", { title: text(title), values: values.join(", "), range }),
    );

    const step = status.history.step / SPAN_SECONDS;
    const curves = past.map((points) => toPoints(points, step, Math.max(max, minScale)));
    this.#area.setAttribute("d", curves[0].map(areaPath).join(""));
    curves.forEach((curve, index) => this.#lines[index].setAttribute("d", curve.map(strokePath).join("")));
    const end = past[0].at(-1) === null ? undefined : curves[0].at(-1)?.at(-1);
    this.#dot.setAttribute("d", end ? strokePath([end]) : "");
    this.#fillTable();
  }

  #makeTable() {
    const { series, title } = this.#definition;
    const heads = [text("time"), ...series.map(({ name }) => text(name ?? title))];
    const table = make(
      "table",
      "numbers",
      make("thead", "", make("tr", "", ...heads.map((words) => headerCell("col", words)))),
      this.#rows,
    );
    const box = make("div", "numbers-box", this.#empty, table);
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", text("table_of", { title: text(title) }));
    const details = make("details", "", make("summary", "", text("as_table")), box);
    details.addEventListener("toggle", () => {
      this.#isTableOpen = details.open;
      this.#fillTable();
    });
    return details;
  }

  /** Fill the table, newest first. Only if it is open: it has hundreds of cells. */
  #fillTable() {
    if (!this.#isTableOpen || !this.#status) {
      return;
    }
    const { history } = this.#status;
    const { series, format } = this.#definition;
    const columns = series.map((each) => each.history(history));
    const rows = history.time.map((at, index) => [
      clock(new Date(at * 1000), { seconds: true }),
      ...columns.map((column) => {
        const value = column[index];
        return value === null ? "–" : format(value);
      }),
    ]);
    this.#empty.hidden = rows.length > 0;
    this.#rows.replaceChildren(
      ...rows
        .reverse()
        .map(([when, ...cells]) =>
          make("tr", "", headerCell("row", when), ...cells.map((words) => make("td", "", words))),
        ),
    );
  }
}

/** The legend of a series: the same stroke as in the drawing. @param {number} index */
function legendKey(index) {
  const svg = draw("svg", { viewBox: "0 0 22 6", class: "chart-key", "aria-hidden": "true" });
  svg.append(draw("path", { class: `curve curve-${index}`, d: "M1 3H21" }));
  return svg;
}

/** @typedef {[x: number, y: number]} Point */

/**
 * Convert values to points of the drawing, the newest at the right, in pieces without gaps.
 *
 * @param {Value[]} values
 * @param {number} step as a fraction of the width
 * @param {number} max the value of the full height
 * @returns {Point[][]}
 */
function toPoints(values, step, max) {
  /** @type {Point[][]} */
  const pieces = [];
  let startsPiece = true;
  values.forEach((value, index) => {
    if (value === null) {
      startsPiece = true;
      return;
    }
    const x = WIDTH - MARGIN - (values.length - 1 - index) * step * (WIDTH - MARGIN);
    const y = HEIGHT - MARGIN - (value / max) * (HEIGHT - 2 * MARGIN);
    if (startsPiece) {
      pieces.push([]);
    }
    startsPiece = false;
    pieces[pieces.length - 1].push([x, y]);
  });
  return pieces;
}

/** @param {Point[]} piece */
function strokePath(piece) {
  const [x, y] = piece[0];
  const rest = piece.slice(1).map((point) => `L${formatPoint(point)}`);
  return `M${formatPoint([x, y])}${rest.join("") || "h0.01"}`; // a single point is drawn as a dot
}

/** @param {Point[]} piece */
function areaPath(piece) {
  const first = formatPoint([piece[0][0], HEIGHT]);
  const last = formatPoint([piece[piece.length - 1][0], HEIGHT]);
  return `M${first}${piece.map((point) => `L${formatPoint(point)}`).join("")}L${last}Z`;
}

/** @param {Point} point */
function formatPoint([x, y]) {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}

/**
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string>} attributes
 */
function draw(tag, attributes) {
  const element = document.createElementNS(SVG_NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  return element;
}

/**
 * @param {"col" | "row"} scope
 * @param {string} words
 */
function headerCell(scope, words) {
  const head = make("th", "", words);
  head.scope = scope;
  return head;
}

/**
 * @param {HTMLElement} element
 * @param {string} words
 */
function setText(element, words) {
  if (element.textContent !== words) {
    element.textContent = words;
  }
}

/** @param {number[]} values */
function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
