// @ts-check
/**
 * How the states of own messages are shown that need the approval of a supervisor.
 *
 * @module
 */

import { formatRemaining } from "./countdown.js";
import { icon, make } from "./elements.js";
import { language, text } from "./strings.js";

/** @typedef {import("./approval_states.js").Approval} Approval */

/**
 * Show in the delivery state of a message that it waits.
 *
 * @param {HTMLElement} element
 * @param {Approval} approval
 */
export function showHeld(element, approval) {
  const remainingMs = approval.until === undefined ? undefined : Date.parse(approval.until) - Date.now();
  const content =
    remainingMs === undefined
      ? text("waits_for_approval")
      : text("waits_for_approval_until", { time: formatRemaining(remainingMs) });
  const away = (approval.approvers ?? []).map(({ id, name }) => name || id);
  const names = new Intl.ListFormat(language).format(away);
  const shown = names ? `${content} · ${text("approvers_away", { names })}` : content;
  if (element.querySelector(".approval-state")?.textContent !== shown) {
    element.replaceChildren(icon("held"), make("span", "approval-state", shown));
  }
}

/** Why a message was not sent. @param {Approval} approval */
export function refusalText(approval) {
  if (approval.state === "expired") {
    return text("approval_expired");
  }
  return approval.note ? text("approval_refused_note", { note: approval.note }) : text("approval_refused");
}

/** Return a line for a message that was edited; undefined for others. @param {Approval} approval */
export function makeEditedNote(approval) {
  if (approval.state !== "edited") {
    return undefined;
  }
  const name = approval.by?.name || approval.by?.id || "";
  return make("p", "approval-note", text("approval_edited", { name, text: approval.text }));
}
