// @ts-check
/**
 * The dialect of `/chat`: one counselling session, or one supervision record.
 *
 * @module
 */

import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";

/** @typedef {import("./connection.js").Standing} Standing */
/** @typedef {import("./connection.js").TokenSource} TokenSource */
/** @typedef {import("./conversation.js").Reader} Reader */
/** @typedef {import("./conversation.js").Said} Said */
/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./outbox.js").Unsent} Unsent */

/**
 * @typedef {object} Room
 * @property {TokenSource} token
 * @property {number} session the number of the session, or of the supervision record
 * @property {0 | 1} type 0: a session, 1: a supervision record
 * @property {boolean} consultant whether the own side is the consultant
 */

/**
 * @typedef {object} ChatListener
 * @property {(standing: Standing) => void} standing
 * @property {(text: string, time: string) => void} system
 * @property {(typing: boolean) => void} typing
 * @property {(seq: number, role: string) => void} read
 * @property {(present: Record<string, boolean>) => void} presence
 */

/** @typedef {Reader & ChatListener} Listener */

/** A message as `/chat` and the HTTP API write it down. @typedef {{ seq: number, msg: string, senderType: boolean, time: string }} Line */

const FEATURES = "ack,seq,history,typing,read,presence,echo";
const CLOSE_TOO_BIG = 1009;
const CLOSE_SERVICE_RESTART = 1012;
const CLOSE_END = 4000;

/** Servers of both languages begin errors so. */
const ERROR_PREFIX = /^(?:错误|Error): ?/;

/** One room, as long as the page is open. */
export class ChatSocket {
  /**
   * @param {Room} room
   * @param {Outbox} outbox
   * @param {Listener} listener
   */
  constructor(room, outbox, listener) {
    this.#room = room;
    this.#listener = listener;
    this.#connection = new Connection(room.token, {
      address: (token) => this.#address(token),
      standing: listener.standing,
      receive: (frame) => this.#receive(frame),
      admitted: () => this.#admitted(),
      alive: () => this.#connection.send({ history: 1 }), // the page before the first one is empty
      oldest: () => this.#conversation.oldestInFlight,
      closing: (code, clean) => this.#closing(code, clean),
    });
    this.#conversation = new Conversation(outbox, listener, {
      say: (entry) => this.#connection.send({ msg: entry.text, id: entry.id }),
      older: (before) => this.#connection.send({ history: before }),
    });
  }

  #room;
  #listener;
  /** @type {Connection} */
  #connection;
  #conversation;
  #ending = false;
  #read = 0;

  start() {
    this.#connection.start();
  }

  retry() {
    this.#connection.retry();
  }

  /** Close it without a word: the page shows something else now. */
  stop() {
    this.#connection.stop();
  }

  /** @param {string} text */
  say(text) {
    return this.#conversation.say(text);
  }

  /** @param {string} id */
  sayAgain(id) {
    this.#conversation.sayAgain(id);
  }

  older() {
    this.#conversation.older();
  }

  /** @param {boolean} typing */
  typing(typing) {
    this.#connection.send({ typing });
  }

  /** Everything up to `seq` was read. @param {number} seq */
  read(seq) {
    if (seq > this.#read) {
      this.#read = seq;
      this.#connection.send({ read: seq });
    }
  }

  /** End the conversation for everybody; without a connection, as soon as there is one. */
  end() {
    this.#ending = true;
    if (this.#connection.open) {
      this.#connection.close(CLOSE_END, "the end");
    } else {
      this.#connection.retry();
    }
  }

  /** Everything that was said, as the HTTP API has it, when no socket tells it any more. @param {Line[]} lines */
  complete(lines) {
    this.#conversation.past(
      lines.map((line) => this.#said(line)),
      false,
    );
  }

  /** @param {string} token */
  #address(token) {
    this.#conversation.cut();
    const { session, type } = this.#room;
    const query = { token, sessionId: String(session), type: String(type), features: FEATURES };
    return `/chat?${new URLSearchParams(query)}`;
  }

  #admitted() {
    this.#conversation.flush();
    if (this.#read) {
      this.#connection.send({ read: this.#read });
    }
    if (this.#ending) {
      this.end();
    }
  }

  /**
   * @param {number} code
   * @param {boolean} clean
   * @returns {number}
   */
  #closing(code, clean) {
    if (code === CLOSE_TOO_BIG) {
      this.#conversation.refuseLongest();
    }
    return this.#ending && clean && code !== CLOSE_SERVICE_RESTART && this.#connection.open
      ? CLOSE_END
      : code;
  }

  /** @param {Record<string, any>} frame */
  #receive(frame) {
    if (Array.isArray(frame.history)) {
      this.#conversation.past(
        frame.history.map((line) => this.#said(line)),
        frame.next !== null,
      );
      if (!this.#connection.open) {
        this.#connection.admit(); // the page of joining is the first that only who was let in gets
      }
    } else if ("ack" in frame) {
      this.#conversation.acknowledged(frame.ack, frame.seq, frame.time);
    } else if ("typing" in frame) {
      this.#listener.typing(frame.typing);
    } else if ("read" in frame) {
      this.#listener.read(frame.read, frame.role);
    } else if ("presence" in frame) {
      this.#listener.presence(frame.presence);
    } else if (frame.isSystem === false) {
      const { seq, msg, time } = frame;
      this.#conversation.said({ seq, text: msg, own: frame.self === true, time });
    } else if (frame.isSystem && frame.id !== undefined) {
      this.#conversation.refuse(frame.id, frame.msg.replace(ERROR_PREFIX, ""));
    } else if (frame.isSystem) {
      this.#listener.system(frame.msg.replace(ERROR_PREFIX, ""), frame.time);
    }
  }

  /** @param {Line} line @returns {Said} */
  #said(line) {
    return {
      seq: line.seq,
      text: line.msg,
      own: line.senderType === this.#room.consultant,
      time: line.time,
    };
  }
}
