// @ts-check
/**
 * The element that replaces a missing supervision record: it tells how to create one.
 *
 * @module
 */

import { icon, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { ApiError } from "./api.js";

/** @typedef {import("./pane.js").PaneContext} PaneContext */

/**
 * @param {string} session
 * @param {PaneContext} context
 */
export function makeMissingRecord(session, { me, api }) {
  const element = make("section", "missing-record", icon("lock"));
  if (me.role !== "admin") {
    element.append(make("p", "", text("no_record", { id: me.id })));
    return element;
  }
  const form = make("form", "call-form");
  const input = make("input");
  const label = make("label", "", make("span", "", text("call_supervisor_id")), input);
  const problem = make("p", "problem");
  const button = make("button", "secondary-button", text("call_in"));
  input.type = "text";
  input.required = true;
  input.maxLength = 64;
  input.autocomplete = "off";
  button.type = "submit";
  problem.setAttribute("role", "status");
  form.append(label, button, problem);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.textContent = "";
    try {
      await api.callSupervisor(session, input.value.trim());
      form.replaceChildren(make("p", "", text("called")));
      form.setAttribute("role", "status");
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      problem.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
  element.append(make("div", "missing-record-text", make("p", "", text("admin_no_record")), form));
  return element;
}
