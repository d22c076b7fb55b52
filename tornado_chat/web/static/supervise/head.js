// @ts-check
/**
 * The head of a pane: who talks there, how it stands, and what can be done with the pane.
 *
 * @module
 */

import { icon, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";

/** @typedef {import("./sessions.js").Names} Names */

/**
 * @typedef {object} Acts
 * @property {() => void} close
 * @property {() => void} aside
 * @property {() => void} pin
 * @property {(by: -1 | 1) => void} move
 * @property {() => void} end the record, for both
 */

/** @typedef {"visitor" | "consultant"} Side */

export class PaneHead {
  /**
   * @param {number} session
   * @param {Acts} acts
   */
  constructor(session, acts) {
    this.titleId = `title-${session}`;
    this.#title.id = this.titleId;
    this.#title.tabIndex = -1;
    this.#title.append(this.#party("visitor"), make("span", "and", "·"), this.#party("consultant"));
    this.#number.textContent = text("session_number", { number: session });
    const words = make("div", "head-words", this.#title, make("p", "head-meta", this.#state, this.#about));
    this.#about.append(this.#number);
    const menu = this.#menu(session, acts);
    this.element.append(
      words,
      this.#pinned,
      menu.button,
      round("close", "close_pane", acts.close),
      menu.list,
    );
    this.#pinned.append(icon("pin"), make("span", "hidden", text("pinned")));
    this.#pinned.hidden = true;
    this.state("cut", text("connecting"));
    this.presence(null);
  }

  element = make("header", "pane-head");
  #title = make("h2", "head-title");
  /** @type {Record<Side, { name: HTMLElement, dot: HTMLElement, words: HTMLElement }>} */
  #parties = /** @type {any} */ ({});
  #state = make("span", "state");
  #about = make("span", "head-about");
  #number = make("span");
  #pinned = make("span", "pinned");
  #over = false;
  /** @type {Record<string, HTMLButtonElement>} */
  #items = {};

  /** @param {Names} names */
  set names(names) {
    this.#parties.visitor.name.textContent = names.visitor;
    this.#parties.consultant.name.textContent = names.consultant;
    this.#title.title = `${names.visitor} · ${names.consultant}`;
  }

  set since(/** @type {string} */ words) {
    this.#about.replaceChildren(this.#number, make("span", "since", ` · ${words}`));
  }

  /**
   * @param {"live" | "cut" | "over" | "refused"} state
   * @param {string} words
   */
  state(state, words) {
    this.#over = state === "over" || state === "refused";
    this.#state.dataset.state = state;
    this.#state.replaceChildren(...(state === "live" ? [icon("eye")] : []), words);
    this.#state.title = state === "live" ? text("state_live_text") : "";
  }

  /** @param {Record<Side, boolean> | { user: boolean, consultant: boolean } | null} present null: not known */
  presence(present) {
    const known = /** @type {any} */ (present);
    const there = { visitor: known?.user, consultant: known?.consultant };
    for (const side of /** @type {Side[]} */ (["visitor", "consultant"])) {
      const { dot, words } = this.#parties[side];
      dot.hidden = words.hidden = this.#over;
      dot.dataset.present = String(there[side]);
      const key = there[side] === undefined ? "presence_unknown" : there[side] ? "present" : "absent";
      words.textContent = ` (${text(key)})`;
      dot.title = text(key);
    }
  }

  /**
   * What the menu offers.
   *
   * @param {{ pinned: boolean, left: boolean, right: boolean, end: boolean }} can
   */
  offer({ pinned, left, right, end }) {
    this.#pinned.hidden = !pinned;
    this.#items.pin.textContent = text(pinned ? "unpin" : "pin");
    this.#items.left.hidden = !left;
    this.#items.right.hidden = !right;
    this.#items.end.hidden = !end;
  }

  focus() {
    this.#title.focus({ preventScroll: true });
  }

  /** @param {Side} side */
  #party(side) {
    const name = make("span", "party-name");
    const dot = make("span", "dot");
    const words = make("span", "hidden");
    this.#parties[side] = { name, dot, words };
    return make("span", `party ${side}`, dot, name, words);
  }

  /**
   * @param {number} session
   * @param {Acts} acts
   */
  #menu(session, acts) {
    const list = make("div", "menu");
    list.id = `menu-${session}`;
    list.popover = "auto";
    const item = (/** @type {string} */ name, /** @type {string} */ key, /** @type {() => void} */ act) => {
      const button = make("button", "", text(key));
      button.type = "button";
      button.addEventListener("click", () => {
        list.hidePopover();
        act();
      });
      this.#items[name] = button;
      return button;
    };
    list.append(
      item("aside", "put_aside", acts.aside),
      item("pin", "pin", acts.pin),
      item("left", "move_left", () => acts.move(-1)),
      item("right", "move_right", () => acts.move(1)),
      item("end", "end_record", acts.end),
    );
    this.#items.end.classList.add("grave");
    const button = round("more", "menu", () => {});
    button.setAttribute("aria-haspopup", "true");
    button.setAttribute("popovertarget", list.id);
    list.addEventListener("beforetoggle", () => {
      const { bottom, right } = button.getBoundingClientRect();
      list.style.top = `${bottom + 4}px`;
      list.style.right = `${Math.max(12, document.documentElement.clientWidth - right)}px`;
    });
    return { button, list };
  }
}

/**
 * @param {string} picture
 * @param {string} key
 * @param {() => void} act
 */
function round(picture, key, act) {
  const button = make("button", `round ${picture}`);
  button.type = "button";
  button.append(icon(picture));
  button.title = text(key);
  button.setAttribute("aria-label", text(key));
  button.addEventListener("click", act);
  return button;
}
