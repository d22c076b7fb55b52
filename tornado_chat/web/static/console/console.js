// @ts-check
/**
 * `/console`: the workspace of support agents.
 *
 * Strategy: `CaseStore` holds the conversations, `Columns` the open ones. Whenever either changes, everything
 * is rendered in place, at most once per frame. Elapsed times are updated once a second.
 *
 * @module
 */

import "./strings.js";
import { showCard, signInOrShowCard } from "../shared/card.js";
import { find, icon } from "../shared/elements.js";
import { ConnectionStatusBar } from "../shared/connection_status.js";
import { GroupTitles } from "../shared/groups.js";
import { metaContent } from "../shared/identity.js";
import { fillTexts, language, text } from "../shared/strings.js";
import { prepareAskHelp } from "./ask_help.js";
import { Columns } from "./columns.js";
import { CaseStore } from "./case_store.js";
import { Details } from "./details.js";
import { agentName, prepareEnd, prepareHandOver, prepareShortcuts } from "./dialogs.js";
import { ariaShortcut, listenForShortcuts, shortcutText } from "./shortcuts.js";
import { LeftMessages } from "./left_messages.js";
import { QueueStatus } from "./queue_status.js";
import { preparePreferences } from "./preferences.js";
import { OfferList } from "./offers.js";
import { Sidebar } from "./sidebar.js";
import { SupportApi } from "./support_api.js";
import { QuickReplies } from "./replies.js";
import { Settings } from "./settings.js";
import { Signals } from "./signals.js";
import { PanelArea } from "./panel_area.js";

/** @typedef {import("../shared/connection.js").ConnectionStatus} ConnectionStatus */
/** @typedef {import("../shared/signin.js").SignedIn} SignedIn */
/** @typedef {import("./case.js").Case} Case */

const TICK_MS = 1_000;
const NOTICE_MS = 6_000; // how long a short notice is shown
const CLOSE_REPLACED = 4409;
const CLOSE_UNAUTHENTICATED = 4401;
const CLOSE_FORBIDDEN = 4403;

const hasGroups = metaContent("groups") === "on";

