// @ts-check
/**
 * `/supervise`: the workspace of supervisors and administrators. It shows calls and alerts, observes
 * sessions, and has the supervision record of each session.
 *
 * @module
 */

import "./strings.js";
import { showCard, showSignInCard, signInOrShowCard } from "../shared/card.js";
import { find } from "../shared/elements.js";
import { NotifySocket } from "../shared/receive_only_sockets.js";
import { SignInExpired } from "../shared/identity.js";
import { parseNumber } from "../shared/numbers.js";
import { ConnectionStatusBar } from "../shared/connection_status.js";
import { prepareSettings } from "../shared/signal_settings.js";
import { fillTexts, language, text } from "../shared/strings.js";
import { ApprovalPanel } from "./approvals.js";
import { SupervisionApi, ApiError } from "./api.js";
import { PaneLayout } from "./pane_layout.js";
import { keyText, parseKey } from "./conversation_key.js";
import { OpenConversations } from "./open_conversations.js";
import { askToClose, prepareOpenByNumber } from "./dialogs.js";
import { Inbox } from "./inbox.js";
import { endOfCall, NoticeList, noticeTitle } from "./notice_list.js";
import { Overview } from "./overview.js";
import { SessionNames } from "./session_names.js";
import { Signals } from "./signals.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */
/** @typedef {import("./inbox.js").Notice} Notice */
/** @typedef {import("./pane.js").SessionPane} SessionPane */

const INBOX_RETRY_MS = 5_000; // the delay before the inbox is requested again
const CALL_CHECK_MS = 20_000; // how often the page asks whether the sessions of unread calls have ended
const NOTICE_MS = 6_000; // how long a short notice is shown
const CLOSE_UNAUTHENTICATED = 4401;

