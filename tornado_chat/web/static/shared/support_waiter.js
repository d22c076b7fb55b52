// @ts-check
/**
 * The waiter's side of the support dialect.
 *
 * @module
 */

import { Conversation } from "./conversation.js";
import { SupportSocket } from "./support.js";

/** @typedef {import("./connection.js").Standing} Standing */
/** @typedef {import("./connection.js").TokenSource} TokenSource */
/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./support.js").Frame} Frame */
/** @typedef {import("./support.js").TalkReader} TalkReader */

/**
 * A user of a waiter.
 *
 * @typedef {object} Guest
 * @property {number} conversation
 * @property {string} address
 * @property {string | number} id
 * @property {string | null} name
 * @property {string} since when it joined the line
 */

/**
 * Why a waiter has a user no longer.
 *
 * - `ended`: the waiter ended it
 * - `parted`: the user did
 * - `handed`: another waiter has the user now
 * - `lost`: while there was no connection: it is over, or somebody else's
 *
 * @typedef {"ended" | "parted" | "handed" | "lost"} Reason
 */

/**
 * Who reads one conversation. `readHere`: how far this side has read, in whichever window.
 *
 * @typedef {TalkReader & { readHere: (seq: number) => void }} GuestReader
 */

/**
 * @typedef {object} WaiterListener
 * @property {(standing: Standing) => void} standing
 * @property {(guest: Guest) => { reader: GuestReader, outbox: Outbox }} arrived somebody new, or one of
 *   before after a reload: who reads the conversation from now on, and what waits to be sent in it
 * @property {(conversation: number, why: Reason) => void} left
 * @property {(ready: boolean) => void} ready the server knows it, and has given back all conversations there are
 * @property {(conversation: number, message: string) => void} notEnded why it goes on, though it was to end
 * @property {(message: string) => void} barred the server does not let this waiter serve
 */

/** What a waiter has of one user. */
class Talk {
  /**
   * @param {Guest} guest
   * @param {Conversation} conversation
   * @param {GuestReader} reader
   */
  constructor(guest, conversation, reader) {
    this.guest = guest;
    this.conversation = conversation;
    this.reader = reader;
  }

  read = 0;
  /** Whether the server has said, over this socket, that it is not over. */
  confirmed = true;
  /** What this side did to be rid of it. @type {"ended" | "handed" | undefined} */
  done;
  /** The id of the frame that ends it. */
  ending = "";
}

/** A question whose answer is awaited. @typedef {{ resolve: () => void, reject: (why: Error) => void }} Asking */

/** A waiter at work, with several conversations over one socket. They are named by their numbers. */
export class WaiterSupport extends SupportSocket {
  /**
   * @param {TokenSource} token
   * @param {boolean} ready whether to take new users from the start
   * @param {WaiterListener} listener
   */
  constructor(token, ready, listener) {
    const features = ["ack", "seq", "echo", "typing", "read", "profile", "ready", "kickout"];
    super("waiter", token, features, listener.standing);
    this.#ready = ready;
    this.#listener = listener;
  }

  #ready;
  #listener;
  /** By the number of the conversation. @type {Map<number, Talk>} */
  #talks = new Map();
  /**
   * Those that are over, with messages whose acknowledgement comes after that. @type {Set<Conversation>}
   */
  #leaving = new Set();
  /** Transfers that are under way, by the ids of the questions. @type {Map<string, Asking>} */
  #handing = new Map();
  #readying = "";

  /** Take new users, or only go on with those there are. @param {boolean} ready */
  setReady(ready) {
    this.#ready = ready;
    this.#tellReady();
  }

  /**
   * @param {number} number
   * @param {string} text
   */
  say(number, text) {
    return this.#talk(number).conversation.say(text);
  }

  /**
   * @param {number} number
   * @param {string} id
   */
  sayAgain(number, id) {
    this.#talks.get(number)?.conversation.sayAgain(id);
  }

  /** @param {number} number */
  older(number) {
    this.#talks.get(number)?.conversation.older();
  }

  /**
   * @param {number} number
   * @param {boolean} typing
   */
  typing(number, typing) {
    const talk = this.#talks.get(number);
    if (talk) {
      this.ask("typing", { typing }, talk.guest.address);
    }
  }

  /**
   * @param {number} number
   * @param {number} seq
   */
  read(number, seq) {
    const talk = this.#talks.get(number);
    if (talk && seq > talk.read) {
      talk.read = seq;
      this.ask("read", { seq }, talk.guest.address);
    }
  }

  /** End a conversation, as soon as everything that was written is out. @param {number} number */
  end(number) {
    const talk = this.#talk(number);
    talk.done = "ended";
    this.#tellEnd(talk);
  }

