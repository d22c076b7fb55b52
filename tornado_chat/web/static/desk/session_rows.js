// @ts-check
/**
 * A list of sessions: each with the visitor, times and state, and the way into it or to its transcript.
 *
 * Rows are updated in place, so that the focus stays where it is.
 *
 * @module
 */

import { icon, make } from "../shared/elements.js";
import { language, text } from "../shared/strings.js";
import { parseTime, TimeFormatter } from "../shared/time.js";
import { isOpen, stageOf, timeOf, visitorName } from "./session.js";

/** @typedef {import("./session.js").Session} Session */

/**
 * @typedef {object} SessionActs
 * @property {(session: Session) => string} address the URL of the room
 * @property {(session: Session) => boolean} isNew whether the counsellor has not seen to the session yet
 * @property {(session: Session) => void} onEnter the counsellor follows the link to the room
 * @property {(session: Session) => void} onRead the counsellor opens the transcript
 */

/** @typedef {{ item: HTMLLIElement, shown: string }} Row */

const times = new TimeFormatter(language);

export class SessionRows {
  /**
   * @param {HTMLElement} list
   * @param {SessionActs} acts
   */
  constructor(list, acts) {
    this.#list = list;
    this.#acts = acts;
  }

  #list;
  #acts;
  /** @type {Map<string, Row>} */
  #rows = new Map();

  /**
   * @param {readonly Session[]} sessions
   * @param {string} current the number of the session whose transcript is open; empty: none
   */
  show(sessions, current) {
    const numbers = new Set(sessions.map((session) => session.session_id));
    for (const [number, row] of this.#rows) {
      if (!numbers.has(number)) {
        row.item.remove();
        this.#rows.delete(number);
      }
    }
    let before = this.#list.firstElementChild;
    for (const session of sessions) {
      const { item } = this.#updateRow(session, current === session.session_id);
      if (item === before) {
        before = before.nextElementSibling;
      } else {
        this.#list.insertBefore(item, before);
      }
    }
  }

  /** Put the focus on the button or link of a session. @param {string} number */
  focus(number) {
    const act = this.#rows.get(number)?.item.querySelector("[data-act]");
    /** @type {HTMLElement | null | undefined} */ (act)?.focus();
  }

  /**
   * @param {Session} session
   * @param {boolean} isCurrent
   */
  #updateRow(session, isCurrent) {
    let row = this.#rows.get(session.session_id);
    if (!row) {
      row = { item: make("li", "session"), shown: "" };
      this.#rows.set(session.session_id, row);
    }
    const address = isOpen(session) ? this.#acts.address(session) : "";
    const isNew = isOpen(session) && this.#acts.isNew(session);
    const shown = JSON.stringify([session, address, isNew]);
    if (shown !== row.shown) {
      row.shown = shown;
      const hadFocus = row.item.contains(document.activeElement);
      row.item.dataset.stage = stageOf(session);
      row.item.replaceChildren(...this.#makeContent(session, address, isNew));
      if (hadFocus) {
        this.focus(session.session_id);
      }
    }
    row.item.classList.toggle("current", isCurrent);
    row.item.querySelector("button")?.setAttribute("aria-current", String(isCurrent));
    return row;
  }

  /**
   * @param {Session} session
   * @param {string} address
   * @param {boolean} isNew
   */
  #makeContent(session, address, isNew) {
    const name = visitorName(session);
    const avatar = make("span", "avatar", Array.from(name)[0]?.toUpperCase() ?? "");
    avatar.setAttribute("aria-hidden", "true");
    const nameElement = make("span", "session-name", name);
    nameElement.dir = "auto";
    const title = make("span", "session-title", nameElement);
    if (isNew) {
      title.append(" ", make("span", "new-mark", text("is_new")));
    }
    const meta = make("span", "session-meta", timesText(session));
    const stage = make("span", "session-stage", text(`stage_${stageOf(session)}`));
    meta.append(" · ", stage);
    if (session.rate) {
      meta.append(" · ", makeRating(session.rate));
    }
    const words = make("span", "session-words", title, meta);
    return [avatar, words, isOpen(session) ? this.#makeLink(session, address) : this.#makeButton(session)];
  }

  /**
   * @param {Session} session
   * @param {string} address
   */
  #makeLink(session, address) {
    const isUrgent = stageOf(session) === "waits";
    const link = make("a", isUrgent ? "primary-button" : "secondary-button", text("enter"));
    link.href = address;
    link.dataset.act = "enter";
    link.setAttribute("aria-label", text("enter_of", { name: visitorName(session) }));
    link.addEventListener("click", () => this.#acts.onEnter(session));
    return link;
  }

  /** @param {Session} session */
  #makeButton(session) {
    const button = make("button", "secondary-button", text("read_transcript"));
    button.type = "button";
    button.dataset.act = "read";
    button.setAttribute("aria-label", text("read_of", { name: visitorName(session) }));
    button.addEventListener("click", () => this.#acts.onRead(session));
    return button;
  }
}

/** The times of a session on its day. @param {Session} session */
export function timesText(session) {
  const begin = times.clock(session.started ? parseTime(session.started) : timeOf(session));
  if (!session.started || !session.ended) {
    return begin;
  }
  return `${begin}–${times.clock(parseTime(session.ended))}`;
}

/** The visitor's rating, as stars. @param {number} rate */
export function makeRating(rate) {
  const rating = make("span", "rating");
  for (let star = 1; star <= rate; star += 1) {
    rating.append(icon("star"));
  }
  rating.append(make("span", "visually-hidden", text(`star_${rate}`)));
  return rating;
}
