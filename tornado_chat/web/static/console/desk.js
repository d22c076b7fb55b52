// @ts-check
/**
 * The waiter's desk: all conversations, and what happens in them.
 *
 * Strategy: what the socket tells changes the cases here, and the listener shows what there is now. Whatever
 * somebody does goes the other way, through a method of this class. The tab remembers the conversations, so
 * that after a reload none is missing: those which the server does not give back are over.
 *
 * @module
 */

import { WaiterSupport } from "../shared/support_waiter.js";
import { Case } from "./case.js";

/** @typedef {import("../shared/connection.js").Standing} Standing */
/** @typedef {import("../shared/conversation.js").Said} Said */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */
/** @typedef {import("../shared/support_waiter.js").Reason} Reason */
/** @typedef {import("../shared/support_waiter.js").Guest} Guest */
/** @typedef {import("./case.js").Visitor} Visitor */
/** @typedef {import("./records.js").Records} Records */

/** @typedef {Visitor & { over?: Reason, read: number }} Kept */

/**
 * @typedef {object} DeskListener
 * @property {() => void} changed
 * @property {(standing: Standing) => void} standing
 * @property {(one: Case) => void} arrived somebody new
 * @property {(one: Case) => void} parted the visitor has left
 * @property {(one: Case) => void} gone it is not on the desk any more
 * @property {(one: Case, said: Said) => void} news
 * @property {(one: Case, reason: string) => void} notEnded
 */

