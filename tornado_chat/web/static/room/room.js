// @ts-check
/**
 * `/room`: one counselling session, or the supervision of one, for each of its two sides.
 *
 * @module
 */

import { showSignInCard } from "../shared/card.js";
import { ChatSocket } from "../shared/chat.js";
import { ChatComposer } from "../shared/composer.js";
import { find, icon } from "../shared/elements.js";
import { known } from "../shared/identity.js";
import { ChatMessages } from "../shared/messages.js";
import { Outbox } from "../shared/outbox.js";
import { signIn } from "../shared/signin.js";
import { ChatStanding } from "../shared/standing.js";
import { fillIn, joiner, language, tellsEnd, text } from "../shared/strings.js";
import { Talking } from "../shared/talking.js";
import { restartOnNewTicket, takeTicket } from "../shared/token.js";
import { prepareCall, prepareDownload, prepareEnd, prepareRating } from "./dialogs.js";
import { Head } from "./head.js";
import { SessionApi } from "./session.js";

/** @typedef {import("../shared/connection.js").Standing} Standing */
/** @typedef {import("../shared/token.js").Ticket} Ticket */
/** @typedef {import("../shared/token.js").Role} Role */

/** The close codes after which a conversation is over, and those for which there is a card. */
const ENDED_CLOSE_CODES = new Set([1000, 4000, 4409]);
/** @type {Record<number, { key: string, picture: string }>} */
const CARDS_BY_CLOSE_CODE = {
  4400: { key: "no_ticket", picture: "link" },
  4401: { key: "token", picture: "lock" },
  4403: { key: "forbidden", picture: "lock" },
  4404: { key: "missing", picture: "link" },
};

