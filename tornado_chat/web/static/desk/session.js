// @ts-check
/**
 * A counselling session as its counsellor sees it.
 *
 * @module
 */

import { guestName } from "../shared/guest_names.js";
import { text } from "../shared/strings.js";
import { parseTime } from "../shared/time.js";

/**
 * A session in a list of the API. Numbers and ids are texts.
 *
 * @typedef {object} Session
 * @property {string} session_id
 * @property {string} user_id
 * @property {string | null} user_name
 * @property {"ready" | "active" | "completed" | "cancelled"} state
 * @property {string[] | null} present the roles of the participants who are in the session; null: unknown
 * @property {string} created
 * @property {string | null} started
 * @property {string | null} ended
 * @property {number} messages
 * @property {number | null} rate
 */

/**
 * - `waits`: the visitor is in the session, and the counsellor is not
 * - `active`: both are in it, or it is unknown who is
 * - `away`: it has begun, and the visitor is not in it now
 * - `ready`: it has not begun, and the visitor is not in it
 *
 * @typedef {"waits" | "active" | "away" | "ready" | "completed" | "cancelled"} Stage
 */

/** The stages of open sessions, the most urgent first. @type {readonly Stage[]} */
export const OPEN_STAGES = ["waits", "active", "away", "ready"];

/** @param {Session} session @returns {Stage} */
export function stageOf({ state, present }) {
  if (state === "completed" || state === "cancelled") {
    return state;
  }
  const isVisitorThere = present?.includes("user");
  if (isVisitorThere && !present?.includes("consultant")) {
    return "waits";
  }
  if (state === "ready") {
    return "ready";
  }
  return present && !isVisitorThere ? "away" : "active";
}

/** @param {Session} session */
export function isOpen({ state }) {
  return state === "ready" || state === "active";
}

/** @param {{ user_name: string | null, user_id: string }} session */
export function visitorName(session) {
  return session.user_name || guestName(session.user_id) || text("visitor_id", { id: session.user_id });
}

/** The time by which a session is listed. @param {Session} session */
export function timeOf(session) {
  return parseTime(session.created);
}

/**
 * The beginning of a day and of the next day, in the reader's time zone.
 *
 * @param {Date} time
 * @returns {{ from: Date, before: Date }}
 */
export function dayOf(time) {
  const [year, month, day] = [time.getFullYear(), time.getMonth(), time.getDate()];
  // not by 24 hours: a day in which the clocks change has 23 or 25
  return { from: new Date(year, month, day), before: new Date(year, month, day + 1) };
}

/**
 * The day that a date field names, in the reader's time zone.
 *
 * @param {string} value as in 2025-03-20
 * @returns {{ from: Date, before: Date } | null} null: it is empty
 */
export function dayOfField(value) {
  const [year, month, day] = value.split("-").map(Number);
  return day ? dayOf(new Date(year, month - 1, day)) : null;
}
