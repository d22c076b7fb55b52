// @ts-check
/**
 * The dialog by which an agent asks a supervisor for help with a conversation. The two then talk in a
 * supervision record, in `/room`; the client does not see it.
 *
 * @module
 */

import { addressOf } from "../shared/base.js";
import { find } from "../shared/elements.js";
import { parseNumber } from "../shared/numbers.js";
import { text } from "../shared/strings.js";
import { closableDialog } from "./dialogs.js";

/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */
/** @typedef {import("./support_api.js").SupportApi} SupportApi */

const KEY = "console:supervisor"; // the id of the supervisor that was asked last, in this tab

/**
 * @param {SupportApi} api
 * @param {SignedIn} me
 * @returns {(item: Case) => void}
 */
export function prepareAskHelp(api, me) {
  const dialog = closableDialog("#help-dialog");
  const form = find("form", HTMLFormElement, dialog);
  const input = find("#help-supervisor", HTMLInputElement);
  const problem = find(".problem", HTMLElement, dialog);
  const submit = find("#help-submit", HTMLButtonElement);
  const link = find("#help-link", HTMLAnchorElement);
  /** @type {Case | undefined} */
  let current;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!current || submit.hidden) {
      return;
    }
    submit.disabled = true;
    problem.textContent = "";
    try {
      const supervisor = input.value.trim();
      const record = await api.callSupervisor(current.number, supervisor);
      sessionStorage.setItem(KEY, supervisor);
      const room = new URLSearchParams({ session: parseNumber(record) ?? "", type: "1" });
      if (me.by !== "account") {
        room.set("token", await me.token());
      }
      link.href = `${addressOf("/room")}#${room}`;
      show(true);
      link.focus();
    } catch (error) {
      problem.textContent = /** @type {Error} */ (error).message;
    } finally {
      submit.disabled = false;
    }
  });

  /** @param {boolean} isCalled */
  const show = (isCalled) => {
    find("#help-form").hidden = submit.hidden = isCalled;
    find("#help-called").hidden = link.hidden = !isCalled;
  };

  return (item) => {
    current = item;
    find("#help-title").textContent = text("help_title", { name: item.name });
    problem.textContent = "";
    input.value = sessionStorage.getItem(KEY) ?? "";
    show(false);
    dialog.showModal();
    input.select();
  };
}
