// @ts-check
/**
 * The `/chat` dialect: one counselling session or one supervision record.
 *
 * @module
 */

import { Connection } from "./connection.js";
import { ConsentQuestion } from "./consent.js";
import { Conversation } from "./conversation.js";
import { language } from "./strings.js";

/** @typedef {import("./connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("./connection.js").TokenSource} TokenSource */
/** @typedef {import("./consent.js").ConsentForm} ConsentForm */
/** @typedef {import("./conversation.js").ConversationListener} ConversationListener */
/** @typedef {import("./conversation.js").Message} Message */
/** @typedef {import("./conversation.js").Sender} Sender */
/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./outbox.js").OutboxEntry} OutboxEntry */

/**
 * @typedef {object} RoomOptions
 * @property {TokenSource} token
 * @property {string} session the digits of the session's number, or of the supervision record's
 * @property {0 | 1} type 0: a session, 1: a supervision record
 * @property {boolean} isConsultant whether this page belongs to the consultant
 */

/**
 * @typedef {object} ChatListener
 * @property {(status: ConnectionStatus) => void} onStatus
 * @property {(text: string, time: string, reason?: string) => void} onSystemMessage the end has a `reason`
 * @property {(typing: boolean) => void} onTyping
 * @property {(seq: number) => void} onReceived everything up to `seq` has arrived at the other participant
 * @property {(seq: number, role: string) => void} onRead
 * @property {(presence: Presence) => void} onPresence
 * @property {() => void} [onWaitRefused] the session does not wait longer
 * @property {(form: ConsentForm, problem: string) => void} [onConsentAsked] nothing is sent before the visitor
 *   has accepted this; `problem`: why the last answer was refused
 * @property {(accepted: boolean) => void} [onConsentNoted] the server has noted the visitor's answer
 */

/**
 * Who is there, by role.
 *
 * @typedef {object} Presence
 * @property {Record<string, boolean>} present
 * @property {Record<string, number>} awaitedMs for how many milliseconds from now an absent participant is
 *   awaited
 * @property {Record<string, number>} graceMs for how many milliseconds a participant would be awaited
 */

/** @typedef {ConversationListener & ChatListener} Listener */

/**
 * A message in the format of `/chat` and of the HTTP API.
 *
 * @typedef {{ seq: number, msg: string, senderType: boolean, time: string, sender?: Sender }} MessageRow
 */

const FEATURES = "ack,seq,history,typing,read,receipt,presence,echo,sender,token,consent,approval";
const CLOSE_TOO_BIG = 1009;
const CLOSE_SERVICE_RESTART = 1012;
const CLOSE_END = 4000;

/** Prefix of an error message, in either server language. */
const ERROR_PREFIX = /^(?:错误|Error): ?/;

