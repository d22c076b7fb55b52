// @ts-check
/**
 * `/admin`: the state of the server, and who is connected.
 *
 * Strategy: each answer of the server is rendered as a whole, in place. Without an answer the last one stays,
 * and is marked as stale.
 *
 * @module
 */

import "./strings.js";
import { showSignInCard, signInOrShowCard } from "../shared/card.js";
import { find } from "../shared/elements.js";
import { GroupTitles } from "../shared/groups.js";
import { SignInExpired } from "../shared/identity.js";
import { fillTexts, language, text } from "../shared/strings.js";
import { parseTime } from "../shared/time.js";
import { makeCharts } from "./charts.js";
import { clock, duration } from "./numbers.js";
import { StatusPoller } from "./polling.js";
import { ProblemList, problemsOf } from "./problems.js";
import { Sections } from "./sections.js";
import { setText } from "./tables.js";

/** @typedef {import("./polling.js").Status} Status */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */

const STALE_AFTER_MS = 6_000; // numbers older than this are marked as stale
const TICK_MS = 1_000;

class AdminPage {
  /** @param {SignedIn} me */
  constructor(me) {
    this.#me = me;
    const groupTitles = new GroupTitles(me.token, () => this.#status && this.#sections.show(this.#status));
    this.#sections = new Sections(find("#people"), find("#machine"), groupTitles);
    this.#poller = new StatusPoller(
      me.token,
      {
        onStatus: (status) => this.#onStatus(status),
        onFailure: (reason) => this.#onFailure(reason),
        onSignedOut: (error) => this.#onSignedOut(error),
      },
      (error) => error instanceof SignInExpired,
    );
  }

  #me;
  #sections;
  #poller;
  #charts = makeCharts(find("#charts"));
  #problems = new ProblemList(find("#problems"));
  /** @type {Status | undefined} */
  #status;
  /** When the status was received, in milliseconds since 1970. */
  #receivedMs = 0;
  #isUnreachable = false;
  #reason = "";
  #isStopped = false;

  start() {
    setText(find("#my-name"), this.#me.name);
    const { signOut } = this.#me;
    find("#sign-out").hidden = !signOut;
    find("#sign-out").addEventListener("click", () => void signOut?.());
    find("#admin").hidden = false;
    setInterval(() => document.hidden || this.#showFreshness(), TICK_MS);
    document.addEventListener("visibilitychange", () => this.#showFreshness());
    addEventListener("offline", () => this.#onFailure(""));
    this.#showFreshness();
    this.#poller.start();
  }

  /** @param {Status} status */
  #onStatus(status) {
    this.#status = status;
    this.#receivedMs = Date.now();
    this.#isUnreachable = false;
    find("#numbers").hidden = false;
    this.#problems.show(problemsOf(status));
    for (const chart of this.#charts) {
      chart.show(status);
    }
    this.#sections.show(status);
    this.#showFreshness();
  }

  /** @param {string} reason */
  #onFailure(reason) {
    this.#isUnreachable = true;
    this.#reason = reason;
    this.#showFreshness();
  }

  /** @param {unknown} error */
  #onSignedOut(error) {
    this.#isStopped = true;
    showSignInCard(
      error instanceof SignInExpired
        ? error
        : { wrongRole: this.#me.role, name: this.#me.name, signInAgain: null },
    );
  }

  /** Show the age of the numbers, and the server's health. */
  #showFreshness() {
    if (this.#isStopped) {
      return;
    }
    const ageMs = Date.now() - this.#receivedMs;
    const isStale = this.#isUnreachable || (this.#status !== undefined && ageMs > STALE_AFTER_MS);
    const degraded = this.#status?.degraded ?? [];
    const hasProblems = Object.keys(this.#status?.problems ?? {}).some((part) => !degraded.includes(part));
    document.documentElement.classList.toggle("stale", isStale && this.#status !== undefined);
    find("#unreachable").hidden = !this.#isUnreachable;
    if (this.#isUnreachable) {
      setText(
        find("#unreachable-text"),
        text(!navigator.onLine ? "away_offline" : this.#status ? "away_text" : "away_first"),
      );
      setText(find("#unreachable-message"), this.#reason && text("away_said", { reason: this.#reason }));
      find("#unreachable-command").hidden = !navigator.onLine;
    }
    const state = this.#isUnreachable
      ? "no_answer"
      : !this.#status
        ? "loading"
        : hasProblems
          ? "not_serving"
          : "serving";
    const health = find("#health");
    health.dataset.state = state;
    setText(health, text(state));
    setText(find("#as-of"), this.#asOf(isStale ? ageMs : 0));
    setText(
      find("#uptime"),
      this.#status && !isStale ? text("up", { duration: duration(this.#status.process.uptime) }) : "",
    );
    document.title = text(hasProblems || this.#isUnreachable ? "admin_attention" : "admin");
  }

  /** @param {number} ageMs */
  #asOf(ageMs) {
    if (!this.#status) {
      return "";
    }
    const at = clock(parseTime(this.#status.time), { seconds: true });
    return ageMs
      ? text("as_of_ago", { clock: at, ago: duration(ageMs / 1000) })
      : text("as_of", { clock: at });
  }
}

document.documentElement.lang = language;
fillTexts(document);
new AdminPage(await signInOrShowCard({ roles: ["admin"] })).start();