class SupervisePage {
  /** @param {SignedIn} me */
  constructor(me) {
    this.#me = me;
    this.#api = new SupervisionApi(me.token);
    this.#signals = new Signals();
    this.#inbox = new Inbox((arrived) => this.#onInboxChange(arrived), me.role === "supervisor");
    this.#names = new SessionNames(this.#api, () => this.#scheduleRender());
    this.#noticeList = new NoticeList(this.#inbox, this.#names, {
      onOpen: (notice) => this.#open(notice),
      onRead: (notice) => this.#markRead(notice.id),
    });
    this.#layout = new PaneLayout(
      { me, api: this.#api, names: this.#names },
      {
        onChange: () => this.#scheduleRender(),
        onClose: (pane) => void askToClose(pane).then((isConfirmed) => isConfirmed && this.#close(pane)),
        onAcknowledge: (alert) =>
          void this.#markRead(alert).catch((error) => this.#showNotice(error.message)),
      },
    );
    this.#overview = new Overview((pane) => (pane ? this.#layout.show(pane) : this.#showInbox()));
    this.#socket = new NotifySocket(me.token, {
      onStatus: (status) => this.#onStatus(status),
      onAccepted: () => {
        void this.#refresh();
        this.#checkCalls();
      },
      onNotification: (frame) => {
        this.#inbox.addFrame(frame);
        this.#approvals.refresh();
      },
    });
    this.#approvals = new ApprovalPanel(me.token);
    this.#otherWindows = new BroadcastChannel("supervise");
    this.#otherWindows.onmessage = ({ data }) => this.#inbox.markRead(data.read, data.at);
  }

  #me;
  #api;
  #signals;
  #inbox;
  #names;
  #noticeList;
  #layout;
  #overview;
  #socket;
  #approvals;
  /** A channel to other windows of this browser. */
  #otherWindows;
  #statusBar = find("#connection-status", ConnectionStatusBar);
  /** Unanswered calls that arrived while this page was open. @type {Set<string>} */
  #unansweredCalls = new Set();
  #isRefreshing = false;
  #refreshAgain = false;
  /** @type {number | undefined} */
  #refreshTimer;
  #isRenderScheduled = false;
  #isClosed = false;
  /** The session of a link that was opened before the inbox was loaded. */
  #linkedSession = "";

  start() {
    find("#page").hidden = false;
    const name = this.#me.name || this.#me.id;
    find("#my-name").textContent = name;
    find("#my-avatar").textContent = Array.from(name)[0]?.toUpperCase() ?? "";
    find("#placeholder-id").textContent =
      this.#me.role === "admin" ? "" : text("placeholder_id", { id: this.#me.id });
    prepareSettings(this.#me, this.#signals, {
      notifications: (key) => text(`set_notifications_${key}`),
      id: (id) => text("my_id", { id }),
      unsent: () => (this.#layout.panes.some((pane) => pane.hasUnsent) ? text("sign_out_unsent") : ""),
    });
    prepareOpenByNumber((session) => this.#openSession(session, ""));
    new OpenConversations(this.#api, (key) => this.#openSession(key, ""));
    this.#signals.onBlocked = (blocked) => (find("#sound-blocked").hidden = !blocked);
    this.#statusBar.addEventListener("retry", () => {
      this.#socket.retry();
      this.#layout.retry();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.#inbox.isLoaded) {
        void this.#refresh(); // notices may have been read in another window
      }
    });
    setInterval(() => this.#checkCalls(), CALL_CHECK_MS);
    this.#layout.restore();
    this.#approvals.start();
    this.#render();
    this.#followLink();
    addEventListener("hashchange", () => this.#followLink());
    this.#socket.start();
  }

  // --- the inbox ---

  /** Request new notices, and those that were read elsewhere. */
  async #refresh() {
    this.#refreshAgain = true;
    if (this.#isRefreshing) {
      return;
    }
    this.#isRefreshing = true;
    clearTimeout(this.#refreshTimer);
    try {
      while (this.#refreshAgain) {
        this.#refreshAgain = false;
        this.#inbox.addItems(await this.#api.getNotifications(this.#inbox.resumeSeq));
        this.#markCallsRead(this.#linkedSession);
        this.#linkedSession = "";
        this.#noticeList.loadError = "";
      }
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      if (!this.#inbox.isLoaded) {
        this.#noticeList.loadError = error.message;
      }
      this.#refreshTimer = setTimeout(() => void this.#refresh(), INBOX_RETRY_MS);
    } finally {
      this.#isRefreshing = false;
    }
  }

  /** @param {Notice[]} arrived */
  #onInboxChange(arrived) {
    for (const notice of arrived) {
      this.#signals.signal(notice.kind, {
        title: text(`notify_${notice.kind}`),
        tag: notice.id,
        body: notice.session ? keyText(notice.session) : "",
        open: () => this.#open(notice),
      });
      if (notice.kind === "call") {
        this.#unansweredCalls.add(notice.id);
      }
      const pane = this.#layout.panes.find((each) => each.session === notice.session);
      if (pane && notice.record && !pane.record?.isWritable) {
        // the consultant has asked again
        pane.setNewerRecord(this.#inbox.latestRecordOf(pane.session, ""));
      }
    }
    const mostUrgent = arrived.find((notice) => notice.kind === "alert") ?? arrived.at(-1);
    if (mostUrgent) {
      const names = mostUrgent.session === undefined ? null : this.#names.get(mostUrgent.session);
      this.#showNotice(
        noticeTitle(mostUrgent, names),
        mostUrgent.kind === "alert" ? "#toast-urgent" : "#toast-arrived",
      );
    }
    this.#scheduleRender();
  }

  /** Learn which unread calls cannot be answered any more. */
  #checkCalls() {
    if (!this.#isClosed) {
      const calls = this.#inbox.unread.filter((notice) => notice.kind === "call");
      this.#names.recheck(calls.flatMap((call) => call.session ?? []));
    }
  }

  /** @param {string} id */
  async #markRead(id) {
    const { read_at: at } = await this.#api.markRead(id);
    this.#inbox.markRead(id, at);
    this.#otherWindows.postMessage({ read: id, at });
  }

  // --- sessions ---

  /** @param {Notice} notice */
  #open(notice) {
    if (notice.session === undefined) {
      this.#showInbox();
    } else {
      this.#openSession(notice.session, notice.record ?? "");
    }
  }

  /**
   * @param {string} session
   * @param {string} record empty: unknown
   */
  #openSession(session, record) {
    const isOpen = this.#layout.panes.some((pane) => pane.session === session);
    if (this.#layout.isFull && !isOpen) {
      this.#showNotice(text("desk_full"));
      return;
    }
    this.#layout.open(session, this.#inbox.latestRecordOf(session, record));
    this.#markCallsRead(session);
  }

  /**
   * Mark the calls of an open session as read; an alert waits for its acknowledgement.
   *
   * @param {string} session
   */
  #markCallsRead(session) {
    const calls = this.#inbox.unread.filter((each) => each.kind === "call" && each.session === session);
    // a failure leaves the notice unread, which is harmless
    calls.forEach((call) => this.#markRead(call.id).catch(() => {}));
  }

  /** @param {SessionPane} pane */
  #close(pane) {
    this.#layout.close(pane);
    find("#inbox-title").focus();
  }

  #showInbox() {
    this.#layout.showInbox();
    find("#inbox-title").focus();
  }

  /** Follow a link of the host: `#session=12&record=5`. */
  #followLink() {
    const link = new URLSearchParams(location.hash.slice(1));
    const session = parseKey(link.get("session"));
    const record = ["0", ""].includes(link.get("record") ?? "") ? "" : parseNumber(link.get("record"));
    if (session !== undefined && record !== undefined) {
      history.replaceState(history.state, "", location.pathname + location.search);
      this.#openSession(session, record);
      this.#linkedSession = session;
    }
  }

  // --- rendering ---

  /** Render once for all changes of this task. */
  #scheduleRender() {
    if (!this.#isRenderScheduled) {
      this.#isRenderScheduled = true;
      queueMicrotask(() => {
        this.#isRenderScheduled = false;
        this.#render();
      });
    }
  }

  #render() {
    if (this.#isClosed) {
      return;
    }
    const { alerts, unread } = this.#inbox;
    for (const id of this.#unansweredCalls) {
      const call = this.#inbox.find(id);
      if (call && (call.read || endOfCall(call, this.#names))) {
        this.#unansweredCalls.delete(id);
      }
    }
    this.#layout.alerts = alerts;
    this.#noticeList.show();
    this.#overview.show(this.#layout, alerts, unread.length);
    this.#signals.show({ alerts: alerts.length, calls: this.#unansweredCalls.size, unread: unread.length });
    this.#layout.showPlaceholder(unread.length);
    find("#page").classList.toggle("conversation-open", this.#layout.current !== undefined);
  }

  /** @param {ConnectionStatus} status */
  #onStatus(status) {
    if (this.#isClosed) {
      return;
    }
    this.#statusBar.show(status);
    const open = status.state === "open";
    find("#my-connection").dataset.connected = String(open);
    find("#my-connection .text").textContent = text(open ? "ready_for_calls" : "not_connected");
    if (status.state !== "closed") {
      return;
    }
    this.#approvals.stop();
    this.#isClosed = true; // a card replaces the page
    this.#signals.show({ alerts: 0, calls: 0, unread: 0 });
    this.#layout.panes.forEach((pane) => pane.stop());
    if (status.code === CLOSE_UNAUTHENTICATED) {
      showSignInCard(new SignInExpired(status.reason));
    } else {
      const content = text("closed_text", { reason: status.reason || String(status.code) });
      showCard({ iconName: "lock", title: text("closed_title"), message: content });
    }
  }

  /**
   * Show a short notice.
   *
   * @param {string} content
   * @param {"#toast" | "#toast-urgent" | "#toast-arrived"} where
   */
  #showNotice(content, where = "#toast") {
    if (this.#isClosed) {
      return;
    }
    const element = find(where);
    clearTimeout(this.#noticeTimers.get(element));
    element.textContent = content;
    this.#noticeTimers.set(
      element,
      setTimeout(() => (element.textContent = ""), NOTICE_MS),
    );
  }

  /** The timers that remove short notices. @type {Map<HTMLElement, number>} */
  #noticeTimers = new Map();
}

async function start() {
  document.documentElement.lang = language;
  fillTexts(document);
  document.title = text("supervise");
  const me = await signInOrShowCard({ roles: ["supervisor", "admin"] });
  new SupervisePage(me).start();
}

start().catch(showSignInCard);