/** The socket of one room, for as long as the page is open. */
export class ChatSocket {
  /**
   * @param {RoomOptions} room
   * @param {Outbox} outbox
   * @param {Listener} listener
   */
  constructor(room, outbox, listener) {
    this.#room = room;
    this.#listener = listener;
    this.#connection = new Connection(room.token, {
      path: (token) => this.#path(token),
      onStatus: listener.onStatus,
      onFrame: (frame) => this.#onFrame(frame),
      onAccepted: () => this.#onAccepted(),
      sendProbe: () => this.#connection.send({ history: 1 }), // an empty page: nothing precedes message 1
      sendToken: (token) => this.#connection.send({ token }),
      oldestPendingMs: () => this.#conversation.oldestInFlightMs,
      mapCloseCode: (code, clean) => this.#mapCloseCode(code, clean),
    });
    this.#conversation = new Conversation(outbox, listener, {
      send: (entry) => !this.#question.isOpen && this.#connection.send({ msg: entry.text, id: entry.id }),
      requestOlder: (before) => this.#connection.send({ history: before }),
    });
    this.#question = new ConsentQuestion(
      (form, problem) => listener.onConsentAsked?.(form, problem),
      (version, accept) => this.#connection.send({ consent: { version, accept } }, true),
    );
  }

  #room;
  #listener;
  /** @type {Connection} */
  #connection;
  #conversation;
  #question;
  #endRequested = false;
  #readSeq = 0;

  /** As `Connection.heardMs`. */
  get heardMs() {
    return this.#connection.heardMs;
  }

  start() {
    this.#connection.start();
  }

  retry() {
    this.#connection.retry();
  }

  /** Close the socket without a message to the server: the page shows something else now. */
  stop() {
    this.#connection.stop();
  }

  /** @param {string} text */
  send(text) {
    return this.#conversation.send(text);
  }

  /** @param {string} id */
  resend(id) {
    this.#conversation.resend(id);
  }

  loadOlder() {
    this.#conversation.loadOlder();
  }

  /** @param {boolean} typing */
  sendTyping(typing) {
    if (!this.#question.isOpen) {
      this.#connection.send({ typing });
    }
  }

  /** Accept or decline the text that was asked for. @param {boolean} accept */
  answerConsent(accept) {
    this.#question.answer(accept);
  }

  /** Let the session wait longer for the other participant. @param {number} seconds */
  waitLonger(seconds) {
    this.#connection.send({ wait: seconds });
  }

  /** Report that this side has read everything up to `seq`. @param {number} seq */
  markRead(seq) {
    if (seq > this.#readSeq) {
      this.#readSeq = seq;
      this.#connection.send({ read: seq });
    }
  }

  /** End the conversation for all participants; without a connection, as soon as there is one. */
  end() {
    this.#endRequested = true;
    if (this.#connection.open) {
      this.#connection.close(CLOSE_END, "the end");
    } else {
      this.#connection.retry();
    }
  }

  /** Add the whole transcript from the HTTP API, after the socket has closed. @param {MessageRow[]} rows */
  addTranscript(rows) {
    this.#conversation.receiveHistory(
      rows.map((row) => this.#toMessage(row)),
      false,
    );
  }

  /** @param {string} token */
  #path(token) {
    this.#conversation.resetInFlight();
    this.#question.onReconnected();
    const { session, type } = this.#room;
    const query = { token, sessionId: String(session), type: String(type), features: FEATURES, language };
    return `/chat?${new URLSearchParams(query)}`;
  }

  #onAccepted() {
    this.#conversation.flush();
    if (this.#readSeq) {
      this.#connection.send({ read: this.#readSeq });
    }
    if (this.#endRequested) {
      this.end();
    }
  }

  /**
   * @param {number} code
   * @param {boolean} clean
   * @returns {number}
   */
  #mapCloseCode(code, clean) {
    if (code === CLOSE_TOO_BIG) {
      this.#conversation.refuseLongest();
    }
    return this.#endRequested && clean && code !== CLOSE_SERVICE_RESTART && this.#connection.open
      ? CLOSE_END
      : code;
  }

  /** @param {Record<string, any>} frame */
  #onFrame(frame) {
    if (Array.isArray(frame.history)) {
      this.#conversation.receiveHistory(
        frame.history.map((row) => this.#toMessage(row)),
        frame.next !== null,
      );
      if (this.#question.onAdmitted()) {
        this.#listener.onConsentNoted?.(true);
      }
      if (!this.#connection.open) {
        this.#connection.markAccepted(); // the server sends the first history page only to an accepted client
      }
    } else if ("ack" in frame) {
      this.#conversation.acknowledge(frame.ack, frame.seq, frame.time);
    } else if ("typing" in frame) {
      this.#listener.onTyping(frame.typing);
    } else if ("receipt" in frame) {
      this.#listener.onReceived(frame.receipt);
    } else if ("read" in frame) {
      this.#listener.onRead(frame.read, placeOf(frame.role));
    } else if ("presence" in frame) {
      this.#listener.onPresence(readPresence(frame));
    } else if ("approval" in frame) {
      this.#conversation.receiveApproval(frame.approval);
    } else if (frame.consent === false) {
      this.#question.onRefused(frame.msg.replace(ERROR_PREFIX, ""));
    } else if ("consent" in frame) {
      this.#question.onAsked(frame.consent);
    } else if ("consented" in frame) {
      this.#question.close();
      this.#listener.onConsentNoted?.(frame.consented.accepted);
      this.#conversation.flush();
    } else if ("token" in frame) {
      // whether a newer token was accepted: there is nothing to do
    } else if (frame.wait === false) {
      this.#listener.onWaitRefused?.();
    } else if (frame.isSystem === false) {
      const { seq, msg, time, sender } = frame;
      this.#conversation.receive({ seq, text: msg, own: frame.self === true, time, sender });
    } else if (frame.isSystem && frame.id !== undefined) {
      this.#conversation.refuse(frame.id, frame.msg.replace(ERROR_PREFIX, ""));
    } else if (frame.isSystem) {
      this.#listener.onSystemMessage(frame.msg.replace(ERROR_PREFIX, ""), frame.time, frame.reason);
    }
  }

  /** @param {MessageRow} row @returns {Message} */
  #toMessage(row) {
    // In a session, a supervisor that takes part is on the consultant's side, and is another person.
    const isThird = this.#room.type === 0 && ["supervisor", "admin"].includes(row.sender?.role ?? "");
    return {
      seq: row.seq,
      text: row.msg,
      own: row.senderType === this.#room.isConsultant && !isThird,
      time: row.time,
      sender: row.sender,
    };
  }
}

/**
 * Read a frame `presence`. Times are compared with the server's `time`, as the clock of this device may be wrong.
 *
 * @param {Record<string, any>} frame
 * @returns {Presence}
 */
function readPresence(frame) {
  const nowMs = Date.parse(frame.time);
  /** @type {[string, string][]} */
  const until = Object.entries(frame.until ?? {});
  /** @type {[string, number][]} */
  const graces = Object.entries(frame.grace ?? {});
  return {
    present: Object.fromEntries(
      Object.entries(frame.presence).map(([role, isPresent]) => [placeOf(role), isPresent]),
    ),
    awaitedMs: Object.fromEntries(until.map(([role, time]) => [placeOf(role), Date.parse(time) - nowMs])),
    graceMs: Object.fromEntries(graces.map(([role, seconds]) => [placeOf(role), seconds * 1000])),
  };
}

/**
 * The place of a participant: the agent of a support conversation has the consultant's in a record.
 *
 * @param {string} role
 */
function placeOf(role) {
  return role === "waiter" ? "consultant" : role;
}
