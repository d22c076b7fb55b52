// @ts-check
/**
 * `/room`: one counselling session or supervision record, for each of its two participants.
 *
 * @module
 */

import { showSignInCard } from "../shared/card.js";
import { ChatSocket } from "../shared/chat.js";
import { ChatComposer } from "../shared/composer.js";
import { find, icon } from "../shared/elements.js";
import { metaContent } from "../shared/identity.js";
import { ChatMessages } from "../shared/messages.js";
import { Outbox } from "../shared/outbox.js";
import { signIn } from "../shared/signin.js";
import { ConnectionStatusBar } from "../shared/connection_status.js";
import { fillTexts, joinedParticipant, language, isEndMessage, text } from "../shared/strings.js";
import { ConversationView } from "../shared/conversation_view.js";
import { reloadOnNewLink, takeRoomLink } from "../shared/room_link.js";
import { prepareCall, prepareDownload, prepareEnd, prepareRating } from "./dialogs.js";
import { RoomHeader } from "./header.js";
import { SessionApi } from "./session_api.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/room_link.js").RoomLink} RoomLink */
/** @typedef {import("../shared/room_link.js").Role} Role */

/** Close codes after which the conversation has ended, and those for which a card is shown. */
const ENDED_CLOSE_CODES = new Set([1000, 4000, 4409]);
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
    this.#outbox = new Outbox(`${key}:unsent`);
    this.#api = new SessionApi(link);
    this.#header = new RoomHeader(link, this.#other, `${key}:name`, this.#api, (name) =>
      this.#setOtherName(name),
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
      onSystemMessage: (msg, time) => this.#onSystemMessage(msg, time),
      onRead: (seq, role) => role !== this.#role && this.#view.onRead(seq),
      onPresence: (present) => this.#showPresence(present[this.#other]),
    });
  }

  #link;
  /** @type {Role} */
  #role;
  /** @type {Role} */
  #other;
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
  #endRequested = false;

  start() {
    find("#room").hidden = false;
    if (this.#link.type === 1) {
      this.#messages.emptyTextKeys = ["record_empty_title", "record_empty_text"];
    }
    this.#header.start();
    this.#showPresence(undefined);
    this.#prepareMenu();
    this.#statusBar.addEventListener("retry", () => this.#socket.retry());
    if (matchMedia("(hover: hover)").matches) {
      this.#composer.focus(); // on a phone the keyboard would cover the messages before they are read
    }
    this.#socket.start();
  }

  // --- messages ---

  /**
   * @param {string} msg
   * @param {string} time
   */
  #onSystemMessage(msg, time) {
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

  /** @param {boolean | undefined} present undefined: unknown */
  #showPresence(present) {
    this.#header.showPresence(present);
    if (!present) {
      this.#view.onTyping(false);
    }
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
      this.#statusBar.show(status);
    }
    if (status.state === "closed") {
      this.#onClosed(status);
    }
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
    if (ENDED_CLOSE_CODES.has(code)) {
      void this.#showEnd();
    } else if (CARDS_BY_CLOSE_CODE[code]) {
      showCard(CARDS_BY_CLOSE_CODE[code].key, CARDS_BY_CLOSE_CODE[code].iconName);
    } else {
      showCard("closed", "link", { reason: status.reason || String(code) });
    }
  }

  async #showEnd() {
    this.#composer.hidden = true;
    find("#room").classList.add("is-ended");
    find("#presence").hidden = true;
    find("#menu-end").hidden = true;
    find("#menu-call").hidden = find("#call").hidden = true;
    find("#menu-button").hidden = this.#link.type === 1; // the menu would be empty
    const isHelper = this.#role === "consultant" || this.#link.type === 1;
    find("#ended-text").textContent = text(
      this.#link.type === 1 ? "ended_text_record" : isHelper ? "ended_text_helper" : "ended_text",
    );
    find("#ended").hidden = false;
    this.#messages.scrollToEnd();
    for (const dialog of document.querySelectorAll("dialog[open]")) {
      /** @type {HTMLDialogElement} */ (dialog).close();
    }
    find("#ended-title").focus({ preventScroll: true });
    if (!isHelper) {
      void this.#offerRating();
    }
    void this.#header.loadName();
    await this.#completeTranscript();
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
  const roles = link.type === 1 ? ["consultant", "supervisor"] : ["consultant", "user"];
  const found = await signIn({ roles });
  if (!found) {
    return null;
  }
  if ("wrongRole" in found) {
    showSignInCard(found);
    return new Promise(() => {});
  }
  const role = /** @type {Role} */ (found.role);
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
