// @ts-check
/**
 * The middle: the conversations that are open, side by side, or a word on what to do where there is none.
 *
 * @module
 */

import { find, icon } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { shown } from "./keys.js";
import { Panel } from "./panel.js";

/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("./columns.js").Columns} Columns */
/** @typedef {import("./desk.js").Desk} Desk */
/** @typedef {import("./replies.js").Replies} Replies */

/**
 * @typedef {object} StageActs
 * @property {() => void} back
 * @property {() => void} edited
 * @property {(one: Case) => void} pin
 * @property {(one: Case) => void} details
 * @property {(one: Case) => void} hand
 * @property {(one: Case) => void} end
 */

export class Stage {
  /**
   * @param {Desk} desk
   * @param {Columns} columns
   * @param {Replies} replies
   * @param {StageActs} acts
   */
  constructor(desk, columns, replies, acts) {
    this.#desk = desk;
    this.#columns = columns;
    this.#replies = replies;
    this.#acts = acts;
  }

  #desk;
  #columns;
  #replies;
  #acts;
  #element = find("#stage");
  /** Those on the screen, by number. @type {Map<number, Panel>} */
  #panels = new Map();

  /** Whether somebody can see it, if the window is in front. @param {Case} one */
  has(one) {
    return this.#panels.get(one.number)?.case === one;
  }

  /**
   * @param {Case | undefined} detailed whose details are shown
   * @param {number} waiting how many are in the line, as far as is known
   */
  show(detailed, waiting) {
    const cases = this.#columns.visible.flatMap((number) => this.#desk.find(number) ?? []);
    for (const [number, panel] of this.#panels) {
      if (!cases.includes(panel.case)) {
        panel.end();
        this.#panels.delete(number);
      }
    }
    cases.forEach((one, index) => {
      if (!this.#panels.has(one.number)) {
        this.#open(one, index);
      }
      this.#panels.get(one.number)?.show({
        active: one.number === this.#columns.active,
        pinned: this.#columns.pinned(one.number),
        detailed: one === detailed,
        connected: this.#desk.connected,
      });
    });
    this.#element.dataset.panels = String(cases.length);
    this.#showCalm(cases.length === 0, waiting);
  }

  /** Once a second. @param {number | null} now */
  tick(now) {
    this.#panels.forEach((panel) => panel.tick(now));
  }

  /** @param {number} number */
  focus(number) {
    this.#panels.get(number)?.focus();
  }

  /** @param {Case} one @param {number} index among the open ones, which never change places */
  #open(one, index) {
    const acts = this.#acts;
    const panel = new Panel(one, {
      voice: this.#desk.voice(one),
      replies: this.#replies,
      back: acts.back,
      pin: () => acts.pin(one),
      details: () => acts.details(one),
      hand: () => acts.hand(one),
      end: () => acts.end(one),
      putAway: () => this.#desk.putAway(one),
      edited: acts.edited,
      recall: () => this.#desk.recall(one),
      activate: () => this.#columns.active === one.number || this.#columns.open(one.number),
    });
    this.#panels.set(one.number, panel);
    this.#element.insertBefore(panel.element, this.#element.querySelectorAll(".panel")[index] ?? null);
    panel.begin();
  }

  /** @param {boolean} calm @param {number} waiting */
  #showCalm(calm, waiting) {
    find("#calm").hidden = !calm;
    if (!calm) {
      return;
    }
    const { wanted, cases } = this.#desk;
    const key = cases.length ? "calm_choose" : wanted ? "calm_ready" : "calm_paused";
    const touch = cases.length && !matchMedia("(hover: hover)").matches;
    const words = text(touch ? "calm_choose_text_touch" : `${key}_text`, { keys: shown("urgent") });
    const title = key === "calm_paused" && waiting ? text("calm_waiting", { count: waiting }) : text(key);
    if (find("#calm-text").textContent !== words || find("#calm-title").textContent !== title) {
      find("#calm-icon").replaceChildren(icon(cases.length ? "talk" : wanted ? "leaf" : "pause"));
      find("#calm-title").textContent = title;
      find("#calm-text").textContent = words;
    }
    find("#calm-ready").hidden = wanted || cases.length > 0;
  }
}
