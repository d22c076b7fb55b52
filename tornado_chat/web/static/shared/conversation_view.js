// @ts-check
/**
 * A message list and a composer, joined to one conversation.
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
 * What the reader does.
 *
 * @typedef {object} ConversationActions
 * @property {(text: string) => OutboxEntry} send
 * @property {(id: string) => void} resend
 * @property {() => void} loadOlder
 * @property {(typing: boolean) => void} sendTyping
 * @property {(seq: number) => void} markRead
 */

const TYPING_TIMEOUT_MS = 6_000; // milliseconds after which nobody types who has not said so again

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
    onDetail(composer, "send", (said) => messages.addUnsent(actions.send(said)));
    onDetail(messages, "older", () => actions.loadOlder());
    onDetail(messages, "read", actions.markRead);
    onDetail(messages, "resend", (id) => {
      messages.markSending(id);
      actions.resend(id);
    });
    onDetail(messages, "edit", (id) => this.#edit(id));
    for (const unsent of outbox.entries) {
      messages.addUnsent(unsent);
      if (unsent.refused !== undefined) {
        this.onRefused(unsent.id, unsent.refused);
      }
    }
  }

  #messages;
  #composer;
  #outbox;
  #draftKey;
  /** @type {number | undefined} */
  #typingTimer;

  // --- what the conversation tells; bound, to be handed over as they are ---

  /** @param {Message} said */
  onMessage = (said) => {
    this.#messages.add(said);
    if (!said.own) {
      this.onTyping(false);
    }
  };

  /**
   * @param {Message[]} past
   * @param {boolean} more
   */
  onHistory = (past, more) => this.#messages.addHistory(past, more);

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
  onRefused = (id, reason) => this.#messages.markRefused(id, reason || text("refused_too_big"));

  /** @param {boolean} typing */
  onTyping = (typing) => {
    clearTimeout(this.#typingTimer);
    this.#messages.typing = typing;
    if (typing) {
      this.#typingTimer = setTimeout(() => this.onTyping(false), TYPING_TIMEOUT_MS);
    }
  };

  /** The other side has read up to here. @param {number} seq */
  onRead = (seq) => this.#messages.markRead(seq);

  /** It is over: what was not stored will not be. */
  giveUpUnsent() {
    for (const unsent of this.#outbox.entries) {
      if (unsent.seq === undefined) {
        this.#messages.markRefused(unsent.id, text("refused_over"), true);
      }
    }
  }

  /** A refused message goes back to where it was written. @param {string} id */
  #edit(id) {
    const unsent = this.#outbox.find(id);
    this.#outbox.remove(id);
    this.#messages.removeUnsent(id);
    this.#composer.value = [unsent?.text, this.#composer.value].filter(Boolean).join("\n");
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