export class Desk {
  /**
   * @param {SignedIn} who
   * @param {Records} records
   * @param {DeskListener} listener
   */
  constructor(who, records, listener) {
    this.key = `console:${who.id}`;
    this.#records = records;
    this.#listener = listener;
    this.wanted = sessionStorage.getItem(`${this.key}:ready`) === "yes";
    for (const kept of this.#kept()) {
      const one = this.#add(kept);
      one.readTo = kept.read;
      if (kept.over) {
        one.close(kept.over);
      }
    }
    this.#socket = new WaiterSupport(who.token, this.wanted, {
      standing: (standing) => this.#standing(standing),
      arrived: (guest) => this.#arrived(guest),
      left: (number, why) => this.#left(number, why),
      ready: (ready) => this.#ready(ready),
      barred: (reason) => {
        this.barred = reason;
        this.#want(false);
        listener.changed();
      },
      notEnded: (number, reason) => {
        const one = this.case(number);
        one.ending = false;
        listener.changed();
        listener.notEnded(one, reason);
      },
    });
  }

  #records;
  #listener;
  #socket;
  /** By number, in the order in which they came: it stays, so that nothing moves under the mouse. */
  #cases = /** @type {Map<number, Case>} */ (new Map());
  /** Whether the server has given back what there was. */
  #settled = false;

  /** Whether the waiter wants new visitors, and whether the server knows it. */
  wanted;
  known = false;
  /** Why the server gives none. */
  barred = "";
  connected = false;

  start() {
    this.#socket.start();
  }

  retry() {
    this.#socket.retry();
  }

  get cases() {
    return [...this.#cases.values()];
  }

  /** How many go on. */
  get load() {
    return this.cases.filter((one) => one.state !== "over").length;
  }

  get unread() {
    return this.cases.reduce((sum, one) => sum + Math.max(one.unread, one.fresh ? 1 : 0), 0);
  }

  /** Whether something that was written is not stored yet. */
  get unsent() {
    return this.cases.some((one) => one.unsent);
  }

  /** Whose visitor has waited longest for an answer. @param {number} [except] if there is another one */
  urgent(except) {
    const waiting = this.cases.filter((one) => one.waitsSince !== undefined && one.number !== except);
    waiting.sort((one, other) => ((one.waitsSince ?? "") < (other.waitsSince ?? "") ? -1 : 1));
    return waiting[0];
  }

  /** @param {number} number */
  find(number) {
    return this.#cases.get(number);
  }

  /** @param {number} number @returns {Case} */
  case(number) {
    const one = this.#cases.get(number);
    if (!one) {
      throw new Error(`there is no conversation ${number} on the desk`);
    }
    return one;
  }

  // --- what the waiter does ---

  /** @param {boolean} wanted */
  setReady(wanted) {
    this.#want(wanted);
    this.known = false;
    this.barred = "";
    this.#socket.setReady(wanted);
    this.#listener.changed();
  }

  /**
   * What one can do in a conversation, for `Talking`.
   *
   * @param {Case} one
   * @returns {import("../shared/talking.js").Voice}
   */
  voice(one) {
    const { number } = one;
    return {
      // Not given back by the server yet, it goes out as soon as it is.
      say: (said) => one.wrote(one.state === "kept" ? one.outbox.add(said) : this.#socket.say(number, said)),
      sayAgain: (id) => {
        one.outbox.retry(id);
        this.#socket.sayAgain(number, id);
        this.#listener.changed();
      },
      older: () => this.#socket.older(number),
      typing: (typing) => this.#socket.typing(number, typing),
      read: (seq) => {
        if (seq > one.readTo) {
          one.read(seq);
          this.#keep();
        }
        this.#socket.read(number, seq);
      },
    };
  }

  /** @param {Case} one */
  end(one) {
    one.ending = true;
    this.#socket.end(one.number);
    this.#listener.changed();
  }

  /**
   * @param {Case} one
   * @param {string | number} waiter its id
   */
  handOver(one, waiter) {
    return this.#socket.transfer(one.number, waiter);
  }

  /** Take one that is over from the desk. @param {Case} one */
  putAway(one) {
    one.forget();
    this.#cases.delete(one.number);
    this.#keep();
    this.#listener.gone(one);
    this.#listener.changed();
  }

  /** What was said in one that was over before this page was loaded. @param {Case} one */
  async recall(one) {
    one.recall(await this.#records.lines(one.number));
  }

  // --- what the server tells ---

  /** @param {Standing} standing */
  #standing(standing) {
    this.connected = standing.state === "open";
    if (!this.connected) {
      this.known = false;
    }
    this.#listener.standing(standing);
    this.#listener.changed();
  }

  /** @param {Guest} guest */
  #arrived(guest) {
    const before = this.#cases.get(guest.conversation);
    // Once over and here again, it went to the line and came back: other lines may be between.
    const one = before?.state === "kept" ? before : this.#add(guest);
    one.visitor = guest;
    one.state = "open";
    one.readTo = before?.readTo ?? 0;
    if (before?.state !== "kept") {
      one.fresh = true;
    }
    this.#keep();
    if (one.fresh && this.#settled) {
      this.#listener.arrived(one);
    }
    this.#listener.changed();
    return one;
  }

  /**
   * @param {number} number
   * @param {Reason} why
   */
  #left(number, why) {
    const one = this.#cases.get(number);
    if (!one) {
      return;
    }
    one.close(why);
    this.#keep();
    if (why === "parted") {
      this.#listener.parted(one);
    }
    this.#putAwayIfDone(one);
  }

  /** @param {boolean} ready */
  #ready(ready) {
    this.known = ready === this.wanted;
    this.barred = "";
    for (const one of this.cases) {
      if (one.state === "kept") {
        one.close("lost");
      }
    }
    if (!this.#settled) {
      this.#settled = true;
      const fresh = this.cases.filter((one) => one.fresh);
      fresh.slice(-1).forEach((one) => this.#listener.arrived(one)); // one signal for all that were there
    }
    this.#keep();
    this.#listener.changed();
  }

  /** What the waiter itself was rid of goes, when nothing that it wrote is unsent. @param {Case} one */
  #putAwayIfDone(one) {
    if (one.state === "over" && (one.why === "ended" || one.why === "handed") && !one.unsent) {
      this.putAway(one);
    }
  }

  // --- the tab's memory ---

  /** @param {Visitor} visitor */
  #add(visitor) {
    const one = new Case(this.key, visitor, {
      changed: () => this.#listener.changed(),
      news: (said) => this.#listener.news(one, said),
      stored: () => this.#putAwayIfDone(one),
    });
    this.#cases.set(visitor.conversation, one);
    return one;
  }

  #keep() {
    const kept = this.cases.map((one) => {
      const { conversation, id, name, since } = one.visitor;
      return { conversation, id, name, since, over: one.why, read: one.readTo };
    });
    sessionStorage.setItem(`${this.key}:desk`, JSON.stringify(kept));
  }

  /** @param {boolean} wanted */
  #want(wanted) {
    this.wanted = wanted;
    sessionStorage.setItem(`${this.key}:ready`, wanted ? "yes" : "no");
  }

  /** @returns {Kept[]} */
  #kept() {
    return JSON.parse(sessionStorage.getItem(`${this.key}:desk`) ?? "[]");
  }
}
