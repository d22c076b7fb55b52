// @ts-check
/**
 * The supervision record: what supervisor and consultant say to each other. The visitor sees nothing of it.
 *
 * Events: `changed`, when there is more or less unread, when both have met, and at the end.
 *
 * @module
 */

import { ChatSocket } from "../shared/chat.js";
import { ChatComposer } from "../shared/composer.js";
import { icon, make } from "../shared/elements.js";
import { ChatMessages } from "../shared/messages.js";
import { Outbox } from "../shared/outbox.js";
import { joiner, text } from "../shared/strings.js";
import { Talking } from "../shared/talking.js";

/** @typedef {import("../shared/connection.js").Standing} Standing */
/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */

const ENDED_CLOSE_CODES = new Set([1000, 4000, 4409]);

export class RecordChat extends EventTarget {
  /**
   * @param {number} record
   * @param {TokenSource} token
   * @param {boolean} folded
   */
  constructor(record, token, folded) {
    super();
    this.record = record;
    const key = `supervise:${record}`;
    this.#outbox = new Outbox(`${key}:unsent`);
    this.#build(folded);
    this.#talking = new Talking(this.#messages, this.#composer, this.#outbox, `${key}:draft`, {
      say: (said) => this.#socket.say(said),
      sayAgain: (id) => this.#socket.sayAgain(id),
      older: () => this.#socket.older(),
      typing: (typing) => this.#socket.typing(typing),
      read: (seq) => this.#read(seq),
    });
    const room = { token, session: record, type: /** @type {const} */ (1), consultant: false };
    this.#socket = new ChatSocket(room, this.#outbox, {
      ...this.#talking,
      standing: (standing) => this.#standing(standing),
      message: (said) => {
        this.#talking.message(said);
        if (!said.own) {
          this.#heard(said.seq);
        }
      },
      past: (past, more) => {
        this.#talking.past(past, more);
        past.filter((said) => !said.own).forEach((said) => this.#heard(said.seq));
      },
      system: (msg, time) => {
        if (joiner(msg)?.role === "consultant") {
          this.#messages.addSystem(msg, time);
        }
      },
      read: (seq, role) => (role === "consultant" ? this.#talking.read(seq) : this.#seen(seq)),
      presence: (present) => this.#present(present.consultant),
    });
  }

  element = make("section", "record");
  #outbox;
  /** @type {Talking} */
  #talking;
  /** @type {ChatSocket} */
  #socket;
  #messages = new ChatMessages();
  #composer = new ChatComposer();
  #bar = make("button", "record-bar");
  #body = make("div", "record-body");
  #title = make("span", "record-title");
  #hint = make("span", "record-hint");
  #presence = make("span", "record-presence");
  #count = make("span", "count");
  #over = make("p", "record-over");
  #name = "";
  #met = false;
  /** Numbers of the consultant's messages that were not on the screen yet. @type {Set<number>} */
  #unread = new Set();
  #seenUpTo = 0;
  #shown = true;
  /** Whether the record can still be written in. */
  open = true;

  /** Whether both were there, and it is not over. */
  get active() {
    return this.open && this.#met;
  }

  get unsent() {
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
    this.#bar.setAttribute("aria-expanded", String(!folded));
    this.#watch();
  }

  /** Whether the pane is on the screen: what nobody sees was not read. */
  set shown(/** @type {boolean} */ shown) {
    this.#shown = shown;
    this.#watch();
  }

  /**
   * How the two are called.
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
    this.#over.textContent = text("record_over", { name: consultant });
  }

  /** To be called when the element is in the page. */
  start() {
    this.#socket.start();
  }

  retry() {
    this.#socket.retry();
  }

  /** Leave; the record waits some minutes for whoever comes back. */
  stop() {
    this.#socket.stop();
  }

  /** End it for both. */
  end() {
    this.#socket.end();
  }

  write() {
    this.folded = false;
    this.#composer.focus();
  }

  /** @param {boolean} folded */
  #build(folded) {
    this.#bar.type = "button";
    this.#bar.append(
      icon("lock"),
      make(
        "span",
        "record-words",
        this.#title,
        make("span", "record-meta", this.#presence, " · ", this.#hint),
      ),
      this.#count,
      icon("fold"),
    );
    this.#bar.addEventListener("click", () => {
      this.folded = !this.folded;
      this.element.dispatchEvent(new CustomEvent("folded", { bubbles: true }));
    });
    this.#messages.emptyTexts = ["record_empty_title", "record_empty_text"];
    this.#over.hidden = true;
    this.#body.append(this.#messages, this.#composer, this.#over);
    this.element.append(this.#bar, this.#body);
    this.#count.hidden = true;
    this.folded = folded;
    this.#present(undefined);
  }

  #watch() {
    this.#messages.watched = this.#shown && !this.folded;
  }

  // --- read and unread ---

  /** @param {number} seq of the consultant's */
  #heard(seq) {
    if (seq > this.#seenUpTo) {
      this.#unread.add(seq);
      this.#showUnread();
    }
  }

  /** @param {number} seq */
  #read(seq) {
    this.#socket.read(seq);
    this.#seen(seq);
  }

  /** Up to here it was seen, in whichever window. @param {number} seq */
  #seen(seq) {
    this.#seenUpTo = Math.max(this.#seenUpTo, seq);
    this.#unread.forEach((each) => each <= seq && this.#unread.delete(each));
    this.#showUnread();
  }

  #showUnread() {
    const count = this.#unread.size;
    this.#count.hidden = count === 0;
    this.#count.replaceChildren(String(count), make("span", "hidden", ` ${text("unread_count", { count })}`));
    this.#tell();
  }

  // --- how it stands ---

  /** @param {boolean | undefined} present undefined: not known */
  #present(present) {
    if (present && !this.#met) {
      this.#met = true;
      this.#tell();
    }
    this.#presence.dataset.present = String(present);
    this.#presence.replaceChildren(
      make("span", "dot"),
      text(present === undefined ? "presence_unknown" : present ? "present" : "absent"),
    );
    if (!present) {
      this.#talking?.typing(false);
    }
  }

  /** @param {Standing} standing */
  #standing(standing) {
    if (standing.state !== "open") {
      this.#present(undefined);
    }
    if (standing.state === "closed") {
      this.#closed(standing);
    }
  }

  /** @param {Standing} standing */
  #closed({ code = 0, reason }) {
    this.open = false;
    this.#composer.hidden = true;
    this.#presence.hidden = true;
    this.#over.hidden = false;
    if (ENDED_CLOSE_CODES.has(code)) {
      this.#talking.giveUpUnsent();
      this.#over.textContent = text("record_over", { name: this.#name });
    } else {
      this.#over.textContent = text("record_refused", { reason: reason || String(code) });
    }
    this.#messages.addPast([], false);
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new CustomEvent("changed"));
  }
}
