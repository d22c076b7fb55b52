// @ts-check
/**
 * An open conversation: who it is with, what was said, and where one writes.
 *
 * @module
 */

import { ChatComposer } from "../shared/composer.js";
import { icon, make } from "../shared/elements.js";
import { ChatMessages } from "../shared/messages.js";
import { language, text } from "../shared/strings.js";
import { Talking } from "../shared/talking.js";
import { elapsed, parseTime, Times } from "../shared/time.js";
import { announced, shown } from "./keys.js";
import { suggest } from "./suggest.js";

/** @typedef {import("../shared/conversation.js").Said} Said */
/** @typedef {import("../shared/talking.js").Voice} Voice */
/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("./keys.js").Deed} Deed */
/** @typedef {import("./replies.js").Replies} Replies */

/**
 * What can be done with it.
 *
 * @typedef {object} Acts
 * @property {Voice} voice
 * @property {Replies} replies
 * @property {() => void} back
 * @property {() => void} pin
 * @property {() => void} details
 * @property {() => void} hand
 * @property {() => void} end
 * @property {() => void} putAway
 * @property {() => Promise<void>} recall
 * @property {() => void} activate
 * @property {() => void} edited a refused message is a draft again
 */

const PAGE_MESSAGES = 60; // lines that are shown when it opens, and on each way back
export const LONG_WAIT_MS = 60_000; // milliseconds that one may wait, and that are too long
export const TOO_LONG_WAIT_MS = 180_000;

export class Panel {
  #messages = new ChatMessages();
  #composer = new ChatComposer();
  #name = make("h2", "panel-name");
  #words = make("p", "panel-words");
  #over = make("div", "panel-over");
  #times = new Times(language);
  /** @type {Talking | undefined} */
  #talking;
  /** The number of the first line that is shown; 0: all that are in memory are. */
  #from = 0;
  #filled = false;
  #recalling = false;
  /** @type {Partial<Record<string, HTMLButtonElement>>} */
  #buttons = {};

