// @ts-check
/**
 * Small charts of the last quarter of an hour: a drawing, the numbers in words, and a table on demand.
 *
 * @module
 */

import { make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { parseTime } from "../shared/time.js";
import { clock, count, duration, latency, rate } from "./numbers.js";

/** @typedef {import("./polling.js").Status} Status */
/** @typedef {import("./polling.js").History} History */
/** @typedef {number | null} Value null: there was nothing to measure */

/**
 * @typedef {object} Series
 * @property {string} [name] key of its text, if there are two
 * @property {(history: History) => Value[]} past
 * @property {(status: Status) => Value} now
 */

/**
 * @typedef {object} Definition
 * @property {string} title key
 * @property {Series[]} series the first with an area, the second with a dashed line
 * @property {(value: number) => string} write
 * @property {number} scale what the height stands for at least, so that little looks little
 * @property {boolean} gauge `now` is the newest point; else it is a mean over more than a step
 * @property {(status: Status) => string} note
 */

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 64;
const MARGIN = 3; // so that lines are not cut
const SPAN_SECONDS = 900;
const QUARTER_HOUR_MS = 900_000; // milliseconds: zones differ by multiples of it

/** @type {readonly Definition[]} */
const CHARTS = [
  {
    title: "chart_sockets",
    series: [{ past: (history) => history.sockets, now: (status) => sum(Object.values(status.sockets)) }],
    write: count,
    scale: 4,
    gauge: true,
    note: ({ sockets }) =>
      Object.entries(sockets)
        .filter(([, open]) => open > 0)
        .map(([name, open]) => `${name} ${count(open)}`)
        .join(" · "),
  },
  {
    title: "chart_line",
    series: [{ past: (history) => history.line, now: (status) => status.line.length }],
    write: count,
    scale: 4,
    gauge: true,
    note: ({ waiters }) => text("line_free", { count: count(waiters.states.ready ?? 0) }),
  },
  {
    title: "chart_wait",
    series: [{ past: (history) => history.longest_wait, now: (status) => status.line.longest_wait }],
    write: duration,
    scale: 60,
    gauge: true,
    note: ({ line }) => (line.length ? "" : text("wait_nobody")),
  },
  {
    title: "chart_messages",
    series: [
      { name: "received", past: (history) => history.received, now: (status) => status.messages.received },
      { name: "delivered", past: (history) => history.delivered, now: (status) => status.messages.delivered },
    ],
    write: rate,
    scale: 1,
    gauge: false,
    note: () => text("last_minute"),
  },
  {
    title: "chart_delivery",
    series: [
      { name: "half", past: (history) => history.p50, now: (status) => status.messages.p50 },
      { name: "nearly_all", past: (history) => history.p99, now: (status) => status.messages.p99 },
    ],
    write: latency,
    scale: 0.01,
    gauge: false,
    note: ({ messages }) => text(messages.p50 === null ? "no_messages" : "last_minute"),
  },
  {
    title: "chart_lag",
    series: [{ past: (history) => history.lag, now: (status) => status.process.loop_lag }],
    write: latency,
    scale: 0.05,
    gauge: true,
    note: () => text("lag_note"),
  },
];

/** All of them, in `place`. @param {HTMLElement} place */
export function makeCharts(place) {
  const charts = CHARTS.map((definition) => new Chart(definition));
  place.append(...charts.map((chart) => chart.element));
  return charts;
}

export class Chart {
  /** @param {Definition} definition */
  constructor(definition) {
    this.#definition = definition;
    const head = make("header", "", make("h3", "", text(definition.title)), this.#note);
    this.#values = definition.series.map(() => make("strong", "chart-value"));
    const values = definition.series.map(({ name }, index) => {
      const parts = name ? [key(index), make("span", "chart-name", text(name))] : [];
      return make("p", "chart-figure", this.#values[index], ...parts);
    });
    this.#lines = definition.series.map((_, index) => draw("path", { class: `line line-${index}` }));
    this.#svg.append(this.#area, ...this.#lines, this.#dot);
    const ends = make(
      "p",
      "chart-ends",
      make("span", "", text("ago_15")),
      this.#range,
      make("span", "", text("now")),
    );
    this.element.append(head, make("div", "chart-figures", ...values), this.#svg, ends, this.#details());
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
  #dot = draw("path", { class: "dot" });
  #rows = make("tbody");
  #empty = make("p", "small", text("table_empty"));
  #open = false;
  /** @type {Status | undefined} */
  #status;

  /** @param {Status} status */
  show(status) {
    this.#status = status;
    const { series, write, scale, gauge, note, title } = this.#definition;
    const now = series.map((each) => each.now(status));
    const past = series.map((each, index) =>
      gauge ? [...each.past(status.history), now[index]] : each.past(status.history),
    );
    const known = past.flat().filter((value) => value !== null);
    const least = known.length ? Math.min(...known) : 0;
    const most = known.length ? Math.max(...known) : 0;
    const words = now.map((value) => (value === null ? "–" : write(value)));
    words.forEach((value, index) => say(this.#values[index], value));
    say(this.#note, note(status));
    const range = known.length
      ? text("range", { least: write(least), most: write(most) })
      : text("range_none");
    say(this.#range, range);
    const values = series.map(({ name }, index) => (name ? `${text(name)} ${words[index]}` : words[index]));
    this.#svg.setAttribute(
      "aria-label",
      text("chart_label", { title: text(title), values: values.join(", "), range }),
    );

    const step = status.history.step / SPAN_SECONDS;
    const curves = past.map((points) => place(points, step, Math.max(most, scale)));
    this.#area.setAttribute("d", curves[0].map(fill).join(""));
    curves.forEach((curve, index) => this.#lines[index].setAttribute("d", curve.map(stroke).join("")));
    const end = past[0].at(-1) === null ? undefined : curves[0].at(-1)?.at(-1);
    this.#dot.setAttribute("d", end ? stroke([end]) : "");
    this.#tabulate();
  }

  #details() {
    const { series, title } = this.#definition;
    const heads = [text("time"), ...series.map(({ name }) => text(name ?? title))];
    const table = make(
      "table",
      "numbers",
      make("thead", "", make("tr", "", ...heads.map((words) => scoped("col", words)))),
      this.#rows,
    );
    const box = make("div", "numbers-box", this.#empty, table);
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", text("table_of", { title: text(title) }));
    const details = make("details", "", make("summary", "", text("as_table")), box);
    details.addEventListener("toggle", () => {
      this.#open = details.open;
      this.#tabulate();
    });
    return details;
  }

  /** The newest first. Only for who has opened it: it has hundreds of cells. */
  #tabulate() {
    if (!this.#open || !this.#status) {
      return;
    }
    const { history, time } = this.#status;
    const { series, write } = this.#definition;
    const columns = series.map((each) => each.past(history));
    const last = history.time.at(-1) ?? 0;
    // The server's other times have no zone; these get the same.
    const shift = Math.round((parseTime(time).getTime() - last * 1000) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
    const rows = history.time.map((at, index) => [
      clock(new Date(at * 1000 + shift), { seconds: true }),
      ...columns.map((column) => {
        const value = column[index];
        return value === null ? "–" : write(value);
      }),
    ]);
    this.#empty.hidden = rows.length > 0;
    this.#rows.replaceChildren(
      ...rows
        .reverse()
        .map(([when, ...cells]) =>
          make("tr", "", scoped("row", when), ...cells.map((words) => make("td", "", words))),
        ),
    );
  }
}

/** What the lines mean: the same strokes as in the drawing. @param {number} index */
function key(index) {
  const svg = draw("svg", { viewBox: "0 0 22 6", class: "chart-key", "aria-hidden": "true" });
  svg.append(draw("path", { class: `line line-${index}`, d: "M1 3H21" }));
  return svg;
}

/** @typedef {[x: number, y: number]} Point */

/**
 * Where the values are in the drawing, the newest at the right, in pieces without gaps.
 *
 * @param {Value[]} values
 * @param {number} step as a part of the width
 * @param {number} most the greatest value that there is room for
 * @returns {Point[][]}
 */
function place(values, step, most) {
  /** @type {Point[][]} */
  const pieces = [];
  let apart = true;
  values.forEach((value, index) => {
    if (value === null) {
      apart = true;
      return;
    }
    const x = WIDTH - MARGIN - (values.length - 1 - index) * step * (WIDTH - MARGIN);
    const y = HEIGHT - MARGIN - (value / most) * (HEIGHT - 2 * MARGIN);
    if (apart) {
      pieces.push([]);
    }
    apart = false;
    pieces[pieces.length - 1].push([x, y]);
  });
  return pieces;
}

/** @param {Point[]} piece */
function stroke(piece) {
  const [x, y] = piece[0];
  const rest = piece.slice(1).map((point) => `L${spell(point)}`);
  return `M${spell([x, y])}${rest.join("") || "h0.01"}`; // one alone is a dot
}

/** @param {Point[]} piece */
function fill(piece) {
  const last = piece[piece.length - 1];
  return `M${spell([piece[0][0], HEIGHT])}${piece.map((point) => `L${spell(point)}`).join("")}L${spell([last[0], HEIGHT])}Z`;
}

/** @param {Point} point */
function spell([x, y]) {
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
function scoped(scope, words) {
  const head = make("th", "", words);
  head.scope = scope;
  return head;
}

/**
 * @param {HTMLElement} element
 * @param {string} words
 */
function say(element, words) {
  if (element.textContent !== words) {
    element.textContent = words;
  }
}

/** @param {number[]} values */
function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
