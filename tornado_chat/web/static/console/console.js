// @ts-check
/**
 * `/console`: the workspace of those who answer in support.
 *
 * Strategy: the `Desk` holds what there is, `Columns` what is open; whenever either changes, everything is
 * shown anew once per frame, in place. What only ticks is written once a second.
 *
 * @module
 */

import "./strings.js";
import { showCard, signInOrShowCard } from "../shared/card.js";
import { find, icon } from "../shared/elements.js";
import { ChatStanding } from "../shared/standing.js";
import { fillIn, language, text } from "../shared/strings.js";
import { Columns } from "./columns.js";
import { Desk } from "./desk.js";
import { Details } from "./details.js";
import { agentName, prepareEnd, prepareHandOver, prepareKeys } from "./dialogs.js";
import { announced, listen, shown } from "./keys.js";
import { Line } from "./line.js";
import { preparePreferences } from "./preferences.js";
import { Rail } from "./rail.js";
import { Records } from "./records.js";
import { Replies } from "./replies.js";
import { Settings } from "./settings.js";
import { Signals } from "./signals.js";
import { Stage } from "./stage.js";

/** @typedef {import("../shared/connection.js").Standing} Standing */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */
/** @typedef {import("./case.js").Case} Case */

const TICK_MS = 1_000;
const NOTICE_MS = 6_000; // milliseconds that a short notice is shown
const CLOSE_REPLACED = 4409;
const CLOSE_UNAUTHENTICATED = 4401;
const CLOSE_FORBIDDEN = 4403;

