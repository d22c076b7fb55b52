// @ts-check
/**
 * The dialogs of the page: close a session, open one by its number, and the settings.
 *
 * @module
 */

import { find, icon } from "../shared/elements.js";
import { parseNumber } from "../shared/numbers.js";
import { text } from "../shared/strings.js";

/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */
/** @typedef {import("./pane.js").SessionPane} SessionPane */
/** @typedef {import("./signals.js").Signals} Signals */

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
    const session = parseNumber(input.value);
    if (session === undefined) {
      input.select();
      return;
    }
    open(session);
    input.value = "";
  });
}

/**
 * @param {SignedIn} me
 * @param {Signals} signals
 * @param {() => boolean} hasUnsent whether a message is still being sent
 */
export function prepareSettings(me, signals, hasUnsent) {
  const dialog = find("#settings-dialog", HTMLDialogElement);
  const button = find("#settings-button");
  const sound = find("#set-sound", HTMLInputElement);
  const notifications = find("#set-notifications", HTMLInputElement);
  const signOut = find("#sign-out");
  const show = () => {
    const { permission, settings } = signals;
    sound.checked = settings.sound;
    notifications.checked = settings.notifications && permission === "granted";
    notifications.disabled = permission === "none" || permission === "denied";
    const key = notifications.disabled ? permission : "text";
    find("#set-notifications-text").textContent = text(`set_notifications_${key}`);
  };
  button.append(icon("settings"));
  button.addEventListener("click", () => {
    show();
    dialog.showModal();
  });
  sound.addEventListener("change", () => signals.update({ sound: sound.checked }));
  notifications.addEventListener("change", async () => {
    if (notifications.checked) {
      await signals.requestPermission();
    } else {
      signals.update({ notifications: false });
    }
    show();
  });
  find(".close-button", HTMLElement, dialog).addEventListener("click", () => dialog.close());
  find("#my-id").textContent = text("my_id", { id: me.id });
  signOut.hidden = !me.signOut;
  signOut.addEventListener("click", () => {
    const problem = find("#sign-out-problem");
    if (hasUnsent() && problem.textContent === "") {
      problem.textContent = text("sign_out_unsent");
      return;
    }
    me.signOut?.().catch(() => (problem.textContent = text("failed_network")));
  });
}
