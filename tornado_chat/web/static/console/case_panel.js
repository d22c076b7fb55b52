// @ts-check
/**
 * The panel of an open conversation: client, messages and composer.
 *
 * @module
 */

import { ChatComposer } from "../shared/composer.js";
import { icon, make } from "../shared/elements.js";
import { ChatMessages } from "../shared/messages.js";
import { language, text } from "../shared/strings.js";
import { ConversationView } from "../shared/conversation_view.js";
import { formatElapsed, parseTime, TimeFormatter } from "../shared/time.js";
import { ariaShortcut, shortcutText } from "./shortcuts.js";
import { suggestReplies } from "./reply_suggestions.js";

/** @typedef {import("../shared/conversation.js").Message} Message */
/** @typedef {import("../shared/conversation_view.js").ConversationActions} ConversationActions */
/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("./shortcuts.js").Shortcut} Shortcut */
/** @typedef {import("./replies.js").QuickReplies} QuickReplies */

/**
 * The actions of a panel.
 *
 * @typedef {object} PanelActions
 * @property {ConversationActions} conversation
 * @property {QuickReplies} replies
 * @property {() => void} back
 * @property {() => void} pin
 * @property {() => void} details
 * @property {() => void} handOver
 * @property {() => void} askHelp
 * @property {() => void} end
 * @property {() => void} remove
 * @property {() => Promise<void>} loadTranscript
 * @property {() => void} activate
 * @property {() => void} onEdit a refused message became a draft again
 */

const PAGE_MESSAGES = 60; // shown when the panel opens, and added on each scroll to the beginning
export const LONG_WAIT_MS = 60_000; // waiting times from which a client is marked
export const TOO_LONG_WAIT_MS = 180_000;

export class CasePanel {
  #messages = new ChatMessages();
  #composer = new ChatComposer();
  #name = make("h2", "panel-name");
  #statusText = make("p", "panel-status");
  #endNotice = make("div", "panel-end-notice");
  #times = new TimeFormatter(language);
  /** @type {ConversationView | undefined} */
  #view;
  /** The sequence number of the first shown message; 0: all loaded messages are shown. */
  #firstShownSeq = 0;
  #hasContent = false;
  /** @type {Set<import("../shared/conversation.js").Handover>} */
  #shownHandovers = new Set();
  #isLoadingTranscript = false;
  /** @type {Partial<Record<string, HTMLButtonElement>>} */
  #buttons = {};

