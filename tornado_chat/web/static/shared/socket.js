// @ts-check
/**
 * The conversation behind a page: one socket after the other, until the conversation is over.
 *
 * What is written waits in the outbox until the server acknowledges it, and goes out again by the same
 * id over each new socket. What arrives is numbered, and shown once. Whatever the network does, the
 * listener is told how it stands.
 *
 * @module
 */

import { SignInOver } from "./signin.js";

/** @typedef {import("./outbox.js").Outbox} Outbox */
/** @typedef {import("./outbox.js").Unsent} Unsent */
/** @typedef {import("./token.js").Ticket} Ticket */

/**
 * @typedef {object} Said
 * @property {number} seq
 * @property {string} text
 * @property {boolean} own
 * @property {string} time the server's
 */

/**
 * How the connection stands.
 *
 * - `connecting`: a socket is being opened
 * - `open`: in the room
 * - `waiting`: there is none; the next attempt is at `retryAt`, or when the network is back
 * - `closed`: for good, for the reason that `code` says
 *
 * @typedef {object} Standing
 * @property {"connecting" | "open" | "waiting" | "closed"} state
 * @property {boolean} before whether it was open before
 * @property {number} [retryAt] milliseconds since 1970; none without a network
 * @property {number} [code] of the WebSocket's close
 * @property {string} [reason]
 */

/**
 * @typedef {object} Listener
 * @property {(standing: Standing) => void} standing
 * @property {(said: Said) => void} message
 * @property {(past: Said[], more: boolean) => void} past messages of before, oldest first; `more`: whether
 *   there is anything before the very first that was told
 * @property {(id: string, seq: number, time: string) => void} stored
 * @property {(id: string, reason: string) => void} refused
 * @property {(text: string, time: string) => void} system
 * @property {(typing: boolean) => void} typing
 * @property {(seq: number, role: string) => void} read
 * @property {(present: Record<string, boolean>) => void} presence
 */

const FEATURES = "ack,seq,history,typing,read,presence,echo";

/** Closed by these, a socket may be opened again; so it may by all that are not the server's (below 4000). */
const AGAIN = new Set([4408, 4429]);
const OVER = 1000;
const LOST = 1006;
const TOO_BIG = 1009;
const RESTARTING = 1012;
const LATER = 1013;
const END = 4000;
const UNKNOWN = 4401;
const TOO_FAST = 4429;

const FIRST_DELAY = 500; // all times in milliseconds
const LONGEST_DELAY = 20_000;
const LEAST_DELAY = new Map([
  [RESTARTING, 0],
  [LATER, 5_000],
  [TOO_FAST, 10_000],
]);
const ADMISSION = 10_000;
const ACKNOWLEDGEMENT = 15_000;
const SILENCE = 40_000;
const ANSWER = 10_000;

/** Servers of both languages begin errors so. */
const ERROR = /^(?:错误|Error): ?/;

