// @ts-check
/**
 * Connects a message list and a composer to one conversation.
 *
 * @module
 */

import { tabStorage } from "./storage.js";
import { text } from "./strings.js";

/** @typedef {import("./composer.js").ChatComposer} ChatComposer */
/** @typedef {import("./conversation.js").Message} Message */
/** @typedef {import("./messages.js").ChatMessages} ChatMessages */
/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./outbox.js").OutboxEntry} OutboxEntry */

/**
 * The actions of the reader.
 *
 * @typedef {object} ConversationActions
 * @property {(text: string) => OutboxEntry} send
 * @property {(id: string) => void} resend
 * @property {() => void} loadOlder
 * @property {(typing: boolean) => void} sendTyping
 * @property {(seq: number) => void} markRead
 */

const TYPING_TIMEOUT_MS = 6_000; // the typing indicator ends if it is not repeated within this time

export class ConversationView {
  /**
   * @param {ChatMessages} messages
   * @param {ChatComposer} composer
   * @param {Outbox} outbox
   * @param {string} draftKey of the tab's storage
   * @param {ConversationActions} actions
   */
  constructor(messages, composer, outbox, draftKey, actions) {
    this.#messages = messages;
    this.#composer = composer;
    this.#outbox = outbox;
    this.#draftKey = draftKey;
    composer.value = tabStorage.getItem(draftKey) ?? "";
    onDetail(composer, "draft", (draft) => this.#saveDraft(draft));
    onDetail(composer, "typing", actions.sendTyping);
    onDetail(composer, "send", (message) => messages.addUnsent(actions.send(message)));
    onDetail(messages, "older", () => actions.loadOlder());
    onDetail(messages, "read", actions.markRead);
    onDetail(messages, "resend", (id) => {
      messages.markSending(id);
      actions.resend(id);
    });
    onDetail(messages, "edit", (id) => this.#edit(id));
    for (const entry of outbox.entries) {
      messages.addUnsent(entry);
      if (entry.refused !== undefined) {
        this.onRefused(entry.id, entry.refused);
      }
    }
  }

  #messages;
  #composer;
  #outbox;
  #draftKey;
  /** @type {number | undefined} */
  #typingTimer;

  // --- events of the conversation; bound, so that they can be spread into a listener ---

  /** @param {Message} message */
  onMessage = (message) => {
    this.#messages.add(message);
    if (!message.own) {
      this.onTyping(false);
    }
  };

  /**
   * @param {Message[]} messages
   * @param {boolean} hasOlder
   */
  onHistory = (messages, hasOlder) => this.#messages.addHistory(messages, hasOlder);

  /**
   * @param {string} id
   * @param {number} seq
   * @param {string} time
   */
  onStored = (id, seq, time) => this.#messages.markStored(id, seq, time);

  /**
   * @param {string} id
   * @param {string} reason
   */
  onRefused = (id, reason) =>
    this.#messages.markRefused(id, reason || text("refused_too_big"), false, !this.#outbox.find(id)?.judged);

  /** @param {import("./approval_states.js").Approval} approval */
  onApproval = (approval) => this.#messages.showApproval(approval);

  /** @param {boolean} typing */
  onTyping = (typing) => {
    clearTimeout(this.#typingTimer);
    this.#messages.typing = typing;
    if (typing) {
      this.#typingTimer = setTimeout(() => this.onTyping(false), TYPING_TIMEOUT_MS);
    }
  };

  /** Everything up to `seq` has arrived at the other side. @param {number} seq */
  onReceived = (seq) => this.#messages.markReceived(seq);

  /** The other side has read everything up to `seq`. @param {number} seq */
  onRead = (seq) => this.#messages.markRead(seq);

  /** @param {import("./conversation.js").Handover} handover */
  onHandover = (handover) => this.#messages.addHandover(handover);

  /** Show the text in the composer as a message that was not sent: the conversation has ended. */
  giveUpDraft() {
    const draft = this.#composer.value.trim();
    if (draft) {
      const entry = this.#outbox.add(draft);
      this.#messages.addUnsent(entry);
      this.#messages.markRefused(entry.id, text("refused_over"), true);
      this.#composer.value = "";
      this.#saveDraft("");
    }
  }

  /** Mark unsent messages as refused: the conversation has ended, so they will not be stored. */
  giveUpUnsent() {
    for (const entry of this.#outbox.entries) {
      if (entry.seq === undefined) {
        this.#messages.markRefused(entry.id, text("refused_over"), true);
      }
    }
  }

  /** Move a refused message back into the composer. @param {string} id */
  #edit(id) {
    const entry = this.#outbox.find(id);
    this.#outbox.remove(id);
    this.#messages.removeUnsent(id);
    this.#composer.value = [entry?.text, this.#composer.value].filter(Boolean).join("\n");
    this.#saveDraft(this.#composer.value);
    this.#composer.focus();
  }

  /** @param {string} draft */
  #saveDraft(draft) {
    tabStorage.setItem(this.#draftKey, draft);
  }
}

/**
 * @param {EventTarget} target
 * @param {string} name
 * @param {(detail: any) => void} act
 */
function onDetail(target, name, act) {
  target.addEventListener(name, (event) => act(/** @type {CustomEvent} */ (event).detail));
}
