// @ts-check
/**
 * The section of today: who waits, the open sessions by stage, and those that have ended today.
 *
 * @module
 */

import { find } from "../shared/elements.js";
import { language, text } from "../shared/strings.js";
import { TimeFormatter } from "../shared/time.js";
import { SessionRows } from "./session_rows.js";
import { OPEN_STAGES, stageOf } from "./session.js";

/** @typedef {import("./session.js").Stage} Stage */
/** @typedef {import("./session_rows.js").SessionActs} SessionActs */
/** @typedef {import("./todays_sessions.js").TodaysSessions} TodaysSessions */

const times = new TimeFormatter(language);
const dateFormat = new Intl.DateTimeFormat(language, { weekday: "long", month: "long", day: "numeric" });

export class TodayView {
  /**
   * @param {TodaysSessions} sessions
   * @param {SessionActs} acts
   */
  constructor(sessions, acts) {
    this.#sessions = sessions;
    for (const name of [...OPEN_STAGES, "ended"]) {
      const group = find(`#group-${name}`);
      this.#groups.set(name, { group, rows: new SessionRows(find("ul", HTMLElement, group), acts) });
    }
    find("#today-retry").addEventListener("click", () => void sessions.refresh());
  }

  #sessions;
  /** @type {Map<string, { group: HTMLElement, rows: SessionRows }>} */
  #groups = new Map();

  /** @param {string} current the number of the session whose transcript is open; empty: none */
  show(current) {
    const { open, ended, loadedAt, error } = this.#sessions;
    for (const [name, { group, rows }] of this.#groups) {
      // Of open sessions the oldest comes first: its visitor has waited longest.
      const ofStage = open.filter((session) => stageOf(session) === name).reverse();
      const members = name === "ended" ? ended : ofStage;
      rows.show(members, current);
      group.hidden = members.length === 0;
    }
    find("#today-date").textContent = dateFormat.format(new Date());
    const empty = find("#today-empty");
    empty.hidden = error !== null || open.length + ended.length > 0;
    setText(empty, error ? "" : text(loadedAt ? "today_empty" : "loading"));
    find("#today").classList.toggle("stale", error !== null && loadedAt !== undefined);
    setText(find("#today-problem"), error ? problemText(error.message, loadedAt) : "");
    find("#today-retry").hidden = error === null;
  }

  /** @param {string} number */
  focus(number) {
    this.#groups.forEach(({ rows }) => rows.focus(number));
  }
}

/**
 * @param {string} reason
 * @param {Date | undefined} loadedAt
 */
function problemText(reason, loadedAt) {
  return loadedAt ? text("today_stale", { reason, time: times.clock(loadedAt) }) : reason;
}

/**
 * Set a text only if it differs: screen readers announce a live region that is written again.
 *
 * @param {HTMLElement} element
 * @param {string} content
 */
function setText(element, content) {
  if (element.textContent !== content) {
    element.textContent = content;
  }
}
