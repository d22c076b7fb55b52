// @ts-check
/**
 * Clients whom other agents offer to this one, and the notes about those whom it has accepted.
 *
 * @module
 */

import { formatRemaining } from "../shared/countdown.js";
import { find, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { parseTime } from "../shared/time.js";

/** @typedef {import("../shared/support_waiter.js").Offer} Offer */
/** @typedef {import("./case_store.js").CaseStore} CaseStore */

/** @typedef {{ offer: Offer, untilMs: number }} Shown */

export class OfferList {
  /** @param {(offer: Offer, accepts: boolean) => void} answer */
  constructor(answer) {
    this.#answer = answer;
  }

  #answer;
  #section = find("#offers");
  #list = find("#offer-rows");
  /** By the id of the offer. @type {Map<string, Shown>} */
  #offers = new Map();
  /** The offers whose notes are not shown any more. @type {Set<string>} */
  #dismissed = new Set();
  #rendered = "";

  /** Take over the state of an offer. Returns whether it is new, and this agent may accept it. @param {Offer} offer */
  add(offer) {
    const isNew = isOpen(offer) && !this.#offers.has(offer.id);
    if (isOpen(offer) || (offer.yours && offer.note)) {
      const leftMs = offer.until ? parseTime(offer.until).getTime() - parseTime(offer.time).getTime() : 0;
      this.#offers.set(offer.id, { offer, untilMs: Date.now() + leftMs });
    } else {
      this.#offers.delete(offer.id);
    }
    return isNew;
  }

  /** Show the offers, and the notes about clients of this agent. @param {CaseStore} store */
  show(store) {
    const shown = [...this.#offers.values()].filter(
      ({ offer }) =>
        isOpen(offer) ||
        (!this.#dismissed.has(offer.id) && store.find(Number(offer.number))?.state === "open"),
    );
    const rendered = shown.map(({ offer }) => `${offer.id} ${offer.state}`).join();
    if (rendered !== this.#rendered) {
      this.#rendered = rendered;
      this.#list.replaceChildren(...shown.map((one) => this.#row(one)));
      this.#section.hidden = !shown.length;
    }
    this.tick();
  }

  /** Update the remaining times. */
  tick() {
    for (const clock of this.#list.querySelectorAll("time")) {
      const { untilMs = 0 } = this.#offers.get(clock.dataset.offer ?? "") ?? {};
      clock.textContent = formatRemaining(untilMs - Date.now());
    }
  }

  /** @param {Shown} shown */
  #row({ offer }) {
    const client = offer.client.name || text("visitor", { id: offer.client.id });
    const from = offer.from.name || text("agent", { id: offer.from.id });
    const note = offer.note ? [make("p", "offer-note", offer.note)] : [];
    if (!isOpen(offer)) {
      return make(
        "li",
        "offer",
        make("p", "offer-who", text("offer_note_about", { name: client })),
        ...note,
        make(
          "div",
          "buttons",
          this.#button("offer_note_read", () => this.#dismiss(offer)),
        ),
      );
    }
    const clock = make("time");
    clock.dataset.offer = offer.id;
    return make(
      "li",
      "offer",
      make("p", "offer-who", text("offer_from", { name: client, agent: from }), " ", clock),
      ...note,
      make(
        "div",
        "buttons",
        this.#button("offer_decline", () => this.#answer(offer, false)),
        this.#button("offer_accept", () => this.#answer(offer, true), "primary-button"),
      ),
    );
  }

  /** @param {Offer} offer */
  #dismiss(offer) {
    this.#dismissed.add(offer.id);
    this.#offers.delete(offer.id);
    this.#list.querySelector(":scope > .offer")?.remove();
    this.#rendered = "";
    this.#section.hidden = !this.#list.children.length;
  }

  /**
   * @param {string} key
   * @param {() => void} act
   * @param {string} className
   */
  #button(key, act, className = "secondary-button") {
    const button = make("button", className, text(key));
    button.type = "button";
    button.addEventListener("click", act);
    return button;
  }
}

/** Whether this agent may accept. @param {Offer} offer */
function isOpen(offer) {
  return offer.yours && offer.state === "offered";
}
