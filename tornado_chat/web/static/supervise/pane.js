// @ts-check
/**
 * A pane with one session: the messages of client and consultant, and below them the supervision record.
 *
 * Events: `changed` (a stored property, or one that is shown elsewhere), `close`, `minimize`, `pin`, `move`
 * with -1 or 1, `acknowledge` with the id of an alert.
 *
 * @module
 */

import { icon, make } from "../shared/elements.js";
import { language, text } from "../shared/strings.js";
import { parseTime, sameDay, TimeFormatter } from "../shared/time.js";
import { PaneHeader } from "./pane_header.js";
import { RecordChat } from "./record.js";
import { namesOf } from "./session_names.js";
import { SessionTranscript } from "./transcript.js";
import { ObservedSession } from "./observed_session.js";
import { Speaking } from "./speaking.js";
import { makeMissingRecord } from "./missing_record.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/receive_only_sockets.js").ObservedMessage} ObservedMessage */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */
/** @typedef {import("./api.js").SupervisionApi} SupervisionApi */
/** @typedef {import("./api.js").Session} Session */
/** @typedef {import("./inbox.js").Notice} Notice */
/** @typedef {import("./session_names.js").SessionNames} SessionNames */

/**
 * What the tab stores of a pane for a reload: numbers, never texts.
 *
 * @typedef {object} StoredPane
 * @property {string} session
 * @property {string} record empty: none
 * @property {boolean} pinned
 * @property {boolean} aside whether it is minimized
 * @property {boolean} folded
 * @property {number | null} seen the last sequence number that was on the screen; null: no message was loaded
 *   yet
 */

/** @typedef {{ me: SignedIn, api: SupervisionApi, names: SessionNames }} PaneContext */

/**
 * The number of unseen messages of the session, and of the consultant in the record.
 *
 * @typedef {{ messages: number, record: number }} Unread
 */

const ENDED_CLOSE_CODES = new Set([1000, 4409]);
/** @type {Record<number, string>} */
const REFUSAL_TEXT_KEYS = { 4403: "refused_forbidden", 4404: "refused_missing" };

