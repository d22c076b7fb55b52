// @ts-check
/**
 * A session on the desk: what visitor and consultant say, and below it the record with the consultant.
 *
 * Events: `changed` (something that the desk keeps or shows elsewhere), `close`, `aside`, `pin`, `move` with -1 or 1,
 * `acknowledge` with the id of an alert.
 *
 * @module
 */

import { icon, make } from "../shared/elements.js";
import { language, text } from "../shared/strings.js";
import { parseTime, sameDay, Times } from "../shared/time.js";
import { PaneHead } from "./head.js";
import { RecordChat } from "./record.js";
import { namesOf } from "./sessions.js";
import { SessionTranscript } from "./transcript.js";
import { Watched } from "./watched.js";
import { withoutRecord } from "./without.js";

/** @typedef {import("../shared/connection.js").Standing} Standing */
/** @typedef {import("../shared/following.js").Line} Line */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */
/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./api.js").Session} Session */
/** @typedef {import("./inbox.js").Notice} Notice */
/** @typedef {import("./sessions.js").Sessions} Sessions */

/**
 * What is kept of a pane over a reload: numbers, never texts.
 *
 * @typedef {object} Place
 * @property {number} session
 * @property {number} record 0: none
 * @property {boolean} pinned
 * @property {boolean} aside
 * @property {boolean} folded
 * @property {number | null} seen the last line that was on the screen; null: nothing was told yet
 */

/** @typedef {{ me: SignedIn, api: Api, sessions: Sessions }} Context */

/** How many lines of the two, and how many messages of the consultant, nobody has seen. @typedef {{ lines: number, record: number }} Unread */

const ENDED_CLOSE_CODES = new Set([1000, 4409]);
/** @type {Record<number, string>} */
const REFUSAL_TEXT_KEYS = { 4403: "refused_forbidden", 4404: "refused_missing" };

export class SessionPane extends EventTarget {
  /**
   * @param {Place} place
   * @param {Context} context
   */
  constructor(place, context) {
    super();
    this.#context = context;
    this.session = place.session;
    this.pinned = place.pinned;
    this.aside = place.aside;
    this.#folded = place.folded;
    this.#seen = place.seen;
    this.head = new PaneHead(place.session, {
      close: () => this.#tell("close"),
      aside: () => this.#tell("aside"),
      move: (by) => this.#tell("move", by),
      pin: () => this.#tell("pin"),
      end: () => this.record?.end(),
    });
    this.#watched = new Watched(place.session, context.me.token, context.api, {
      standing: (standing) => this.#standing(standing),
      session: (session) => this.#know(session),
      presence: (present) => this.head.presence(present),
      ended: () => this.#end(),
      lines: (lines, news) => this.#lines(lines, news),
      loaded: (readable) => (this.#transcript.readable = readable),
    });
    this.element.id = `session-${place.session}`;
    this.element.setAttribute("aria-labelledby", this.head.titleId);
    this.#alerts.setAttribute("role", "group");
    this.#alerts.setAttribute("aria-label", text("alerts_here"));
    this.#stage.append(this.#transcript, this.#lower);
    this.element.append(this.head.element, this.#alerts, this.#stage);
    this.element.addEventListener("folded", () => {
      this.#folded = this.record?.folded ?? false;
      this.#tell("changed");
    });
    const known = context.sessions.names(place.session);
    this.names = known ?? { visitor: text("role_user"), consultant: text("role_consultant") };
    this.known = known !== null;
    this.#showNames();
    this.record = undefined;
    this.#setRecord(place.record);
  }

  #context;
  element = make("section", "pane");
  #alerts = make("div", "pane-alerts");
  #stage = make("div", "pane-stage");
  #transcript = new SessionTranscript();
  #lower = make("div", "pane-lower");
  #watched;
  /** @type {RecordChat | undefined} */
  record;
  #folded;
  #started = false;
  #shown = false;
  #seen;
  #last = 0;
  /** @type {Session | undefined} */
  #session;

