// @ts-check
/**
 * The dialects of `/notify` and `/observe`: sockets that one only listens to.
 *
 * Neither has a frame that says "let in": a first sign of life is asked for as soon as the socket is there, and
 * whoever gets the answer, or anything else, is in. A close right after the upgrade (4401, 4403, 1013) comes
 * instead of it, so nobody is told of a connection that never was, and attempts become rarer.
 *
 * @module
 */

import { Connection } from "./connection.js";

/** @typedef {import("./connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("./connection.js").TokenSource} TokenSource */

/**
 * A notification, as `/notify` tells it.
 *
 * @typedef {object} NotifyFrame
 * @property {number} id
 * @property {number} seq
 * @property {number} type 0: plain, 1: an appointment, 2: a conversation
 * @property {string} msg
 * @property {string} time the server's
 * @property {Record<string, any> | null} data
 */

/**
 * Something that was said, as `/observe` and the HTTP API tell it.
 *
 * @typedef {object} ObservedMessage
 * @property {number} seq
 * @property {string} msg
 * @property {boolean} senderType false: the visitor, true: the consultant
 * @property {string} time the server's
 */

/**
 * @typedef {object} ReceiveOnlyListener
 * @property {(status: ConnectionStatus) => void} onStatus
 * @property {() => void} [onAccepted] let in: what was missed until now may be asked for
 */

/**
 * @typedef {object} NotificationEvents
 * @property {(notification: NotifyFrame) => void} onNotification after a reconnect possibly once more
 *
 * @typedef {ReceiveOnlyListener & NotificationEvents} NotifyListener
 */

/**
 * @typedef {object} ObserveEvents
 * @property {(line: ObservedMessage) => void} onMessage after a reconnect possibly once more, and not without gaps where the
 *   same person listens in several windows
 * @property {(present: Record<string, boolean>) => void} onPresence by role
 * @property {(time: string) => void} onEnd the session is over; the socket closes with 1000
 *
 * @typedef {ReceiveOnlyListener & ObserveEvents} ObserveListener
 */

class ReceiveOnlySocket {
  /**
   * @param {TokenSource} token
   * @param {string} path
   * @param {Record<string, string>} query without the token
   * @param {ReceiveOnlyListener} listener
   * @param {(frame: any) => void} onFrame
   */
  constructor(token, path, query, listener, onFrame) {
    const sendProbe = (/** @type {boolean} */ early) => this.#connection.send({ alive: true }, early);
    this.#connection = new Connection(token, {
      path: (token) => `${path}?${new URLSearchParams({ token, ...query })}`,
      onOpen: () => sendProbe(true),
      sendProbe: () => sendProbe(false),
      onAccepted: () => listener.onAccepted?.(),
      onStatus: listener.onStatus,
      onFrame: (frame) => {
        if (!this.#connection.open) {
          this.#connection.markAccepted();
        }
        onFrame(frame);
      },
    });
  }

  /** @type {Connection} */
  #connection;

  start() {
    this.#connection.start();
  }

  retry() {
    this.#connection.retry();
  }

  /** Close it without a word. */
  stop() {
    this.#connection.stop();
  }
}

/** The notifications of one person. */
export class NotifySocket extends ReceiveOnlySocket {
  /**
   * @param {TokenSource} token
   * @param {NotifyListener} listener
   */
  constructor(token, listener) {
    super(token, "/notify", { features: "seq,alive" }, listener, (frame) => {
      if (frame.id !== undefined) {
        listener.onNotification(frame);
      }
    });
  }
}

/** One session, for somebody who takes no part in it. Nobody in it notices. */
export class ObserveSocket extends ReceiveOnlySocket {
  /**
   * @param {TokenSource} token
   * @param {number} session
   * @param {ObserveListener} listener
   */
  constructor(token, session, listener) {
    const query = { sessionId: String(session), features: "seq,presence,alive" };
    super(token, "/observe", query, listener, (frame) => {
      if (frame.presence) {
        listener.onPresence(frame.presence);
      } else if (frame.senderType === null) {
        listener.onEnd(frame.time);
      } else if (frame.seq !== undefined) {
        listener.onMessage(frame);
      }
    });
  }
}