export class SessionPane extends EventTarget {
  /**
   * @param {StoredPane} stored
   * @param {PaneContext} context
   */
  constructor(stored, context) {
    super();
    this.#context = context;
    this.session = stored.session;
    this.pinned = stored.pinned;
    this.minimized = stored.aside;
    this.#folded = stored.folded;
    this.#seenSeq = stored.seen;
    this.header = new PaneHeader(stored.session, {
      close: () => this.#emit("close"),
      minimize: () => this.#emit("minimize"),
      move: (by) => this.#emit("move", by),
      pin: () => this.#emit("pin"),
      end: () => this.record?.end(),
    });
    this.#observed = new ObservedSession(stored.session, context.me.token, context.api, {
      onStatus: (status) => this.#onStatus(status),
      onSession: (session) => this.#onSession(session),
      onPresence: (present) => this.header.showPresence(present),
      onEnd: () => this.#onEnd(),
      onMessages: (messages, isNew) => this.#onMessages(messages, isNew),
      onLoaded: (isReadable) => (this.#transcript.isReadable = isReadable),
      onAccepted: () => this.#speaking.onAccepted(),
      onPart: (part) => (this.#speaking.part = part),
      onStored: (id) => this.#speaking.onStored(id),
      onRefused: (words, id) => this.#speaking.onRefused(words, id),
    });
    this.#speaking = new Speaking({
      join: () => context.api.join(stored.session),
      leave: () => context.api.leave(stored.session),
      takeOver: (former) => context.api.takeOver(stored.session, former),
      send: (frame) => this.#observed.say(frame),
    });
    this.element.id = `session-${stored.session}`;
    this.element.setAttribute("aria-labelledby", this.header.titleId);
    this.#alerts.setAttribute("role", "group");
    this.#alerts.setAttribute("aria-label", text("alerts_here"));
    this.#listening.append(this.#transcript, this.#speaking.element);
    this.#body.append(this.#listening, this.#recordArea);
    this.element.append(this.header.element, this.#alerts, this.#body);
    this.element.addEventListener("folded", () => {
      this.#folded = this.record?.folded ?? false;
      this.#emit("changed");
    });
    const known = context.names.get(stored.session);
    this.names = known ?? { visitor: text("role_user"), consultant: text("role_consultant") };
    this.namesKnown = known !== null;
    this.#showNames();
    this.record = undefined;
    this.#setRecord(stored.record);
  }

  #context;
  element = make("section", "pane");
  #alerts = make("div", "pane-alerts");
  #body = make("div", "pane-body");
  #transcript = new SessionTranscript();
  #recordArea = make("div", "pane-record");
  #listening = make("div", "pane-listening");
  /** @type {ObservedSession} */
  #observed;
  /** @type {Speaking} */
  #speaking;
  /** @type {RecordChat | undefined} */
  record;
  #folded;
  #started = false;
  #visible = false;
  #seenSeq;
  #lastSeq = 0;
  /** @type {Session | undefined} */
  #session;

  /** @returns {StoredPane} */
  get stored() {
    const { session, pinned, minimized: aside } = this;
    const seen = this.#seenSeq;
    return { session, record: this.record?.record ?? "", pinned, aside, folded: this.#folded, seen };
  }

  /** @returns {Unread} */
  get unread() {
    return {
      messages: Math.max(0, this.#lastSeq - (this.#seenSeq ?? this.#lastSeq)),
      record: this.record?.unread ?? 0,
    };
  }

  /** Whether something was written here that is not stored. */
  get hasUnsent() {
    return this.#speaking.hasUnsent || (this.record?.hasUnsent ?? false);
  }

  /** Whether the pane is on the screen of a visible page. */
  set visible(/** @type {boolean} */ visible) {
    this.#visible = visible;
    if (this.record) {
      this.record.visible = visible;
    }
    if (visible && this.unread.messages) {
      this.#seenSeq = this.#lastSeq;
      this.#emit("changed");
    }
  }

  /** The unacknowledged alerts of this session. @param {Notice[]} alerts */
  set alerts(alerts) {
    const times = new TimeFormatter(language);
    const ids = alerts.map((notice) => notice.id).join();
    if (this.#alerts.dataset.ids === ids) {
      return; // keep the button in place for a click
    }
    this.#alerts.dataset.ids = ids;
    this.#alerts.replaceChildren(
      ...alerts.map((notice) => {
        const button = make("button", "secondary-button", text("acknowledge"));
        button.type = "button";
        button.addEventListener("click", () => this.#emit("acknowledge", notice.id));
        const words = make(
          "span",
          "pane-alert-text",
          text("alert_at", { time: times.clock(parseTime(notice.time)) }),
        );
        return make("div", "pane-alert", icon("alert"), words, button);
      }),
    );
  }

  /** Connect; to be called when the element is in the page. */
  start() {
    this.#started = true;
    this.#observed.start();
    this.record?.start();
  }

  stop() {
    this.#observed.stop();
    this.record?.stop();
  }

  retry() {
    this.#observed.retry();
    this.record?.retry();
  }

  /** Use a newer record: of several records, the latest counts. @param {string} record empty: none is newer */
  setNewerRecord(record) {
    if (record && record !== this.record?.record) {
      this.#setRecord(record);
      this.#emit("changed");
    }
  }

  focus() {
    this.header.focus();
  }

  /** @param {string} record empty: none */
  #setRecord(record) {
    this.record?.stop();
    if (!record) {
      this.record = undefined;
      this.#recordArea.replaceChildren(makeMissingRecord(this.session, this.#context));
      return;
    }
    const chat = new RecordChat(record, this.#context.me.token, this.#folded);
    this.record = chat;
    chat.names = this.#context.names.get(this.session) ?? this.names;
    chat.visible = this.#visible;
    chat.addEventListener("changed", () => this.#emit("changed"));
    this.#recordArea.replaceChildren(chat.element);
    if (this.#started) {
      chat.start();
    }
  }

  // --- events of the session ---

  /** @param {Session} session */
  #onSession(session) {
    this.#session = session;
    this.#context.names.update(session);
    this.names = namesOf(session);
    this.namesKnown = true;
    const since = parseTime(session.started ?? session.created);
    const times = new TimeFormatter(language);
    const clock = times.clock(since);
    const time = sameDay(since, new Date()) ? clock : `${times.day(since)} ${clock}`;
    this.header.since = text(session.started ? "since" : "since_opened", { time });
    if (session.ended) {
      const words = session.state === "cancelled" ? "session_cancelled_at" : "session_ended_at";
      this.#transcript.showEnd(text(words, { time: times.clock(parseTime(session.ended)) }));
    }
    this.#showNames();
    this.#emit("changed");
  }

  #showNames() {
    this.header.names = this.names;
    this.#transcript.names = this.names;
    this.#speaking.clientName = this.names.visitor;
    if (this.record) {
      this.record.names = this.#context.names.get(this.session) ?? this.names;
    }
  }

  /**
   * @param {ObservedMessage[]} messages
   * @param {boolean} isNew
   */
  #onMessages(messages, isNew) {
    this.#transcript.add(messages, isNew);
    const last = messages[messages.length - 1].seq;
    this.#seenSeq ??= isNew ? messages[0].seq - 1 : last; // earlier messages do not count as unread
    this.#lastSeq = Math.max(this.#lastSeq, last);
    if (this.#visible) {
      this.#seenSeq = this.#lastSeq;
    }
    this.#emit("changed");
  }

  #onEnd() {
    this.element.classList.add("is-ended");
    this.#speaking.element.hidden = true;
    this.header.showState("ended", text("state_over"));
    this.header.showPresence(null);
    if (!this.#session?.ended) {
      this.#transcript.showEnd(text("session_ended"));
    }
    this.#emit("changed");
  }

  /** Whether the session has ended, or must not be observed. */
  isOver = false;

  /** @param {ConnectionStatus} status */
  #onStatus(status) {
    if (status.state === "open") {
      this.header.showState("live", text("state_live"));
    } else if (status.state !== "closed") {
      this.header.showState("cut", text(status.wasOpen ? "state_cut" : "connecting"));
    } else {
      this.isOver = true;
      this.#speaking.element.hidden = true;
      if (!ENDED_CLOSE_CODES.has(status.code ?? 0)) {
        const reason = status.reason || String(status.code);
        const key = REFUSAL_TEXT_KEYS[status.code ?? 0];
        this.header.showState("refused", text("state_refused"));
        this.header.showPresence(null);
        this.#transcript.showRefusal(key ? text(key) : text("closed_text", { reason }));
        this.#recordArea.hidden = this.record === undefined;
      }
    }
  }

  /**
   * @param {string} event
   * @param {unknown} [detail]
   */
  #emit(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }
}
