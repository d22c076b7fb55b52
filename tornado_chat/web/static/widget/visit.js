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
import { UserSupportSocket } from "../shared/support_user.js";
import { ConversationView } from "../shared/conversation_view.js";
import { ShownConversation } from "./shown_conversation.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("../shared/conversation.js").Message} Message */
/** @typedef {import("../shared/messages.js").ChatMessages} ChatMessages */
/** @typedef {import("../shared/support_user.js").UserPhase} UserPhase */
/** @typedef {import("./panel.js").Panel} Panel */

/**
 * @typedef {object} VisitListener
 * @property {(going: boolean, unread: number) => void} onState
 * @property {(status: ConnectionStatus) => void} onClosed for good, by the server
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
    this.#shown = new ShownConversation(`${this.#key}:shown`);
    this.#socket = new UserSupportSocket(
      token,
      this.#outbox,
      {
        onStatus: (status) => this.#onStatus(status),
        onPhase: (phase) => this.#onPhase(phase),
        onConversation: (number, hasUnsent) => this.#onConversation(number, hasUnsent),
        onMessage: (message) => this.#countUnread([message], () => this.#view?.onMessage(message)),
        onHistory: (messages, hasOlder) =>
          this.#countUnread(messages, () => this.#onHistory(messages, hasOlder)),
        onStored: (id, seq, time) => this.#view?.onStored(id, seq, time),
        onRefused: (id, reason) => this.#onRefused(id, reason),
        onTyping: (typing) => this.#view?.onTyping(typing),
        onRead: (seq) => this.#view?.onRead(seq),
        onOwnRead: (seq) => this.#onOwnRead(seq),
        onRated: () => this.#onRated(),
        onError: (message) => this.#onError(message),
      },
      this.#shown.number,
    );
  }

  #key;
  #panel;
  #listener;
  #outbox;
  #socket;
  #shown;
  /** @type {ConversationView | undefined} */
  #view;
  /** @type {ChatMessages | undefined} */
  #messages;
  /** @type {UserPhase} */
  #phase = { state: "none" };
  #startRequested = false;
  #leaveRequested = false;
  #ratingSent = false;
  #visible = false;
  /** Whether the page knows that something is going on. @type {boolean | undefined} */
  #reportedActive;
  /** The others' messages that were not read. @type {Set<number>} */
  #unread = new Set();
  /** @type {number | undefined} */
  #reportTimer;
  /** @type {number | undefined} */
  #noticeTimer;

  // --- what the reader does ---

  /** Come back to what there is, or if `wanted` begin a conversation. @param {boolean} joinQueue */
  start(joinQueue) {
    if (joinQueue) {
      this.#startRequested = true;
      this.#panel.showStarting();
      this.#socket.joinQueue();
    } else {
      this.#panel.showResuming();
    }
    this.#socket.start();
  }

  /** Begin a conversation, after another one as well. */
  startConversation() {
    this.#startRequested = true;
    this.#panel.showStarting();
    this.#socket.joinQueue();
    this.#socket.retry();
  }

  /** Another tab may have begun one. */
  wake() {
    if (!this.hasConversation) {
      this.#socket.resume();
    }
  }

  leave() {
    this.#leaveRequested = true;
    this.#socket.leave();
  }

  retry() {
    this.#socket.retry();
  }

  /**
   * @param {number} stars
   * @param {string} feedback
   */
  rate(stars, feedback) {
    this.#ratingSent = this.#socket.rate(stars, feedback);
    if (!this.#ratingSent) {
      this.#panel.showRatingProblem(text("failed_network"));
    }
  }

  /** Stop, and leave nothing to be seen. */
  stop() {
    clearTimeout(this.#reportTimer);
    clearTimeout(this.#noticeTimer);
    this.#socket.stop();
    this.#panel.clear();
  }

  /** Whether the panel is open. */
  set visible(/** @type {boolean} */ watched) {
    this.#visible = watched;
    if (this.#messages) {
      this.#messages.visible = watched;
    }
  }

  get hasConversation() {
    return this.#phase.state === "waiting" || this.#phase.state === "talking";
  }

  /** Whether nothing is lost if it stops until the panel is opened again. */
  get isIdle() {
    return !this.hasConversation && !this.#startRequested && this.#unread.size === 0;
  }

  get unsent() {
    return this.#outbox.entries.length > 0;
  }

  // --- where it stands ---

  /** @param {UserPhase} phase */
  #onPhase(phase) {
    const before = this.#phase;
    this.#phase = phase;
    this.#startRequested &&= phase.state === "none" || phase.state === "over";
    if (this.#messages) {
      this.#messages.held = phase.state === "waiting" && !phase.returned;
    }
    if (phase.state === "none") {
      this.#panel.showStart();
    } else if (phase.state === "waiting") {
      this.#view?.onTyping(false);
      this.#panel.showQueue(phase.position ?? 1, phase.returned === true);
    } else if (phase.state === "talking") {
      const name = phase.name ?? "";
      this.#shown.update({ name });
      this.#panel.showConversation(name);
      if (before.state === "waiting") {
        this.#panel.announce(text(name ? "joined_news" : "joined_news_unnamed", { name }));
      }
    } else if (before.state === "waiting" && !before.returned) {
      this.#shown.clear(); // nobody has said anything
      this.#panel.showStart(text(this.#leaveRequested ? "left_note" : "lost_place_note"));
    } else {
      this.#view?.onTyping(false);
      this.#view?.giveUpUnsent();
      this.#panel.showEnd(this.#shown.name, this.#shown.rated);
    }
    if (!this.hasConversation) {
      this.#leaveRequested = false;
    }
    this.#report();
  }

  /**
   * @param {number} number
   * @param {string[]} unsent
   */
  #onConversation(number, unsent) {
    this.#shown.begin(number);
    this.#unread.clear();
    const draftKey = `${this.#key}:draft`;
    const draft = [...unsent, tabStorage.getItem(draftKey)].filter(Boolean).join("\n");
    tabStorage.setItem(draftKey, draft);
    const { messages, composer } = this.#panel.newConversation(this.#visible);
    this.#messages = messages;
    this.#view = new ConversationView(messages, composer, this.#outbox, draftKey, {
      send: (message) => this.#socket.send(message),
      resend: (id) => this.#socket.resend(id),
      loadOlder: () => this.#socket.loadOlder(),
      sendTyping: (typing) => this.#socket.sendTyping(typing),
      markRead: (seq) => {
        this.#onOwnRead(seq);
        this.#socket.markRead(seq);
      },
    });
    messages.held = true; // until it is known whether anybody is there
  }

  /** @param {ConnectionStatus} status */
  #onStatus(status) {
    clearTimeout(this.#noticeTimer);
    if (status.state === "connecting" && !status.wasOpen) {
      // Nearly always it is done before anybody could read that.
      this.#noticeTimer = setTimeout(() => this.#panel.statusBar.show(status), CONNECTING_NOTICE_DELAY_MS);
    } else if (this.#leaveRequested && status.state !== "closed") {
      this.#panel.statusBar.showText("trouble", status.state === "open" ? "" : text("end_waits"));
    } else {
      this.#panel.statusBar.show(status);
    }
    if (status.state === "closed") {
      this.#listener.onClosed(status);
    } else if (status.state !== "open" && this.#ratingSent) {
      this.#ratingSent = false;
      this.#panel.showRatingProblem(text("failed_network"));
    }
  }

  // --- what was said and read ---

  /**
   * @param {Message[]} message
   * @param {() => void} show
   */
  #countUnread(message, show) {
    for (const each of message) {
      if (!each.own && each.seq > this.#shown.read) {
        this.#unread.add(each.seq);
      }
    }
    show(); // who looks at it reads it
    this.#report();
  }

  /**
   * @param {Message[]} messages
   * @param {boolean} hasOlder
   */
  #onHistory(messages, hasOlder) {
    this.#view?.onHistory(messages, hasOlder);
    if (this.#phase.state === "over") {
      this.#view?.giveUpUnsent();
    }
  }

  /**
   * @param {string} id
   * @param {string} reason
   */
  #onRefused(id, reason) {
    if (this.hasConversation) {
      this.#view?.onRefused(id, reason);
    } else {
      this.#view?.giveUpUnsent();
    }
  }

  /** Oneself has read up to here, in this window or another. @param {number} seq */
  #onOwnRead(seq) {
    this.#shown.update({ read: Math.max(seq, this.#shown.read) });
    this.#unread = new Set([...this.#unread].filter((each) => each > seq));
    this.#report();
  }

  // --- the end ---

  #onRated() {
    this.#ratingSent = false;
    this.#shown.update({ rated: true });
    if (this.#phase.state === "over") {
      this.#panel.showEnd(this.#shown.name, true);
    }
  }

  /** A question of ours was refused. @param {string} message */
  #onError(message) {
    this.#startRequested = false;
    const problem = text("failed", { reason: message });
    if (this.#ratingSent) {
      this.#ratingSent = false;
      this.#panel.showRatingProblem(problem);
    } else {
      this.#panel.showStart("", problem);
    }
  }

  // --- inside ---

  #report() {
    clearTimeout(this.#reportTimer);
    const report = () => {
      const seen = this.#visible && !document.hidden;
      this.#reportedActive = this.hasConversation;
      this.#listener.onState(this.hasConversation, seen ? 0 : this.#unread.size);
    };
    if (this.#reportedActive === this.hasConversation) {
      this.#reportTimer = setTimeout(report, STATE_DEBOUNCE_MS);
    } else {
      report(); // the page may be left in the next moment, and has to know on the next one
    }
  }
}
