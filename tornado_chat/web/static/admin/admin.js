// @ts-check
/**
 * `/admin`: how the server is, and who is there.
 *
 * Strategy: each answer of the server is shown as a whole, in place. Without an answer the last one stays, and is
 * marked as old.
 *
 * @module
 */

import "./strings.js";
import { showSignInCard, signInOrShowCard } from "../shared/card.js";
import { find } from "../shared/elements.js";
import { SignInOver } from "../shared/identity.js";
import { fillIn, language, text } from "../shared/strings.js";
import { parseTime } from "../shared/time.js";
import { makeCharts } from "./charts.js";
import { clock, duration } from "./numbers.js";
import { Polling } from "./polling.js";
import { Problems, problemsOf } from "./problems.js";
import { Sections } from "./sections.js";
import { setWords } from "./tables.js";

/** @typedef {import("./polling.js").Status} Status */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */

const STALE_AFTER_MS = 6_000; // milliseconds without an answer, after which numbers are no longer those of now
const TICK_MS = 1_000;

class AdminPage {
  /** @param {SignedIn} who */
  constructor(who) {
    this.#who = who;
    this.#polling = new Polling(
      who.token,
      {
        got: (status) => this.#got(status),
        missed: (reason) => this.#missed(reason),
        over: (error) => this.#stop(error),
      },
      (error) => error instanceof SignInOver,
    );
  }

  #who;
  #polling;
  #charts = makeCharts(find("#charts"));
  #sections = new Sections(find("#people"), find("#machine"));
  #problems = new Problems(find("#problems"));
  /** @type {Status | undefined} */
  #status;
  /** When it came, in milliseconds. */
  #at = 0;
  #missing = false;
  #reason = "";
  #over = false;

  start() {
    setWords(find("#my-name"), this.#who.name);
    const { signOut } = this.#who;
    find("#sign-out").hidden = !signOut;
    find("#sign-out").addEventListener("click", () => void signOut?.());
    find("#admin").hidden = false;
    setInterval(() => document.hidden || this.#showFreshness(), TICK_MS);
    document.addEventListener("visibilitychange", () => this.#showFreshness());
    addEventListener("offline", () => this.#missed(""));
    this.#showFreshness();
    this.#polling.start();
  }

  /** @param {Status} status */
  #got(status) {
    this.#status = status;
    this.#at = Date.now();
    this.#missing = false;
    find("#numbers").hidden = false;
    this.#problems.show(problemsOf(status));
    for (const chart of this.#charts) {
      chart.show(status);
    }
    this.#sections.show(status);
    this.#showFreshness();
  }

  /** @param {string} reason */
  #missed(reason) {
    this.#missing = true;
    this.#reason = reason;
    this.#showFreshness();
  }

  /** @param {unknown} error */
  #stop(error) {
    this.#over = true;
    showSignInCard(
      error instanceof SignInOver
        ? error
        : { wrongRole: this.#who.role, name: this.#who.name, signInAgain: null },
    );
  }

  /** How old the numbers are, and what the server says of itself. */
  #showFreshness() {
    if (this.#over) {
      return;
    }
    const age = Date.now() - this.#at;
    const old = this.#missing || (this.#status !== undefined && age > STALE_AFTER_MS);
    const wrong = this.#status !== undefined && Object.keys(this.#status.problems).length > 0;
    document.documentElement.classList.toggle("old", old && this.#status !== undefined);
    find("#away").hidden = !this.#missing;
    if (this.#missing) {
      setWords(
        find("#away-text"),
        text(!navigator.onLine ? "away_offline" : this.#status ? "away_text" : "away_first"),
      );
      setWords(find("#away-said"), this.#reason && text("away_said", { reason: this.#reason }));
      find("#away-command").hidden = !navigator.onLine;
    }
    const state = this.#missing ? "no_answer" : !this.#status ? "loading" : wrong ? "not_serving" : "serving";
    const standing = find("#standing");
    standing.dataset.state = state;
    setWords(standing, text(state));
    setWords(find("#as-of"), this.#asOf(old ? age : 0));
    setWords(
      find("#up"),
      this.#status && !old ? text("up", { duration: duration(this.#status.process.uptime) }) : "",
    );
    document.title = text(wrong || this.#missing ? "admin_attention" : "admin");
  }

  /** @param {number} age */
  #asOf(age) {
    if (!this.#status) {
      return "";
    }
    const at = clock(parseTime(this.#status.time), { seconds: true });
    return age ? text("as_of_ago", { clock: at, ago: duration(age / 1000) }) : text("as_of", { clock: at });
  }
}

document.documentElement.lang = language;
fillIn(document);
new AdminPage(await signInOrShowCard({ roles: ["admin"] })).start();
