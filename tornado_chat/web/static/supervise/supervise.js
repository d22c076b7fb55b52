// @ts-check
/**
 * `/supervise`: the desk of those who supervise. Calls and alerts come in, sessions are listened to live, and
 * beside each is the record with its consultant.
 *
 * @module
 */

import "./strings.js";
import { showCard, showSignInCard, signInOrShowCard } from "../shared/card.js";
import { find } from "../shared/elements.js";
import { NotifySocket } from "../shared/following.js";
import { SignInOver } from "../shared/identity.js";
import { ChatStanding } from "../shared/standing.js";
import { fillIn, language, text } from "../shared/strings.js";
import { Api, Failed } from "./api.js";
import { Desk } from "./desk.js";
import { askToClose, prepareByNumber, prepareSettings } from "./dialogs.js";
import { Inbox } from "./inbox.js";
import { Notices, titleOf } from "./notices.js";
import { Overview } from "./overview.js";
import { Sessions } from "./sessions.js";
import { Signals } from "./signals.js";

/** @typedef {import("../shared/connection.js").Standing} Standing */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */
/** @typedef {import("./inbox.js").Notice} Notice */
/** @typedef {import("./pane.js").SessionPane} SessionPane */

const INBOX_RETRY_MS = 5_000; // milliseconds after which the inbox is asked once more
const NOTICE_MS = 6_000; // milliseconds that something is told in passing
const CLOSE_UNAUTHENTICATED = 4401;

