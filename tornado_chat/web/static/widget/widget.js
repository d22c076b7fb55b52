// @ts-check
/**
 * `/widget`: the chat in the frame that `/widget.js` adds to pages of other sites; opened directly, a page.
 *
 * @module
 */

import { find } from "../shared/elements.js";
import { tabStorage } from "../shared/storage.js";
import { fillTexts, language } from "../shared/strings.js";
import { applyBrandColor } from "./color.js";
import { Guest, GuestsDisabled } from "./guest.js";
import { HostPage } from "./host_page.js";
import { ownerOf } from "./token_owner.js";
import { Panel } from "./panel.js";
import { Visit } from "./visit.js";
import "./strings.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("./host_page.js").Hello} Hello */

const CLOSE_UNAUTHENTICATED = 4401;
const CLOSE_FORBIDDEN = 4403;
const MIN_RENEWAL_DELAY_MS = 60_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Another person is signed in than the one for whom this token was requested. */
class IdentityChanged extends Error {}

class Widget {
  /** @param {URLSearchParams} settings the host's settings, in the frame's URL */
  constructor(settings) {
    this.#groups = {
      wanted: settings.get("group") ?? "",
      areSeveral: find('meta[name="groups"]', HTMLMetaElement).content === "on",
    };
    this.#panel = new Panel(settings.get("title") ?? "", settings.get("greeting") ?? "", {
      start: () => (this.#visit ? this.#visit.startConversation() : void this.#start(true)),
      leave: (withdraws) => this.#visit?.leave(withdraws),
      earlyWords: () => this.#visit?.earlyWords,
      end: () => this.#visit?.leave(),
      hasUnsent: () => this.#visit?.hasUnsent ?? false,
      rate: (stars, feedback) => this.#visit?.rate(stars, feedback),
      tryAgain: () => void this.#start(false),
      retry: () => this.#visit?.retry(),
      close: () => {
        this.#onClose(); // messages that arrive in this moment are not visible any more
        this.#host?.postClose();
      },
    });
    if (parent === window) {
      this.#panel.setStandalone();
      this.#onHello({ signedIn: false, guests: true, open: true, focus: true, active: true, forget: false });
      return;
    }
    const allowed = find('meta[name="origins"]', HTMLMetaElement).content.split(" ");
    this.#host = new HostPage(settings.get("origin") ?? "", allowed, {
      onHello: (hello) => this.#onHello(hello),
      onIdentity: (signedIn, forget) => void this.#onIdentity(signedIn, forget),
      onOpen: () => this.#onOpen(true),
      onClose: () => this.#onClose(),
      onWake: () => (this.#visit ? this.#visit.wake() : this.#resume()),
    });
  }

  #groups;
  #panel;
  /** @type {HostPage | undefined} */
  #host;
  #guest = new Guest();
  #idClaim = find('meta[name="id-claim"]', HTMLMetaElement).content;
  /** @type {Visit | undefined} */
  #visit;
  /** The key of the person whose visit is shown. */
  #owner = "";
  #signedIn = false;
  #guestsAllowed = true;
  #isOpen = false;
  /** Counts starts: a start that is no longer the latest is abandoned. */
  #startCount = 0;
  #isStarting = false;
  /** @type {number | undefined} */
  #renewalTimer;

  // --- messages of the host ---

  /** @param {Hello} hello */
  #onHello(hello) {
    this.#guestsAllowed = hello.guests;
    this.#isOpen = hello.open;
    this.#signedIn = hello.signedIn;
    if (hello.forget) {
      this.#forget();
    }
    if (hello.open || (hello.active && !hello.forget)) {
      void this.#start(false);
    } else {
      this.#panel.showStart();
    }
    if (hello.focus) {
      this.#panel.focus();
    }
  }

  /**
   * @param {boolean} signedIn
   * @param {boolean} forget
   */
  async #onIdentity(signedIn, forget) {
    const hadVisit = this.#visit !== undefined;
    if (signedIn && this.#signedIn && hadVisit && !forget && (await this.#isSamePerson())) {
      return;
    }
    this.#signedIn = signedIn;
    this.#stop();
    this.#panel.showStart();
    if (forget) {
      this.#forget();
    }
    if (this.#isOpen || (hadVisit && !forget)) {
      void this.#start(false);
    }
  }

  /** Whether a new token belongs to the same person. Until that is known the contents are concealed. */
  async #isSamePerson() {
    const startCount = this.#startCount;
    this.#conceal(true);
    const token = await this.#host?.token().catch(() => null);
    if (startCount !== this.#startCount) {
      return true; // another start has replaced this one
    }
    this.#conceal(false);
    return Boolean(token) && ownerOf(token ?? "", this.#idClaim) === this.#owner;
  }

  /** @param {boolean} concealed */
  #conceal(concealed) {
    this.#panel.concealed = concealed;
    if (this.#visit) {
      this.#visit.visible = this.#isOpen && !concealed;
    }
  }

  /** @param {boolean} focus */
  #onOpen(focus) {
    this.#isOpen = true;
    if (this.#visit) {
      this.#visit.visible = true;
    } else {
      this.#resume();
    }
    if (focus) {
      this.#panel.focus();
    }
  }

  #onClose() {
    if (this.#host === undefined) {
      return; // a standalone page stays open
    }
    this.#isOpen = false;
    if (this.#visit) {
      this.#visit.visible = false;
      if (this.#visit.isIdle) {
        this.#stop(); // saves an unnecessary socket; what it showed can be loaded again
        this.#host.postState(false, 0); // the visit may not have reported it itself yet
      }
    }
  }

  #forget() {
    this.#guest.forget();
    tabStorage.removePrefix("widget:");
    this.#host?.postForgotten();
  }

  // --- identity ---

  #resume() {
    if (!this.#isStarting) {
      void this.#start(false);
    }
  }

  /** Resume the current conversation, or start one if `joinQueue` is true. @param {boolean} joinQueue */
  async #start(joinQueue) {
    this.#stop();
    const startCount = this.#startCount;
    this.#isStarting = true;
    try {
      const found = await (this.#signedIn ? this.#asHostUser() : this.#asGuest(joinQueue));
      if (found && startCount === this.#startCount) {
        this.#owner = found.owner;
        this.#visit = new Visit(found.owner, found.token, this.#groups, this.#panel, {
          onState: (going, unread) => this.#host?.postState(going, unread),
          onUnknownGroup: (group) => this.#host?.postUnknownGroup(group),
          onClosed: (status) => this.#onRefused(status),
        });
        this.#visit.visible = this.#isOpen;
        this.#visit.start(joinQueue);
      }
    } catch (error) {
      if (startCount === this.#startCount) {
        this.#panel.showCard(error instanceof GuestsDisabled ? "unavailable" : "away", "link");
      }
    } finally {
      if (startCount === this.#startCount) {
        this.#isStarting = false;
      }
    }
  }

  /** @returns {Promise<{ owner: string, token: TokenSource } | null>} null: no person is signed in */
  async #asHostUser() {
    this.#panel.showResuming();
    let first = (await this.#host?.token()) ?? null;
    if (first === null) {
      this.#signedIn = false;
      return this.#asGuest(false);
    }
    const owner = ownerOf(first, this.#idClaim);
    const token = async (/** @type {string} */ _refused = "", isRenewal = false) => {
      const next = first ?? (await this.#host?.token()) ?? null;
      first = null;
      if (next === null || ownerOf(next, this.#idClaim) !== owner) {
        if (!isRenewal) {
          void this.#onIdentity(next !== null, false);
        }
        throw new IdentityChanged();
      }
      return next;
    };
    return { owner, token };
  }

  /**
   * @param {boolean} createGuest create a guest if there is none
   * @returns {Promise<{ owner: string, token: TokenSource } | null>} null: there is no guest yet
   */
  async #asGuest(createGuest) {
    if (!this.#guestsAllowed) {
      throw new GuestsDisabled();
    }
    if (!createGuest && this.#guest.id === undefined) {
      this.#host?.postState(false, 0);
      this.#panel.showStart();
      return null;
    }
    if (createGuest) {
      this.#panel.showStarting();
    }
    await this.#guest.token();
    this.#scheduleRenewal();
    const id = this.#guest.id;
    const token = async (/** @type {string} */ _refused = "", isRenewal = false) => {
      if (this.#guest.id !== id) {
        if (!isRenewal) {
          void this.#onIdentity(false, false); // the guest's token has expired meanwhile
        }
        throw new IdentityChanged();
      }
      return this.#guest.token();
    };
    return { owner: `guest:${id}`, token };
  }

  /** Renew the guest's token in time: a conversation may last longer than a token. */
  #scheduleRenewal() {
    clearTimeout(this.#renewalTimer);
    const delayMs = Math.min(this.#guest.renewAtMs - Date.now(), MAX_TIMER_MS);
    this.#renewalTimer = setTimeout(
      async () => {
        if (this.#visit && this.#guest.id !== undefined) {
          await this.#guest.token().catch(() => undefined);
          this.#scheduleRenewal();
        }
      },
      Math.max(delayMs, MIN_RENEWAL_DELAY_MS),
    );
  }

  // --- end ---

  /** The server refused the connection. @param {ConnectionStatus} status */
  #onRefused({ code = 0, reason }) {
    this.#stop();
    this.#host?.postState(false, 0);
    if (code === CLOSE_UNAUTHENTICATED && !this.#signedIn) {
      this.#forget();
      this.#panel.showStart();
    } else if (code === CLOSE_UNAUTHENTICATED) {
      this.#panel.showCard("token", "lock");
    } else if (code === CLOSE_FORBIDDEN) {
      this.#panel.showCard("forbidden", "lock");
    } else {
      this.#panel.showCard("closed", "link", { reason: reason || String(code) });
    }
  }

  #stop() {
    this.#startCount += 1;
    this.#isStarting = false;
    this.#panel.concealed = false;
    this.#visit?.stop();
    this.#visit = undefined;
  }
}

const settings = new URLSearchParams(location.hash.slice(1));
document.documentElement.lang = language;
fillTexts(document);
applyBrandColor(settings.get("color") ?? "");
new Widget(settings);