class ConsolePage {
  /** @param {SignedIn} who */
  constructor(who) {
    this.#who = who;
    const records = new Records(who.token);
    const changed = () => this.#changed();
    this.#desk = new Desk(who, records, {
      changed,
      standing: (standing) => this.#standing(standing),
      arrived: (one) => this.#arrived(one),
      parted: (one) => this.#tell(text("announce_parted", { name: one.name })),
      gone: (one) => this.#gone(one),
      news: (one, said) => this.#inView(one) || this.#signals.message(one, said.text),
      notEnded: (_, reason) => this.#tell(text("not_ended", { reason })),
    });
    this.#line = new Line(records, changed);
    this.#columns = new Columns(this.#desk.key, changed);
    this.#replies = new Replies(who.id);
    this.#details = new Details(records, () => this.#toggleDetails());
    this.#askHandOver = prepareHandOver(records, who.id, async (one, agent) => {
      await this.#desk.handOver(one, agent.id);
      this.#tell(text("hand_done", { name: one.name, waiter: agentName(agent) }));
    });
    this.#stage = new Stage(this.#desk, this.#columns, this.#replies, {
      back: () => this.#back(),
      edited: changed,
      pin: (one) => this.#pin(one),
      details: (one) => this.#showDetails(one),
      hand: (one) => this.#askHandOver(one),
      end: (one) => this.#askEnd(one),
    });
  }

  #who;
  #desk;
  #line;
  #columns;
  #replies;
  #details;
  #askHandOver;
  #stage;
  #settings = new Settings();
  #signals = new Signals(this.#settings, (number) => this.#open(number));
  #rail = new Rail({ open: (number) => this.#open(number), toggleReady: () => this.#toggleReady() });
  #standingLine = find("#standing", ChatStanding);
  #askEnd = prepareEnd((one) => this.#desk.end(one));
  #showKeys = prepareKeys();
  #planned = false;
  /** There is a card in the place of the page. */
  #over = false;
  /** @type {number | undefined} */
  #toldTimer;

  start() {
    const name = this.#who.name || text("agent", { id: this.#who.id });
    find("#my-name").textContent = name;
    find("#my-avatar").textContent = Array.from(name)[0].toUpperCase();
    find("#console").hidden = false;
    this.#prepareButtons();
    this.#prepareKeyboard();
    this.#standingLine.addEventListener("retry", () => this.#desk.retry());
    setInterval(() => document.hidden || this.#tick(), TICK_MS);
    // A frame that was planned may never come in a window that has just gone to the background.
    document.addEventListener("visibilitychange", () => this.#show());
    addEventListener("popstate", () => this.#columns.narrow && this.#columns.closeAll());
    addEventListener("beforeunload", (event) => !this.#over && this.#desk.unsent && event.preventDefault());
    this.#changed();
    this.#desk.start();
  }

  // --- showing ---

  #changed() {
    if (!this.#planned) {
      this.#planned = true;
      // Not by frames alone: a window in the background has none, but a title.
      (document.hidden ? setTimeout : requestAnimationFrame)(() => this.#show());
    }
  }

  #show() {
    this.#planned = false;
    if (this.#over) {
      return;
    }
    const detailed = this.#settings.get("details") ? this.#active : undefined;
    this.#rail.show(this.#desk, this.#columns, this.#line, this.#who.id);
    this.#stage.show(detailed, this.#line.status?.queue.length ?? 0);
    this.#details.show(detailed ?? null);
    const talking = this.#active !== undefined;
    find("#console").classList.toggle("talking", talking);
    find("#console").classList.toggle("detailed", detailed !== undefined);
    const { unread } = this.#desk;
    document.title = (unread ? `(${unread}) ` : "") + text("console");
    this.#tick();
  }

  #tick() {
    if (!this.#over) {
      this.#rail.tick(this.#line);
      this.#stage.tick(this.#line.now());
    }
  }

  /** A short notice, which is read out too. @param {string} words */
  #tell(words) {
    const told = find("#told");
    told.textContent = words;
    clearTimeout(this.#toldTimer);
    this.#toldTimer = setTimeout(() => (told.textContent = ""), NOTICE_MS);
  }

  // --- what happens ---

  /** @param {Case} one */
  #arrived(one) {
    this.#line.look();
    this.#signals.arrived(one);
    this.#tell(text("announce_arrived", { name: one.name }));
    if (this.#active === undefined && !this.#columns.narrow && !document.hidden) {
      this.#columns.open(one.number);
    }
  }

  /** @param {Case} one */
  #gone(one) {
    this.#line.look();
    this.#columns.close(one.number);
    const next = this.#desk.urgent();
    if (this.#active === undefined && next && !this.#columns.narrow) {
      this.#open(next.number);
    }
  }

  /** @param {Standing} standing */
  #standing(standing) {
    this.#line.watch(standing.state === "open");
    this.#standingLine.show(standing);
    if (standing.state !== "closed") {
      return;
    }
    this.#over = true;
    const { code = 0, reason = "" } = standing;
    if (code === CLOSE_REPLACED) {
      showCard({
        picture: "talk",
        title: text("elsewhere_title"),
        words: text("elsewhere_text"),
        actions: [{ label: text("use_here"), act: () => location.reload() }],
      });
    } else if (code === CLOSE_UNAUTHENTICATED) {
      showCard({ picture: "lock", title: text("over_title"), words: text("token_text") });
    } else {
      const key = code === CLOSE_FORBIDDEN ? "forbidden" : "closed";
      showCard({
        picture: "link",
        title: text(`${key}_title`),
        words: text(`${key}_text`, { reason: reason || String(code) }),
      });
    }
  }

  // --- what the waiter does ---

  /** The conversation that the keyboard and the details are about. */
  get #active() {
    const { active } = this.#columns;
    return active === null ? undefined : this.#desk.find(active);
  }

  /** @param {Case} one */
  #inView(one) {
    return !document.hidden && document.hasFocus() && this.#stage.has(one);
  }

  /** @param {number} number */
  #open(number) {
    if (!this.#desk.find(number)) {
      return;
    }
    if (this.#columns.narrow && !history.state?.talk) {
      history.pushState({ talk: true }, ""); // the way back is the telephone's, too
    }
    this.#columns.open(number);
    this.#show(); // now, so that there is something to give the focus to
    this.#stage.focus(number);
  }

  #back() {
    const number = this.#columns.active;
    this.#columns.closeAll();
    this.#show();
    if (number !== null) {
      this.#rail.focus(number);
    }
    if (history.state?.talk) {
      history.back();
    }
  }

  /** @param {number} step */
  #move(step) {
    const { cases } = this.#desk;
    const index = cases.findIndex((one) => one === this.#active);
    const from = index < 0 && step < 0 ? 0 : index;
    const next = cases[(from + step + cases.length) % cases.length];
    if (next) {
      this.#open(next.number);
    }
  }

  /** @param {Case} one */
  #pin(one) {
    if (this.#columns.most > 1) {
      this.#columns.pin(one.number);
    }
  }

  #toggleReady() {
    this.#desk.setReady(!this.#desk.wanted);
    this.#line.look();
  }

  /** @param {Case} one */
  #showDetails(one) {
    const another = one !== this.#active;
    if (another) {
      this.#columns.open(one.number);
    }
    if (!another || !this.#settings.get("details")) {
      this.#toggleDetails();
    }
  }

  #toggleDetails() {
    const show = !this.#settings.get("details");
    this.#settings.set("details", show);
    this.#show();
    if (show) {
      this.#details.focus();
    } else if (this.#active) {
      this.#stage.focus(this.#active.number);
    }
  }

  #prepareButtons() {
    const settings = find("#settings-button");
    const keys = find("#keys-button");
    for (const [button, name] of /** @type {[HTMLElement, string][]} */ ([
      [settings, "settings"],
      [keys, "keys"],
    ])) {
      button.append(icon(name === "keys" ? "keyboard" : name));
      button.setAttribute("aria-label", text(name));
      button.title = name === "keys" ? `${text(name)} (?)` : text(name);
    }
    settings.addEventListener("click", preparePreferences(this.#settings, this.#signals, this.#replies));
    keys.addEventListener("click", this.#showKeys);
    const ready = find("#ready");
    ready.title = shown("ready");
    ready.setAttribute("aria-keyshortcuts", announced("ready"));
    find("#calm-ready").addEventListener("click", () => {
      this.#toggleReady();
      ready.focus(); // the button goes
    });
    const { signOut } = this.#who;
    find("#sign-out").hidden = !signOut;
    find("#sign-out").addEventListener("click", () => {
      const asked = this.#desk.unsent ? "sign_out_unsent" : this.#desk.load ? "sign_out_open" : "";
      if (!asked || confirm(text(asked))) {
        this.#over = true;
        void signOut?.();
      }
    });
  }

  #prepareKeyboard() {
    /** @param {(one: Case) => void} act */
    const withActive = (act) => () => this.#active && act(this.#active);
    /** @param {(one: Case) => void} act */
    const withOpen = (act) => withActive((one) => one.state === "open" && act(one));
    listen(
      () => this.#settings.get("shortcuts") && !this.#over,
      {
        next: () => this.#move(1),
        previous: () => this.#move(-1),
        urgent: () => {
          const next = this.#desk.urgent(this.#active?.number);
          if (next) {
            this.#open(next.number);
          }
        },
        write: withActive((one) => this.#stage.focus(one.number)),
        details: withActive((one) => this.#showDetails(one)),
        pin: withActive((one) => this.#pin(one)),
        hand: withOpen((one) => this.#askHandOver(one)),
        end: withActive((one) => (one.state === "over" ? this.#desk.putAway(one) : withOpen(this.#askEnd)())),
        ready: () => this.#toggleReady(),
      },
      this.#showKeys,
    );
  }
}

document.documentElement.lang = language;
fillIn(document);
new ConsolePage(await signInOrShowCard({ roles: ["waiter"] })).start();
