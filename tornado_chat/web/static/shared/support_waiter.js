// @ts-check
/**
 * The waiter's side of the support dialect.
 *
 * @module
 */

import { Conversation } from "./conversation.js";
import { Outbox } from "./outbox.js";
import { SupportSocket } from "./support.js";

/** @typedef {import("./connection.js").Standing} Standing */
/** @typedef {import("./connection.js").TokenSource} TokenSource */
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
 * @typedef {object} WaiterListener
 * @property {(standing: Standing) => void} standing
 * @property {(guest: Guest) => TalkReader} arrived somebody new, or one of before after a reload: who
 *   reads the conversation from now on
 * @property {(conversation: number) => void} left it is over, or somebody else's
 * @property {(ready: boolean) => void} ready the server knows it
 * @property {(message: string, conversation: number | undefined) => void} failed
 * @property {(waiter: string) => void} [transferred]
 */

/** What a waiter has of one user. */
class Talk {
  /**
   * @param {Guest} guest
   * @param {Conversation} conversation
   * @param {TalkReader} reader
   */
  constructor(guest, conversation, reader) {
    this.guest = guest;
    this.conversation = conversation;
    this.reader = reader;
  }

  read = 0;
  /** Whether the server has said, over this socket, that it is not over. */
  confirmed = true;
}

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
  /** The conversation that a question was about, by its id. @type {Map<string, number>} */
  #about = new Map();

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

  /** End a conversation. @param {number} number */
  end(number) {
    this.#about.set(this.ask("disconnect", null, this.#talk(number).guest.address), number);
  }

  /**
   * Hand a user over to another waiter.
   *
   * @param {number} number
   * @param {string | number} waiter its id
   */
  transfer(number, waiter) {
    this.#about.set(this.ask("transfer", { waiter }, this.#talk(number).guest.address), number);
  }

  /** The unsent messages of a conversation. @param {number} number */
  outbox(number) {
    return this.#talk(number).conversation.outbox;
  }

  conversations() {
    return Array.from(this.#talks.values(), (talk) => talk.conversation);
  }

  signedIn() {
    this.#about.clear();
    this.#talks.forEach((talk) => (talk.confirmed = false));
    this.#tellReady();
  }

  /** @param {Frame} frame */
  told(frame) {
    const { type, payload } = frame;
    const talk = this.#talkOf(frame);
    if (type === "new_connection") {
      this.#arrived({ ...payload, address: payload.uuid });
    } else if (type === "ready_success") {
      this.#listener.ready(payload.ready);
      for (const gone of [...this.#talks.values()].filter((one) => !one.confirmed)) {
        this.#left(gone); // it ended while there was no connection
      }
    } else if (type === "transfer_success") {
      this.#listener.transferred?.(String(payload.waiter ?? ""));
    } else if (talk && type === "message_text") {
      talk.reader.typing(false);
      talk.conversation.said(this.said(frame));
    } else if (talk && type === "typing") {
      talk.reader.typing(payload.typing);
    } else if (talk && type === "read" && frame.from !== this.address) {
      talk.reader.read(payload.seq);
    } else if (talk && type === "disconnected") {
      this.#left(talk);
    }
  }

  /** @param {Frame} frame */
  failed(frame) {
    const about = this.#about.get(frame.reply_id ?? "");
    this.#listener.failed(frame.payload.message, about);
  }

  #tellReady() {
    this.ask(this.#ready ? "ready" : "unready");
  }

  /** @param {Guest} guest */
  #arrived(guest) {
    const number = guest.conversation;
    let talk = this.#talks.get(number);
    if (!talk) {
      const reader = this.#listener.arrived(guest);
      const conversation = new Conversation(new Outbox(`console:${number}:unsent`), reader, {
        say: (entry) => this.sendEntry(entry, this.#talks.get(number)?.guest.address),
        older: (before) => this.askPast(conversation, this.#talks.get(number)?.guest.address, before),
      });
      talk = new Talk(guest, conversation, reader);
      this.#talks.set(number, talk);
    }
    talk.guest = guest;
    talk.confirmed = true;
    this.askPast(talk.conversation, guest.address);
    talk.conversation.flush();
    if (talk.read) {
      this.ask("read", { seq: talk.read }, guest.address);
    }
  }

  /** @param {Talk} talk */
  #left(talk) {
    this.#talks.delete(talk.guest.conversation);
    this.#listener.left(talk.guest.conversation);
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
