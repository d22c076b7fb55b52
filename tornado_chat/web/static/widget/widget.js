// @ts-check
/**
 * `/widget`: the chat in the frame that `/widget.js` puts into pages of others; or, opened by itself, a page.
 *
 * @module
 */

import { find } from "../shared/elements.js";
import { tabStorage } from "../shared/storage.js";
import { fillIn, language } from "../shared/strings.js";
import { paint } from "./color.js";
import { Guest, NoGuests } from "./guest.js";
import { Host } from "./host.js";
import { ownerOf } from "./identity.js";
import { Panel } from "./panel.js";
import { Visit } from "./visit.js";
import "./strings.js";

/** @typedef {import("../shared/connection.js").Standing} Standing */
/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("./host.js").Hello} Hello */

const CLOSE_UNAUTHENTICATED = 4401;
const CLOSE_FORBIDDEN = 4403;
const MIN_RENEWAL_DELAY_MS = 60_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Somebody else is signed in than this token was asked for. */
class Replaced extends Error {}

class Widget {
  /** @param {URLSearchParams} settings of the host, in the address of the frame */
  constructor(settings) {
    this.#panel = new Panel(settings.get("title") ?? "", settings.get("greeting") ?? "", {
      start: () => (this.#visit ? this.#visit.begin() : void this.#begin(true)),
      leave: () => this.#visit?.leave(),
      end: () => this.#visit?.leave(),
      unsent: () => this.#visit?.unsent ?? false,
      rate: (stars, feedback) => this.#visit?.rate(stars, feedback),
      tryAgain: () => void this.#begin(false),
      retry: () => this.#visit?.retry(),
      close: () => {
        this.#closed(); // what comes in this very moment is not seen any more
        this.#host?.close();
      },
    });
    if (parent === window) {
      this.#panel.standAlone();
      this.#hello({ signedIn: false, guests: true, open: true, focus: true, active: true, forget: false });
      return;
    }
    const allowed = find('meta[name="origins"]', HTMLMetaElement).content.split(" ");
    this.#host = new Host(settings.get("origin") ?? "", allowed, {
      hello: (hello) => this.#hello(hello),
      identity: (signedIn, forget) => void this.#identity(signedIn, forget),
      open: () => this.#opened(true),
      close: () => this.#closed(),
      wake: () => (this.#visit ? this.#visit.wake() : this.#comeBack()),
    });
  }

  #panel;
  /** @type {Host | undefined} */
  #host;
  #guest = new Guest();
  #idClaim = find('meta[name="id-claim"]', HTMLMetaElement).content;
  /** @type {Visit | undefined} */
  #visit;
  /** Whose it is. */
  #owner = "";
  #signedIn = false;
  #guests = true;
  #open = false;
  /** The beginning that is under way: an earlier one is not gone on with. */
  #beginning = 0;
  #pending = false;
  /** @type {number | undefined} */
  #renewal;

  // --- what the host tells ---

  /** @param {Hello} hello */
  #hello(hello) {
    this.#guests = hello.guests;
    this.#open = hello.open;
    this.#signedIn = hello.signedIn;
    if (hello.forget) {
      this.#forget();
    }
    if (hello.open || (hello.active && !hello.forget)) {
      void this.#begin(false);
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
  async #identity(signedIn, forget) {
    const was = this.#visit !== undefined;
    if (signedIn && this.#signedIn && was && !forget && (await this.#isTheSame())) {
      return;
    }
    this.#signedIn = signedIn;
    this.#stop();
    this.#panel.showStart();
    if (forget) {
      this.#forget();
    }
    if (this.#open || (was && !forget)) {
      void this.#begin(false);
    }
  }

  /** Whether a new token is of the same person. Until that is known nothing of anybody is to be seen. */
  async #isTheSame() {
    const beginning = this.#beginning;
    this.#veil(true);
    const token = await this.#host?.token().catch(() => null);
    if (beginning !== this.#beginning) {
      return true; // it was begun anew meanwhile
    }
    this.#veil(false);
    return Boolean(token) && ownerOf(token ?? "", this.#idClaim) === this.#owner;
  }

  /** @param {boolean} veiled */
  #veil(veiled) {
    this.#panel.veiled = veiled;
    if (this.#visit) {
      this.#visit.watched = this.#open && !veiled;
    }
  }

  /** @param {boolean} focus */
  #opened(focus) {
    this.#open = true;
    if (this.#visit) {
      this.#visit.watched = true;
    } else {
      this.#comeBack();
    }
    if (focus) {
      this.#panel.focus();
    }
  }

  #closed() {
    if (this.#host === undefined) {
      return; // a page of its own stays open
    }
    this.#open = false;
    if (this.#visit) {
      this.#visit.watched = false;
      if (this.#visit.idle) {
        this.#stop(); // a socket for nothing; what it showed is found again
        this.#host.state(false, 0); // it may not have come to say so itself
      }
    }
  }

  #forget() {
    this.#guest.forget();
    tabStorage.forget("widget:");
    this.#host?.forgotten();
  }

  // --- who it is ---

  #comeBack() {
    if (!this.#pending) {
      void this.#begin(false);
    }
  }

  /** Come back to what there is, or if `wanted` begin a conversation. @param {boolean} wanted */
  async #begin(wanted) {
    this.#stop();
    const beginning = this.#beginning;
    this.#pending = true;
    try {
      const found = await (this.#signedIn ? this.#asHosts() : this.#asGuest(wanted));
      if (found && beginning === this.#beginning) {
        this.#owner = found.owner;
        this.#visit = new Visit(found.owner, found.token, this.#panel, {
          state: (going, unread) => this.#host?.state(going, unread),
          closed: (standing) => this.#refused(standing),
        });
        this.#visit.watched = this.#open;
        this.#visit.start(wanted);
      }
    } catch (error) {
      if (beginning === this.#beginning) {
        this.#panel.showCard(error instanceof NoGuests ? "unavailable" : "away", "link");
      }
    } finally {
      if (beginning === this.#beginning) {
        this.#pending = false;
      }
    }
  }

  /** @returns {Promise<{ owner: string, token: TokenSource } | null>} null: nobody is signed in */
  async #asHosts() {
    this.#panel.showResuming();
    let first = (await this.#host?.token()) ?? null;
    if (first === null) {
      this.#signedIn = false;
      return this.#asGuest(false);
    }
    const owner = ownerOf(first, this.#idClaim);
    const token = async () => {
      const next = first ?? (await this.#host?.token()) ?? null;
      first = null;
      if (next === null || ownerOf(next, this.#idClaim) !== owner) {
        void this.#identity(next !== null, false);
        throw new Replaced();
      }
      return next;
    };
    return { owner, token };
  }

  /**
   * @param {boolean} wanted make a guest, if there is none
   * @returns {Promise<{ owner: string, token: TokenSource } | null>} null: there is no guest yet
   */
  async #asGuest(wanted) {
    if (!this.#guests) {
      throw new NoGuests();
    }
    if (!wanted && this.#guest.id === undefined) {
      this.#host?.state(false, 0);
      this.#panel.showStart();
      return null;
    }
    if (wanted) {
      this.#panel.showStarting();
    }
    await this.#guest.token();
    this.#renewInTime();
    const id = this.#guest.id;
    const token = async () => {
      if (this.#guest.id !== id) {
        void this.#identity(false, false); // it was away for longer than a token lasts
        throw new Replaced();
      }
      return this.#guest.token();
    };
    return { owner: `guest:${id}`, token };
  }

  /** A conversation may last longer than a token. */
  #renewInTime() {
    clearTimeout(this.#renewal);
    const wait = Math.min(this.#guest.renew - Date.now(), MAX_TIMER_MS);
    this.#renewal = setTimeout(
      async () => {
        if (this.#visit && this.#guest.id !== undefined) {
          await this.#guest.token().catch(() => undefined);
          this.#renewInTime();
        }
      },
      Math.max(wait, MIN_RENEWAL_DELAY_MS),
    );
  }

  // --- how it ends ---

  /** The server does not let this one in. @param {Standing} standing */
  #refused({ code = 0, reason }) {
    this.#stop();
    this.#host?.state(false, 0);
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
    this.#beginning += 1;
    this.#pending = false;
    this.#panel.veiled = false;
    this.#visit?.stop();
    this.#visit = undefined;
  }
}

const settings = new URLSearchParams(location.hash.slice(1));
document.documentElement.lang = language;
fillIn(document);
paint(settings.get("color") ?? "");
new Widget(settings);
