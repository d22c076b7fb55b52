// @ts-check
/**
 * `/room`: one counselling session or supervision record, for each of its two participants.
 *
 * @module
 */

import { addressOf } from "../shared/base.js";
import { showSignInCard } from "../shared/card.js";
import { ChatSocket } from "../shared/chat.js";
import { ConsentPanel } from "../shared/consent.js";
import { ChatComposer } from "../shared/composer.js";
import { find, icon } from "../shared/elements.js";
import { metaContent } from "../shared/identity.js";
import { ChatMessages } from "../shared/messages.js";
import { Outbox } from "../shared/outbox.js";
import { signIn } from "../shared/signin.js";
import { ConnectionStatusBar } from "../shared/connection_status.js";
import { tabStorage } from "../shared/storage.js";
import { fillTexts, joinedParticipant, language, isEndMessage, text } from "../shared/strings.js";
import { ConversationView } from "../shared/conversation_view.js";
import { reloadOnNewLink, takeRoomLink } from "../shared/room_link.js";
import { prepareCall, prepareDownload, prepareEnd, prepareRating } from "./dialogs.js";
import { RoomHeader } from "./header.js";
import { SessionApi } from "./session_api.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/consent.js").ConsentForm} ConsentForm */
/** @typedef {import("../shared/room_link.js").RoomLink} RoomLink */
/** @typedef {import("../shared/room_link.js").Role} Role */

/** Close codes after which the conversation has ended, and those for which a card is shown. */
const ENDED_CLOSE_CODES = new Set([1000, 4000, 4409]);
const CLOSE_FINISHED = 4409; // it had ended before this socket was opened
const LAST_RECEIPT_MS = 1_000; // within which the server has the last receipt of the other participant, and stores it
const WAIT_SECONDS = 60; // added by each click on "wait longer"
/** @type {Record<number, { key: string, iconName: string }>} */
const CARDS_BY_CLOSE_CODE = {
  4400: { key: "no_ticket", iconName: "link" },
  4401: { key: "token", iconName: "lock" },
  4403: { key: "forbidden", iconName: "lock" },
  4404: { key: "missing", iconName: "link" },
};