  /**
   * @param {Case} one
   * @param {Acts} acts
   */
  constructor(one, acts) {
    this.case = one;
    this.#acts = acts;
    this.#name.id = `name-${one.number}`;
    this.#name.tabIndex = -1;
    const top = make(
      "header",
      "panel-top",
      this.#button("back", "back", "back_to_list", acts.back),
      make("div", "panel-who", this.#name, this.#words),
      this.#button("pin", "pin", "pin", acts.pin, "pin"),
      this.#button("details", "person", "details", acts.details, "details"),
      this.#button("hand", "hand_over", "hand_over", acts.hand, "hand"),
      this.#button("end", "end", "end_talk", acts.end, "end"),
    );
    this.#over.hidden = true;
    this.element = make("section", "panel", top, this.#messages, this.#composer, this.#over);
    this.element.setAttribute("aria-labelledby", this.#name.id);
    this.element.dataset.number = String(one.number);
    for (const event of ["pointerdown", "focusin"]) {
      this.element.addEventListener(event, acts.activate);
    }
  }

  #acts;

  /** The element is in the page: show what there is. */
  begin() {
    const { case: one } = this;
    const voice = { ...this.#acts.voice, older: () => this.#older() };
    this.#messages.otherName = one.name;
    this.#messages.links = true;
    this.#talking = new Talking(this.#messages, this.#composer, one.outbox, one.draftKey, voice);
    this.#messages.addEventListener("edit", this.#acts.edited);
    suggest(this.#composer, this.#acts.replies, () => one.visitor.name ?? "");
    this.#talking.read(one.seen);
    this.#talking.typing(one.isTyping);
    if (one.loaded) {
      this.#showUpTo(one.lines.length);
    }
    const { message, stored, refused, typing, read } = this.#talking;
    one.view = {
      message,
      stored,
      refused,
      typing,
      read,
      past: (past, more) => this.#past(past, more),
      over: () => this.#showOver(),
      dropped: (id) => this.#messages.removeUnsent(id),
    };
    one.fresh = false;
    if (one.state === "over") {
      this.#showOver();
    }
  }

  /** The element leaves the page. */
  end() {
    this.case.view = null;
    this.element.remove();
  }

  /** Where one goes on writing. */
  focus() {
    if (this.case.state !== "over" && matchMedia("(hover: hover)").matches) {
      this.#composer.focus();
    } else {
      this.#name.focus(); // on a telephone the keyboard would come up before anything was read
    }
  }

  /** @param {{ active: boolean, pinned: boolean, detailed: boolean, connected: boolean }} now */
  show({ active, pinned, detailed, connected }) {
    const { case: one } = this;
    const over = one.state === "over";
    this.element.classList.toggle("active", active);
    this.#name.textContent = one.name;
    this.#messages.otherName = one.name;
    this.#buttons.pin?.setAttribute("aria-pressed", String(pinned));
    this.#buttons.details?.setAttribute("aria-pressed", String(detailed));
    for (const name of ["hand", "end"]) {
      const button = this.#buttons[name];
      if (button) {
        button.hidden = over;
        button.disabled = one.ending || one.state !== "open" || (name === "hand" && !connected);
      }
    }
  }

  /** Once a second. @param {number | null} now */
  tick(now) {
    const { case: one } = this;
    const since = one.waitsSince;
    const waits = since === undefined || now === null ? 0 : now - parseTime(since).getTime();
    const place = text("number", { number: one.number });
    const begun = text("since", { time: this.#times.clock(parseTime(one.visitor.since)) });
    const words = one.ending
      ? text("ending")
      : one.state === "over"
        ? `${text("over")} · ${place}`
        : waits > 0
          ? `${text("waits", { time: elapsed(waits) })} · ${place}`
          : `${place} · ${begun}`;
    if (this.#words.textContent !== words) {
      this.#words.textContent = words;
    }
    this.#words.dataset.waits = howLong(one.ending ? 0 : waits);
  }

  // --- what was said ---

  /** Lines came that were said before. @param {Said[]} past @param {boolean} more */
  #past(past, more) {
    if (!this.#filled) {
      this.#showUpTo(this.case.lines.length);
    } else {
      // What is in memory and above the first shown line is not shown yet; nor are others that belong there.
      const shown = past.filter((said) => said.seq >= this.#from);
      this.#messages.addPast(shown, this.#from > 0 || more);
    }
  }

  #older() {
    const { lines } = this.case;
    if (this.#from > 0) {
      this.#showUpTo(lines.findIndex((said) => said.seq === this.#from));
    } else {
      this.#acts.voice.older();
    }
  }

  /** Show some lines of the memory: those before the one with this index. @param {number} end */
  #showUpTo(end) {
    const { lines, more } = this.case;
    const begin = Math.max(0, end - PAGE_MESSAGES);
    this.#filled = true;
    this.#from = begin > 0 ? lines[begin].seq : 0;
    this.#messages.addPast(lines.slice(begin, end), begin > 0 || more);
  }

  #showOver() {
    const { case: one } = this;
    this.#talking?.giveUpUnsent();
    this.#composer.hidden = true;
    this.element.classList.add("over");
    const words = text(`over_${one.why ?? "lost"}`, { name: one.name });
    const putAway = make("button", "plain-button", text("put_away"));
    putAway.type = "button";
    putAway.title = shown("end");
    putAway.addEventListener("click", this.#acts.putAway);
    const told = make("p", "", one.unsent ? `${words} ${text("over_unsent")}` : words);
    this.#over.replaceChildren(told, putAway);
    this.#over.hidden = false;
    this.#messages.toEnd();
    if (!one.loaded && !this.#recalling) {
      this.#recalling = true;
      this.#acts.recall().catch((error) => {
        this.#messages.addPast([], false);
        told.textContent = `${words} ${error.message}`;
      });
    }
  }

  // --- buttons ---

  /**
   * @param {string} name
   * @param {string} picture
   * @param {string} key
   * @param {() => void} act
   * @param {Deed} [deed]
   */
  #button(name, picture, key, act, deed) {
    const button = make("button", `round ${name}`, icon(picture));
    button.type = "button";
    button.setAttribute("aria-label", text(key));
    button.title = deed ? `${text(key)} (${shown(deed)})` : text(key);
    if (deed) {
      button.setAttribute("aria-keyshortcuts", announced(deed));
    }
    button.addEventListener("click", act);
    this.#buttons[name] = button;
    return button;
  }
}

/** How a time of waiting is shown. @param {number} milliseconds @returns {"" | "short" | "long" | "too-long"} */
export function howLong(milliseconds) {
  return milliseconds <= 0
    ? ""
    : milliseconds < LONG_WAIT_MS
      ? "short"
      : milliseconds < TOO_LONG_WAIT_MS
        ? "long"
        : "too-long";
}
