// @ts-check
/**
 * One person's visit: the queue, the conversation and its end. Another person gets another visit, which
 * shares nothing with this one.
 *
 * @module
 */

import { GroupTitles } from "../shared/groups.js";
import { Outbox } from "../shared/outbox.js";
import { tabStorage } from "../shared/storage.js";
import { text } from "../shared/strings.js";
import { UserSupportSocket } from "../shared/support_user.js";
import { ConversationView } from "../shared/conversation_view.js";
import { makeEarlier } from "./earlier.js";
import { GroupStep } from "./group_step.js";
import { ShownConversation } from "./shown_conversation.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("../shared/consent.js").ConsentForm} ConsentForm */
/** @typedef {import("../shared/conversation.js").Message} Message */
/** @typedef {import("../shared/messages.js").ChatMessages} ChatMessages */
/** @typedef {import("../shared/support_user.js").UserPhase} UserPhase */
/** @typedef {import("./group_step.js").GroupSettings} GroupSettings */
/** @typedef {import("./panel.js").Panel} Panel */

/**
 * @typedef {object} VisitListener
 * @property {(hasConversation: boolean, unread: number) => void} onState
 * @property {(group: string) => void} onUnknownGroup the server has refused the group that the page names
 * @property {(status: ConnectionStatus) => void} onClosed the server has closed the connection for good
 */

const CONNECTING_NOTICE_DELAY_MS = 800;
const STATE_DEBOUNCE_MS = 150; // messages and read receipts arrive one after the other