/** One room, as long as the page is open. */
export class ChatSocket {
  /**
   * @param {Ticket} ticket
   * @param {Outbox} outbox
   * @param {Listener} listener
   */
  constructor(ticket, outbox, listener) {
    this.#ticket = ticket;
    this.#outbox = outbox;
    this.#listener = listener;
    addEventListener("online", () => this.retry());
    addEventListener("offline", () => this.#drop());
    document.addEventListener("visibilitychange", () => document.hidden || this.retry());
  }

  #ticket;
  #outbox;
  #listener;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Standing["state"]} */
  #state = "connecting";
  #before = false;
  #failures = 0;
  #ending = false;
  /** The last token that `renew` gave, and the last that the server refused. */
  #token = "";
  #refused = "";

  /** @type {Set<number>} */
  #known = new Set();
  #last = 0;
  /** The oldest that was told, and whether there is anything before it. */
  #oldest = Infinity;
  #more = false;
  #read = 0;

  /** Ids that went out over this socket, with the time. @type {Map<string, number>} */
  #inFlight = new Map();
  #heard = 0;
  /** @type {number | undefined} */
  #retryTimer;
  /** @type {number | undefined} */
  #watchTimer;

  /** Open the first socket. */
  start() {
    this.#connect();
  }

  /** Do not wait any longer for the next attempt. */
  retry() {
    if (this.#state === "waiting") {
      this.#connect();
    }
  }

  /**
   * Say something; it goes out as soon as it can.
   *
   * @param {string} text
   * @returns {Unsent}
   */
  say(text) {
    const entry = this.#outbox.add(text);
    this.#sendEntry(entry);
    return entry;
  }

  /** Try once more what was refused. @param {string} id */
  sayAgain(id) {
    const entry = this.#outbox.find(id);
    if (entry) {
      delete entry.refused;
      this.#outbox.save();
      this.#sendEntry(entry);
    }
  }

  /** @param {boolean} typing */
  typing(typing) {
    this.#send({ typing });
  }

  /** Everything up to `seq` was read. @param {number} seq */
  read(seq) {
    if (seq > this.#read) {
      this.#read = seq;
      this.#send({ read: seq });
    }
  }

  /** Ask for what was said before the oldest that was told. */
  older() {
    if (this.#more) {
      this.#send({ history: this.#oldest });
    }
  }

  /** End the conversation for everybody; without a connection, as soon as there is one. */
  end() {
    this.#ending = true;
    if (this.#state === "open") {
      this.#socket?.close(END, "the end");
    } else {
      this.retry();
    }
  }

  /**
   * Everything that was said, as the HTTP API has it, when no socket tells it any more.
   *
   * @param {{ seq: number, msg: string, senderType: boolean, time: string }[]} lines
   */
  complete(lines) {
    this.#past(lines, false);
  }

  // --- connecting ---

  #connect() {
    clearTimeout(this.#retryTimer);
    if (!navigator.onLine) {
      this.#tell("waiting");
      return;
    }
    const { token, renew } = this.#ticket;
    if (!renew) {
      this.#open(token);
      return;
    }
    this.#tell("connecting");
    renew(this.#refused).then(
      (token) => {
        this.#token = token;
        this.#open(token);
      },
      (error) => {
        if (error instanceof SignInOver) {
          this.#tell("closed", { code: UNKNOWN });
        } else {
          this.#gone(LOST, "", false);
        }
      },
    );
  }

  /** @param {string} token */
  #open(token) {
    const { session, type } = this.#ticket;
    const query = new URLSearchParams({
      token,
      sessionId: String(session),
      type: String(type),
      features: FEATURES,
    });
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/chat?${query}`);
    this.#socket = socket;
    this.#inFlight.clear();
    this.#heard = Date.now();
    this.#tell("connecting");
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = (event) => this.#gone(event.code, event.reason, event.wasClean);
    clearInterval(this.#watchTimer);
    this.#watchTimer = setInterval(() => this.#watch(), 1000);
  }

  /** The browser does not tell of a connection that died silently. */
  #watch() {
    const now = Date.now();
    const silent = now - this.#heard;
    const oldest = Math.min(...this.#inFlight.values());
    if (
      (this.#state === "connecting" && silent > ADMISSION) ||
      silent > SILENCE + ANSWER ||
      now - oldest > ACKNOWLEDGEMENT
    ) {
      this.#drop();
    } else if (silent > SILENCE) {
      this.#send({ history: 1 }); // the page before the first message is empty, and a sign of life
    }
  }

  /** Give the socket up without waiting for the other end, which may be out of reach. */
  #drop() {
    const socket = this.#socket;
    if (socket && this.#state !== "closed") {
      socket.onmessage = socket.onclose = null;
      socket.close();
      this.#gone(LOST, "", false);
    }
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {boolean} clean
   */
  #gone(code, reason, clean) {
    this.#socket = null;
    clearInterval(this.#watchTimer);
    if (this.#ending && clean && code !== RESTARTING && this.#state === "open") {
      code = END;
    }
    if (code === TOO_BIG) {
      this.#refuseLongest();
    }
    if (code === UNKNOWN && this.#token && this.#token !== this.#refused) {
      this.#refused = this.#token;
      code = LOST; // it may have expired, or been withdrawn: with another token it goes on
    }
    if (code === OVER || (code >= 4000 && !AGAIN.has(code))) {
      this.#tell("closed", { code, reason });
      return;
    }
    const ceiling = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#failures);
    this.#failures += 1;
    const delay = (LEAST_DELAY.get(code) ?? 0) + ceiling * (0.5 + Math.random() / 2);
    if (navigator.onLine) {
      this.#retryTimer = setTimeout(() => this.#connect(), delay);
      this.#tell("waiting", { retryAt: Date.now() + delay });
    } else {
      this.#tell("waiting"); // the event `online` will go on
    }
  }

  /**
   * @param {Standing["state"]} state
   * @param {Partial<Standing>} [more]
   */
  #tell(state, more) {
    this.#state = state;
    this.#listener.standing({ state, before: this.#before, ...more });
  }

  #admitted() {
    this.#failures = 0;
    this.#tell("open");
    this.#before = true;
    for (const entry of this.#outbox.entries) {
      if (entry.refused === undefined) {
        this.#sendEntry(entry);
      }
    }
    if (this.#read) {
      this.#send({ read: this.#read });
    }
    if (this.#ending) {
      this.end();
    }
  }

  // --- sending ---

  /** @param {object} frame */
  #send(frame) {
    if (this.#state === "open" && this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(frame));
    }
  }

  /** @param {Unsent} entry */
  #sendEntry(entry) {
    if (this.#state !== "open" || this.#inFlight.has(entry.id)) {
      return;
    }
    if (entry.after === undefined) {
      entry.after = this.#last;
      this.#outbox.save();
    }
    this.#inFlight.set(entry.id, Date.now());
    this.#send({ msg: entry.text, id: entry.id });
  }

  /** One of them was more than the server takes, which hangs up on it: it must not do so for ever. */
  #refuseLongest() {
    const sent = this.#outbox.entries.filter((entry) => this.#inFlight.has(entry.id));
    sent.sort((one, other) => other.text.length - one.text.length);
    if (sent[0]) {
      this.#refuse(sent[0].id, "");
    }
  }

  // --- receiving ---

  /** @param {Record<string, any>} frame */
  #receive(frame) {
    this.#heard = Date.now();
    if (Array.isArray(frame.history)) {
      this.#past(frame.history, frame.next !== null);
    } else if ("ack" in frame) {
      this.#acknowledged(frame.ack, frame.seq, frame.time);
    } else if ("typing" in frame) {
      this.#listener.typing(frame.typing);
    } else if ("read" in frame) {
      this.#listener.read(frame.read, frame.role);
    } else if ("presence" in frame) {
      this.#listener.presence(frame.presence);
    } else if (frame.isSystem === false) {
      this.#said({ seq: frame.seq, text: frame.msg, own: frame.self === true, time: frame.time });
    } else if (frame.isSystem && frame.id !== undefined) {
      this.#refuse(frame.id, frame.msg.replace(ERROR, ""));
    } else if (frame.isSystem) {
      this.#listener.system(frame.msg.replace(ERROR, ""), frame.time);
    }
  }

  /** @param {Said} said */
  #said(said) {
    if (this.#isNew(said) && !this.#recognised(said)) {
      this.#listener.message(said);
    }
  }

  /**
   * A page of the past: of joining, or an older one that was asked for.
   *
   * @param {{ seq: number, msg: string, senderType: boolean, time: string }[]} lines
   * @param {boolean} more
   */
  #past(lines, more) {
    const consultant = this.#ticket.role === "consultant";
    const past = lines
      .map((line) => ({
        seq: line.seq,
        text: line.msg,
        own: line.senderType === consultant,
        time: line.time,
      }))
      .filter((said) => this.#isNew(said) && !this.#recognised(said));
    const first = lines[0]?.seq;
    if (first !== undefined && first <= this.#oldest) {
      this.#oldest = first;
      this.#more = more;
    }
    this.#listener.past(past, this.#more);
    if (this.#state === "connecting") {
      this.#admitted(); // the page of joining is the first that only who was let in gets
    }
    if (first !== undefined && first > this.#oldest && !this.#known.has(first - 1)) {
      // Another tab of the same person got what came while this one was away, and so the server
      // does not send it again: ask, page by page, until what we know is reached.
      this.#send({ history: first });
    }
  }

  /** @param {Said} said */
  #isNew(said) {
    const isNew = !this.#known.has(said.seq);
    this.#known.add(said.seq);
    this.#last = Math.max(this.#last, said.seq);
    return isNew;
  }

  /**
   * Whether it is one of the outbox, whose acknowledgement is still on its way, or was lost with a
   * connection. Then it must not be shown a second time. It stays in the outbox until it is acknowledged.
   *
   * @param {Said} said
   */
  #recognised(said) {
    const entry =
      said.own &&
      this.#outbox.entries.find(
        (entry) =>
          entry.seq === undefined &&
          entry.refused === undefined &&
          entry.text === said.text &&
          entry.after !== undefined &&
          entry.after < said.seq,
      );
    if (!entry) {
      return false;
    }
    entry.seq = said.seq;
    this.#listener.stored(entry.id, said.seq, said.time);
    return true;
  }

  /**
   * @param {string} id
   * @param {number} seq
   * @param {string} time
   */
  #acknowledged(id, seq, time) {
    this.#inFlight.delete(id);
    const entry = this.#outbox.find(id);
    if (!entry) {
      return;
    }
    this.#outbox.remove(id);
    const said = { seq, text: entry.text, own: true, time };
    if (entry.seq === undefined) {
      this.#isNew(said);
      this.#listener.stored(id, seq, time);
    } else if (entry.seq !== seq && this.#isNew(said)) {
      this.#listener.message(said); // the one that looked like it was said in another tab
    }
  }

  /**
   * @param {string} id
   * @param {string} reason
   */
  #refuse(id, reason) {
    this.#inFlight.delete(id);
    const entry = this.#outbox.find(id);
    if (entry) {
      entry.refused = reason;
      delete entry.seq;
      this.#outbox.save();
      this.#listener.refused(id, reason);
    }
  }
}