class RoomPage {
  /** @param {RoomLink} link */
  constructor(link) {
    this.#link = link;
    this.#role = link.role;
    this.#other = link.role === "consultant" ? (link.type === 1 ? "supervisor" : "user") : "consultant";
    const key = `room:${link.type}:${link.session}:${link.role}`;
    this.#endSeenKey = `${key}:end-seen`;
    this.#outbox = new Outbox(`${key}:unsent`);
    this.#api = new SessionApi(link);
    this.#header = new RoomHeader(
      link,
      this.#other,
      `${key}:name`,
      this.#api,
      (name) => this.#setOtherName(name),
      () => this.#socket.waitLonger(WAIT_SECONDS),
    );
    this.#view = new ConversationView(this.#messages, this.#composer, this.#outbox, `${key}:draft`, {
      send: (message) => this.#socket.send(message),
      resend: (id) => this.#socket.resend(id),
      loadOlder: () => this.#socket.loadOlder(),
      sendTyping: (typing) => this.#socket.sendTyping(typing),
      markRead: (seq) => this.#socket.markRead(seq),
    });
    const { token, renew, session, type } = link;
    const consultant = link.role === "consultant";
    const room = { token: renew ?? (() => Promise.resolve(token)), session, type, isConsultant: consultant };
    this.#socket = new ChatSocket(room, this.#outbox, {
      ...this.#view,
      onStatus: (status) => this.#onStatus(status),
      onMessage: (message) => {
        this.#view.onMessage(message);
        if (!message.own) {
          this.#header.countUnread();
        }
      },
      onSystemMessage: (msg, time, reason) => this.#onSystemMessage(msg, time, reason),
      onRead: (seq, role) => role !== this.#role && this.#view.onRead(seq),
      onPresence: ({ present, awaitedMs, graceMs }) => {
        this.#graceMs = graceMs[this.#role];
        this.#showPresence(present[this.#other], awaitedMs[this.#other]);
      },
      onWaitRefused: () => this.#header.showLongestWait(),
      onConsentAsked: (form, problem) => this.#onConsentAsked(form, problem),
      onConsentNoted: (accepted) => this.#onConsentNoted(accepted),
    });
  }

  #link;
  /** @type {Role} */
  #role;
  /** @type {Role} */
  #other;
  /** The key under which the tab stores that it has shown the end when it came. */
  #endSeenKey;
  #outbox;
  #api;
  #header;
  /** @type {ChatSocket} */
  #socket;
  #messages = find("#messages", ChatMessages);
  #composer = find("#composer", ChatComposer);
  #statusBar = find("#connection-status", ConnectionStatusBar);
  /** @type {ConversationView} */
  #view;
  #consent = new ConsentPanel(find("#consent"), {
    accept: () => this.#socket.answerConsent(true),
    decline: () => this.#socket.answerConsent(false),
  });
  #hasDeclined = false;
  #endRequested = false;
  /** Why the session has ended. @type {string | undefined} */
  #endReason;
  /** For how long the session waits for the reader; undefined: without an end. @type {number | undefined} */
  #graceMs;

  start() {
    find("#room").hidden = false;
    if (this.#link.type === 1) {
      this.#messages.emptyTextKeys = ["record_empty_title", "record_empty_text"];
    }
    this.#header.start();
    if (this.#link.isFromDesk) {
      find("#back").append(icon("back"));
      find("#back").hidden = find("#ended-back").hidden = find("#card-back").hidden = false;
      for (const selector of ["#back", "#ended-back", "#card-back a"]) {
        find(selector, HTMLAnchorElement).href = addressOf("/desk");
      }
    }
    this.#showPresence(undefined);
    this.#prepareMenu();
    this.#statusBar.addEventListener("retry", () => this.#socket.retry());
    this.#focusComposer();
    this.#socket.start();
  }

  #focusComposer() {
    if (matchMedia("(hover: hover)").matches) {
      this.#composer.focus(); // on a phone the keyboard would cover the messages before they are read
    }
  }

  // --- messages ---

  /**
   * @param {string} msg
   * @param {string} time
   * @param {string | undefined} reason
   */
  #onSystemMessage(msg, time, reason) {
    this.#endReason = reason ?? this.#endReason;
    const joined = joinedParticipant(msg);
    if (joined?.role === this.#other && joined.name) {
      this.#header.setName(joined.name);
    }
    if (!isEndMessage(msg)) {
      this.#messages.addSystem(msg, time); // the end is shown in its own section
    }
  }

  /** @param {string} name the name of the other participant */
  #setOtherName(name) {
    this.#messages.otherName = name;
    if (this.#link.type === 1) {
      this.#composer.label = text("record_write", { name });
    }
  }

  /**
   * @param {boolean | undefined} present undefined: unknown
   * @param {number} [awaitedMs] for how long the session waits for the other participant
   */
  #showPresence(present, awaitedMs) {
    this.#header.showPresence(present, awaitedMs);
    if (!present) {
      this.#view.onTyping(false);
    }
  }

  // --- the consent ---

  /**
   * @param {ConsentForm} form
   * @param {string} problem
   */
  #onConsentAsked(form, problem) {
    this.#consent.show(form, text("consent_leaves"), problem);
    if (find("#consent").hidden) {
      this.#showConsent(true);
      this.#consent.focus();
    }
  }

  /** @param {boolean} accepted */
  #onConsentNoted(accepted) {
    this.#hasDeclined = !accepted; // the server closes the connection
    this.#showConsent(false);
    this.#focusComposer();
  }

  /** Show the question in place of the conversation. @param {boolean} isAsked */
  #showConsent(isAsked) {
    find("#consent").hidden = !isAsked;
    find("#conversation").hidden = isAsked;
    this.#messages.visible = !isAsked;
  }

  // --- connection status ---

  /** @param {ConnectionStatus} status */
  #onStatus(status) {
    if (status.state !== "open") {
      this.#showPresence(undefined);
    }
    if (status.state === "open") {
      void this.#header.loadName(); // not earlier: a refused client gets one error, the socket's
    }
    if (this.#endRequested && status.state !== "closed") {
      this.#statusBar.showText("warning", status.state === "open" ? "" : text("end_waits"));
    } else {
      this.#statusBar.show(status, this.#awaitedUntilMs());
    }
    if (status.state === "closed") {
      this.#onClosed(status);
    }
  }

  /** Until when the session waits for the reader, if the connection is lost; undefined: without an end. */
  #awaitedUntilMs() {
    const { heardMs } = this.#socket;
    return heardMs === undefined || this.#graceMs === undefined ? undefined : heardMs + this.#graceMs;
  }

  // --- the menu ---

  #prepareMenu() {
    const menu = find("#menu");
    const askEnd = prepareEnd(
      () => this.#outbox.entries.length > 0,
      () => {
        this.#endRequested = true;
        this.#composer.disabled = true;
        this.#socket.end();
      },
    );
    const offers = [{ item: "#menu-end", act: askEnd }];
    find("#menu-button").append(icon("more"));
    if (this.#link.type === 0) {
      const askDownload = prepareDownload(this.#api);
      offers.push({ item: "#menu-download", act: askDownload });
      find("#ended-download").hidden = false;
      find("#ended-download").addEventListener("click", askDownload);
      if (this.#role === "consultant") {
        const { ask, call } = prepareCall(this.#api, this.#link);
        offers.push({ item: "#menu-call", act: ask }, { item: "#call", act: call });
        find("#call").prepend(icon("call"));
      }
    }
    for (const { item, act } of offers) {
      find(item).hidden = false;
      find(item).addEventListener("click", () => {
        menu.hidePopover();
        act();
      });
    }
  }

  // --- the end ---

  /** @param {ConnectionStatus} status */
  #onClosed(status) {
    const code = status.code ?? 0;
    this.#showConsent(false);
    if (this.#hasDeclined) {
      showCard("declined", "lock");
      find("#card-again").hidden = false;
      find("#card-again button").addEventListener("click", () => location.reload());
    } else if (ENDED_CLOSE_CODES.has(code)) {
      const isMissed = code === CLOSE_FINISHED && tabStorage.getItem(this.#endSeenKey) === null;
      void this.#showEnd(isMissed, status.wasOpen);
    } else if (CARDS_BY_CLOSE_CODE[code]) {
      showCard(CARDS_BY_CLOSE_CODE[code].key, CARDS_BY_CLOSE_CODE[code].iconName);
    } else {
      showCard("closed", "link", { reason: status.reason || String(code) });
    }
  }

  /**
   * @param {boolean} wasAway whether it had ended before the page was connected, and this tab has not shown it
   * @param {boolean} wasThere whether the page was connected before
   */
  async #showEnd(wasAway, wasThere) {
    if (!wasAway) {
      tabStorage.setItem(this.#endSeenKey, "yes");
    }
    this.#composer.hidden = true;
    this.#view.giveUpDraft();
    find("#room").classList.add("is-ended");
    find("#presence").hidden = true;
    find("#menu-end").hidden = true;
    find("#menu-call").hidden = find("#call").hidden = true;
    find("#menu-button").hidden = this.#link.type === 1; // the menu would be empty
    const isHelper = this.#role === "consultant" || this.#link.type === 1;
    const hasBegun = this.#endReason !== "cancelled" && this.#endReason !== "not_started";
    find("#ended-reason").textContent = this.#endSentence(wasAway, wasThere, isHelper);
    find("#ended-text").textContent = text(
      this.#link.type === 1 ? "ended_text_record" : isHelper ? "ended_text_helper" : "ended_text",
    );
    find("#ended-text").hidden = !hasBegun;
    find("#ended").hidden = false;
    this.#messages.scrollToEnd();
    for (const dialog of document.querySelectorAll("dialog[open]")) {
      /** @type {HTMLDialogElement} */ (dialog).close();
    }
    find("#ended-title").focus({ preventScroll: true });
    if (!isHelper && hasBegun) {
      void this.#offerRating();
    }
    void this.#header.loadName();
    await this.#completeTranscript();
  }

  /**
   * The sentence that says why the session has ended; empty if its participants know that, or if it is unknown.
   *
   * @param {boolean} wasAway
   * @param {boolean} wasThere
   * @param {boolean} isHelper
   */
  #endSentence(wasAway, wasThere, isHelper) {
    const name = this.#header.name;
    switch (this.#endReason) {
      case "left":
      case "grace":
        return wasAway ? text("ended_away") : text(`ended_${this.#endReason}`, { name });
      case "ended":
        return wasAway && wasThere ? text("ended_away") : ""; // else it is opened again, perhaps much later
      case "cancelled":
        return isHelper ? text("ended_cancelled") : "";
      case "not_started":
        return text(isHelper ? "ended_not_started" : "ended_not_started_own");
      default:
        return "";
    }
  }

  async #offerRating() {
    const form = find("#rating");
    const button = find("#rate");
    const showThanks = () => {
      form.hidden = button.hidden = true;
      find("#thanks").textContent = text("rated");
    };
    prepareRating(this.#api, showThanks);
    try {
      if ((await this.#api.getSession()).rate !== null) {
        showThanks();
        return;
      }
    } catch {
      // The form shows the error when it is submitted.
    }
    form.hidden = button.hidden = false;
    this.#messages.scrollToEnd();
  }

  /**
   * Load the whole transcript: the socket may have closed before everything arrived, or was never accepted.
   */
  async #completeTranscript() {
    try {
      await this.#api.waitForEnd(); // messages in flight at the close of the socket are stored by then
      this.#socket.addTranscript(await this.#api.getMessages());
    } catch {
      this.#messages.addHistory([], false); // the messages so far stay; the download has all
      return;
    }
    this.#view.giveUpUnsent();
    await this.#completeDelivery();
  }

  /** Show what has arrived at the other participant: its last receipt may have come after the end. */
  async #completeDelivery() {
    await new Promise((resolve) => setTimeout(resolve, LAST_RECEIPT_MS));
    try {
      const { received, read } = await this.#api.getSession();
      this.#view.onReceived(received?.[this.#other] ?? 0);
      this.#view.onRead(read?.[this.#other] ?? 0);
    } catch {
      // The states stay as they are, which is less than the truth.
    }
  }
}

