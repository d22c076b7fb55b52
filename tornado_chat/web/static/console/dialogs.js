// @ts-check
/**
 * The console's questions: end it, hand over; and the list of shortcuts.
 *
 * @module
 */

import { find, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { shown } from "./keys.js";

/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("./keys.js").Deed} Deed */
/** @typedef {import("./records.js").Agent} Agent */
/** @typedef {import("./records.js").Records} Records */

/**
 * Ask before ending.
 *
 * @param {(one: Case) => void} end
 * @returns {(one: Case) => void}
 */
export function prepareEnd(end) {
  const dialog = find("#end-dialog", HTMLDialogElement);
  /** @type {Case | undefined} */
  let asked;
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "end" && asked?.state === "open") {
      end(asked);
    }
  });
  return (one) => {
    asked = one;
    find("#end-title").textContent = text("end_talk_title", { name: one.name });
    find("#end-unsent").hidden = !one.unsent;
    dialog.returnValue = "";
    dialog.showModal();
  };
}

/**
 * Ask who takes over.
 *
 * @param {Records} records
 * @param {string} me one's id
 * @param {(one: Case, agent: Agent) => Promise<void>} hand
 * @returns {(one: Case) => void}
 */
export function prepareHandOver(records, me, hand) {
  const dialog = closable("#hand-dialog");
  const form = find("form", HTMLFormElement, dialog);
  const choices = find("#hand-choices");
  const problem = find(".problem", HTMLElement, dialog);
  const submit = find("#hand-submit", HTMLButtonElement);
  /** @type {Agent[]} */
  let agents = [];
  /** @type {Case | undefined} */
  let asked;

  const look = async () => {
    problem.textContent = "";
    submit.disabled = true;
    try {
      const { waiters } = await records.status();
      agents = waiters.filter((each) => isFree(each) && String(each.id) !== me);
    } catch (error) {
      agents = [];
      problem.textContent = /** @type {Error} */ (error).message;
    }
    choices.replaceChildren(...agents.map((agent, index) => choice(agent, index)));
    find("#hand-nobody").hidden = agents.length > 0 || problem.textContent !== "";
    find("#hand-refresh").hidden = agents.length > 0;
    submit.hidden = agents.length === 0;
    submit.disabled = false;
    if (agents.length === 1) {
      find("input", HTMLInputElement, choices).checked = true;
    }
    (agents.length ? find("input", HTMLInputElement, choices) : find("#hand-refresh")).focus();
  };

  find("#hand-refresh").addEventListener("click", look);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = new FormData(form).get("agent");
    if (chosen === null) {
      problem.textContent = text("hand_choose");
      return;
    }
    submit.disabled = true;
    problem.textContent = "";
    try {
      await hand(/** @type {Case} */ (asked), agents[Number(chosen)]);
      dialog.close();
    } catch (error) {
      const { message } = /** @type {Error} */ (error);
      await look();
      problem.textContent = message ? text("failed", { reason: message }) : text("hand_unclear");
    } finally {
      submit.disabled = false;
    }
  });

  return (one) => {
    asked = one;
    agents = [];
    find("#hand-title").textContent = text("hand_title", { name: one.name });
    choices.replaceChildren();
    find("#hand-nobody").hidden = find("#hand-refresh").hidden = submit.hidden = true;
    dialog.showModal();
    void look();
  };
}

/** The list of shortcuts. @returns {() => void} */
export function prepareKeys() {
  const dialog = closable("#keys-dialog");
  /** @type {[string, string][]} */
  const keys = [
    ...["next", "previous", "urgent", "write", "pin", "details", "hand", "end", "ready"].map(
      (deed) => /** @type {[string, string]} */ ([shown(/** @type {Deed} */ (deed)), `key_${deed}`]),
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
export function closable(selector) {
  const dialog = find(selector, HTMLDialogElement);
  for (const button of dialog.querySelectorAll(".closes")) {
    button.addEventListener("click", () => dialog.close());
  }
  return dialog;
}

/** What an agent is called. @param {Agent} agent */
export function agentName(agent) {
  return agent.name || text("agent", { id: agent.id });
}

/** @param {Agent} agent */
function isFree(agent) {
  return agent.ready && agent.connected && agent.conversations < agent.capacity;
}

/** @param {Agent} agent @param {number} index */
function choice(agent, index) {
  const input = make("input");
  input.type = "radio";
  input.name = "agent";
  input.value = String(index);
  const room = text("hand_room", { count: agent.conversations, capacity: agent.capacity });
  return make("label", "", input, make("span", "", agentName(agent), make("small", "", room)));
}
