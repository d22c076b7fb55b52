// @ts-check
/**
 * `/desk`: the counsellor's own page. It shows who waits, today's sessions, notifications and earlier sessions,
 * and leads into `/room`, which comes back here.
 *
 * @module
 */

import "./strings.js";
import { addressOf } from "../shared/base.js";
import { showCard, showSignInCard, signInOrShowCard } from "../shared/card.js";
import { ConnectionStatusBar } from "../shared/connection_status.js";
import { find } from "../shared/elements.js";
import { fetchGroups, joinTitles } from "../shared/groups.js";
import { metaContent, SignInExpired } from "../shared/identity.js";
import { parseNumber } from "../shared/numbers.js";
import { NotifySocket } from "../shared/receive_only_sockets.js";
import { prepareSettings } from "../shared/signal_settings.js";
import { fillTexts, language, text } from "../shared/strings.js";
import { ApiError, DeskApi } from "./desk_api.js";
import { History } from "./history.js";
import { NoticeList, noticeTitle } from "./notice_list.js";
import { Notices } from "./notices.js";
import { stageOf, visitorName } from "./session.js";
import { Signals } from "./signals.js";
import { TodaysSessions } from "./todays_sessions.js";
import { TodayView } from "./today.js";
import { TranscriptPane } from "./transcript_pane.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */
/** @typedef {import("./notices.js").Notice} Notice */
/** @typedef {import("./session.js").Session} Session */

const TOAST_MS = 6_000; // how long a short notice is shown
const NOTICES_RETRY_MS = 5_000; // the delay before the notifications are requested again
const CLOSE_UNAUTHENTICATED = 4401;

