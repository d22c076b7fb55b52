// @ts-check
/**
 * The dialogs of the page: close a session, and open one by its number.
 *
 * @module
 */

import { find } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { parseKey } from "./conversation_key.js";

/** @typedef {import("./pane.js").SessionPane} SessionPane */

/**
 * Ask whether to close a pane. Closing leaves its record, which ends by itself if the supervisor does not
 * return.
 *
 * @param {SessionPane} pane
 * @returns {Promise<boolean>} whether to close it
 */
export function askToClose(pane) {
  const { record, names } = pane;
  if (!record || (!record.isActive && !record.hasUnsent)) {
    return Promise.resolve(true);
  }
  const dialog = find("#close-dialog", HTMLDialogElement);
  find("#close-title").textContent = text("close_title", { ...names });
  find("#close-text").textContent = text("close_text", { name: names.consultant });
  find("#close-unsent").hidden = !record.hasUnsent;
  find("#close-end").hidden = !record.isActive;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        if (dialog.returnValue === "end") {
          record.end();
        }
        resolve(dialog.returnValue === "end" || dialog.returnValue === "close");
      },
      { once: true },
    );
  });
}

/** @param {(session: string) => void} open */
export function prepareOpenByNumber(open) {
  const form = find("#by-number", HTMLFormElement);
  const input = find("#number", HTMLInputElement);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const session = parseKey(input.value);
    if (session === undefined) {
      input.select();
      return;
    }
    open(session);
    input.value = "";
  });
}