  /**
   * Hand a user over to another waiter.
   *
   * @param {number} number
   * @param {string | number} waiter its id
   * @returns {Promise<void>} rejected with the server's reason; an `Error` without a message means that the
   *   connection was lost meanwhile, and that nobody knows yet
   */
  transfer(number, waiter) {
    const talk = this.#talk(number);
    talk.done = "handed";
    const asked = this.ask("transfer", { waiter }, talk.guest.address);
    return new Promise((resolve, reject) => {
      this.#handing.set(asked, {
        resolve,
        reject: (why) => {
          talk.done = why.message ? undefined : talk.done;
          reject(why);
        },
      });
    });
  }

  conversations() {
    return [...Array.from(this.#talks.values(), (talk) => talk.conversation), ...this.#leaving];
  }

  signedIn() {
    this.#handing.forEach((asking) => asking.reject(new Error()));
    this.#handing.clear();
    this.#leaving.clear();
    this.#talks.forEach((talk) => (talk.confirmed = false));
    this.#tellReady();
  }

  /** @param {Frame} frame */
  told(frame) {
    const { type, payload, reply_id: answered = "" } = frame;
    const talk = this.#talkOf(frame);
    if (type === "new_connection") {
      this.#arrived({ ...payload, address: payload.uuid });
    } else if (type === "ready_success") {
      for (const gone of [...this.#talks.values()].filter((one) => !one.confirmed)) {
        this.#left(gone, gone.done ?? "lost"); // while there was no connection
      }
      this.#listener.ready(payload.ready);
    } else if (type === "transfer_success") {
      this.#handing.get(answered)?.resolve();
      this.#handing.delete(answered);
    } else if (talk && type === "message_text") {
      const said = this.said(frame);
      if (!said.own) {
        talk.reader.typing(false);
      }
      talk.conversation.said(said);
    } else if (talk && type === "typing") {
      talk.reader.typing(payload.typing);
    } else if (talk && type === "read" && frame.from === this.address) {
      talk.read = Math.max(talk.read, payload.seq);
      talk.reader.readHere(payload.seq);
    } else if (talk && type === "read") {
      talk.reader.read(payload.seq);
    } else if (talk && type === "disconnected") {
      this.#left(talk, talk.done ?? "parted");
    }
  }

  /** @param {Frame} frame */
  failed({ reply_id: answered = "", payload }) {
    this.#handing.get(answered)?.reject(new Error(payload.message));
    this.#handing.delete(answered);
    const talk = [...this.#talks.values()].find((each) => each.ending === answered);
    if (talk && answered) {
      talk.done = undefined;
      this.#listener.notEnded(talk.guest.conversation, payload.message);
    } else if (answered === this.#readying) {
      this.#listener.barred(payload.message);
    }
  }

  #tellReady() {
    this.#readying = this.ask(this.#ready ? "ready" : "unready");
  }

  /** @param {Guest} guest */
  #arrived(guest) {
    const number = guest.conversation;
    let talk = this.#talks.get(number);
    if (!talk) {
      const { reader, outbox } = this.#listener.arrived(guest);
      const conversation = new Conversation(outbox, reader, {
        say: (entry) => this.sendEntry(entry, this.#talks.get(number)?.guest.address),
        older: (before) => this.askPast(conversation, this.#talks.get(number)?.guest.address, before),
      });
      talk = new Talk(guest, conversation, reader);
      this.#talks.set(number, talk);
    }
    talk.guest = guest;
    talk.confirmed = true;
    talk.done = talk.done === "ended" ? "ended" : undefined; // it was not handed over after all
    this.askPast(talk.conversation, guest.address);
    talk.conversation.flush();
    if (talk.read) {
      this.ask("read", { seq: talk.read }, guest.address);
    }
    if (talk.done === "ended") {
      this.#tellEnd(talk);
    }
  }

  /** @param {Talk} talk */
  #tellEnd(talk) {
    talk.ending = this.ask("disconnect", null, talk.guest.address);
  }

  /**
   * @param {Talk} talk
   * @param {Reason} why
   */
  #left(talk, why) {
    this.#talks.delete(talk.guest.conversation);
    if (talk.conversation.oldestInFlight < Infinity) {
      this.#leaving.add(talk.conversation);
    }
    this.#listener.left(talk.guest.conversation, why);
  }

  /** Whom a frame is about. @param {Frame} frame */
  #talkOf(frame) {
    return frame.conversation === undefined
      ? [...this.#talks.values()].find((talk) => talk.guest.address === frame.from)
      : this.#talks.get(frame.conversation);
  }

  /** @param {number} number */
  #talk(number) {
    const talk = this.#talks.get(number);
    if (!talk) {
      throw new Error(`there is no conversation ${number}`);
    }
    return talk;
  }
}