class ConsolePage {
  /** @param {SignedIn} me */
  constructor(me) {
    this.#me = me;
    const api = new SupportApi(me.token, { id: String(me.id), role: me.role });
    const onChange = () => this.#scheduleRender();
    this.#groups = new GroupTitles(me.token, onChange);
    this.#sidebar = new Sidebar(
      { open: (number) => this.#open(number), toggleReady: () => this.#toggleReady() },
      api,
      this.#groups,
    );
    this.#store = new CaseStore(me, api, {
      onChange,
      onStatus: (status) => this.#onStatus(status),
      onAssigned: (item) => this.#onAssigned(item),
      onClientLeft: (item) => this.#showNotice(text("announce_parted", { name: item.name })),
      onRemoved: (item) => this.#onRemoved(item),
      onClientMessage: (item, message) => this.#isVisible(item) || this.#signals.message(item, message.text),
      onOffer: (offer) => this.#onOffer(offer),
      onEndFailed: (_, reason) => this.#showNotice(text("not_ended", { reason })),
    });
    this.#queueStatus = new QueueStatus(api, onChange);
    this.#leftMessages = new LeftMessages(api, this.#groups);
    this.#columns = new Columns(this.#store.key, onChange);
    this.#replies = new QuickReplies(me.id);
    this.#details = new Details(api, this.#groups, () => this.#toggleDetails());
    this.#askHandOver = prepareHandOver(api, this.#groups, async (item, target, note) => {
      await this.#store.transfer(item, target, note);
      if ("group" in target) {
        const group = this.#groups.of(target.group) || target.group;
        this.#showNotice(text("hand_done_group", { name: item.name, group }));
      } else if (!this.#offered.has(item.number)) {
        this.#showNotice(text("hand_done", { name: item.name, waiter: agentName(target) }));
      }
    });
    this.#askHelp = prepareAskHelp(api, me);
    this.#panelArea = new PanelArea(this.#store, this.#columns, this.#replies, {
      back: () => this.#backToList(),
      onEdit: onChange,
      pin: (item) => this.#togglePin(item),
      details: (item) => this.#showDetails(item),
      handOver: (item) => this.#askHandOver(item),
      askHelp: (item) => this.#askHelp(item),
      end: (item) => this.#askEnd(item),
    });
  }

  #me;
  #groups;
  #offers = new OfferList((offer, accepts) => this.#store.answerOffer(offer, accepts));
  /** Conversations that this agent offers to another one. @type {Set<number>} */
  #offered = new Set();
  #sidebar;
  #store;
  #queueStatus;
  #leftMessages;
  #columns;
  #replies;
  #details;
  #askHandOver;
  #askHelp;
  #panelArea;
  #settings = new Settings();
  #signals = new Signals(this.#settings, (number) => this.#open(number));
  #statusBar = find("#connection-status", ConnectionStatusBar);
  #askEnd = prepareEnd((item) => this.#store.end(item));
  #showShortcuts = prepareShortcuts();
  #isRenderScheduled = false;
  /** Whether a card has replaced the page. */
  #isClosed = false;
  /** @type {number | undefined} */
  #noticeTimer;

  start() {
    const name = this.#me.name || text("agent", { id: this.#me.id });
    find("#my-name").textContent = name;
    find("#my-avatar").textContent = Array.from(name)[0].toUpperCase();
    find("#console").hidden = false;
    this.#prepareButtons();
    this.#prepareKeyboard();
    this.#statusBar.addEventListener("retry", () => this.#store.retry());
    setInterval(() => document.hidden || this.#tick(), TICK_MS);
    // A scheduled frame may never come in a window that has just gone to the background.
    document.addEventListener("visibilitychange", () => this.#render());
    addEventListener("popstate", () => this.#columns.isNarrow && this.#columns.closeAll());
    addEventListener(
      "beforeunload",
      (event) => !this.#isClosed && this.#store.hasUnsent && event.preventDefault(),
    );
    this.#scheduleRender();
    this.#store.start();
  }

  // --- rendering ---

  #scheduleRender() {
    if (!this.#isRenderScheduled) {
      this.#isRenderScheduled = true;
      // Animation frames stop in a background window, but its title must be updated.
      (document.hidden ? setTimeout : requestAnimationFrame)(() => this.#render());
    }
  }

  #render() {
    this.#isRenderScheduled = false;
    if (this.#isClosed) {
      return;
    }
    const detailed = this.#settings.get("details") ? this.#active : undefined;
    this.#requestGroups();
    this.#sidebar.show(this.#store, this.#columns, this.#queueStatus);
    this.#offers.show(this.#store);
    this.#panelArea.show(detailed, this.#queueStatus.status?.queue.length ?? 0);
    this.#details.show(detailed ?? null);
    const talking = this.#active !== undefined;
    find("#console").classList.toggle("conversation-open", talking);
    find("#console").classList.toggle("details-open", detailed !== undefined);
    const { unread } = this.#store;
    document.title = (unread ? `(${unread}) ` : "") + text("console");
    this.#tick();
  }

  /** Request the titles of the groups that the page names. */
  #requestGroups() {
    const { status } = this.#queueStatus;
    if (hasGroups && status) {
      this.#groups.request([
        ...status.waiters.flatMap(({ groups = [] }) => groups),
        ...status.queue.first.flatMap(({ group }) => group ?? []),
        ...this.#store.cases.flatMap(({ client }) => client.group ?? []),
      ]);
    }
  }

  #tick() {
    if (!this.#isClosed) {
      this.#sidebar.tick(this.#queueStatus);
      this.#offers.tick();
      this.#panelArea.tick(this.#queueStatus.serverNowMs());
    }
  }

  /** Show a short notice, which screen readers announce, too. @param {string} words */
  #showNotice(words) {
    const notice = find("#toast");
    notice.textContent = words;
    clearTimeout(this.#noticeTimer);
    this.#noticeTimer = setTimeout(() => (notice.textContent = ""), NOTICE_MS);
  }

  // --- events ---

  /** @param {Case} item */
  #onAssigned(item) {
    this.#queueStatus.refreshSoon();
    this.#signals.arrived(item);
    this.#showNotice(text("announce_arrived", { name: item.name }));
    if (this.#active === undefined && !this.#columns.isNarrow && !document.hidden) {
      this.#columns.open(item.number);
    }
  }

  /** @param {Case} item */
  #onRemoved(item) {
    this.#queueStatus.refreshSoon();
    this.#columns.close(item.number);
    // The messages of a new conversation may not be loaded yet.
    const next = this.#store.longestWaiting() ?? this.#store.cases.find((item) => item.isNew);
    if (this.#active === undefined && next && !this.#columns.isNarrow) {
      this.#open(next.number);
    }
  }

  /** @param {import("../shared/support_waiter.js").Offer} offer */
  #onOffer(offer) {
    const { state, yours, number } = offer;
    const name = offer.client.name || text("visitor", { id: offer.client.id });
    const waiter = offer.to ? offer.to.name || text("agent", { id: offer.to.id }) : "";
    const wasOffered = this.#offered.has(Number(number));
    if (this.#offers.add(offer)) {
      this.#showNotice(
        text("offer_from", { name, agent: offer.from.name || text("agent", { id: offer.from.id }) }),
      );
    } else if (!yours && this.#store.find(Number(number))) {
      this.#offered[state === "offered" ? "add" : "delete"](Number(number));
      if (state === "offered" ? !wasOffered : wasOffered) {
        this.#showNotice(text(`hand_${state}`, { name, waiter }));
      }
    }
    this.#scheduleRender();
  }

  /** @param {ConnectionStatus} status */
  #onStatus(status) {
    this.#queueStatus.setConnected(status.state === "open");
    this.#leftMessages.setConnected(status.state === "open");
    this.#statusBar.show(status);
    if (status.state !== "closed") {
      return;
    }
    this.#isClosed = true;
    const { code = 0, reason = "" } = status;
    if (code === CLOSE_REPLACED) {
      showCard({
        iconName: "talk",
        title: text("elsewhere_title"),
        message: text("elsewhere_text"),
        actions: [{ label: text("use_here"), act: () => location.reload() }],
      });
    } else if (code === CLOSE_UNAUTHENTICATED) {
      showCard({ iconName: "lock", title: text("over_title"), message: text("token_text") });
    } else {
      const key = code === CLOSE_FORBIDDEN ? "forbidden" : "closed";
      showCard({
        iconName: "link",
        title: text(`${key}_title`),
        message: text(`${key}_text`, { reason: reason || String(code) }),
      });
    }
  }

  // --- actions of the agent ---

  /** The conversation to which shortcuts and details refer. */
  get #active() {
    const { active } = this.#columns;
    return active === null ? undefined : this.#store.find(active);
  }

  /** @param {Case} item */
  #isVisible(item) {
    return !document.hidden && document.hasFocus() && this.#panelArea.isShown(item);
  }

  /** @param {number} number */
  #open(number) {
    const item = this.#store.find(number);
    if (!item) {
      return;
    }
    this.#store.accept(item);
    if (this.#columns.isNarrow && !history.state?.talk) {
      history.pushState({ talk: true }, ""); // makes the phone's back button return to the list
    }
    this.#columns.open(number);
    this.#render(); // now: the focus needs an element
    this.#panelArea.focus(number);
  }

  #backToList() {
    const number = this.#columns.active;
    this.#columns.closeAll();
    this.#render();
    if (number !== null) {
      this.#sidebar.focus(number);
    }
    if (history.state?.talk) {
      history.back();
    }
  }

  /** @param {number} step */
  #move(step) {
    const { cases } = this.#store;
    const index = cases.findIndex((item) => item === this.#active);
    const from = index < 0 && step < 0 ? 0 : index;
    const next = cases[(from + step + cases.length) % cases.length];
    if (next) {
      this.#open(next.number);
    }
  }

  /** @param {Case} item */
  #togglePin(item) {
    if (this.#columns.maxVisible > 1) {
      this.#columns.togglePin(item.number);
    }
  }

  #toggleReady() {
    this.#store.setReady(!this.#store.readyWanted);
    this.#queueStatus.refreshSoon();
  }

  /** @param {Case} item */
  #showDetails(item) {
    const another = item !== this.#active;
    if (another) {
      this.#columns.open(item.number);
    }
    if (!another || !this.#settings.get("details")) {
      this.#toggleDetails();
    }
  }

  #toggleDetails() {
    const show = !this.#settings.get("details");
    this.#settings.set("details", show);
    this.#render();
    if (show) {
      this.#details.focus();
    } else if (this.#active) {
      this.#panelArea.focus(this.#active.number);
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
    keys.addEventListener("click", this.#showShortcuts);
    const ready = find("#ready");
    ready.title = shortcutText("ready");
    ready.setAttribute("aria-keyshortcuts", ariaShortcut("ready"));
    find("#placeholder-ready").addEventListener("click", () => {
      this.#toggleReady();
      ready.focus(); // the clicked button disappears
    });
    const { signOut } = this.#me;
    find("#sign-out").hidden = !signOut;
    find("#sign-out").addEventListener("click", () => {
      const question = this.#store.hasUnsent
        ? "sign_out_unsent"
        : this.#store.openCount
          ? "sign_out_open"
          : "";
      if (!question || confirm(text(question))) {
        this.#isClosed = true;
        void signOut?.();
      }
    });
  }

  #prepareKeyboard() {
    /** @param {(item: Case) => void} action */
    const withActive = (action) => () => this.#active && action(this.#active);
    /** @param {(item: Case) => void} action */
    const withOpen = (action) => withActive((item) => item.state === "open" && action(item));
    listenForShortcuts(
      () => this.#settings.get("shortcuts") && !this.#isClosed,
      {
        next: () => this.#move(1),
        previous: () => this.#move(-1),
        urgent: () => {
          const next = this.#store.longestWaiting(this.#active?.number);
          if (next) {
            this.#open(next.number);
          }
        },
        write: withActive((item) => this.#panelArea.focus(item.number)),
        details: withActive((item) => this.#showDetails(item)),
        pin: withActive((item) => this.#togglePin(item)),
        hand: withOpen((item) => this.#askHandOver(item)),
        end: withActive((item) =>
          item.state === "ended" ? this.#store.remove(item) : withOpen(this.#askEnd)(),
        ),
        ready: () => this.#toggleReady(),
      },
      this.#showShortcuts,
    );
  }
}

document.documentElement.lang = language;
fillTexts(document);
new ConsolePage(
  await signInOrShowCard({ roles: hasGroups ? ["waiter", "consultant"] : ["waiter"] }), // consultants serve groups
).start();
