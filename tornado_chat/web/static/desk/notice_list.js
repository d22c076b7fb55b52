// @ts-check
/**
 * The list of notices: those that wait for the counsellor, or all of them.
 *
 * @module
 */

import { find, icon, make } from "../shared/elements.js";
import { language, text } from "../shared/strings.js";
import { parseTime, sameDay, TimeFormatter } from "../shared/time.js";

/** @typedef {import("./notices.js").Notice} Notice */
/** @typedef {import("./notices.js").NoticeKind} NoticeKind */

/** @typedef {{ item: HTMLLIElement, shown: string, problem: string }} Row */

/** @type {Record<NoticeKind, string>} */
const ICON_NAMES = { alert: "alert", session: "talk", appointment: "calendar", note: "note" };

const times = new TimeFormatter(language);

export class NoticeList {
  /**
   * @param {object} acts
   * @param {(notice: Notice) => Promise<void>} acts.onRead rejected with an error that is shown
   * @param {() => void} acts.onOlder earlier notices are to be loaded
   * @param {() => void} acts.onShowAll all notices are to be shown, or only those that wait
   */
  constructor({ onRead, onOlder, onShowAll }) {
    this.#onRead = onRead;
    this.#allButton.addEventListener("click", () => {
      this.#isAllShown = !this.#isAllShown;
      onShowAll();
    });
    this.#olderButton.addEventListener("click", onOlder);
  }

  #onRead;
  #list = find("#notices");
  #emptyText = find("#notices-empty");
  #allButton = find("#notices-all");
  #olderButton = find("#notices-older");
  #isAllShown = false;
  /** @type {Map<string, Row>} */
  #rows = new Map();

  /**
   * @param {Notice[]} all
   * @param {Notice[]} pending
   * @param {object} state
   * @param {boolean} state.isLoaded
   * @param {boolean} state.hasOlder
   * @param {string} state.problem why notices could not be loaded; empty: they could
   * @param {(session: string) => string | undefined} state.nameOf the visitor of a session, if it is known
   */
  show(all, pending, { isLoaded, hasOlder, problem, nameOf }) {
    const shown = this.#isAllShown ? all : pending;
    const ids = new Set(shown.map((notice) => notice.id));
    for (const [id, row] of this.#rows) {
      if (!ids.has(id)) {
        const hadFocus = row.item.contains(document.activeElement);
        row.item.remove();
        this.#rows.delete(id);
        if (hadFocus) {
          find("#notices-title").focus({ preventScroll: true });
        }
      }
    }
    let before = this.#list.firstElementChild;
    for (const notice of shown) {
      const title = noticeTitle(notice, notice.session && nameOf(notice.session));
      const { item } = this.#updateRow(notice, title, pending.includes(notice));
      if (item === before) {
        before = before.nextElementSibling;
      } else {
        this.#list.insertBefore(item, before);
      }
    }
    this.#emptyText.hidden = shown.length > 0 && !problem;
    this.#emptyText.classList.toggle("problem", problem !== "");
    const content =
      problem || text(!isLoaded ? "loading" : this.#isAllShown ? "notices_none" : "notices_empty");
    if (this.#emptyText.textContent !== content) {
      this.#emptyText.textContent = content;
    }
    this.#allButton.hidden = all.length === pending.length && !this.#isAllShown;
    this.#allButton.setAttribute("aria-pressed", String(this.#isAllShown));
    this.#olderButton.hidden = !this.#isAllShown || !hasOlder;
    find("#notices-count").textContent = pending.length ? String(pending.length) : "";
  }

  /**
   * @param {Notice} notice
   * @param {string} title
   * @param {boolean} isPending
   */
  #updateRow(notice, title, isPending) {
    let row = this.#rows.get(notice.id);
    if (!row) {
      row = { item: make("li", "notice"), shown: "", problem: "" };
      this.#rows.set(notice.id, row);
    }
    const shown = JSON.stringify([title, notice.read, isPending, row.problem]);
    if (shown !== row.shown) {
      row.shown = shown;
      row.item.dataset.kind = notice.kind;
      row.item.classList.toggle("pending", isPending);
      row.item.replaceChildren(...this.#makeContent(notice, row, title, isPending));
    }
    return row;
  }

  /**
   * @param {Notice} notice
   * @param {Row} row
   * @param {string} title
   * @param {boolean} isPending
   */
  #makeContent(notice, row, title, isPending) {
    const sign = make("span", "notice-icon", icon(ICON_NAMES[notice.kind]));
    const titleElement = make("p", "notice-title", title);
    titleElement.dir = "auto";
    const words = make(
      "div",
      "notice-words",
      titleElement,
      make("p", "notice-meta", formatTime(notice.time)),
    );
    if (notice.kind === "appointment" || notice.kind === "alert") {
      words.append(make("p", "notice-message", notice.msg));
    }
    if (isPending) {
      const button = make("button", "link-button", text("mark_read"));
      button.type = "button";
      button.setAttribute("aria-label", text("mark_read_of", { title }));
      button.addEventListener("click", () => void this.#markRead(notice, row, title));
      words.append(button);
    }
    if (row.problem) {
      const problem = make("p", "problem", row.problem);
      problem.setAttribute("role", "alert");
      words.append(problem);
    }
    return [sign, words];
  }

  /**
   * @param {Notice} notice
   * @param {Row} row
   * @param {string} title
   */
  async #markRead(notice, row, title) {
    try {
      await this.#onRead(notice);
      row.problem = "";
    } catch (error) {
      row.problem = /** @type {Error} */ (error).message;
      this.#updateRow(notice, title, true);
    }
  }
}

/**
 * @param {Notice} notice
 * @param {string} [name] the visitor of its session, if it is known
 */
export function noticeTitle({ kind, msg, session, appointment }, name) {
  if (kind === "session") {
    return name ? text("notice_session_with", { name }) : text("notice_session", { number: session ?? "" });
  }
  return kind === "appointment"
    ? text("notice_appointment", { number: appointment ?? "" })
    : kind === "alert"
      ? text("notice_alert")
      : msg;
}

/** @param {string} time */
function formatTime(time) {
  const at = parseTime(time);
  const clock = times.clock(at);
  return sameDay(at, new Date()) ? clock : `${times.day(at)} ${clock}`;
}