class DeskPage {
  /** @param {SignedIn} me */
  constructor(me) {
    this.#me = me;
    const api = new DeskApi(me.token);
    this.#api = api;
    const address = (/** @type {string} */ session) => this.#roomAddress(session);
    const acts = {
      address: (/** @type {Session} */ session) => address(session.session_id),
      isNew: (/** @type {Session} */ session) => this.#notices.newSessions.has(session.session_id),
      onEnter: (/** @type {Session} */ session) => this.#markSessionRead(session.session_id),
      onRead: (/** @type {Session} */ session) => this.#showTranscript(session.session_id),
    };
    this.#signals = new Signals();
    this.#sessions = new TodaysSessions(api, () => void this.#onSessions());
    this.#today = new TodayView(this.#sessions, acts);
    this.#history = new History(api, acts);
    this.#transcript = new TranscriptPane(api, address, () => this.#closeTranscript());
    this.#notices = new Notices((arrived) => this.#onNotices(arrived));
    this.#noticeList = new NoticeList({
      onRead: (notice) => this.#markRead(notice.id),
      onOlder: () => void this.#loadNotices(this.#nextNotices ?? 0),
      onShowAll: () => this.#show(),
    });
    this.#socket = new NotifySocket(me.token, {
      onStatus: (status) => this.#onStatus(status),
      onAccepted: () => this.#refresh(),
      onNotification: (frame) => this.#notices.addFrame(frame),
    });
    this.#otherWindows = new BroadcastChannel("desk");
    this.#otherWindows.onmessage = ({ data }) => this.#notices.markRead(data.read);
  }

  #me;
  #api;
  #signals;
  #sessions;
  #today;
  #history;
  #transcript;
  #notices;
  #noticeList;
  #socket;
  /** A channel to other windows of this browser. */
  #otherWindows;
  #statusBar = find("#connection-status", ConnectionStatusBar);
  /** The token for links to the room; empty: the room signs in by itself. */
  #roomToken = "";
  /** The numbers of the sessions whose visitor waits. @type {Set<string> | null} */
  #waiting = null;
  /** The page of notifications that comes next; null: there is none; undefined: none was loaded yet. */
  #nextNotices = /** @type {number | null | undefined} */ (undefined);
  #noticesProblem = "";
  /** @type {number | undefined} */
  #noticesTimer;
  #isClosed = false;

  async start() {
    await this.#renewRoomToken();
    find("#page").hidden = false;
    const name = this.#me.name || this.#me.id;
    find("#my-name").textContent = name;
    find("#my-avatar").textContent = Array.from(name)[0]?.toUpperCase() ?? "";
    prepareSettings(this.#me, this.#signals, {
      notifications: (key) => text(`set_notifications_${key}`),
      id: (id) => text("my_id", { id }),
    });
    this.#signals.onBlocked = (blocked) => (find("#sound-blocked").hidden = !blocked);
    this.#statusBar.addEventListener("retry", () => this.#socket.retry());
    addEventListener("popstate", () => this.#followAddress());
    this.#show();
    this.#followAddress();
    this.#sessions.start();
    this.#history.search();
    this.#socket.start();
    void this.#linkConsole();
  }

  /** Show the link to the console, if this person serves groups of agents. */
  async #linkConsole() {
    if (metaContent("groups") !== "on") {
      return;
    }
    const groups = await fetchGroups(this.#me.token).catch(() => []); // without them the page has no link
    const served = groups.filter(({ serves }) => serves).map(({ title }) => title);
    const link = find("#console-link", HTMLAnchorElement);
    link.hidden = served.length === 0;
    link.title = text("open_console_title", { groups: joinTitles(served) });
    this.#showConsoleAddress();
  }

  #showConsoleAddress() {
    const token = this.#roomToken && `#${new URLSearchParams({ token: this.#roomToken })}`;
    find("#console-link", HTMLAnchorElement).href = addressOf("/console") + token;
  }

  #refresh() {
    void this.#sessions.refresh();
    void this.#loadNotices(0);
  }

  // --- sessions ---

  async #onSessions() {
    await this.#renewRoomToken();
    const waiting = this.#sessions.open.filter((session) => stageOf(session) === "waits");
    for (const session of waiting) {
      if (this.#waiting && !this.#waiting.has(session.session_id)) {
        this.#signal("waits", session.session_id, session.session_id);
        this.#toast(text("waits_now", { name: visitorName(session) }));
      }
    }
    if (this.#sessions.loadedAt) {
      this.#waiting = new Set(waiting.map((session) => session.session_id));
    }
    this.#show();
  }

  /** The name of the visitor of an open session. @param {string} number */
  #visitorName(number) {
    const session = this.#sessions.findOpen(number);
    return session && visitorName(session);
  }

  /** Take a token for links to the room, unless the browser is signed in there as well. */
  async #renewRoomToken() {
    if (this.#me.by !== "account") {
      // Without another token the socket shows that the sign-in has expired.
      this.#roomToken = await this.#me.token().catch(() => this.#roomToken);
      this.#showConsoleAddress();
    }
  }

  /** The URL of the room of a session. @param {string} session */
  #roomAddress(session) {
    const link = new URLSearchParams({ session, type: "0", back: "desk" });
    if (this.#roomToken) {
      link.set("token", this.#roomToken);
    }
    return `${addressOf("/room")}#${link}`;
  }

  // --- the transcript ---

  /** @param {string} session */
  #showTranscript(session) {
    history.pushState({ isTranscript: true }, "", `#${new URLSearchParams({ session })}`);
    this.#followAddress();
  }

  #closeTranscript() {
    if (history.state?.isTranscript) {
      history.back();
    } else {
      history.replaceState(null, "", location.pathname + location.search);
      this.#followAddress();
    }
  }

  /** Show the transcript that the address names: `#session=12`. */
  #followAddress() {
    const wanted = parseNumber(new URLSearchParams(location.hash.slice(1)).get("session")) ?? "";
    const before = this.#transcript.number;
    if (wanted === before) {
      return;
    }
    find("#page").classList.toggle("has-transcript", wanted !== "");
    if (wanted) {
      this.#transcript.open(wanted);
    } else {
      this.#transcript.close();
    }
    this.#show();
    if (!wanted) {
      find("#today-title").focus({ preventScroll: true });
      this.#history.focus(before);
      this.#today.focus(before);
    }
  }

  // --- notifications ---

  /**
   * @param {import("./signals.js").SignalKind} kind
   * @param {string} key tells events of this kind apart
   * @param {string} [session] the number of the session
   */
  #signal(kind, key, session) {
    this.#signals.signal(kind, {
      title: text(`notify_${kind}`),
      tag: `${kind}-${key}`,
      body: session ? text("session_number", { number: session }) : "",
      open: () => find("#today-title").focus(),
    });
  }

  /** @param {Notice[]} arrived */
  #onNotices(arrived) {
    for (const notice of arrived) {
      this.#signal(notice.kind, notice.id, notice.session);
      this.#toast(noticeTitle(notice));
    }
    if (arrived.some((notice) => notice.kind === "session")) {
      void this.#sessions.refresh();
    }
    this.#show();
  }

  /** @param {number} after 0: the newest notifications */
  async #loadNotices(after) {
    clearTimeout(this.#noticesTimer);
    try {
      const { items, next } = await this.#api.listNotifications(after);
      if (after !== 0 || this.#nextNotices === undefined) {
        this.#nextNotices = next;
      }
      this.#noticesProblem = "";
      this.#notices.addItems(items);
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      this.#noticesProblem = error.message;
      this.#noticesTimer = setTimeout(() => void this.#loadNotices(after), NOTICES_RETRY_MS);
      this.#show();
    }
  }

  /** @param {string} id */
  async #markRead(id) {
    await this.#api.markRead(id);
    this.#notices.markRead(id);
    this.#otherWindows.postMessage({ read: id });
  }

  /** The counsellor enters a session: its notifications have done their work. @param {string} session */
  #markSessionRead(session) {
    for (const notice of this.#notices.all) {
      if (notice.session === session && !notice.read) {
        this.#markRead(notice.id).catch(() => {}); // it stays unread, which is harmless
      }
    }
  }

  // --- rendering ---

  #show() {
    if (this.#isClosed) {
      return;
    }
    const { number } = this.#transcript;
    const { all, pending, newSessions } = this.#notices;
    const newOnes = this.#sessions.open.filter((session) => newSessions.has(session.session_id));
    this.#today.show(number);
    this.#history.show(number);
    this.#noticeList.show(all, pending, {
      isLoaded: this.#nextNotices !== undefined,
      hasOlder: Boolean(this.#nextNotices),
      problem: this.#noticesProblem,
      nameOf: (session) => this.#visitorName(session),
    });
    this.#signals.show({
      alerts: pending.filter((notice) => notice.kind === "alert").length,
      waiting: this.#waiting?.size ?? 0,
      pending: pending.length + newOnes.length,
    });
  }

  /** @param {ConnectionStatus} status */
  #onStatus(status) {
    if (this.#isClosed) {
      return;
    }
    this.#statusBar.show(status);
    const isOpen = status.state === "open";
    find("#my-connection").dataset.connected = String(isOpen);
    find("#my-connection .text").textContent = text(isOpen ? "connected" : "not_connected");
    if (status.state !== "closed") {
      return;
    }
    this.#isClosed = true; // a card replaces the page
    this.#sessions.stop();
    clearTimeout(this.#noticesTimer);
    this.#signals.show({ alerts: 0, waiting: 0, pending: 0 });
    if (status.code === CLOSE_UNAUTHENTICATED) {
      showSignInCard(new SignInExpired(status.reason));
    } else {
      const message = text("closed_text", { reason: status.reason || String(status.code) });
      showCard({ iconName: "lock", title: text("closed_title"), message });
    }
  }

  /** @type {number | undefined} */
  #toastTimer;

  /** Show a short notice. @param {string} content */
  #toast(content) {
    if (this.#isClosed) {
      return;
    }
    clearTimeout(this.#toastTimer);
    find("#toast").textContent = content;
    this.#toastTimer = setTimeout(() => (find("#toast").textContent = ""), TOAST_MS);
  }
}

async function start() {
  document.documentElement.lang = language;
  fillTexts(document);
  document.title = text("desk");
  const me = await signInOrShowCard({ roles: ["consultant"] });
  await new DeskPage(me).start();
}

start().catch(showSignInCard);
