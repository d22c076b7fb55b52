// @ts-check
/**
 * Problems and what to do about them: those of `/readyz`, then warnings.
 *
 * @module
 */

import { icon, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { count } from "./numbers.js";

/** @typedef {import("./polling.js").Status} Status */

/**
 * @typedef {object} Problem
 * @property {"danger" | "warning"} severity
 * @property {string} title
 * @property {string} explanation
 * @property {string} [command] a shell command to run on the server
 * @property {string} [serverMessage] the server's message
 */

const LOG_COMMAND = "journalctl -u tornado-chat -e";
const DISK_COMMAND = "df -h";
const LAG_LIMIT_SECONDS = 0.25; // as in the alerts for Prometheus

/**
 * Messages of the database, with the text key of their explanation and a command.
 *
 * @type {readonly [RegExp, string, string][]}
 */
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
  const found = Object.entries(status.problems).map(([part, serverMessage]) =>
    makeReadinessProblem(part, serverMessage),
  );
  if (status.line.length && !status.waiters.states.ready && !status.waiters.states.busy) {
    found.push(makeWarning("notice_no_agent"));
  }
  for (const { name, state } of status.plugins) {
    if (state === "suspended") {
      found.push({
        ...makeWarning("notice_plugin", { name }),
        command: `${LOG_COMMAND} -g "plugin ${name}"`,
      });
    }
  }
  if (status.database.errors && !status.problems.database) {
    found.push({
      ...makeWarning("notice_errors", { count: count(status.database.errors) }),
      command: LOG_COMMAND,
    });
  }
  if (status.process.loop_lag > LAG_LIMIT_SECONDS) {
    found.push({ ...makeWarning("notice_lag"), command: LOG_COMMAND });
  }
  return found;
}

/**
 * @param {string} part
 * @param {string} serverMessage
 * @returns {Problem}
 */
function makeReadinessProblem(part, serverMessage) {
  if (part === "database") {
    const [, words, command] = DATABASE_PATTERNS.find(([pattern]) => pattern.test(serverMessage)) ?? [
      null,
      "problem_database_other",
      LOG_COMMAND,
    ];
    return {
      severity: "danger",
      title: text("problem_database"),
      explanation: text(words),
      command,
      serverMessage,
    };
  }
  if (part === "server") {
    return {
      severity: "danger",
      title: text("problem_server"),
      explanation: text("problem_server_text"),
      command: LOG_COMMAND,
    };
  }
  return {
    severity: "danger",
    title: text("problem_other", { part }),
    explanation: text("problem_other_text"),
    command: LOG_COMMAND,
    serverMessage,
  };
}

/**
 * @param {string} key
 * @param {Record<string, string>} [values]
 * @returns {Problem}
 */
function makeWarning(key, values) {
  return { severity: "warning", title: text(key, values), explanation: text(`${key}_text`, values) };
}

/** The list of problems; unchanged ones are not announced again. */
export class ProblemList {
  /** @param {HTMLElement} container a live region */
  constructor(container) {
    this.#container = container;
  }

  #container;
  /** @type {Map<string, HTMLElement>} */
  #shown = new Map();

  /** @param {Problem[]} problems */
  show(problems) {
    /** @type {Map<string, HTMLElement>} */
    const shown = new Map();
    for (const problem of problems) {
      const key = problem.title;
      const element = this.#shown.get(key) ?? make("div", `problem-card ${problem.severity}`);
      fill(element, problem);
      shown.set(key, element);
      if (this.#container.children[shown.size - 1] !== element) {
        this.#container.insertBefore(element, this.#container.children[shown.size - 1] ?? null);
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
function fill(element, { title, explanation: words, command, serverMessage }) {
  const sentence = serverMessage ? text("problem_said", { words: serverMessage }) : "";
  const contentKey = [title, words, command, sentence].join("\n");
  if (element.dataset.whole === contentKey) {
    return;
  }
  element.dataset.whole = contentKey;
  const body = make("div", "", make("p", "problem-title", title), make("p", "", words));
  if (command) {
    body.append(make("code", "", command));
  }
  if (sentence) {
    body.append(make("p", "small", sentence));
  }
  element.replaceChildren(icon("refused"), body);
}
