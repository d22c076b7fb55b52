// @ts-check
/**
 * The dialects of `/notify` and `/observe`: sockets that only receive, until an observer takes part.
 *
 * Neither dialect has a frame that accepts the client. So a probe is sent as soon as the socket is open, and
 * the first frame that arrives marks the client as accepted. If the server refuses the client, it closes
 * right after the upgrade (4401, 4403, 1013): then no open connection is reported, and the retry delay grows.
 *
 * @module
 */

import { Connection } from "./connection.js";
import { language } from "./strings.js";

/** @typedef {import("./connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("./connection.js").TokenSource} TokenSource */

/**
 * A notification in the format of `/notify`.
 *
 * @typedef {object} NotifyFrame
 * @property {string} id
 * @property {number} seq
 * @property {number} type 0: plain, 1: an appointment, 2: a conversation
 * @property {string} msg
 * @property {string} time the server's
 * @property {Record<string, any> | null} data
 */

/**
 * A message in the format of `/observe` and of the HTTP API.
 *
 * @typedef {object} ObservedMessage
 * @property {number} seq
 * @property {string} msg
 * @property {boolean} senderType false: the client, true: the consultant
 * @property {string} time server time
 * @property {import("./conversation.js").Sender} [sender] undefined from a process of the version before
 */

/**
 * @typedef {object} ReceiveOnlyListener
 * @property {(status: ConnectionStatus) => void} onStatus
 * @property {() => void} [onAccepted] the client was accepted: missed events can be requested now
 */

/**
 * @typedef {object} NotificationEvents
 * @property {(notification: NotifyFrame) => void} onNotification may be repeated after a reconnect
 *
 * @typedef {ReceiveOnlyListener & NotificationEvents} NotifyListener
 */

/**
 * @typedef {object} ObserveEvents
 * @property {(message: ObservedMessage) => void} onMessage may be repeated after a reconnect, and may have
 *   gaps if the same person listens in several windows
 * @property {(present: Record<string, boolean>) => void} onPresence by role
 * @property {(time: string) => void} onEnd the session has ended; the socket closes with 1000
 * @property {(part: "supervisor" | "agent" | null) => void} onPart as what the person takes part
 * @property {(id: string) => void} onStored a message of the person is stored
 * @property {(words: string, id: string | undefined) => void} onRefused a message of the person was refused
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
      path: (token) => `${path}?${new URLSearchParams({ token, ...query, language })}`,
      onOpen: () => sendProbe(true),
      sendProbe: () => sendProbe(false),
      sendToken: (token) => this.#connection.send({ token }),
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

  /** Close the connection for good, without a status change. */
  stop() {
    this.#connection.stop();
  }

  /** Send a frame. @param {object} frame @returns {boolean} false: there is no open connection */
  sendFrame(frame) {
    if (!this.#connection.open) {
      return false;
    }
    this.#connection.send(frame);
    return true;
  }
}

/** The notifications of one person. */
export class NotifySocket extends ReceiveOnlySocket {
  /**
   * @param {TokenSource} token
   * @param {NotifyListener} listener
   */
  constructor(token, listener) {
    super(token, "/notify", { features: "seq,alive,token" }, listener, (frame) => {
      if (frame.id !== undefined) {
        listener.onNotification(frame);
      }
    });
  }
}

/** One conversation, for an observer. The participants do not notice the observer before it joins. */
export class ObserveSocket extends ReceiveOnlySocket {
  /**
   * @param {TokenSource} token
   * @param {Record<string, string>} conversation `sessionId` or `conversationId`
   * @param {ObserveListener} listener
   */
  constructor(token, conversation, listener) {
    const query = { ...conversation, features: "seq,presence,sender,alive,token,speak,ack" };
    super(token, "/observe", query, listener, (frame) => {
      if (frame.part !== undefined) {
        listener.onPart(frame.part);
      } else if (frame.ack !== undefined) {
        listener.onStored(frame.ack);
      } else if (frame.isSystem) {
        listener.onRefused(frame.msg, frame.id);
      } else if (frame.presence) {
        listener.onPresence(frame.presence);
      } else if (frame.senderType === null) {
        listener.onEnd(frame.time);
      } else if (frame.seq !== undefined) {
        listener.onMessage(frame);
      }
    });
  }

  /** Send a message, if the person takes part. @param {{ msg: string, id: string }} frame */
  say(frame) {
    return this.sendFrame(frame);
  }
}