/**
 * Replace the room by a card.
 *
 * @param {string} key
 * @param {string} iconName
 * @param {Record<string, string>} [values]
 */
function showCard(key, iconName, values) {
  find("#room").hidden = true;
  find("#card-icon").replaceChildren(icon(iconName));
  find("#card-title").textContent = document.title = text(`${key}_title`);
  find("#card-text").textContent = text(`${key}_text`, values);
  find("#card").hidden = false;
  find("#card-title").focus();
}

/**
 * Sign in, if the link has no token.
 *
 * @param {RoomLink} link
 * @returns {Promise<RoomLink | null>} null: no person is signed in. Stays pending if a card is shown
 */
async function signInForRoom(link) {
  const roles = link.type === 1 ? ["consultant", "waiter", "supervisor"] : ["consultant", "user"];
  const found = await signIn({ roles });
  if (!found) {
    return null;
  }
  if ("wrongRole" in found) {
    showSignInCard(found);
    return new Promise(() => {});
  }
  // The agent of a support conversation has the consultant's place in a record.
  const role = /** @type {Role} */ (found.role === "waiter" ? "consultant" : found.role);
  return { ...link, role, renew: found.token, hasAccount: found.by === "account" };
}

async function start() {
  document.documentElement.lang = language;
  fillTexts(document);
  reloadOnNewLink();
  const fragmentLink = takeRoomLink(metaContent("role-claim"));
  const link = fragmentLink && !fragmentLink.token ? await signInForRoom(fragmentLink) : fragmentLink;
  if (link) {
    new RoomPage(link).start();
  } else {
    showCard("no_ticket", "link");
  }
}

start().catch(showSignInCard);