class SupervisePage {
  /** @param {SignedIn} me */
  constructor(me) {
    this.#me = me;
    this.#api = new Api(me.token);
    this.#signals = new Signals((notice) => this.#open(notice));
    this.#inbox = new Inbox((arrived) => this.#inboxChanged(arrived), me.role === "supervisor");
    this.#sessions = new Sessions(this.#api, () => this.#showSoon());
    this.#notices = new Notices(this.#inbox, this.#sessions, {
      open: (notice) => this.#open(notice),
      read: (notice) => this.#read(notice.id),
    });
    this.#desk = new Desk(
      { me, api: this.#api, sessions: this.#sessions },
      {
        changed: () => this.#showSoon(),
        close: (pane) => void askToClose(pane).then((sure) => sure && this.#close(pane)),
        acknowledge: (alert) => void this.#read(alert).catch((error) => this.#say(error.message)),
      },
    );
    this.#overview = new Overview((pane) => (pane ? this.#desk.show(pane) : this.#toInbox()));
    this.#socket = new NotifySocket(me.token, {
      standing: (standing) => this.#standingChanged(standing),
      admitted: () => void this.#refresh(),
      notification: (frame) => this.#inbox.told(frame),
    });
    this.#elsewhere = new BroadcastChannel("supervise");
    this.#elsewhere.onmessage = ({ data }) => this.#inbox.markRead(data.read, data.at);
  }

  #me;
  #api;
  #signals;
  #inbox;
  #sessions;
  #notices;
  #desk;
  #overview;
  #socket;
  /** Other windows of this browser. */
  #elsewhere;
  #standing = find("#standing", ChatStanding);
  /** Calls that came while this page was open, and that nobody has answered. @type {Set<number>} */
  #calls = new Set();
  #refreshing = false;
  #refreshAgain = false;
  /** @type {number | undefined} */
  #refreshTimer;
  #showing = false;
  #over = false;
  /** To which session a link has led, before the inbox was there. */
  #linked = 0;

  start() {
    find("#page").hidden = false;
    const name = this.#me.name || this.#me.id;
    find("#my-name").textContent = name;
    find("#my-avatar").textContent = Array.from(name)[0]?.toUpperCase() ?? "";
    find("#calm-id").textContent = this.#me.role === "admin" ? "" : text("calm_id", { id: this.#me.id });
    prepareSettings(this.#me, this.#signals, () => this.#desk.panes.some((pane) => pane.record?.unsent));
    prepareByNumber((session) => this.#openSession(session, 0));
    this.#signals.blocked = (blocked) => (find("#blocked").hidden = !blocked);
    this.#standing.addEventListener("retry", () => {
      this.#socket.retry();
      this.#desk.retry();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.#inbox.loaded) {
        void this.#refresh(); // something may have been read elsewhere
      }
    });
    this.#desk.restore();
    this.#show();
    this.#followLink();
    addEventListener("hashchange", () => this.#followLink());
    this.#socket.start();
  }

  // --- the inbox ---

  /** Ask for what is new, and for what was read elsewhere. */
  async #refresh() {
    this.#refreshAgain = true;
    if (this.#refreshing) {
      return;
    }
    this.#refreshing = true;
    clearTimeout(this.#refreshTimer);
    try {
      while (this.#refreshAgain) {
        this.#refreshAgain = false;
        this.#inbox.take(await this.#api.inbox(this.#inbox.after));
        this.#answer(this.#linked);
        this.#linked = 0;
        this.#notices.failed = "";
      }
    } catch (error) {
      if (!(error instanceof Failed)) {
        throw error;
      }
      if (!this.#inbox.loaded) {
        this.#notices.failed = error.message;
      }
      this.#refreshTimer = setTimeout(() => void this.#refresh(), INBOX_RETRY_MS);
    } finally {
      this.#refreshing = false;
    }
  }

  /** @param {Notice[]} arrived */
  #inboxChanged(arrived) {
    for (const notice of arrived) {
      this.#signals.arrived(notice);
      if (notice.kind === "call") {
        this.#calls.add(notice.id);
      }
      const pane = this.#desk.panes.find((each) => each.session === notice.session);
      if (pane && notice.record && !pane.record?.open) {
        pane.learnRecord(notice.record); // the consultant has asked again
      }
    }
    const loudest = arrived.find((notice) => notice.kind === "alert") ?? arrived.at(-1);
    if (loudest) {
      const names = loudest.session === undefined ? null : this.#sessions.names(loudest.session);
      this.#say(titleOf(loudest, names), loudest.kind === "alert" ? "#told-urgently" : "#arrived");
    }
    this.#showSoon();
  }

  /** @param {number} id */
  async #read(id) {
    const { read_at: at } = await this.#api.read(id);
    this.#inbox.markRead(id, at);
    this.#elsewhere.postMessage({ read: id, at });
  }

  // --- the desk ---

  /** @param {Notice} notice */
  #open(notice) {
    if (notice.session === undefined) {
      this.#toInbox();
    } else {
      this.#openSession(notice.session, notice.record ?? 0);
    }
  }

  /**
   * @param {number} session
   * @param {number} record 0: none is known
   */
  #openSession(session, record) {
    const there = this.#desk.panes.some((pane) => pane.session === session);
    if (this.#desk.full && !there) {
      this.#say(text("desk_full"));
      return;
    }
    this.#desk.open(session, Math.max(record, this.#inbox.recordOf(session)));
    this.#answer(session);
  }

  /** Whoever is there has answered the call; an alert waits for its acknowledgement. @param {number} session */
  #answer(session) {
    const calls = this.#inbox.unread.filter((each) => each.kind === "call" && each.session === session);
    calls.forEach((call) => this.#read(call.id).catch(() => {})); // it stays unread, which harms nobody
  }

  /** @param {SessionPane} pane */
  #close(pane) {
    this.#desk.close(pane);
    find("#inbox-title").focus();
  }

  #toInbox() {
    this.#desk.leave();
    find("#inbox-title").focus();
  }

  /** A link of the host's: `#session=12&record=5`. */
  #followLink() {
    const link = new URLSearchParams(location.hash.slice(1));
    const session = link.get("session") ?? "";
    const record = link.get("record") || "0";
    if (/^\d{1,15}$/.test(session) && /^\d{1,15}$/.test(record)) {
      history.replaceState(history.state, "", location.pathname + location.search);
      this.#openSession(Number(session), Number(record));
      this.#linked = Number(session);
    }
  }

  // --- showing ---

  /** Once for everything that happens in this moment. */
  #showSoon() {
    if (!this.#showing) {
      this.#showing = true;
      queueMicrotask(() => {
        this.#showing = false;
        this.#show();
      });
    }
  }

  #show() {
    if (this.#over) {
      return;
    }
    const { alerts, unread } = this.#inbox;
    this.#calls.forEach((id) => this.#inbox.find(id)?.read && this.#calls.delete(id));
    this.#desk.alerts = alerts;
    this.#notices.show();
    this.#overview.show(this.#desk, alerts, unread.length);
    this.#signals.show({ alerts: alerts.length, calls: this.#calls.size, unread: unread.length });
    this.#desk.tellCalm(unread.length);
    find("#page").classList.toggle("talking", this.#desk.current !== undefined);
  }

  /** @param {Standing} standing */
  #standingChanged(standing) {
    if (this.#over) {
      return;
    }
    this.#standing.show(standing);
    const open = standing.state === "open";
    find("#my-standing").dataset.connected = String(open);
    find("#my-standing .words").textContent = text(open ? "ready_for_calls" : "not_connected");
    if (standing.state !== "closed") {
      return;
    }
    this.#over = true; // a card takes the place of everything
    this.#signals.show({ alerts: 0, calls: 0, unread: 0 });
    this.#desk.panes.forEach((pane) => pane.stop());
    if (standing.code === CLOSE_UNAUTHENTICATED) {
      showSignInCard(new SignInOver(standing.reason));
    } else {
      const words = text("closed_text", { reason: standing.reason || String(standing.code) });
      showCard({ picture: "lock", title: text("closed_title"), words });
    }
  }

  /**
   * Tell something in passing.
   *
   * @param {string} words
   * @param {"#told" | "#told-urgently" | "#arrived"} where
   */
  #say(words, where = "#told") {
    if (this.#over) {
      return;
    }
    const place = find(where);
    clearTimeout(this.#said.get(place));
    place.textContent = words;
    this.#said.set(
      place,
      setTimeout(() => (place.textContent = ""), NOTICE_MS),
    );
  }

  /** What will take it away again. @type {Map<HTMLElement, number>} */
  #said = new Map();
}

async function begin() {
  document.documentElement.lang = language;
  fillIn(document);
  document.title = text("supervise");
  const me = await signInOrShowCard({ roles: ["supervisor", "admin"] });
  new SupervisePage(me).start();
}

begin().catch(showSignInCard);
