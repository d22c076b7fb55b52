// @ts-check
/**
 * What is wrong, and what to do about it: as in `/readyz`, then what only deserves a look.
 *
 * @module
 */

import { icon, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { count } from "./numbers.js";

/** @typedef {import("./polling.js").Status} Status */

/**
 * @typedef {object} Problem
 * @property {"grave" | "trouble"} look
 * @property {string} title
 * @property {string} words
 * @property {string} [command] to type on the server
 * @property {string} [said] the server's words
 */

const LOG_COMMAND = "journalctl -u tornado-chat -e";
const DISK_COMMAND = "df -h";
const LAG_LIMIT_SECONDS = 0.25; // seconds, as in the alerts for Prometheus

/** The database's words, and what they come to. @type {readonly [RegExp, string, string][]} */
const DATABASE_PATTERNS = [
  [/full|no space/i, "problem_database_full", DISK_COMMAND],
  [/no answer/i, "problem_database_slow", LOG_COMMAND],
  [/read-?only|permission|denied/i, "problem_database_access", LOG_COMMAND],
];

/**
 * @param {Status} status
 * @returns {Problem[]} the worst first
 */
export function problemsOf(status) {
  /** @type {Problem[]} */
  const found = Object.entries(status.problems).map(([part, said]) => serious(part, said));
  if (status.line.length && !status.waiters.states.ready && !status.waiters.states.busy) {
    found.push(minor("notice_nobody"));
  }
  for (const { name, state } of status.plugins) {
    if (state === "suspended") {
      found.push({ ...minor("notice_plugin", { name }), command: `${LOG_COMMAND} -g "plugin ${name}"` });
    }
  }
  if (status.database.errors && !status.problems.database) {
    found.push({ ...minor("notice_errors", { count: count(status.database.errors) }), command: LOG_COMMAND });
  }
  if (status.process.loop_lag > LAG_LIMIT_SECONDS) {
    found.push({ ...minor("notice_lag"), command: LOG_COMMAND });
  }
  return found;
}

/**
 * @param {string} part
 * @param {string} said
 * @returns {Problem}
 */
function serious(part, said) {
  if (part === "database") {
    const [, words, command] = DATABASE_PATTERNS.find(([pattern]) => pattern.test(said)) ?? [
      null,
      "problem_database_other",
      LOG_COMMAND,
    ];
    return { look: "grave", title: text("problem_database"), words: text(words), command, said };
  }
  if (part === "server") {
    return {
      look: "grave",
      title: text("problem_server"),
      words: text("problem_server_text"),
      command: LOG_COMMAND,
    };
  }
  return {
    look: "grave",
    title: text("problem_other", { part }),
    words: text("problem_other_text"),
    command: LOG_COMMAND,
    said,
  };
}

/**
 * @param {string} key
 * @param {Record<string, string>} [values]
 * @returns {Problem}
 */
function minor(key, values) {
  return { look: "trouble", title: text(key, values), words: text(`${key}_text`, values) };
}

/** Shows them; what stays is not read out again. */
export class Problems {
  /** @param {HTMLElement} place a live region */
  constructor(place) {
    this.#place = place;
  }

  #place;
  /** @type {Map<string, HTMLElement>} */
  #shown = new Map();

  /** @param {Problem[]} problems */
  show(problems) {
    /** @type {Map<string, HTMLElement>} */
    const shown = new Map();
    for (const problem of problems) {
      const key = problem.title;
      const element = this.#shown.get(key) ?? make("div", `problem-card ${problem.look}`);
      fill(element, problem);
      shown.set(key, element);
      if (this.#place.children[shown.size - 1] !== element) {
        this.#place.insertBefore(element, this.#place.children[shown.size - 1] ?? null);
      }
    }
    for (const [key, element] of this.#shown) {
      if (!shown.has(key)) {
        element.remove();
      }
    }
    this.#shown = shown;
  }
}

/**
 * @param {HTMLElement} element
 * @param {Problem} problem
 */
function fill(element, { title, words, command, said }) {
  const sentence = said ? text("problem_said", { words: said }) : "";
  const whole = [title, words, command, sentence].join("\n");
  if (element.dataset.whole === whole) {
    return;
  }
  element.dataset.whole = whole;
  const body = make("div", "", make("p", "problem-title", title), make("p", "", words));
  if (command) {
    body.append(make("code", "", command));
  }
  if (sentence) {
    body.append(make("p", "small", sentence));
  }
  element.replaceChildren(icon("refused"), body);
}
