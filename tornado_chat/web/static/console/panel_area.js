// @ts-check
/**
 * The panels of the visible conversations, side by side, or a placeholder with a hint if there is none.
 *
 * @module
 */

import { find, icon } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { shortcutText } from "./shortcuts.js";
import { CasePanel } from "./case_panel.js";

/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("./columns.js").Columns} Columns */
/** @typedef {import("./case_store.js").CaseStore} CaseStore */
/** @typedef {import("./replies.js").QuickReplies} QuickReplies */

/**
 * @typedef {object} PanelAreaActions
 * @property {() => void} back
 * @property {() => void} onEdit
 * @property {(item: Case) => void} pin
 * @property {(item: Case) => void} details
 * @property {(item: Case) => void} handOver
 * @property {(item: Case) => void} askHelp
 * @property {(item: Case) => void} end
 */

export class PanelArea {
  /**
   * @param {CaseStore} store
   * @param {Columns} columns
   * @param {QuickReplies} replies
   * @param {PanelAreaActions} actions
   */
  constructor(store, columns, replies, actions) {
    this.#store = store;
    this.#columns = columns;
    this.#replies = replies;
    this.#actions = actions;
  }

  #store;
  #columns;
  #replies;
  #actions;
  #element = find("#panels");
  /** The visible panels, by conversation number. @type {Map<number, CasePanel>} */
  #panels = new Map();

  /** Whether a case has a visible panel. @param {Case} item */
  isShown(item) {
    return this.#panels.get(item.number)?.case === item;
  }

  /**
   * @param {Case | undefined} detailedCase the case whose details are shown
   * @param {number} waiting the length of the queue, as far as it is known
   */
  show(detailedCase, waiting) {
    const cases = this.#columns.visible.flatMap((number) => this.#store.find(number) ?? []);
    for (const [number, panel] of this.#panels) {
      if (!cases.includes(panel.case)) {
        panel.detach();
        this.#panels.delete(number);
      }
    }
    cases.forEach((item, index) => {
      if (!this.#panels.has(item.number)) {
        this.#open(item, index);
      }
      this.#panels.get(item.number)?.show({
        active: item.number === this.#columns.active,
        pinned: this.#columns.isPinned(item.number),
        detailed: item === detailedCase,
        connected: this.#store.connected,
      });
    });
    this.#element.dataset.panels = String(cases.length);
    this.#showPlaceholder(cases.length === 0, waiting);
  }

  /** Called once a second. @param {number | null} serverNowMs */
  tick(serverNowMs) {
    this.#panels.forEach((panel) => panel.tick(serverNowMs));
  }

  /** @param {number} number */
  focus(number) {
    this.#panels.get(number)?.focus();
  }

  /**
   * @param {Case} item
   * @param {number} index among the open cases, whose order never changes
   */
  #open(item, index) {
    const actions = this.#actions;
    const panel = new CasePanel(item, {
      conversation: this.#store.actionsFor(item),
      replies: this.#replies,
      back: actions.back,
      pin: () => actions.pin(item),
      details: () => actions.details(item),
      handOver: () => actions.handOver(item),
      askHelp: () => actions.askHelp(item),
      end: () => actions.end(item),
      remove: () => this.#store.remove(item),
      onEdit: actions.onEdit,
      loadTranscript: () => this.#store.loadTranscript(item),
      activate: () => this.#columns.active === item.number || this.#columns.open(item.number),
    });
    this.#panels.set(item.number, panel);
    this.#element.insertBefore(panel.element, this.#element.querySelectorAll(".panel")[index] ?? null);
    panel.attach();
  }

  /** @param {boolean} isEmpty @param {number} waiting */
  #showPlaceholder(isEmpty, waiting) {
    find("#placeholder").hidden = !isEmpty;
    if (!isEmpty) {
      return;
    }
    const { readyWanted, connected, cases } = this.#store;
    const key = cases.length
      ? "placeholder_choose"
      : readyWanted
        ? connected
          ? "placeholder_ready"
          : "placeholder_disconnected"
        : "placeholder_paused";
    const touch = cases.length && !matchMedia("(hover: hover)").matches;
    const content = text(touch ? "placeholder_choose_text_touch" : `${key}_text`, {
      keys: shortcutText("urgent"),
    });
    const title =
      key === "placeholder_paused" && waiting ? text("placeholder_waiting", { count: waiting }) : text(key);
    if (
      find("#placeholder-text").textContent !== content ||
      find("#placeholder-title").textContent !== title
    ) {
      find("#placeholder-icon").replaceChildren(icon(cases.length ? "talk" : readyWanted ? "leaf" : "pause"));
      find("#placeholder-title").textContent = title;
      find("#placeholder-text").textContent = content;
    }
    find("#placeholder-ready").hidden = readyWanted || cases.length > 0;
  }
}
