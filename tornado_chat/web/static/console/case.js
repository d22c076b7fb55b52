// @ts-check
/**
 * What the page has of one conversation, whether anybody looks at it or not.
 *
 * Twenty conversations of five hundred lines are kept as plain data. Elements exist only of those that are
 * open: they are a `Panel`, which looks at one case.
 *
 * @module
 */

import { Outbox } from "../shared/outbox.js";
import { text } from "../shared/strings.js";

/** @typedef {import("../shared/conversation.js").Said} Said */
/** @typedef {import("../shared/support_waiter.js").Reason} Reason */

/**
 * Who it is with.
 *
 * @typedef {object} Visitor
 * @property {number} conversation its number
 * @property {string | number} id the user's
 * @property {string | null} name
 * @property {string} since when it joined the line
 */

/** Who looks at a case: `Talking`. @typedef {import("../shared/support_waiter.js").GuestReader} GuestReader */
/** @typedef {Omit<GuestReader, "readHere"> & { over: () => void, dropped: (id: string) => void }} CaseView */

/**
 * @typedef {object} CaseListener
 * @property {() => void} changed something that is shown of it
 * @property {(said: Said) => void} news the visitor has just said something
 * @property {() => void} stored what the waiter wrote is stored
 */

const TYPING_TIMEOUT_MS = 6_000; // milliseconds after which nobody types who has not said so again

export class Case {
  /**
   * @param {string} key of the tab's storage
   * @param {Visitor} visitor
   * @param {CaseListener} listener
   */
  constructor(key, visitor, listener) {
    this.#key = `${key}:${visitor.conversation}`;
    this.visitor = visitor;
    this.#listener = listener;
    this.outbox = new Outbox(`${this.#key}:unsent`);
    this.#texts = new Map(this.outbox.entries.map((entry) => [entry.id, entry.text]));
  }

  #key;
  #listener;
  /** The texts of one's own messages that are on their way. */
  #texts;
  #typingTimer = 0;
  /** @type {CaseView | null} */
  view = null;

  /** `kept`: this tab remembers it; whether it goes on is not known yet. @type {"kept" | "open" | "over"} */
  state = "kept";
  /** Why it is over. @type {Reason | undefined} */
  why;
  /** It is to be over. */
  ending = false;
  /** Nobody has looked at it yet. */
  fresh = false;
  /** By number. @type {Said[]} */
  lines = [];
  /** Whether the server has anything before the first line. */
  more = false;
  loaded = false;
  /** How far the visitor has read, and how far this side has. */
  seen = 0;
  readTo = 0;
  isTyping = false;

  get number() {
    return this.visitor.conversation;
  }

  get name() {
    return visitorName(this.visitor.name, this.visitor.id);
  }

  /** The key of the tab's storage for what is half written. */
  get draftKey() {
    return `${this.#key}:draft`;
  }

  get draft() {
    return sessionStorage.getItem(this.draftKey) ?? "";
  }

  get last() {
    return this.lines.at(-1);
  }

  get unread() {
    let count = 0;
    for (let index = this.lines.length - 1; index >= 0 && this.lines[index].seq > this.readTo; index -= 1) {
      count += this.lines[index].own ? 0 : 1;
    }
    return count;
  }

  /** Since when the visitor waits for an answer, a time of the server's, if it does. */
  get waitsSince() {
    if (this.state !== "open" || !this.loaded) {
      return undefined;
    }
    const answered = this.lines.findLastIndex((said) => said.own);
    // Who was never answered waits since it joined the line, whether it has said something yet or not.
    return answered < 0 && !this.more ? this.visitor.since : this.lines[answered + 1]?.time;
  }

  /** `refused`: it waits for its author; `sending`: for the server. @type {"refused" | "sending" | ""} */
  get unsent() {
    return this.outbox.entries.some((entry) => entry.refused !== undefined)
      ? "refused"
      : this.outbox.entries.some((entry) => entry.seq === undefined) // it was not seen to be stored
        ? "sending"
        : "";
  }

  /** Something is said: by whom does not matter, it waits in the outbox. @param {import("../shared/outbox.js").Unsent} entry */
  wrote(entry) {
    this.#texts.set(entry.id, entry.text);
    this.#listener.changed();
    return entry;
  }

  /** How far this side has read. @param {number} seq */
  read(seq) {
    this.readTo = Math.max(this.readTo, seq);
    this.fresh = false;
    this.#listener.changed();
  }

  /** @param {Reason} why */
  close(why) {
    this.state = "over";
    this.why = why;
    this.ending = this.fresh = false;
    this.reader.typing(false);
    this.view?.over();
    this.#listener.changed();
  }

  /** What was said in one that was over before this page was loaded. @param {Said[]} lines */
  recall(lines) {
    for (const entry of [...this.outbox.entries]) {
      const { after } = entry;
      if (
        after !== undefined &&
        lines.some((said) => said.own && said.seq > after && said.text === entry.text)
      ) {
        this.outbox.remove(entry.id); // it was stored, only the acknowledgement was lost
        this.view?.dropped(entry.id);
      }
    }
    this.reader.past(lines, false);
  }

  /** Leave nothing of it in the tab's storage. */
  forget() {
    this.outbox.entries = [];
    this.outbox.save();
    sessionStorage.removeItem(this.draftKey);
  }

  // --- what the conversation tells ---

  /** @type {GuestReader} */
  reader = {
    message: (said) => {
      this.#insert([said]);
      this.view?.message(said);
      this.#listener.changed();
      if (!said.own) {
        this.#listener.news(said);
      }
    },
    past: (past, more) => {
      const last = this.last?.seq ?? Infinity;
      this.#insert(past);
      this.more = more;
      this.loaded = true;
      this.view?.past(past, more);
      this.#listener.changed();
      const missed = past.findLast((said) => !said.own && said.seq > last);
      if (missed) {
        this.#listener.news(missed); // said while there was no connection
      }
    },
    stored: (id, seq, time) => {
      this.#insert([{ seq, text: this.#texts.get(id) ?? "", own: true, time }]);
      this.#texts.delete(id);
      this.view?.stored(id, seq, time);
      this.#listener.changed();
      this.#listener.stored();
    },
    refused: (id, reason) => {
      this.view?.refused(id, reason);
      if (this.state === "over") {
        this.view?.over();
      }
      this.#listener.changed();
    },
    typing: (typing) => {
      clearTimeout(this.#typingTimer);
      if (typing) {
        this.#typingTimer = setTimeout(() => this.reader.typing(false), TYPING_TIMEOUT_MS);
      }
      this.view?.typing(typing);
      if (typing !== this.isTyping) {
        this.isTyping = typing;
        this.#listener.changed();
      }
    },
    read: (seq) => {
      this.seen = Math.max(this.seen, seq);
      this.view?.read(seq);
    },
    readHere: (seq) => this.read(seq),
  };

  /** @param {Said[]} lines */
  #insert(lines) {
    const last = this.last?.seq ?? 0;
    this.lines.push(...lines);
    if (lines.some((said) => said.seq <= last)) {
      this.lines.sort((one, other) => one.seq - other.seq);
      this.lines = this.lines.filter((said, index) => said.seq !== this.lines[index - 1]?.seq);
    }
  }
}

/**
 * What to call somebody. Two nameless ones must not look the same.
 *
 * @param {string | null} name
 * @param {string | number} id
 */
export function visitorName(name, id) {
  const short = String(id);
  return name || text("visitor_id", { id: short.length <= 8 ? short : `…${short.slice(-4)}` });
}
