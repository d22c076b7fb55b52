// @ts-check
/**
 * The dialog with settings and quick replies.
 *
 * @module
 */

import { find, icon, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { closableDialog } from "./dialogs.js";

/** @typedef {import("./replies.js").QuickReplies} QuickReplies */
/** @typedef {import("./replies.js").Reply} Reply */
/** @typedef {import("./settings.js").Setting} Setting */
/** @typedef {import("./settings.js").Settings} Settings */
/** @typedef {import("./signals.js").Signals} Signals */

/**
 * @param {Settings} settings
 * @param {Signals} signals
 * @param {QuickReplies} replies
 * @returns {() => void}
 */
export function preparePreferences(settings, signals, replies) {
  const dialog = closableDialog("#settings-dialog");
  const notifications = find("#set-notifications", HTMLInputElement);
  const showText = find("#set-show-text", HTMLInputElement);

  const showSwitches = () => {
    const { permission } = signals;
    const possible = permission !== "none" && permission !== "denied";
    find("#set-sound", HTMLInputElement).checked = settings.get("sound");
    find("#set-shortcuts", HTMLInputElement).checked = settings.get("shortcuts");
    notifications.checked = settings.get("notifications") && permission === "granted";
    notifications.disabled = !possible;
    showText.checked = settings.get("showText");
    showText.disabled = !notifications.checked;
    const key = possible ? "text" : permission;
    find("#set-notifications-text").textContent = text(`set_notifications_${key}`);
  };

  bind("#set-sound", (on) => {
    settings.set("sound", on);
    if (on) {
      signals.playSample();
    }
  });
  bind("#set-shortcuts", (on) => settings.set("shortcuts", on));
  bind("#set-show-text", (on) => settings.set("showText", on));
  bind("#set-notifications", async (on) => {
    settings.set("notifications", on && (await signals.requestPermission()) === "granted");
    showSwitches();
  });
  const showReplies = prepareReplies(replies);

  return () => {
    showSwitches();
    showReplies();
    dialog.showModal();
  };
}

/** @param {QuickReplies} replies @returns {() => void} */
function prepareReplies(replies) {
  find("#replies-text").textContent = text("replies_text", { name: "{name}" });
  const list = find("#replies");
  const form = find("#reply-form", HTMLFormElement);
  const name = find("#reply-name", HTMLInputElement);
  const words = find("#reply-words", HTMLTextAreaElement);
  const problem = find(".problem", HTMLElement, form);
  const add = find("#reply-add");
  /** The name of the reply that is being edited. @type {string | undefined} */
  let editedName;

  /** @param {Reply} [reply] */
  const edit = (reply) => {
    editedName = reply?.name;
    name.value = reply?.name ?? "";
    words.value = reply?.words ?? "";
    problem.textContent = "";
    form.hidden = false;
    add.hidden = true;
    form.scrollIntoView({ block: "nearest" });
    name.focus({ preventScroll: true });
  };
  const show = () => {
    form.hidden = true;
    add.hidden = false;
    list.replaceChildren(
      ...replies.all.map((reply) => {
        const change = make(
          "button",
          "reply",
          make("b", "", `/${reply.name}`),
          make("span", "", reply.words),
        );
        change.type = "button";
        change.addEventListener("click", () => edit(reply));
        const remove = make("button", "icon-button", icon("trash"));
        remove.type = "button";
        remove.setAttribute("aria-label", text("reply_remove", { name: reply.name }));
        remove.addEventListener("click", () => {
          replies.remove(reply.name);
          show();
          add.focus();
        });
        return make("li", "", change, remove);
      }),
    );
  };

  add.addEventListener("click", () => edit());
  find("#reply-cancel").addEventListener("click", () => {
    show();
    add.focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = { name: name.value.trim().replace(/^[/／、]/, ""), words: words.value.trim() };
    if (!wanted.name || /[\s/／、]/.test(wanted.name)) {
      problem.textContent = text("reply_name_bad");
    } else if (wanted.name !== editedName && replies.all.some((each) => each.name === wanted.name)) {
      problem.textContent = text("reply_taken");
    } else {
      replies.save(wanted, editedName);
      show();
      add.focus();
    }
  });
  return show;
}

/** @param {string} selector @param {(on: boolean) => void} set */
function bind(selector, set) {
  const input = find(selector, HTMLInputElement);
  input.addEventListener("change", () => set(input.checked));
}
