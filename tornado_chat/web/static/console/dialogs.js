// @ts-check
/**
 * The dialogs of the console: end a conversation, hand it over, list the shortcuts.
 *
 * @module
 */

import { find, make } from "../shared/elements.js";
import { groupList } from "../shared/groups.js";
import { text } from "../shared/strings.js";
import { shortcutText } from "./shortcuts.js";

/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("../shared/groups.js").GroupTitles} GroupTitles */
/** @typedef {import("./shortcuts.js").Shortcut} Shortcut */
/** @typedef {import("./support_api.js").Agent} Agent */
/** @typedef {import("./support_api.js").SupportApi} SupportApi */

/**
 * Prepare the dialog that confirms the end.
 *
 * @param {(item: Case) => void} end
 * @returns {(item: Case) => void}
 */
export function prepareEnd(end) {
  const dialog = find("#end-dialog", HTMLDialogElement);
  /** @type {Case | undefined} */
  let current;
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "end" && current?.state === "open") {
      end(current);
    }
  });
  return (item) => {
    current = item;
    find("#end-title").textContent = text("end_talk_title", { name: item.name });
    find("#end-unsent").hidden = !item.unsent;
    dialog.returnValue = "";
    dialog.showModal();
  };
}

/**
 * Prepare the dialog that asks for the agent who takes over.
 *
 * @param {SupportApi} api
 * @param {GroupTitles} groups
 * @param {(item: Case, target: Agent | { group: string }, note: string) => Promise<void>} handOver
 * @returns {(item: Case) => void}
 */
export function prepareHandOver(api, groups, handOver) {
  const dialog = closableDialog("#hand-dialog");
  const form = find("form", HTMLFormElement, dialog);
  const choices = find("#hand-choices");
  const problem = find(".problem", HTMLElement, dialog);
  const submit = find("#hand-submit", HTMLButtonElement);
  const note = find("#hand-note", HTMLTextAreaElement);
  /** The groups to whose lines a client may return. @type {string[]} */
  let lines = [];
  /** @type {Agent[]} */
  let agents = [];
  /** @type {Case | undefined} */
  let current;

  const refresh = async () => {
    problem.textContent = "";
    submit.disabled = true;
    try {
      const { waiters } = await api.getStatus();
      agents = waiters.filter((each) => canTakeOver(each) && !api.isMe(each));
      lines = [...new Set(waiters.flatMap((each) => each.groups ?? []))].filter((name) => groups.of(name));
    } catch (error) {
      agents = lines = [];
      problem.textContent = /** @type {Error} */ (error).message;
    }
    choices.replaceChildren(
      ...agents.map((agent, index) => makeChoice(agent, index, groups)),
      ...lines.map((name) => makeGroupChoice(name, groups)),
    );
    const count = agents.length + lines.length;
    find("#hand-empty").hidden = count > 0 || problem.textContent !== "";
    find("#hand-refresh").hidden = agents.length > 0;
    submit.hidden = count === 0;
    submit.disabled = false;
    if (agents.length === 1 && count === 1) {
      find("input", HTMLInputElement, choices).checked = true;
    }
    (count ? find("input", HTMLInputElement, choices) : find("#hand-refresh")).focus();
  };

  find("#hand-refresh").addEventListener("click", refresh);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const selected = new FormData(form).get("agent");
    if (selected === null) {
      problem.textContent = text("hand_choose");
      return;
    }
    submit.disabled = true;
    problem.textContent = "";
    try {
      const value = String(selected);
      const target = value.startsWith("group:")
        ? { group: value.slice("group:".length) }
        : agents[Number(value)];
      await handOver(/** @type {Case} */ (current), target, note.value.trim());
      dialog.close();
    } catch (error) {
      const { message } = /** @type {Error} */ (error);
      await refresh();
      problem.textContent = message ? text("failed", { reason: message }) : text("hand_unclear");
    } finally {
      submit.disabled = false;
    }
  });

  return (item) => {
    current = item;
    agents = [];
    note.value = "";
    find("#hand-title").textContent = text("hand_title", { name: item.name });
    choices.replaceChildren();
    find("#hand-empty").hidden = find("#hand-refresh").hidden = submit.hidden = true;
    dialog.showModal();
    void refresh();
  };
}

/** Prepare the list of shortcuts. @returns {() => void} */
export function prepareShortcuts() {
  const dialog = closableDialog("#keys-dialog");
  /** @type {[string, string][]} */
  const keys = [
    ...["next", "previous", "urgent", "write", "pin", "details", "hand", "end", "ready"].map(
      (shortcut) =>
        /** @type {[string, string]} */ ([
          shortcutText(/** @type {Shortcut} */ (shortcut)),
          `key_${shortcut}`,
        ]),
    ),
    ["/", "key_reply"],
    ["?", "key_help"],
  ];
  find("#keys-list").append(
    ...keys.map(([key, words]) =>
      make("div", "", make("dt", "", make("kbd", "", key)), make("dd", "", text(words))),
    ),
  );
  return () => dialog.showModal();
}

/** @param {string} selector */
export function closableDialog(selector) {
  const dialog = find(selector, HTMLDialogElement);
  for (const button of dialog.querySelectorAll(".close-button")) {
    button.addEventListener("click", () => dialog.close());
  }
  return dialog;
}

/** The display name of an agent. @param {Agent} agent */
export function agentName(agent) {
  return agent.name || text("agent", { id: agent.id });
}

/** @param {Agent} agent */
function canTakeOver(agent) {
  return agent.ready && agent.connected && agent.conversations < agent.capacity;
}

/**
 * @param {string} name of a group
 * @param {GroupTitles} groups
 */
function makeGroupChoice(name, groups) {
  const input = make("input");
  input.type = "radio";
  input.name = "agent";
  input.value = `group:${name}`;
  const words = text("hand_to_group", { group: groups.of(name) });
  return make("label", "", input, make("span", "", words, make("small", "", text("hand_to_group_text"))));
}

/**
 * @param {Agent} agent
 * @param {number} index
 * @param {GroupTitles} groups
 */
function makeChoice(agent, index, groups) {
  const input = make("input");
  input.type = "radio";
  input.name = "agent";
  input.value = String(index);
  const room = text("hand_room", { count: agent.conversations, capacity: agent.capacity });
  const served = groupList(agent.groups, groups);
  return make(
    "label",
    "",
    input,
    make("span", "", agentName(agent), make("small", "", served ? `${room} · ${served}` : room)),
  );
}