export class Visit {
  /**
   * @param {string} owner the key of the person (`token_owner.js`)
   * @param {TokenSource} token
   * @param {GroupSettings} groups
   * @param {Panel} panel
   * @param {VisitListener} listener
   */
  constructor(owner, token, groups, panel, listener) {
    this.#key = `widget:${owner}`;
    this.#token = token;
    this.#hasGroups = groups.areSeveral;
    this.#groupStep = new GroupStep(groups, token, panel, {
      join: (group) => this.#socket.joinQueue(group),
      fail: (problem) => this.#failStart(problem),
      reportUnknown: listener.onUnknownGroup,
    });
    this.#groupTitles = new GroupTitles(token, () => this.#showQueue());
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
        onMessage: (message) => {
          this.#hasWritten ||= message.own;
          this.#countUnread([message], () => this.#view?.onMessage(message));
        },
        onHistory: (messages, hasOlder) =>
          this.#countUnread(messages, () => this.#onHistory(messages, hasOlder)),
        onStored: (id, seq, time) => {
          this.#hasWritten = true;
          this.#view?.onStored(id, seq, time);
        },
        onRefused: (id, reason) => this.#onRefused(id, reason),
        onTyping: (typing) => this.#view?.onTyping(typing),
        onReceived: (seq) => this.#view?.onReceived(seq),
        onRead: (seq) => this.#view?.onRead(seq),
        onHandover: (handover) => this.#view?.onHandover(handover),
        onOwnRead: (seq) => this.#onOwnRead(seq),
        onRated: () => this.#onRated(),
        onConsentAsked: (form, problem) => this.#onConsentAsked(form, problem),
        onConsentNoted: (accepted) => this.#onConsentNoted(accepted),
        onError: (message) => this.#onError(message),
      },
      this.#shown.number,
    );
  }

  #key;
  #token;
  #hasGroups;
  #groupStep;
  #groupTitles;
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
  /** Whether a stored message of this person is in the conversation. */
  #hasWritten = false;
  /** Whether the place in the line was lost while this page was not there. */
  #lostWhileAway = false;
  /** Whether the words are taken back by leaving. */
  #withdraws = false;
  #ratingSent = false;
  #visible = false;
  /** The last reported value of `hasConversation`. @type {boolean | undefined} */
  #reportedActive;
  /** The sequence numbers of unread messages from the agent. @type {Set<number>} */
  #unread = new Set();
  /** @type {number | undefined} */
  #reportTimer;
  /** @type {number | undefined} */
  #noticeTimer;

  // --- actions of the reader ---

  /** Resume the current conversation, or start one if `joinQueue` is true. @param {boolean} joinQueue */
  start(joinQueue) {
    if (joinQueue) {
      this.#requestStart();
    } else {
      this.#panel.showResuming();
    }
    this.#socket.start();
  }

  /** Start a conversation, also after another one. */
  startConversation() {
    this.#requestStart();
    this.#socket.retry();
  }

  /** Another tab may have started a conversation. */
  wake() {
    if (!this.hasConversation) {
      this.#socket.resume();
    }
  }

  /** @param {boolean} [withdraws] take back what was written before an agent came */
  leave(withdraws = false) {
    this.#leaveRequested = true;
    this.#withdraws = withdraws;
    this.#socket.leave(withdraws);
  }

  /** What becomes of the words of the visitor who leaves the line now; undefined if there are none. */
  get earlyWords() {
    return this.#phase.state === "waiting" && this.#hasWritten ? this.#phase.early : undefined;
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

  /** Stop, and clear the panel. */
  stop() {
    this.#groupStep.cancel();
    clearTimeout(this.#reportTimer);
    clearTimeout(this.#noticeTimer);
    this.#socket.stop();
    this.#panel.clear();
  }

  /** Whether the panel is open. */
  set visible(/** @type {boolean} */ visible) {
    this.#visible = visible;
    if (this.#messages) {
      this.#messages.visible = visible;
    }
  }

  get hasConversation() {
    return this.#phase.state === "waiting" || this.#phase.state === "assigned";
  }

  /** Whether the visit can stop until the panel is opened again, without losing anything. */
  get isIdle() {
    return !this.hasConversation && !this.#startRequested && this.#unread.size === 0;
  }

  get hasUnsent() {
    return this.#outbox.entries.length > 0;
  }

  // --- phase and connection ---

  /** @param {UserPhase} phase */
  #onPhase(phase) {
    const before = this.#phase;
    this.#phase = phase;
    this.#startRequested &&= phase.state === "none" || phase.state === "ended";
    if (this.hasConversation) {
      this.#groupStep.cancel(); // another tab may have started it
    }
    if (this.#messages) {
      this.#messages.held = phase.state === "waiting" && !phase.returned && !phase.early;
    }
    if (this.#startRequested || (this.hasConversation && this.#socket.asksForConsent)) {
      // The visitor chooses a group, or is asked for its consent, or the answer to `connect` is still to come.
    } else if (phase.state === "none") {
      this.#panel.showStart();
    } else if (phase.state === "waiting") {
      this.#view?.onTyping(false);
      this.#showQueue();
      if (this.#hasGroups && phase.group) {
        this.#groupTitles.request([phase.group]);
      }
    } else if (phase.state === "assigned") {
      const name = phase.name ?? "";
      this.#shown.update({ name, served: true });
      this.#panel.showConversation(name);
      if (before.state === "waiting") {
        this.#panel.announce(text(name ? "joined_news" : "joined_news_unnamed", { name }));
      }
    } else if (!this.#shown.served) {
      this.#giveUp(before);
    } else {
      this.#showEnd();
    }
    if (!this.hasConversation) {
      this.#leaveRequested = this.#withdraws = false;
    }
    this.#report();
  }

  #showQueue() {
    const { state, position, returned, serving, wait, group, early } = this.#phase;
    if (state === "waiting") {
      this.#panel.showQueue({
        position: position ?? 1,
        kind: returned ? "returned" : early ? `early_${early}` : "waiting",
        served: serving !== 0,
        wait,
        group: this.#groupTitles.of(group),
      });
    }
  }

  /** The visitor has left the line, or has lost its place, before an agent came. @param {UserPhase} before */
  #giveUp(before) {
    this.#lostWhileAway = before.state === "none"; // the history, which was requested, has what was kept
    const isKept = before.early === "keep" && this.#hasWritten && !this.#withdraws;
    if (isKept || this.#lostWhileAway) {
      this.#shown.fold();
    } else {
      this.#shown.clear();
    }
    this.#showGivenUp(this.#leaveRequested ? "left_note" : "lost_position_note", isKept);
  }

  /** @param {string} note @param {boolean} isKept whether the words stay as a left message */
  #showGivenUp(note, isKept) {
    this.#panel.showStart(isKept ? `${text(note)} ${text("words_kept_note")}` : text(note));
  }

  #showEnd() {
    this.#view?.onTyping(false);
    this.#view?.giveUpUnsent();
    this.#panel.showEnd(this.#shown.name, this.#shown.rated);
  }

  #requestStart() {
    this.#startRequested = true;
    this.#panel.showStarting();
    this.#groupStep.begin();
  }

  /**
   * @param {ConsentForm} form
   * @param {string} problem
   */
  #onConsentAsked(form, problem) {
    const note = text(this.hasConversation ? "consent_ends" : "consent_not_begun");
    this.#panel.showConsent(form, note, problem, (accept) => {
      this.#leaveRequested = !accept && this.hasConversation;
      this.#socket.answerConsent(accept);
    });
  }

  /** @param {boolean} accepted */
  #onConsentNoted(accepted) {
    if (!accepted && this.#startRequested) {
      this.#startRequested = false;
      this.#panel.showStart(text("consent_declined_note"));
    } else if (this.hasConversation) {
      this.#onPhase(this.#phase);
    }
  }

  /** No conversation is started. @param {string} problem empty: the visitor went back */
  #failStart(problem) {
    this.#startRequested = false;
    if (this.#phase.state === "ended" && !problem) {
      this.#showEnd();
    } else {
      this.#panel.showStart("", problem);
    }
  }

  /**
   * @param {number} number
   * @param {string[]} unsent
   */
  #onConversation(number, unsent) {
    this.#shown.begin(number);
    this.#unread.clear();
    this.#hasWritten = false;
    const draftKey = `${this.#key}:draft`;
    const draft = [...unsent, tabStorage.getItem(draftKey)].filter(Boolean).join("\n");
    tabStorage.setItem(draftKey, draft);
    const { earlier } = this.#shown;
    const { messages, composer } = this.#panel.newConversation(
      this.#visible,
      earlier.length ? makeEarlier(earlier, this.#token) : null,
    );
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
    messages.held = true; // until it is known whether an agent is assigned
  }

  /** @param {ConnectionStatus} status */
  #onStatus(status) {
    clearTimeout(this.#noticeTimer);
    if (status.state === "connecting" && !status.wasOpen) {
      // The connection is nearly always open before the notice could be read.
      this.#noticeTimer = setTimeout(() => this.#panel.statusBar.show(status), CONNECTING_NOTICE_DELAY_MS);
    } else if (this.#leaveRequested && status.state !== "closed") {
      this.#panel.statusBar.showText("warning", status.state === "open" ? "" : text("end_waits"));
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

  // --- messages and read receipts ---

  /**
   * @param {Message[]} messages
   * @param {() => void} show
   */
  #countUnread(messages, show) {
    for (const each of messages) {
      if (!each.own && each.seq > this.#shown.read) {
        this.#unread.add(each.seq);
      }
    }
    show(); // a visible list marks them as read
    this.#report();
  }

  /**
   * @param {Message[]} messages
   * @param {boolean} hasOlder
   */
  #onHistory(messages, hasOlder) {
    const hasOwn = messages.some((message) => message.own);
    this.#hasWritten ||= hasOwn;
    if (this.#lostWhileAway && this.#phase.state === "ended") {
      this.#lostWhileAway = false;
      this.#showGivenUp("lost_position_note", hasOwn);
      return;
    }
    this.#view?.onHistory(messages, hasOlder);
    if (this.#phase.state === "ended") {
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

  /** This client has read everything up to `seq`, in this window or another one. @param {number} seq */
  #onOwnRead(seq) {
    this.#shown.update({ read: Math.max(seq, this.#shown.read) });
    this.#unread = new Set([...this.#unread].filter((each) => each > seq));
    this.#report();
  }

  // --- the end ---

  #onRated() {
    this.#ratingSent = false;
    this.#shown.update({ rated: true });
    if (this.#phase.state === "ended") {
      this.#panel.showEnd(this.#shown.name, true);
    }
  }

  /** The server refused a request. @param {string} message */
  #onError(message) {
    const problem = text("failed", { reason: message });
    if (this.#ratingSent) {
      this.#ratingSent = this.#startRequested = false;
      this.#groupStep.cancel();
      this.#panel.showRatingProblem(problem);
    } else if (this.#startRequested) {
      this.#groupStep.onRefused(problem);
    } else {
      this.#panel.showStart("", problem);
    }
  }

  // --- internal ---

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
      report(); // at once: the page may be left in the next moment, and the next page has to know
    }
  }
}
