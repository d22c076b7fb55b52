// @ts-check
/**
 * The list of notices: unacknowledged alerts on top, then the newest first.
 *
 * @module
 */

import { find, icon, make } from "../shared/elements.js";
import { language, text } from "../shared/strings.js";
import { parseTime, sameDay, TimeFormatter } from "../shared/time.js";
import { keyText } from "./conversation_key.js";
import { isOpenAlert } from "./inbox.js";

/** @typedef {import("./inbox.js").Inbox} Inbox */
/** @typedef {import("./inbox.js").Notice} Notice */
/** @typedef {import("./session_names.js").SessionNames} SessionNames */

/**
 * @typedef {object} NoticeListListener
 * @property {(notice: Notice) => void} onOpen
 * @property {(notice: Notice) => Promise<void>} onRead rejected with an error that is shown to the supervisor
 */

/** @typedef {{ item: HTMLLIElement, shown: string, busy: boolean, problem: string }} Row */

const FILTER_KEY = "supervise:filter";
const PAGE_NOTICES = 50;

/** The server's standard text of calls and alerts, which says less than the page does. */
const STANDARD_MESSAGE =
  /^(?:您有新的对话|You have a new conversation|(?:会话|客服对话) \d+ 触发了关键词提醒, 请尽快查看|Keyword alert in (?:session|support conversation) \d+: please look at it soon)$/;

const times = new TimeFormatter(language);

export class NoticeList {
  /**
   * @param {Inbox} inbox
   * @param {SessionNames} sessions
   * @param {NoticeListListener} listener
   */
  constructor(inbox, sessions, listener) {
    this.#inbox = inbox;
    this.#names = sessions;
    this.#listener = listener;
    for (const name of /** @type {const} */ (["all", "unread"])) {
      this.#filters[name].addEventListener("click", () => {
        this.#filter = name;
        sessionStorage.setItem(FILTER_KEY, name);
        this.show();
      });
    }
    this.#moreButton.addEventListener("click", () => {
      this.#maxShown += PAGE_NOTICES;
      this.show();
    });
  }

  #inbox;
  #names;
  #listener;
  #list = find("#notices");
  #emptyText = find("#inbox-empty");
  #moreButton = find("#more-notices");
  #filters = { all: find("#show-all"), unread: find("#show-unread") };
  #filter = sessionStorage.getItem(FILTER_KEY) ?? "all";
  #maxShown = PAGE_NOTICES;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #loadError = "";

  /** Why earlier notices could not be loaded; empty: they could. */
  set loadError(/** @type {string} */ loadError) {
    this.#loadError = loadError;
    this.show();
  }

  show() {
    const unread = this.#inbox.unread.length;
    const matching = this.#filter === "unread" ? this.#inbox.unread : this.#inbox.notices;
    const shown = matching.slice(0, this.#maxShown);
    for (const name of /** @type {const} */ (["all", "unread"])) {
      this.#filters[name].setAttribute("aria-pressed", String(this.#filter === name));
    }
    this.#filters.unread.textContent = unread
      ? text("show_unread_count", { count: unread })
      : text("show_unread");
    const ids = new Set(shown.map((notice) => notice.id));
    for (const [id, row] of this.#rows) {
      if (!ids.has(id)) {
        row.item.remove();
        this.#rows.delete(id);
      }
    }
    const restoreFocus = this.#rememberFocus();
    let before = this.#list.firstElementChild;
    for (const notice of shown) {
      const row = this.#updateRow(notice);
      if (row.item === before) {
        before = before.nextElementSibling;
      } else {
        this.#list.insertBefore(row.item, before);
      }
    }
    restoreFocus?.();
    this.#moreButton.hidden = matching.length <= this.#maxShown;
    this.#emptyText.hidden = shown.length > 0 && !this.#loadError;
    this.#emptyText.classList.toggle("problem", this.#loadError !== "");
    this.#emptyText.textContent =
      this.#loadError ||
      text(
        !this.#inbox.isLoaded ? "inbox_loading" : this.#filter === "unread" ? "inbox_read" : "inbox_empty",
      );
  }

  /**
   * Rows are replaced and move: return a function that restores the focus in its row; null without a focused
   * row.
   */
  #rememberFocus() {
    const active = document.activeElement;
    const item = active?.closest(".notice");
    if (!item || !this.#list.contains(item)) {
      return null;
    }
    const name = active?.getAttribute("data-act");
    return () => {
      if (!item.contains(document.activeElement)) {
        const same = item.querySelector(`[data-act="${name}"]`) ?? item.querySelector("h3");
        /** @type {HTMLElement | null} */ (same)?.focus({ preventScroll: true });
      }
    };
  }

  /** @param {Notice} notice */
  #updateRow(notice) {
    let row = this.#rows.get(notice.id);
    if (!row) {
      row = { item: make("li", `notice ${notice.kind}`), shown: "", busy: false, problem: "" };
      this.#rows.set(notice.id, row);
    }
    const names = notice.session === undefined ? null : this.#names.get(notice.session);
    const end = endOfCall(notice, this.#names);
    const state = JSON.stringify([notice.read, notice.readAt, names, end, row.busy, row.problem]);
    if (state !== row.shown) {
      row.shown = state;
      row.item.classList.toggle("unread", !notice.read);
      row.item.classList.toggle("over", end !== undefined);
      row.item.replaceChildren(...this.#makeContent(notice, row, names, end));
    }
    return row;
  }

  /**
   * @param {Notice} notice
   * @param {Row} row
   * @param {import("./session_names.js").Names | null} names
   * @param {import("./session_names.js").SessionEnd | undefined} end
   */
  #makeContent(notice, row, names, end) {
    const title = make("h3", "notice-title", noticeTitle(notice, names, end !== undefined));
    title.tabIndex = -1;
    const words = make("div", "notice-text", title);
    const meta = make("p", "notice-meta", formatTime(notice.time));
    if (notice.session !== undefined) {
      meta.append(` · ${keyText(notice.session)}`);
    }
    if (notice.read && notice.session !== undefined) {
      meta.append(" · ", this.#makeOpenButton(notice, notice.session, "link-button"));
    }
    words.append(meta);
    if (end) {
      const key = end.cancelled ? "session_cancelled_at" : "session_ended_at";
      words.append(make("p", "notice-over", text(key, { time: formatTime(end.time) })));
    }
    if (notice.kind !== "note" && !STANDARD_MESSAGE.test(notice.msg)) {
      words.append(make("p", "notice-message", notice.msg));
    }
    if (notice.kind === "alert" && notice.read) {
      const at = notice.readAt
        ? text("acknowledged_at", { time: formatTime(notice.readAt) })
        : text("acknowledged");
      words.append(make("p", "notice-acknowledged", icon("stored"), at));
    }
    const buttons = this.#makeButtons(notice, row, end !== undefined);
    if (buttons.length) {
      words.append(make("div", "notice-buttons", ...buttons));
    }
    if (row.problem) {
      const problem = make("p", "problem", row.problem);
      problem.setAttribute("role", "alert");
      words.append(problem);
    }
    const signIcon = make(
      "span",
      "notice-icon",
      icon(notice.kind === "appointment" ? "calendar" : notice.kind),
    );
    if (!notice.read) {
      signIcon.append(make("span", "visually-hidden", text("unread")));
    }
    return [signIcon, words];
  }

  /**
   * @param {Notice} notice
   * @param {Row} row
   * @param {boolean} isOver
   */
  #makeButtons(notice, row, isOver) {
    const buttons = [];
    if (!notice.read) {
      if (notice.session !== undefined) {
        const className = isOver ? "secondary-button" : "primary-button";
        buttons.push(this.#makeOpenButton(notice, notice.session, className));
      }
      const key = isOpenAlert(notice) ? "acknowledge" : "mark_read";
      const read = makeButton("read", text(row.busy ? "one_moment" : key), () => this.#markRead(notice, row));
      read.className = isOpenAlert(notice) ? "secondary-button" : "link-button";
      read.setAttribute("aria-disabled", String(row.busy)); // a disabled button would lose the focus
      buttons.push(read);
    }
    return buttons;
  }

  /**
   * @param {Notice} notice
   * @param {string} session
   * @param {string} className
   */
  #makeOpenButton(notice, session, className) {
    const open = makeButton("open", text("open"), () => this.#listener.onOpen(notice));
    open.setAttribute("aria-label", text("open_session", { number: session }));
    open.className = className;
    return open;
  }

  /**
   * @param {Notice} notice
   * @param {Row} row
   */
  async #markRead(notice, row) {
    if (row.busy) {
      return;
    }
    row.busy = true;
    row.problem = "";
    this.show();
    try {
      await this.#listener.onRead(notice);
    } catch (error) {
      row.problem = /** @type {Error} */ (error).message;
    } finally {
      row.busy = false;
      this.show();
    }
  }
}

