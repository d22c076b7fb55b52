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
/** @typedef {import("./pane.js").PaneContext} PaneContext */
/** @typedef {import("./pane.js").StoredPane} StoredPane */

const KEY = "supervise:desk";
const MAX_SIDE_BY_SIDE_PANES = 4;
const MAX_PANES = 8; // each has two sockets, and a person may have only so many

/**
 * @typedef {object} PaneLayoutListener
 * @property {() => void} onChange what the overview shows
 * @property {(pane: SessionPane) => void} onClose somebody wants a pane to be gone
 * @property {(alert: number) => void} onAcknowledge
 */

export class PaneLayout {
  /**
   * @param {PaneContext} context
   * @param {PaneLayoutListener} listener
   */
  constructor(context, listener) {
    this.#context = context;
    this.#listener = listener;
    document.addEventListener("visibilitychange", () => this.#updateVisible());
  }

  #context;
  #listener;
  #element = find("#stage");
  #placeholder = find("#calm");
  /** In their order. @type {SessionPane[]} */
  panes = [];
  /** Which were used last, the latest at the end. @type {SessionPane[]} */
  #recentlyUsed = [];
  /** The one that a telephone shows. @type {SessionPane | undefined} */
  current;
  /** @type {Notice[]} */
  #alerts = [];
  #visibleElements = new Set();
  #observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        this.#visibleElements[isIntersecting ? "add" : "delete"](target);
      }
      this.#updateVisible();
    },
    { threshold: 0.4 },
  );

  /** Whether there is room for one more. */
  get isFull() {
    return this.panes.length >= MAX_PANES;
  }

  /** What this tab had on the desk before a reload. */
  restore() {
    /** @type {{ places: StoredPane[], current: number }} */
    const { places, current } = JSON.parse(sessionStorage.getItem(KEY) ?? '{ "places": [] }');
    for (const stored of places) {
      const pane = this.#add(stored);
      if (stored.session === current) {
        this.current = pane;
      }
    }
    this.#render();
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
    pane.setNewerRecord(record);
    this.show(pane);
  }

  /** What to do while nothing is open. @param {number} unread in the inbox */
  showPlaceholder(unread) {
    const title = unread ? text("calm_unread", { count: unread }) : text("calm_title");
    if (find("#calm-title").textContent !== title) {
      find("#calm-title").textContent = title;
      find("#calm-text").textContent = text(unread ? "calm_unread_text" : "calm_text");
      find("#calm-icon").replaceChildren(icon(unread ? "note" : "eye"));
    }
  }

  /** @param {SessionPane} pane */
  show(pane) {
    this.#markUsed(pane);
    pane.minimized = false;
    this.current = pane;
    const sideBySide = this.#recentlyUsed.filter((each) => !each.minimized && each !== pane);
    if (sideBySide.length >= MAX_SIDE_BY_SIDE_PANES) {
      // What is over goes first, then what was not used for the longest time; what is pinned stays, if it can.
      const minimizedPane =
        sideBySide.find((each) => each.isOver && !each.pinned) ??
        sideBySide.find((each) => !each.pinned) ??
        sideBySide[0];
      minimizedPane.minimized = true;
    }
    this.#render();
    pane.element.scrollIntoView({ inline: "nearest", block: "nearest" });
    pane.focus();
  }

  /** @param {SessionPane} pane */
  close(pane) {
    pane.stop();
    this.#observer.unobserve(pane.element);
    this.#visibleElements.delete(pane.element);
    pane.element.remove();
    this.panes = this.panes.filter((each) => each !== pane);
    this.#recentlyUsed = this.#recentlyUsed.filter((each) => each !== pane);
    if (this.current === pane) {
      this.current = undefined;
    }
    this.#render();
  }

  /** A telephone shows something else. */
  showInbox() {
    this.current = undefined;
    this.#render();
  }

  retry() {
    this.panes.forEach((pane) => pane.retry());
  }

  /** Those that nobody has acknowledged. @param {Notice[]} alerts */
  set alerts(alerts) {
    this.#alerts = alerts;
    this.#showAlerts();
  }

  /** @param {StoredPane} stored */
  #add(stored) {
    const pane = new SessionPane(stored, this.#context);
    this.panes.push(pane);
    this.#recentlyUsed.push(pane);
    pane.addEventListener("changed", () => this.#render());
    pane.addEventListener("close", () => this.#listener.onClose(pane));
    pane.addEventListener("aside", () => {
      pane.minimized = true;
      this.current = undefined;
      this.#render();
    });
    pane.addEventListener("pin", () => {
      pane.pinned = !pane.pinned;
      this.#render();
      pane.focus();
    });
    pane.addEventListener("move", (event) => {
      this.#move(pane, /** @type {CustomEvent<number>} */ (event).detail);
    });
    pane.addEventListener("acknowledge", (event) => {
      this.#listener.onAcknowledge(/** @type {CustomEvent<number>} */ (event).detail);
    });
    pane.element.addEventListener("focusin", () => this.#markUsed(pane));
    this.#element.insertBefore(pane.element, this.#placeholder);
    this.#observer.observe(pane.element);
    pane.start();
    this.#showAlerts();
    return pane;
  }

  /** @param {SessionPane} pane */
  #markUsed(pane) {
    this.#recentlyUsed = [...this.#recentlyUsed.filter((each) => each !== pane), pane];
  }

  /**
   * @param {SessionPane} pane
   * @param {number} by
   */
  #move(pane, by) {
    const sideBySide = this.#sideBySide();
    const other = sideBySide[sideBySide.indexOf(pane) + by];
    if (other) {
      const [one, two] = [this.panes.indexOf(pane), this.panes.indexOf(other)];
      this.panes[one] = other;
      this.panes[two] = pane;
      this.#render();
      pane.focus();
    }
  }

  #sideBySide() {
    return this.panes.filter((pane) => !pane.minimized);
  }

  /** Show all as it is now, and remember it. */
  #render() {
    this.panes.sort((one, other) => Number(other.pinned) - Number(one.pinned)); // stable
    let before = this.#element.firstElementChild;
    for (const pane of this.panes) {
      if (pane.element === before) {
        before = before.nextElementSibling;
      } else {
        this.#element.insertBefore(pane.element, before);
      }
      pane.element.classList.toggle("aside", pane.minimized);
      pane.element.classList.toggle("current", pane === this.current);
    }
    const sideBySide = this.#sideBySide();
    this.#element.dataset.panes = String(sideBySide.length);
    for (const pane of this.panes) {
      const at = sideBySide.indexOf(pane);
      const fits = (/** @type {SessionPane | undefined} */ other) => other?.pinned === pane.pinned;
      pane.header.updateMenu({
        pinned: pane.pinned,
        left: at > 0 && fits(sideBySide[at - 1]),
        right: at >= 0 && fits(sideBySide[at + 1]),
        end: pane.record?.isActive ?? false,
      });
    }
    const places = this.panes.map((pane) => pane.stored);
    sessionStorage.setItem(KEY, JSON.stringify({ places, current: this.current?.session }));
    this.#placeholder.hidden = sideBySide.length > 0;
    this.#listener.onChange();
  }

  /** What is on the screen was seen. */
  #updateVisible() {
    for (const pane of this.panes) {
      pane.visible = !document.hidden && this.#visibleElements.has(pane.element);
    }
  }

  #showAlerts() {
    for (const pane of this.panes) {
      pane.alerts = this.#alerts.filter((notice) => notice.session === pane.session);
    }
  }
}