  /**
   * @param {Case} item
   * @param {PanelActions} actions
   */
  constructor(item, actions) {
    this.case = item;
    this.#actions = actions;
    this.#name.id = `name-${item.number}`;
    this.#name.tabIndex = -1;
    const top = make(
      "header",
      "panel-header",
      this.#makeButton("back", "back", "back_to_list", actions.back),
      make("div", "panel-title", this.#name, this.#statusText),
      this.#makeButton("pin", "pin", "pin", actions.pin, "pin"),
      this.#makeButton("details", "person", "details", actions.details, "details"),
      this.#makeButton("help", "call", "ask_help", actions.askHelp),
      this.#makeButton("hand", "hand_over", "hand_over", actions.handOver, "hand"),
      this.#makeButton("end", "end", "end_talk", actions.end, "end"),
    );
    this.#endNotice.hidden = true;
    this.element = make("section", "panel", top, this.#messages, this.#composer, this.#endNotice);
    this.element.setAttribute("aria-labelledby", this.#name.id);
    this.element.dataset.number = String(item.number);
    for (const event of ["pointerdown", "focusin"]) {
      this.element.addEventListener(event, actions.activate);
    }
  }

  #actions;

  /** Show the case; to be called when the element is in the page. */
  attach() {
    const { case: item } = this;
    const actions = { ...this.#actions.conversation, loadOlder: () => this.#loadOlder() };
    this.#messages.otherName = item.name;
    this.#view = new ConversationView(this.#messages, this.#composer, item.outbox, item.draftKey, actions);
    this.#messages.addEventListener("edit", this.#actions.onEdit);
    suggestReplies(this.#composer, this.#actions.replies, () => item.client.name ?? "");
    this.#view.onReceived(item.clientReceivedSeq);
    this.#view.onRead(item.clientReadSeq);
    this.#view.onTyping(item.isTyping);
    if (item.isLoaded) {
      this.#showMessagesBefore(item.messages.length);
    }
    item.approvals.all.forEach((approval) => this.#view?.onApproval(approval));
    const { onMessage, onStored, onRefused, onTyping, onReceived, onRead, onApproval } = this.#view;
    item.view = {
      onMessage,
      onStored,
      onRefused,
      onTyping,
      onReceived,
      onRead,
      onApproval,
      onHandover: () => this.#showHandovers(),
      onHistory: (messages, hasOlder) => this.#onHistory(messages, hasOlder),
      showEnded: () => this.#showEnded(),
      removeUnsent: (id) => this.#messages.removeUnsent(id),
    };
    item.isNew = false;
    if (item.state === "ended") {
      this.#showEnded();
    }
  }

  /** Remove the element from the page. */
  detach() {
    this.case.view = null;
    this.element.remove();
  }

  /** Focus the composer. */
  focus() {
    if (this.case.state !== "ended" && matchMedia("(hover: hover)").matches) {
      this.#composer.focus();
    } else {
      this.#name.focus(); // on a phone the keyboard would cover the messages before they are read
    }
  }

  /** @param {{ active: boolean, pinned: boolean, detailed: boolean, connected: boolean }} state */
  show({ active, pinned, detailed, connected }) {
    const { case: item } = this;
    const isEnded = item.state === "ended";
    this.element.classList.toggle("active", active);
    this.#name.textContent = item.name;
    this.#messages.otherName = item.name;
    this.#buttons.pin?.setAttribute("aria-pressed", String(pinned));
    this.#buttons.details?.setAttribute("aria-pressed", String(detailed));
    for (const name of ["hand", "end"]) {
      const button = this.#buttons[name];
      if (button) {
        button.hidden = isEnded;
        button.disabled = item.isEnding || item.state !== "open" || (name === "hand" && !connected);
      }
    }
  }

  /** Called once a second. @param {number | null} serverNowMs */
  tick(serverNowMs) {
    const { case: item } = this;
    const since = item.waitingSince;
    const waitMs = since === undefined || serverNowMs === null ? 0 : serverNowMs - parseTime(since).getTime();
    const number = text("number", { number: item.number });
    const startedText = text("since", { time: this.#times.clock(parseTime(item.client.since)) });
    const content = item.isEnding
      ? text("ending")
      : item.state === "ended"
        ? `${text("over")} · ${number}`
        : waitMs > 0
          ? `${text("waits", { time: formatElapsed(waitMs) })} · ${number}`
          : `${number} · ${startedText}`;
    if (this.#statusText.textContent !== content) {
      this.#statusText.textContent = content;
    }
    this.#statusText.dataset.waitLevel = waitLevel(item.isEnding ? 0 : waitMs);
  }

  // --- messages ---

  /** Handle loaded history. @param {Message[]} messages @param {boolean} hasOlder */
  #onHistory(messages, hasOlder) {
    if (!this.#hasContent) {
      this.#showMessagesBefore(this.case.messages.length);
    } else {
      // Loaded messages before the first shown one are not shown yet, so new ones before it are not shown
      // either.
      const shown = messages.filter((message) => message.seq >= this.#firstShownSeq);
      this.#messages.addHistory(shown, this.#firstShownSeq > 0 || hasOlder);
    }
  }

  #loadOlder() {
    const { messages } = this.case;
    if (this.#firstShownSeq > 0) {
      this.#showMessagesBefore(messages.findIndex((message) => message.seq === this.#firstShownSeq));
    } else {
      this.#actions.conversation.loadOlder();
    }
  }

  /** Show a page of loaded messages: those before the index `end`. @param {number} end */
  #showMessagesBefore(end) {
    const { messages, hasOlder } = this.case;
    const begin = Math.max(0, end - PAGE_MESSAGES);
    this.#hasContent = true;
    this.#firstShownSeq = begin > 0 ? messages[begin].seq : 0;
    this.#messages.addHistory(messages.slice(begin, end), begin > 0 || hasOlder);
    this.#showHandovers();
  }

  /** Show the changes of the agent that are not earlier than the first shown message. */
  #showHandovers() {
    const { messages, handovers } = this.case;
    const first = messages.find((message) => message.seq === this.#firstShownSeq);
    for (const handover of handovers) {
      if (!this.#shownHandovers.has(handover) && (!first || handover.time >= first.time)) {
        this.#shownHandovers.add(handover);
        this.#messages.addHandover(handover);
      }
    }
  }

  #showEnded() {
    const { case: item } = this;
    if (item.endReason && ["parted", "lost", "missed"].includes(item.endReason)) {
      this.#view?.giveUpDraft(); // the agent was still writing
    }
    this.#view?.giveUpUnsent();
    this.#composer.hidden = true;
    this.element.classList.add("is-ended");
    const content = text(`over_${item.endReason ?? "lost"}`, { name: item.name });
    const removeButton = make("button", "secondary-button", text("remove_case"));
    removeButton.type = "button";
    removeButton.title = shortcutText("end");
    removeButton.addEventListener("click", this.#actions.remove);
    const notice = make("p", "", item.unsent ? `${content} ${text("over_unsent")}` : content);
    this.#endNotice.replaceChildren(notice, removeButton);
    this.#endNotice.hidden = false;
    this.#messages.scrollToEnd();
    if (!item.isLoaded && !this.#isLoadingTranscript) {
      this.#isLoadingTranscript = true;
      this.#actions.loadTranscript().catch((error) => {
        this.#messages.addHistory([], false);
        notice.textContent = `${content} ${error.message}`;
      });
    }
  }

  // --- buttons ---

  /**
   * @param {string} name
   * @param {string} iconName
   * @param {string} key
   * @param {() => void} act
   * @param {Shortcut} [shortcut]
   */
  #makeButton(name, iconName, key, act, shortcut) {
    const button = make("button", `icon-button ${name}`, icon(iconName));
    button.type = "button";
    button.setAttribute("aria-label", text(key));
    button.title = shortcut ? `${text(key)} (${shortcutText(shortcut)})` : text(key);
    if (shortcut) {
      button.setAttribute("aria-keyshortcuts", ariaShortcut(shortcut));
    }
    button.addEventListener("click", act);
    this.#buttons[name] = button;
    return button;
  }
}

/**
 * The severity of a waiting time.
 *
 * @param {number} milliseconds
 * @returns {"" | "short" | "long" | "too-long"}
 */
export function waitLevel(milliseconds) {
  return milliseconds <= 0
    ? ""
    : milliseconds < LONG_WAIT_MS
      ? "short"
      : milliseconds < TOO_LONG_WAIT_MS
        ? "long"
        : "too-long";
}
