// @ts-check
/**
 * The supervision record: the chat of supervisor and consultant. The client does not see it.
 *
 * Events: `changed`, when the unread count changes, when both participants have met, and at the end.
 *
 * @module
 */

import { ChatSocket } from "../shared/chat.js";
import { ChatComposer } from "../shared/composer.js";
import { icon, make } from "../shared/elements.js";
import { ChatMessages } from "../shared/messages.js";
import { Outbox } from "../shared/outbox.js";
import { joinedParticipant, text } from "../shared/strings.js";
import { ConversationView } from "../shared/conversation_view.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */

const ENDED_CLOSE_CODES = new Set([1000, 4000, 4409]);

export class RecordChat extends EventTarget {
  /**
   * @param {string} record
   * @param {TokenSource} token
   * @param {boolean} folded
   */
  constructor(record, token, folded) {
    super();
    this.record = record;
    const key = `supervise:${record}`;
    this.#outbox = new Outbox(`${key}:unsent`);
    this.#build(folded);
    this.#view = new ConversationView(this.#messages, this.#composer, this.#outbox, `${key}:draft`, {
      send: (message) => this.#socket.send(message),
      resend: (id) => this.#socket.resend(id),
      loadOlder: () => this.#socket.loadOlder(),
      sendTyping: (typing) => this.#socket.sendTyping(typing),
      markRead: (seq) => this.#markRead(seq),
    });
    const room = { token, session: record, type: /** @type {const} */ (1), isConsultant: false };
    this.#socket = new ChatSocket(room, this.#outbox, {
      ...this.#view,
      onStatus: (status) => this.#onStatus(status),
      onMessage: (message) => {
        this.#view.onMessage(message);
        if (!message.own) {
          this.#countUnread(message.seq);
        }
      },
      onHistory: (messages, hasOlder) => {
        this.#view.onHistory(messages, hasOlder);
        messages.filter((message) => !message.own).forEach((message) => this.#countUnread(message.seq));
      },
      onSystemMessage: (msg, time) => {
        if (joinedParticipant(msg)?.role === "consultant") {
          this.#messages.addSystem(msg, time);
        }
      },
      onRead: (seq, role) => (role === "consultant" ? this.#view.onRead(seq) : this.#setReadSeq(seq)),
      onPresence: ({ present }) => this.#showPresence(present.consultant),
    });
  }

  element = make("section", "record");
  #outbox;
  /** @type {ConversationView} */
  #view;
  /** @type {ChatSocket} */
  #socket;
  #messages = new ChatMessages();
  #composer = new ChatComposer();
  #foldButton = make("button", "record-bar");
  #body = make("div", "record-body");
  #title = make("span", "record-title");
  #hint = make("span", "record-hint");
  #presence = make("span", "record-presence");
  #unreadCount = make("span", "count");
  #endText = make("p", "record-end");
  #name = "";
  #bothMet = false;
  /** Sequence numbers of the consultant's messages that were not on the screen yet. @type {Set<number>} */
  #unread = new Set();
  #readSeq = 0;
  #visible = true;
  /** Whether messages can still be written. */
  isWritable = true;

  /** Whether both participants have been present, and the record has not ended. */
  get isActive() {
    return this.isWritable && this.#bothMet;
  }

  get hasUnsent() {
    return this.#outbox.entries.length > 0;
  }

  get unread() {
    return this.#unread.size;
  }

  get folded() {
    return this.#body.hidden;
  }

  set folded(folded) {
    this.#body.hidden = folded;
    this.element.classList.toggle("folded", folded);
    this.#foldButton.setAttribute("aria-expanded", String(!folded));
    this.#updateVisible();
  }

  /** Whether the pane is on the screen: messages in a hidden list do not count as read. */
  set visible(/** @type {boolean} */ visible) {
    this.#visible = visible;
    this.#updateVisible();
  }

  /**
   * The names of the participants of the session.
   *
   * @param {{ visitor: string, consultant: string }} names
   */
  set names({ visitor, consultant }) {
    this.#name = consultant;
    this.#title.textContent = text("record_with", { name: consultant });
    this.#hint.textContent = text("record_hidden", { name: visitor });
    this.element.setAttribute("aria-label", text("record_with", { name: consultant }));
    this.#messages.otherName = consultant;
    this.#composer.label = text("record_write", { name: consultant });
    this.#endText.textContent = text("record_over", { name: consultant });
  }

  /** Connect; to be called when the element is in the page. */
  start() {
    this.#socket.start();
  }

  retry() {
    this.#socket.retry();
  }

  /** Disconnect; the record waits some minutes for the supervisor's return (rejoin grace). */
  stop() {
    this.#socket.stop();
  }

  /** End the record for both participants. */
  end() {
    this.#socket.end();
  }

  write() {
    this.folded = false;
    this.#composer.focus();
  }

  /** @param {boolean} folded */
  #build(folded) {
    this.#foldButton.type = "button";
    this.#foldButton.append(
      icon("lock"),
      make(
        "span",
        "record-heading",
        this.#title,
        make("span", "record-meta", this.#presence, " · ", this.#hint),
      ),
      this.#unreadCount,
      icon("fold"),
    );
    this.#foldButton.addEventListener("click", () => {
      this.folded = !this.folded;
      this.element.dispatchEvent(new CustomEvent("folded", { bubbles: true }));
    });
    this.#messages.emptyTextKeys = ["record_empty_title", "record_empty_text"];
    this.#endText.hidden = true;
    this.#body.append(this.#messages, this.#composer, this.#endText);
    this.element.append(this.#foldButton, this.#body);
    this.#unreadCount.hidden = true;
    this.folded = folded;
    this.#showPresence(undefined);
  }

  #updateVisible() {
    this.#messages.visible = this.#visible && !this.folded;
  }

  // --- read and unread ---

  /** @param {number} seq the sequence number of a message of the consultant */
  #countUnread(seq) {
    if (seq > this.#readSeq) {
      this.#unread.add(seq);
      this.#showUnread();
    }
  }

  /** @param {number} seq */
  #markRead(seq) {
    this.#socket.markRead(seq);
    this.#setReadSeq(seq);
  }

  /** Everything up to `seq` was seen, in any window. @param {number} seq */
  #setReadSeq(seq) {
    this.#readSeq = Math.max(this.#readSeq, seq);
    this.#unread.forEach((each) => each <= seq && this.#unread.delete(each));
    this.#showUnread();
  }

  #showUnread() {
    const count = this.#unread.size;
    this.#unreadCount.hidden = count === 0;
    this.#unreadCount.replaceChildren(
      String(count),
      make("span", "visually-hidden", ` ${text("unread_count", { count })}`),
    );
    this.#emitChanged();
  }

  // --- connection and presence ---

  /** @param {boolean | undefined} present undefined: unknown */
  #showPresence(present) {
    if (present && !this.#bothMet) {
      this.#bothMet = true;
      this.#emitChanged();
    }
    this.#presence.dataset.present = String(present);
    this.#presence.replaceChildren(
      make("span", "dot"),
      text(present === undefined ? "presence_unknown" : present ? "present" : "absent"),
    );
    if (!present) {
      this.#view?.onTyping(false);
    }
  }

  /** @param {ConnectionStatus} status */
  #onStatus(status) {
    if (status.state !== "open") {
      this.#showPresence(undefined);
    }
    if (status.state === "closed") {
      this.#onClosed(status);
    }
  }

  /** @param {ConnectionStatus} status */
  #onClosed({ code = 0, reason }) {
    this.isWritable = false;
    this.#composer.hidden = true;
    this.#presence.hidden = true;
    this.#endText.hidden = false;
    if (ENDED_CLOSE_CODES.has(code)) {
      this.#view.giveUpDraft();
      this.#view.giveUpUnsent();
      this.#endText.textContent = text("record_over", { name: this.#name });
    } else {
      this.#endText.textContent = text("record_refused", { reason: reason || String(code) });
    }
    this.#messages.addHistory([], false);
    this.#emitChanged();
  }

  #emitChanged() {
    this.dispatchEvent(new CustomEvent("changed"));
  }
}
