// @ts-check
/**
 * The layout of panes: up to four sessions side by side, further ones minimized. All of them are observed.
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
const MAX_PANES = 8; // each has two sockets, and the server limits the sockets of a person

/**
 * @typedef {object} PaneLayoutListener
 * @property {() => void} onChange a property changed that the overview shows
 * @property {(pane: SessionPane) => void} onClose the supervisor asks to close a pane
 * @property {(alert: string) => void} onAcknowledge
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
  #element = find("#panes");
  #placeholder = find("#placeholder");
  /** In display order. @type {SessionPane[]} */
  panes = [];
  /** In order of use, the latest last. @type {SessionPane[]} */
  #recentlyUsed = [];
  /** The pane that a phone shows. @type {SessionPane | undefined} */
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

  /** Whether no further pane can be opened. */
  get isFull() {
    return this.panes.length >= MAX_PANES;
  }

  /** Restore the panes that this tab had before a reload. */
  restore() {
    /** @type {{ places: StoredPane[], current: string }} */
    const { places, current } = JSON.parse(sessionStorage.getItem(KEY) ?? '{ "places": [] }');
    for (const stored of places) {
      // an earlier version of this page stored JavaScript numbers, and 0 for no record
      const { session, record } = stored;
      const pane = this.#add({ ...stored, session: String(session), record: String(record || "") });
      if (pane.session === String(current)) {
        this.current = pane;
      }
    }
    this.#render();
  }

  /**
   * Open a session, or bring its pane to the front.
   *
   * @param {string} session
   * @param {string} record empty: unknown
   */
  open(session, record) {
    let pane = this.panes.find((each) => each.session === session);
    if (!pane) {
      pane = this.#add({ session, record, pinned: false, aside: false, folded: false, seen: null });
    }
    pane.setNewerRecord(record);
    this.show(pane);
  }

  /**
   * Update the placeholder that is shown while no pane is open.
   *
   * @param {number} unread the number of unread notices
   */
  showPlaceholder(unread) {
    const title = unread ? text("placeholder_unread", { count: unread }) : text("placeholder_title");
    if (find("#placeholder-title").textContent !== title) {
      find("#placeholder-title").textContent = title;
      find("#placeholder-text").textContent = text(unread ? "placeholder_unread_text" : "placeholder_text");
      find("#placeholder-icon").replaceChildren(icon(unread ? "note" : "eye"));
    }
  }

  /** @param {SessionPane} pane */
  show(pane) {
    this.#markUsed(pane);
    pane.minimized = false;
    this.current = pane;
    const sideBySide = this.#recentlyUsed.filter((each) => !each.minimized && each !== pane);
    if (sideBySide.length >= MAX_SIDE_BY_SIDE_PANES) {
      // Minimize ended sessions first, then the least recently used pane; keep pinned panes if possible.
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

  /** Show the inbox instead of a pane, on a phone. */
  showInbox() {
    this.current = undefined;
    this.#render();
  }

  retry() {
    this.panes.forEach((pane) => pane.retry());
  }

  /** The unacknowledged alerts. @param {Notice[]} alerts */
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
    pane.addEventListener("minimize", () => {
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
      this.#listener.onAcknowledge(/** @type {CustomEvent<string>} */ (event).detail);
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

  /** Render the layout, and store it. */
  #render() {
    this.panes.sort((one, other) => Number(other.pinned) - Number(one.pinned)); // a stable sort
    let before = this.#element.firstElementChild;
    for (const pane of this.panes) {
      if (pane.element === before) {
        before = before.nextElementSibling;
      } else {
        this.#element.insertBefore(pane.element, before);
      }
      pane.element.classList.toggle("minimized", pane.minimized);
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

  /** Update which panes are on the screen. */
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
