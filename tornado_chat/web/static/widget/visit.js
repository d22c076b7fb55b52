// @ts-check
/**
 * One person's way through the chat: into the line, the conversation, its end. For another person there
 * is another visit, which knows nothing of this one.
 *
 * @module
 */

import { Outbox } from "../shared/outbox.js";
import { tabStorage } from "../shared/storage.js";
import { text } from "../shared/strings.js";
import { UserSupport } from "../shared/support_user.js";
import { Talking } from "../shared/talking.js";
import { Shown } from "./shown.js";

/** @typedef {import("../shared/connection.js").Standing} Standing */
/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("../shared/conversation.js").Said} Said */
/** @typedef {import("../shared/messages.js").ChatMessages} ChatMessages */
/** @typedef {import("../shared/support_user.js").Phase} Phase */
/** @typedef {import("./panel.js").Panel} Panel */

/**
 * @typedef {object} VisitListener
 * @property {(going: boolean, unread: number) => void} state
 * @property {(standing: Standing) => void} closed for good, by the server
 */

const CONNECTING_NOTICE_DELAY_MS = 800;
const STATE_DEBOUNCE_MS = 150; // milliseconds: what was said and how far it was read come one after the other

export class Visit {
  /**
   * @param {string} owner whose it is
   * @param {TokenSource} token
   * @param {Panel} panel
   * @param {VisitListener} listener
   */
  constructor(owner, token, panel, listener) {
    this.#key = `widget:${owner}`;
    this.#panel = panel;
    this.#listener = listener;
    this.#outbox = new Outbox(`${this.#key}:unsent`);
    this.#shown = new Shown(`${this.#key}:shown`);
    this.#support = new UserSupport(
      token,
      this.#outbox,
      {
        standing: (standing) => this.#standing(standing),
        phase: (phase) => this.#phaseChanged(phase),
        begun: (number, unsent) => this.#begun(number, unsent),
        message: (said) => this.#said([said], () => this.#talking?.message(said)),
        past: (past, more) => this.#said(past, () => this.#pastTold(past, more)),
        stored: (id, seq, time) => this.#talking?.stored(id, seq, time),
        refused: (id, reason) => this.#refused(id, reason),
        typing: (typing) => this.#talking?.typing(typing),
        read: (seq) => this.#talking?.read(seq),
        readHere: (seq) => this.#readHere(seq),
        rated: () => this.#rated(),
        failed: (message) => this.#failed(message),
      },
      this.#shown.number,
    );
  }

  #key;
  #panel;
  #listener;
  #outbox;
  #support;
  #shown;
  /** @type {Talking | undefined} */
  #talking;
  /** @type {ChatMessages | undefined} */
  #messages;
  /** @type {Phase} */
  #phase = { state: "none" };
  #starting = false;
  #leaving = false;
  #rating = false;
  #watched = false;
  /** Whether the page knows that something is going on. @type {boolean | undefined} */
  #told;
  /** The others' messages that were not read. @type {Set<number>} */
  #unread = new Set();
  /** @type {number | undefined} */
  #reporting;
  /** @type {number | undefined} */
  #patience;

  // --- what the reader does ---

  /** Come back to what there is, or if `wanted` begin a conversation. @param {boolean} wanted */
  start(wanted) {
    if (wanted) {
      this.#starting = true;
      this.#panel.showStarting();
      this.#support.connect();
    } else {
      this.#panel.showResuming();
    }
    this.#support.start();
  }

  /** Begin a conversation, after another one as well. */
  begin() {
    this.#starting = true;
    this.#panel.showStarting();
    this.#support.connect();
    this.#support.retry();
  }

  /** Another tab may have begun one. */
  wake() {
    if (!this.going) {
      this.#support.resume();
    }
  }

  leave() {
    this.#leaving = true;
    this.#support.leave();
  }

  retry() {
    this.#support.retry();
  }

  /**
   * @param {number} stars
   * @param {string} feedback
   */
  rate(stars, feedback) {
    this.#rating = this.#support.rate(stars, feedback);
    if (!this.#rating) {
      this.#panel.showRatingProblem(text("failed_network"));
    }
  }

  /** Stop, and leave nothing to be seen. */
  stop() {
    clearTimeout(this.#reporting);
    clearTimeout(this.#patience);
    this.#support.stop();
    this.#panel.clear();
  }

  /** Whether the panel is open. */
  set watched(/** @type {boolean} */ watched) {
    this.#watched = watched;
    if (this.#messages) {
      this.#messages.watched = watched;
    }
  }

  get going() {
    return this.#phase.state === "waiting" || this.#phase.state === "talking";
  }

  /** Whether nothing is lost if it stops until the panel is opened again. */
  get idle() {
    return !this.going && !this.#starting && this.#unread.size === 0;
  }

  get unsent() {
    return this.#outbox.entries.length > 0;
  }

  // --- where it stands ---

  /** @param {Phase} phase */
  #phaseChanged(phase) {
    const before = this.#phase;
    this.#phase = phase;
    this.#starting &&= phase.state === "none" || phase.state === "over";
    if (this.#messages) {
      this.#messages.held = phase.state === "waiting" && !phase.returned;
    }
    if (phase.state === "none") {
      this.#panel.showStart();
    } else if (phase.state === "waiting") {
      this.#talking?.typing(false);
      this.#panel.showLine(phase.place ?? 1, phase.returned === true);
    } else if (phase.state === "talking") {
      const name = phase.name ?? "";
      this.#shown.update({ name });
      this.#panel.showTalk(name);
      if (before.state === "waiting") {
        this.#panel.announce(text(name ? "joined_news" : "joined_news_unnamed", { name }));
      }
    } else if (before.state === "waiting" && !before.returned) {
      this.#shown.forget(); // nobody has said anything
      this.#panel.showStart(text(this.#leaving ? "left_note" : "lost_place_note"));
    } else {
      this.#talking?.typing(false);
      this.#talking?.giveUpUnsent();
      this.#panel.showEnd(this.#shown.name, this.#shown.rated);
    }
    if (!this.going) {
      this.#leaving = false;
    }
    this.#report();
  }

  /**
   * @param {number} number
   * @param {string[]} unsent
   */
  #begun(number, unsent) {
    this.#shown.begin(number);
    this.#unread.clear();
    const draftKey = `${this.#key}:draft`;
    const draft = [...unsent, tabStorage.getItem(draftKey)].filter(Boolean).join("\n");
    tabStorage.setItem(draftKey, draft);
    const { messages, composer } = this.#panel.freshTalk(this.#watched);
    this.#messages = messages;
    this.#talking = new Talking(messages, composer, this.#outbox, draftKey, {
      say: (said) => this.#support.say(said),
      sayAgain: (id) => this.#support.sayAgain(id),
      older: () => this.#support.older(),
      typing: (typing) => this.#support.typing(typing),
      read: (seq) => {
        this.#readHere(seq);
        this.#support.read(seq);
      },
    });
    messages.held = true; // until it is known whether anybody is there
  }

  /** @param {Standing} standing */
  #standing(standing) {
    clearTimeout(this.#patience);
    if (standing.state === "connecting" && !standing.before) {
      // Nearly always it is done before anybody could read that.
      this.#patience = setTimeout(() => this.#panel.standing.show(standing), CONNECTING_NOTICE_DELAY_MS);
    } else if (this.#leaving && standing.state !== "closed") {
      this.#panel.standing.say("trouble", standing.state === "open" ? "" : text("end_waits"));
    } else {
      this.#panel.standing.show(standing);
    }
    if (standing.state === "closed") {
      this.#listener.closed(standing);
    } else if (standing.state !== "open" && this.#rating) {
      this.#rating = false;
      this.#panel.showRatingProblem(text("failed_network"));
    }
  }

  // --- what was said and read ---

  /**
   * @param {Said[]} said
   * @param {() => void} show
   */
  #said(said, show) {
    for (const each of said) {
      if (!each.own && each.seq > this.#shown.read) {
        this.#unread.add(each.seq);
      }
    }
    show(); // who looks at it reads it
    this.#report();
  }

  /**
   * @param {Said[]} past
   * @param {boolean} more
   */
  #pastTold(past, more) {
    this.#talking?.past(past, more);
    if (this.#phase.state === "over") {
      this.#talking?.giveUpUnsent();
    }
  }

  /**
   * @param {string} id
   * @param {string} reason
   */
  #refused(id, reason) {
    if (this.going) {
      this.#talking?.refused(id, reason);
    } else {
      this.#talking?.giveUpUnsent();
    }
  }

  /** Oneself has read up to here, in this window or another. @param {number} seq */
  #readHere(seq) {
    this.#shown.update({ read: Math.max(seq, this.#shown.read) });
    this.#unread = new Set([...this.#unread].filter((each) => each > seq));
    this.#report();
  }

  // --- the end ---

  #rated() {
    this.#rating = false;
    this.#shown.update({ rated: true });
    if (this.#phase.state === "over") {
      this.#panel.showEnd(this.#shown.name, true);
    }
  }

  /** A question of ours was refused. @param {string} message */
  #failed(message) {
    this.#starting = false;
    const problem = text("failed", { reason: message });
    if (this.#rating) {
      this.#rating = false;
      this.#panel.showRatingProblem(problem);
    } else {
      this.#panel.showStart("", problem);
    }
  }

  // --- inside ---

  #report() {
    clearTimeout(this.#reporting);
    const tell = () => {
      const seen = this.#watched && !document.hidden;
      this.#told = this.going;
      this.#listener.state(this.going, seen ? 0 : this.#unread.size);
    };
    if (this.#told === this.going) {
      this.#reporting = setTimeout(tell, STATE_DEBOUNCE_MS);
    } else {
      tell(); // the page may be left in the next moment, and has to know on the next one
    }
  }
}