/**
 * The end of the session of a call. An alert stays open until it is acknowledged, also after the end.
 *
 * @param {Notice} notice
 * @param {SessionNames} sessions
 */
export function endOfCall({ kind, session }, sessions) {
  return kind === "call" && session !== undefined ? sessions.endOf(session) : undefined;
}

/**
 * @param {Notice} notice
 * @param {import("./session_names.js").Names | null} names
 * @param {boolean} [isOver] whether the session of a call has ended
 */
export function noticeTitle(notice, names, isOver = false) {
  const { kind, session } = notice;
  if (kind === "alert") {
    return names
      ? text("alert_title_names", { ...names })
      : text(session ? "alert_title" : "alert_title_other");
  }
  if (kind === "call") {
    const key = isOver ? "call_over_title" : "call_title";
    return names ? text(`${key}_names`, { ...names }) : text(key);
  }
  if (kind === "appointment") {
    return text("appointment_title", { number: notice.appointment ?? "" });
  }
  return notice.msg;
}

/** @param {string} time server time */
function formatTime(time) {
  const at = parseTime(time);
  const clock = times.clock(at);
  return sameDay(at, new Date()) ? clock : `${times.day(at)} ${clock}`;
}

/**
 * @param {string} name
 * @param {string} words
 * @param {() => void} act
 */
function makeButton(name, words, act) {
  const button = make("button", "", words);
  button.type = "button";
  button.dataset.act = name;
  button.addEventListener("click", act);
  return button;
}
