// @ts-check
/**
 * The header of a pane: the participants, the state, and the menu.
 *
 * @module
 */

import { icon, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { keyText } from "./conversation_key.js";

/** @typedef {import("./session_names.js").Names} Names */

/**
 * @typedef {object} HeaderActions
 * @property {() => void} close
 * @property {() => void} minimize
 * @property {() => void} pin
 * @property {(by: -1 | 1) => void} move
 * @property {() => void} end end the record for both participants
 */

/** @typedef {"visitor" | "consultant"} Side */

export class PaneHeader {
  /**
   * @param {string} session
   * @param {HeaderActions} actions
   */
  constructor(session, actions) {
    this.titleId = `title-${session}`;
    this.#title.id = this.titleId;
    this.#title.tabIndex = -1;
    this.#title.append(
      this.#makeParty("visitor"),
      make("span", "separator", "·"),
      this.#makeParty("consultant"),
    );
    this.#number.textContent = keyText(session);
    const words = make(
      "div",
      "pane-heading",
      this.#title,
      make("p", "pane-meta", this.#state, this.#details),
    );
    this.#details.append(this.#number);
    const menu = this.#makeMenu(session, actions);
    this.element.append(
      words,
      this.#pinIcon,
      menu.button,
      makeRoundButton("close", "close_pane", actions.close),
      menu.list,
    );
    this.#pinIcon.append(icon("pin"), make("span", "visually-hidden", text("pinned")));
    this.#pinIcon.hidden = true;
    this.showState("cut", text("connecting"));
    this.showPresence(null);
  }

  element = make("header", "pane-header");
  #title = make("h2", "pane-title");
  /** @type {Record<Side, { name: HTMLElement, dot: HTMLElement, words: HTMLElement }>} */
  #parties = /** @type {any} */ ({});
  #state = make("span", "state");
  #details = make("span", "pane-details");
  #number = make("span");
  #pinIcon = make("span", "pinned");
  #isOver = false;
  /** @type {Record<string, HTMLButtonElement>} */
  #menuItems = {};

  /** @param {Names} names */
  set names(names) {
    this.#parties.visitor.name.textContent = names.visitor;
    this.#parties.consultant.name.textContent = names.consultant;
    this.#title.title = `${names.visitor} · ${names.consultant}`;
  }

  set since(/** @type {string} */ words) {
    this.#details.replaceChildren(this.#number, make("span", "since", ` · ${words}`));
  }

  /**
   * @param {"live" | "cut" | "ended" | "refused"} state
   * @param {string} words
   */
  showState(state, words) {
    this.#isOver = state === "ended" || state === "refused";
    this.#state.dataset.state = state;
    this.#state.replaceChildren(...(state === "live" ? [icon("eye")] : []), words);
    this.#state.title = state === "live" ? text("state_live_text") : "";
  }

  /** @param {Record<Side, boolean> | { user: boolean, consultant: boolean } | null} present null: unknown */
  showPresence(present) {
    const known = /** @type {any} */ (present);
    const presentBySide = { visitor: known?.user, consultant: known?.consultant };
    for (const side of /** @type {Side[]} */ (["visitor", "consultant"])) {
      const { dot, words } = this.#parties[side];
      dot.hidden = words.hidden = this.#isOver;
      dot.dataset.present = String(presentBySide[side]);
      const key =
        presentBySide[side] === undefined ? "presence_unknown" : presentBySide[side] ? "present" : "absent";
      words.textContent = ` (${text(key)})`;
      dot.title = text(key);
    }
  }

  /**
   * Show and hide the items of the menu.
   *
   * @param {{ pinned: boolean, left: boolean, right: boolean, end: boolean }} can
   */
  updateMenu({ pinned, left, right, end }) {
    this.#pinIcon.hidden = !pinned;
    this.#menuItems.pin.textContent = text(pinned ? "unpin" : "pin");
    this.#menuItems.left.hidden = !left;
    this.#menuItems.right.hidden = !right;
    this.#menuItems.end.hidden = !end;
  }

  focus() {
    this.#title.focus({ preventScroll: true });
  }

  /** @param {Side} side */
  #makeParty(side) {
    const name = make("span", "participant-name");
    const dot = make("span", "dot");
    const words = make("span", "visually-hidden");
    this.#parties[side] = { name, dot, words };
    return make("span", `participant ${side}`, dot, name, words);
  }

  /**
   * @param {string} session
   * @param {HeaderActions} actions
   */
  #makeMenu(session, actions) {
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
      this.#menuItems[name] = button;
      return button;
    };
    list.append(
      item("minimize", "minimize", actions.minimize),
      item("pin", "pin", actions.pin),
      item("left", "move_left", () => actions.move(-1)),
      item("right", "move_right", () => actions.move(1)),
      item("end", "end_record", actions.end),
    );
    this.#menuItems.end.classList.add("danger");
    const button = makeRoundButton("more", "menu", () => {});
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
 * @param {string} iconName
 * @param {string} key
 * @param {() => void} act
 */
function makeRoundButton(iconName, key, act) {
  const button = make("button", `icon-button ${iconName}`);
  button.type = "button";
  button.append(icon(iconName));
  button.title = text(key);
  button.setAttribute("aria-label", text(key));
  button.addEventListener("click", act);
  return button;
}
