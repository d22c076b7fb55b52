// @ts-check
/**
 * A message list and a composer, joined to one conversation.
 *
 * @module
 */

import { tabStorage } from "./storage.js";
import { text } from "./strings.js";

/** @typedef {import("./composer.js").ChatComposer} ChatComposer */
/** @typedef {import("./conversation.js").Said} Said */
/** @typedef {import("./messages.js").ChatMessages} ChatMessages */
/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./outbox.js").Unsent} Unsent */

/**
 * What the reader does.
 *
 * @typedef {object} Voice
 * @property {(text: string) => Unsent} say
 * @property {(id: string) => void} sayAgain
 * @property {() => void} older
 * @property {(typing: boolean) => void} typing
 * @property {(seq: number) => void} read
 */

const TYPING_TIMEOUT_MS = 6_000; // milliseconds after which nobody types who has not said so again

export class Talking {
  /**
   * @param {ChatMessages} messages
   * @param {ChatComposer} composer
   * @param {Outbox} outbox
   * @param {string} draftKey of the tab's storage
   * @param {Voice} voice
   */
  constructor(messages, composer, outbox, draftKey, voice) {
    this.#messages = messages;
    this.#composer = composer;
    this.#outbox = outbox;
    this.#draftKey = draftKey;
    composer.value = tabStorage.getItem(draftKey) ?? "";
    on(composer, "draft", (draft) => this.#keepDraft(draft));
    on(composer, "typing", voice.typing);
    on(composer, "say", (said) => messages.addUnsent(voice.say(said)));
    on(messages, "older", () => voice.older());
    on(messages, "read", voice.read);
    on(messages, "again", (id) => {
      messages.markSending(id);
      voice.sayAgain(id);
    });
    on(messages, "edit", (id) => this.#edit(id));
    for (const unsent of outbox.entries) {
      messages.addUnsent(unsent);
      if (unsent.refused !== undefined) {
        this.refused(unsent.id, unsent.refused);
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

  /** @param {Said} said */
  message = (said) => {
    this.#messages.add(said);
    if (!said.own) {
      this.typing(false);
    }
  };

  /**
   * @param {Said[]} past
   * @param {boolean} more
   */
  past = (past, more) => this.#messages.addPast(past, more);

  /**
   * @param {string} id
   * @param {number} seq
   * @param {string} time
   */
  stored = (id, seq, time) => this.#messages.markStored(id, seq, time);

  /**
   * @param {string} id
   * @param {string} reason
   */
  refused = (id, reason) => this.#messages.markRefused(id, reason || text("refused_too_big"));

  /** @param {boolean} typing */
  typing = (typing) => {
    clearTimeout(this.#typingTimer);
    this.#messages.typing = typing;
    if (typing) {
      this.#typingTimer = setTimeout(() => this.typing(false), TYPING_TIMEOUT_MS);
    }
  };

  /** The other side has read up to here. @param {number} seq */
  read = (seq) => this.#messages.markSeen(seq);

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
    this.#keepDraft(this.#composer.value);
    this.#composer.focus();
  }

  /** @param {string} draft */
  #keepDraft(draft) {
    tabStorage.setItem(this.#draftKey, draft);
  }
}

/**
 * @param {EventTarget} target
 * @param {string} name
 * @param {(detail: any) => void} act
 */
function on(target, name, act) {
  target.addEventListener(name, (event) => act(/** @type {CustomEvent} */ (event).detail));
}