class RoomPage {
  /** @param {Ticket} ticket */
  constructor(ticket) {
    this.#ticket = ticket;
    this.#role = ticket.role;
    this.#other = ticket.role === "consultant" ? (ticket.type === 1 ? "supervisor" : "user") : "consultant";
    const key = `room:${ticket.type}:${ticket.session}:${ticket.role}`;
    this.#outbox = new Outbox(`${key}:unsent`);
    this.#api = new SessionApi(ticket);
    this.#head = new Head(ticket, this.#other, `${key}:name`, this.#api, (name) => this.#named(name));
    this.#talking = new Talking(this.#messages, this.#composer, this.#outbox, `${key}:draft`, {
      say: (said) => this.#socket.say(said),
      sayAgain: (id) => this.#socket.sayAgain(id),
      older: () => this.#socket.older(),
      typing: (typing) => this.#socket.typing(typing),
      read: (seq) => this.#socket.read(seq),
    });
    const { token, renew, session, type } = ticket;
    const consultant = ticket.role === "consultant";
    const room = { token: renew ?? (() => Promise.resolve(token)), session, type, consultant };
    this.#socket = new ChatSocket(room, this.#outbox, {
      ...this.#talking,
      standing: (standing) => this.#standingChanged(standing),
      message: (said) => {
        this.#talking.message(said);
        if (!said.own) {
          this.#head.countUnread();
        }
      },
      system: (msg, time) => this.#systemTold(msg, time),
      read: (seq, role) => role !== this.#role && this.#talking.read(seq),
      presence: (present) => this.#showPresence(present[this.#other]),
    });
  }

  #ticket;
  /** @type {Role} */
  #role;
  /** @type {Role} */
  #other;
  #outbox;
  #api;
  #head;
  /** @type {ChatSocket} */
  #socket;
  #messages = find("#messages", ChatMessages);
  #composer = find("#composer", ChatComposer);
  #standing = find("#standing", ChatStanding);
  /** @type {Talking} */
  #talking;
  #ending = false;

  start() {
    find("#room").hidden = false;
    if (this.#ticket.type === 1) {
      this.#messages.emptyTexts = ["record_empty_title", "record_empty_text"];
    }
    this.#head.start();
    this.#showPresence(undefined);
    this.#prepareMenu();
    this.#standing.addEventListener("retry", () => this.#socket.retry());
    if (matchMedia("(hover: hover)").matches) {
      this.#composer.focus(); // on a telephone it would bring up the keyboard before anything was read
    }
    this.#socket.start();
  }

  // --- talking ---

  /**
   * @param {string} msg
   * @param {string} time
   */
  #systemTold(msg, time) {
    const who = joiner(msg);
    if (who?.role === this.#other && who.name) {
      this.#head.rename(who.name);
    }
    if (!tellsEnd(msg)) {
      this.#messages.addSystem(msg, time); // the end has a place of its own
    }
  }

  /** @param {string} name the other one's */
  #named(name) {
    this.#messages.otherName = name;
    if (this.#ticket.type === 1) {
      this.#composer.label = text("record_write", { name });
    }
  }

  /** @param {boolean | undefined} present undefined: not known */
  #showPresence(present) {
    this.#head.showPresence(present);
    if (!present) {
      this.#talking.typing(false);
    }
  }

  // --- how the connection stands ---

  /** @param {Standing} standing */
  #standingChanged(standing) {
    if (standing.state !== "open") {
      this.#showPresence(undefined);
    }
    if (standing.state === "open") {
      void this.#head.learnName(); // not before: who is not let in gets one answer, the socket's
    }
    if (this.#ending && standing.state !== "closed") {
      this.#standing.say("trouble", standing.state === "open" ? "" : text("end_waits"));
    } else {
      this.#standing.show(standing);
    }
    if (standing.state === "closed") {
      this.#closed(standing);
    }
  }

  // --- the menu ---

  #prepareMenu() {
    const menu = find("#menu");
    const askEnd = prepareEnd(
      () => this.#outbox.entries.length > 0,
      () => {
        this.#ending = true;
        this.#composer.disabled = true;
        this.#socket.end();
      },
    );
    const offers = [{ item: "#menu-end", act: askEnd }];
    find("#menu-button").append(icon("more"));
    if (this.#ticket.type === 0) {
      const askDownload = prepareDownload(this.#api);
      offers.push({ item: "#menu-download", act: askDownload });
      find("#ended-download").hidden = false;
      find("#ended-download").addEventListener("click", askDownload);
      if (this.#role === "consultant") {
        const { ask, call } = prepareCall(this.#api, this.#ticket);
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

  /** @param {Standing} standing */
  #closed(standing) {
    const code = standing.code ?? 0;
    if (ENDED_CLOSE_CODES.has(code)) {
      void this.#showEnd();
    } else if (CARDS_BY_CLOSE_CODE[code]) {
      showCard(CARDS_BY_CLOSE_CODE[code].key, CARDS_BY_CLOSE_CODE[code].picture);
    } else {
      showCard("closed", "link", { reason: standing.reason || String(code) });
    }
  }

  async #showEnd() {
    this.#composer.hidden = true;
    find("#room").classList.add("over");
    find("#presence").hidden = true;
    find("#menu-end").hidden = true;
    find("#menu-call").hidden = find("#call").hidden = true;
    find("#menu-button").hidden = this.#ticket.type === 1; // nothing is left in it
    const helper = this.#role === "consultant" || this.#ticket.type === 1;
    find("#ended-text").textContent = text(
      this.#ticket.type === 1 ? "ended_text_record" : helper ? "ended_text_helper" : "ended_text",
    );
    find("#ended").hidden = false;
    this.#messages.toEnd();
    for (const dialog of document.querySelectorAll("dialog[open]")) {
      /** @type {HTMLDialogElement} */ (dialog).close();
    }
    find("#ended-title").focus({ preventScroll: true });
    if (!helper) {
      void this.#offerRating();
    }
    void this.#head.learnName();
    await this.#completeTranscript();
  }

  async #offerRating() {
    const form = find("#rating");
    const button = find("#rate");
    const thanks = () => {
      form.hidden = button.hidden = true;
      find("#thanks").textContent = text("rated");
    };
    prepareRating(this.#api, thanks);
    try {
      if ((await this.#api.look()).rate !== null) {
        thanks();
        return;
      }
    } catch {
      // Then the form says it, when it is sent.
    }
    form.hidden = button.hidden = false;
    this.#messages.toEnd();
  }

  /** The socket may have closed before everything was there, or had never let anybody in. */
  async #completeTranscript() {
    try {
      await this.#api.ended(); // what was on its way when the socket closed is stored by then
      this.#socket.complete(await this.#api.messages());
    } catch {
      this.#messages.addPast([], false); // what there is stays; the download has everything
      return;
    }
    this.#talking.giveUpUnsent();
  }
}

/**
 * Instead of a room: what is wrong, and what to do.
 *
 * @param {string} key
 * @param {string} picture
 * @param {Record<string, string>} [values]
 */
function showCard(key, picture, values) {
  find("#room").hidden = true;
  find("#card-icon").replaceChildren(icon(picture));
  find("#card-title").textContent = document.title = text(`${key}_title`);
  find("#card-text").textContent = text(`${key}_text`, values);
  find("#card").hidden = false;
  find("#card-title").focus();
}

/**
 * Who is here, if the address has no token for them.
 *
 * @param {Ticket} ticket
 * @returns {Promise<Ticket | null>} null: nobody; or there is a card already
 */
async function complete(ticket) {
  const sides = ticket.type === 1 ? ["consultant", "supervisor"] : ["consultant", "user"];
  const found = await signIn({ roles: sides });
  if (!found) {
    return null;
  }
  if ("wrongRole" in found) {
    showSignInCard(found);
    return new Promise(() => {});
  }
  const role = /** @type {Role} */ (found.role);
  return { ...ticket, role, renew: found.token, account: found.by === "account" };
}

async function begin() {
  document.documentElement.lang = language;
  fillIn(document);
  restartOnNewTicket();
  const given = takeTicket(known("role-claim"));
  const ticket = given && !given.token ? await complete(given) : given;
  if (ticket) {
    new RoomPage(ticket).start();
  } else {
    showCard("no_ticket", "link");
  }
}

begin().catch(showSignInCard);