  /** @returns {Place} */
  get place() {
    const { session, pinned, aside } = this;
    const seen = this.#seen;
    return { session, record: this.record?.record ?? 0, pinned, aside, folded: this.#folded, seen };
  }

  /** @returns {Unread} */
  get unread() {
    return { lines: Math.max(0, this.#last - (this.#seen ?? this.#last)), record: this.record?.unread ?? 0 };
  }

  /** Whether it is on the screen, and somebody is in front of it. */
  set shown(/** @type {boolean} */ shown) {
    this.#shown = shown;
    if (this.record) {
      this.record.shown = shown;
    }
    if (shown && this.unread.lines) {
      this.#seen = this.#last;
      this.#tell("changed");
    }
  }

  /** The alerts of this session that nobody has acknowledged. @param {Notice[]} alerts */
  set alerts(alerts) {
    const times = new Times(language);
    const ids = alerts.map((notice) => notice.id).join();
    if (this.#alerts.dataset.ids === ids) {
      return; // whoever is about to click finds the button where it was
    }
    this.#alerts.dataset.ids = ids;
    this.#alerts.replaceChildren(
      ...alerts.map((notice) => {
        const button = make("button", "plain-button", text("acknowledge"));
        button.type = "button";
        button.addEventListener("click", () => this.#tell("acknowledge", notice.id));
        const words = make(
          "span",
          "pane-alert-words",
          text("alert_at", { time: times.clock(parseTime(notice.time)) }),
        );
        return make("div", "pane-alert", icon("alert"), words, button);
      }),
    );
  }

  /** To be called when the element is in the page. */
  start() {
    this.#started = true;
    this.#watched.start();
    this.record?.start();
  }

  stop() {
    this.#watched.stop();
    this.record?.stop();
  }

  retry() {
    this.#watched.retry();
    this.record?.retry();
  }

  /** A record of which one has learned: of several, the latest counts. @param {number} record */
  learnRecord(record) {
    if (record > (this.record?.record ?? 0)) {
      this.#setRecord(record);
      this.#tell("changed");
    }
  }

  focus() {
    this.head.focus();
  }

  /** @param {number} record 0: none */
  #setRecord(record) {
    this.record?.stop();
    if (record === 0) {
      this.record = undefined;
      this.#lower.replaceChildren(withoutRecord(this.session, this.#context));
      return;
    }
    const chat = new RecordChat(record, this.#context.me.token, this.#folded);
    this.record = chat;
    chat.names = this.names;
    chat.shown = this.#shown;
    chat.addEventListener("changed", () => this.#tell("changed"));
    this.#lower.replaceChildren(chat.element);
    if (this.#started) {
      chat.start();
    }
  }

  // --- what the session tells ---

  /** @param {Session} session */
  #know(session) {
    this.#session = session;
    this.#context.sessions.know(session);
    this.names = namesOf(session);
    this.known = true;
    const since = parseTime(session.started ?? session.created);
    const times = new Times(language);
    const clock = times.clock(since);
    const time = sameDay(since, new Date()) ? clock : `${times.day(since)} ${clock}`;
    this.head.since = text(session.started ? "since" : "since_opened", { time });
    if (session.ended) {
      const words = session.state === "cancelled" ? "session_cancelled_at" : "session_ended_at";
      this.#transcript.end(text(words, { time: times.clock(parseTime(session.ended)) }));
    }
    this.#showNames();
    this.#tell("changed");
  }

  #showNames() {
    this.head.names = this.names;
    this.#transcript.names = this.names;
    if (this.record) {
      this.record.names = this.names;
    }
  }

  /**
   * @param {Line[]} lines
   * @param {boolean} news
   */
  #lines(lines, news) {
    this.#transcript.add(lines, news);
    const last = lines[lines.length - 1].seq;
    this.#seen ??= news ? lines[0].seq - 1 : last; // what was said before one came is not unread
    this.#last = Math.max(this.#last, last);
    if (this.#shown) {
      this.#seen = this.#last;
    }
    this.#tell("changed");
  }

  #end() {
    this.element.classList.add("over");
    this.head.state("over", text("state_over"));
    this.head.presence(null);
    if (!this.#session?.ended) {
      this.#transcript.end(text("session_ended"));
    }
    this.#tell("changed");
  }

  /** Whether the session is over, or may not be listened to. */
  over = false;

  /** @param {Standing} standing */
  #standing(standing) {
    if (standing.state === "open") {
      this.head.state("live", text("state_live"));
    } else if (standing.state !== "closed") {
      this.head.state("cut", text(standing.before ? "state_cut" : "connecting"));
    } else {
      this.over = true;
      if (!ENDED_CLOSE_CODES.has(standing.code ?? 0)) {
        const reason = standing.reason || String(standing.code);
        const key = REFUSAL_TEXT_KEYS[standing.code ?? 0];
        this.head.state("refused", text("state_refused"));
        this.head.presence(null);
        this.#transcript.refuse(key ? text(key) : text("closed_text", { reason }));
        this.#lower.hidden = this.record === undefined;
      }
    }
  }

  /**
   * @param {string} event
   * @param {unknown} [detail]
   */
  #tell(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }
}
