// @ts-check
/**
 * The dialog with the settings of signals, the person's id, and signing out.
 *
 * @module
 */

import { find, icon } from "./elements.js";
import { text } from "./strings.js";

/** @typedef {import("./signin.js").SignedIn} SignedIn */

/**
 * The texts of the dialog, which are those of its page.
 *
 * @typedef {object} SettingsTexts
 * @property {(key: "text" | NotificationPermission | "none") => string} notifications below the switch: `text`,
 *   or why there are no desktop notifications
 * @property {(id: string) => string} id
 * @property {() => string} [unsent] why not to sign out yet, which is shown once; empty: there is no reason
 */

/**
 * @param {SignedIn} me
 * @param {import("./repeating_signals.js").RepeatingSignals<any>} signals
 * @param {SettingsTexts} texts
 */
export function prepareSettings(me, signals, texts) {
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
    find("#set-notifications-text").textContent = texts.notifications(key);
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
  find("#my-id").textContent = texts.id(me.id);
  signOut.hidden = !me.signOut;
  signOut.addEventListener("click", () => {
    const problem = find("#sign-out-problem");
    const reason = texts.unsent?.();
    if (reason && problem.textContent === "") {
      problem.textContent = reason;
      return;
    }
    me.signOut?.().catch(() => (problem.textContent = text("failed_network")));
  });
}
