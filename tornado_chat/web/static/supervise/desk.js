// @ts-check
/**
 * The desk: up to four sessions side by side, and some more put aside. All of them are listened to.
 *
 * @module
 */

import { find, icon } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { SessionPane } from "./pane.js";

/** @typedef {import("./inbox.js").Notice} Notice */
/** @typedef {import("./pane.js").Context} Context */
/** @typedef {import("./pane.js").Place} Place */

const KEY = "supervise:desk";
const MAX_SIDE_BY_SIDE_PANES = 4;
const MAX_PANES = 8; // each has two sockets, and a person may have only so many

/**
 * @typedef {object} DeskListener
 * @property {() => void} changed what the overview shows
 * @property {(pane: SessionPane) => void} close somebody wants a pane to be gone
 * @property {(alert: number) => void} acknowledge
 */

export class Desk {
  /**
   * @param {Context} context
   * @param {DeskListener} listener
   */
  constructor(context, listener) {
    this.#context = context;
    this.#listener = listener;
    document.addEventListener("visibilitychange", () => this.#look());
  }

  #context;
  #listener;
  #stage = find("#stage");
  #calm = find("#calm");
  /** In their order. @type {SessionPane[]} */
  panes = [];
  /** Which were used last, the latest at the end. @type {SessionPane[]} */
  #used = [];
  /** The one that a telephone shows. @type {SessionPane | undefined} */
  current;
  /** @type {Notice[]} */
  #alerts = [];
  #inView = new Set();
  #observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        this.#inView[isIntersecting ? "add" : "delete"](target);
      }
      this.#look();
    },
    { threshold: 0.4 },
  );

  /** Whether there is room for one more. */
  get full() {
    return this.panes.length >= MAX_PANES;
  }

  /** What this tab had on the desk before a reload. */
  restore() {
    /** @type {{ places: Place[], current: number }} */
    const { places, current } = JSON.parse(sessionStorage.getItem(KEY) ?? '{ "places": [] }');
    for (const place of places) {
      const pane = this.#add(place);
      if (place.session === current) {
        this.current = pane;
      }
    }
    this.#arrange();
  }

  /**
   * Put a session on the desk, or bring it to the front.
   *
   * @param {number} session
   * @param {number} record 0: none is known
   */
  open(session, record) {
    let pane = this.panes.find((each) => each.session === session);
    if (!pane) {
      pane = this.#add({ session, record, pinned: false, aside: false, folded: false, seen: null });
    }
    pane.learnRecord(record);
    this.show(pane);
  }

  /** What to do while nothing is open. @param {number} unread in the inbox */
  tellCalm(unread) {
    const title = unread ? text("calm_unread", { count: unread }) : text("calm_title");
    if (find("#calm-title").textContent !== title) {
      find("#calm-title").textContent = title;
      find("#calm-text").textContent = text(unread ? "calm_unread_text" : "calm_text");
      find("#calm-icon").replaceChildren(icon(unread ? "note" : "eye"));
    }
  }

  /** @param {SessionPane} pane */
  show(pane) {
    this.#use(pane);
    pane.aside = false;
    this.current = pane;
    const beside = this.#used.filter((each) => !each.aside && each !== pane);
    if (beside.length >= MAX_SIDE_BY_SIDE_PANES) {
      // What is over goes first, then what was not used for the longest time; what is pinned stays, if it can.
      const goes =
        beside.find((each) => each.over && !each.pinned) ?? beside.find((each) => !each.pinned) ?? beside[0];
      goes.aside = true;
    }
    this.#arrange();
    pane.element.scrollIntoView({ inline: "nearest", block: "nearest" });
    pane.focus();
  }

  /** @param {SessionPane} pane */
  close(pane) {
    pane.stop();
    this.#observer.unobserve(pane.element);
    this.#inView.delete(pane.element);
    pane.element.remove();
    this.panes = this.panes.filter((each) => each !== pane);
    this.#used = this.#used.filter((each) => each !== pane);
    if (this.current === pane) {
      this.current = undefined;
    }
    this.#arrange();
  }

  /** A telephone shows something else. */
  leave() {
    this.current = undefined;
    this.#arrange();
  }

  retry() {
    this.panes.forEach((pane) => pane.retry());
  }

  /** Those that nobody has acknowledged. @param {Notice[]} alerts */
  set alerts(alerts) {
    this.#alerts = alerts;
    this.#showAlerts();
  }

  /** @param {Place} place */
  #add(place) {
    const pane = new SessionPane(place, this.#context);
    this.panes.push(pane);
    this.#used.push(pane);
    pane.addEventListener("changed", () => this.#arrange());
    pane.addEventListener("close", () => this.#listener.close(pane));
    pane.addEventListener("aside", () => {
      pane.aside = true;
      this.current = undefined;
      this.#arrange();
    });
    pane.addEventListener("pin", () => {
      pane.pinned = !pane.pinned;
      this.#arrange();
      pane.focus();
    });
    pane.addEventListener("move", (event) => {
      this.#move(pane, /** @type {CustomEvent<number>} */ (event).detail);
    });
    pane.addEventListener("acknowledge", (event) => {
      this.#listener.acknowledge(/** @type {CustomEvent<number>} */ (event).detail);
    });
    pane.element.addEventListener("focusin", () => this.#use(pane));
    this.#stage.insertBefore(pane.element, this.#calm);
    this.#observer.observe(pane.element);
    pane.start();
    this.#showAlerts();
    return pane;
  }

  /** @param {SessionPane} pane */
  #use(pane) {
    this.#used = [...this.#used.filter((each) => each !== pane), pane];
  }

  /**
   * @param {SessionPane} pane
   * @param {number} by
   */
  #move(pane, by) {
    const beside = this.#beside();
    const other = beside[beside.indexOf(pane) + by];
    if (other) {
      const [one, two] = [this.panes.indexOf(pane), this.panes.indexOf(other)];
      this.panes[one] = other;
      this.panes[two] = pane;
      this.#arrange();
      pane.focus();
    }
  }

  #beside() {
    return this.panes.filter((pane) => !pane.aside);
  }

  /** Show all as it is now, and remember it. */
  #arrange() {
    this.panes.sort((one, other) => Number(other.pinned) - Number(one.pinned)); // stable
    let before = this.#stage.firstElementChild;
    for (const pane of this.panes) {
      if (pane.element === before) {
        before = before.nextElementSibling;
      } else {
        this.#stage.insertBefore(pane.element, before);
      }
      pane.element.classList.toggle("aside", pane.aside);
      pane.element.classList.toggle("current", pane === this.current);
    }
    const beside = this.#beside();
    this.#stage.dataset.panes = String(beside.length);
    for (const pane of this.panes) {
      const at = beside.indexOf(pane);
      const fits = (/** @type {SessionPane | undefined} */ other) => other?.pinned === pane.pinned;
      pane.head.offer({
        pinned: pane.pinned,
        left: at > 0 && fits(beside[at - 1]),
        right: at >= 0 && fits(beside[at + 1]),
        end: pane.record?.active ?? false,
      });
    }
    const places = this.panes.map((pane) => pane.place);
    sessionStorage.setItem(KEY, JSON.stringify({ places, current: this.current?.session }));
    this.#calm.hidden = beside.length > 0;
    this.#listener.changed();
  }

  /** What is on the screen was seen. */
  #look() {
    for (const pane of this.panes) {
      pane.shown = !document.hidden && this.#inView.has(pane.element);
    }
  }

  #showAlerts() {
    for (const pane of this.panes) {
      pane.alerts = this.#alerts.filter((notice) => notice.session === pane.session);
    }
  }
}
