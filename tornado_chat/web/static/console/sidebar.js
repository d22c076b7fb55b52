// @ts-check
/**
 * The sidebar: the agent's state, the agent's conversations, and the queue.
 *
 * Elements are updated in place, and only where they differ: unchanged elements do not move.
 *
 * @module
 */

import { find, make } from "../shared/elements.js";
import { groupList, positionsInGroups } from "../shared/groups.js";
import { guestHue, guestName } from "../shared/guest_names.js";
import { text } from "../shared/strings.js";
import { formatElapsed, parseTime } from "../shared/time.js";
import { clientName } from "./case.js";
import { waitLevel } from "./case_panel.js";

/** @typedef {import("../shared/conversation.js").Message} Message */
/** @typedef {import("../shared/groups.js").GroupTitles} GroupTitles */
/** @typedef {import("./support_api.js").SupportApi} SupportApi */
/** @typedef {import("./case.js").Case} Case */
/** @typedef {import("./columns.js").Columns} Columns */
/** @typedef {import("./case_store.js").CaseStore} CaseStore */
/** @typedef {import("./queue_status.js").QueueStatus} QueueStatus */

const MAX_QUEUE_ROWS = 20;

/** One conversation in the list. */
class Row {
  #avatar = make("span", "avatar");
  #name = make("span", "row-name");
  #preview = make("span", "row-preview");
  #group = make("span", "row-group");
  #wait = make("span", "row-wait");
  #waitLabel = make("span", "visually-hidden");
  #count = make("span", "row-count");
  #countLabel = make("span", "visually-hidden");

  /**
   * @param {Case} item
   * @param {() => void} open
   */
  constructor(item, open) {
    this.case = item;
    this.#avatar.setAttribute("aria-hidden", "true");
    this.#count.setAttribute("aria-hidden", "true");
    this.#wait.setAttribute("aria-hidden", "true");
    this.button = make(
      "button",
      "row",
      this.#avatar,
      make("span", "row-text", this.#name, this.#countLabel, this.#group, this.#preview),
      make("span", "row-indicators", this.#wait, this.#waitLabel, this.#count),
    );
    this.button.type = "button";
    this.button.addEventListener("click", open);
    this.element = make("li", "", this.button);
  }

  /**
   * @param {boolean} visible
   * @param {boolean} active
   * @param {boolean} hasNamesake whether another client in the list has the same name
   * @param {string} group the title of the conversation's group; empty: there is only one
   */
  show(visible, active, hasNamesake, group) {
    const { case: item } = this;
    const { unread, unsent } = item;
    const isUnseen = item.isNew && unread === 0;
    const { name, id } = item.client;
    const hue = name ? null : guestHue(id);
    setText(this.#avatar, Array.from(name || guestName(id) || "?")[0].toUpperCase());
    this.#avatar.classList.toggle("guest", hue !== null);
    this.#avatar.style.setProperty("--hue", String(hue ?? ""));
    setText(this.#name, hasNamesake ? `${item.name} · ${item.number}` : item.name);
    setText(this.#group, group);
    setText(this.#preview, previewText(item, visible));
    setText(this.#count, unread > 99 ? "99+" : unread ? String(unread) : isUnseen ? "•" : "");
    setText(this.#countLabel, [unread && text("unread", { count: unread })].filter(Boolean).join(" "));
    this.#count.hidden = unread === 0 && !isUnseen;
    this.button.classList.toggle("open", visible);
    this.button.classList.toggle("is-ended", item.state === "ended");
    this.button.classList.toggle("unread", unread > 0 || item.isNew);
    this.#preview.dataset.preview = item.isTyping ? "typing" : unsent;
    if (active) {
      this.button.setAttribute("aria-current", "true");
    } else {
      this.button.removeAttribute("aria-current");
    }
  }

  /** @param {number | null} serverNowMs */
  tick(serverNowMs) {
    const since = this.case.waitingSince;
    const waitMs = since === undefined || serverNowMs === null ? 0 : serverNowMs - parseTime(since).getTime();
    setText(this.#wait, waitMs > 0 ? formatElapsed(waitMs) : "");
    this.#wait.dataset.waitLevel = waitLevel(waitMs);
    setText(this.#waitLabel, waitMs > 0 ? text("waits", { time: formatElapsed(waitMs) }) : "");
  }
}

export class Sidebar {
  /**
   * @param {object} acts
   * @param {(number: number) => void} acts.open
   * @param {() => void} acts.toggleReady
   * @param {SupportApi} api
   * @param {GroupTitles} groups
   */
  constructor({ open, toggleReady }, api, groups) {
    this.#open = open;
    this.#api = api;
    this.#groups = groups;
    this.#ready.addEventListener("click", toggleReady);
    // The arrow keys move through the list.
    this.#list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const buttons = Array.from(this.#list.querySelectorAll("button"));
      const index = buttons.findIndex((button) => button === document.activeElement);
      if (step && !event.altKey && index >= 0) {
        event.preventDefault();
        buttons[Math.min(buttons.length - 1, Math.max(0, index + step))].focus();
      }
    });
  }

  #open;
  #api;
  #groups;
  #ready = find("#ready", HTMLButtonElement);
  #list = find("#rows");
  #queueRows = find("#queue-rows");
  /** @type {Map<number, Row>} */
  #rows = new Map();

  /**
   * @param {CaseStore} store
   * @param {Columns} columns
   * @param {QueueStatus} queueStatus
   */
  show(store, columns, queueStatus) {
    const own = queueStatus.status?.waiters.find((each) => this.#api.isMe(each));
    this.#showState(store, own?.capacity);
    if (own) {
      const served = groupList(own.groups, this.#groups);
      setText(find("#my-groups"), served && text("my_groups", { groups: served }));
      find("#my-groups").title = served;
    }
    this.#showRows(store, columns);
    this.#showQueue(queueStatus);
    this.tick(queueStatus);
  }

  /** Called once a second. @param {QueueStatus} queueStatus */
  tick(queueStatus) {
    const serverNowMs = queueStatus.serverNowMs();
    this.#rows.forEach((row) => row.tick(serverNowMs));
    for (const time of /** @type {NodeListOf<HTMLElement>} */ (
      this.#queueRows.querySelectorAll("[data-since]")
    )) {
      const waitMs = serverNowMs === null ? 0 : serverNowMs - parseTime(time.dataset.since).getTime();
      setText(time, formatElapsed(waitMs));
      time.dataset.waitLevel = waitLevel(waitMs);
    }
  }

  /** @param {number} number */
  focus(number) {
    this.#rows.get(number)?.button.focus();
  }

  /** @param {CaseStore} store @param {number | undefined} capacity */
  #showState(store, capacity) {
    const status = find("#my-connection");
    status.dataset.connected = String(store.connected);
    setText(find(".text", HTMLElement, status), text(store.connected ? "online" : "no_connection"));
    this.#ready.setAttribute("aria-checked", String(store.readyWanted));
    const full = capacity !== undefined && store.openCount >= capacity;
    const pausedWords = store.isPausedByServer ? "paused_missed" : "paused_words";
    const content = store.readyRefusal
      ? text("ready_refused", { reason: store.readyRefusal })
      : !store.connected
        ? text("ready_disconnected")
        : !store.readyConfirmed
          ? text("ready_wait")
          : text(store.readyWanted ? (full ? "ready_full" : "ready_words") : pausedWords);
    setText(find("#ready-description"), content);
    this.#ready.classList.toggle("ready-refused", store.readyRefusal !== "");
    setText(
      find("#load"),
      capacity === undefined
        ? store.openCount
          ? String(store.openCount)
          : ""
        : text("load", { count: store.openCount, capacity }),
    );
  }

  /** @param {CaseStore} store @param {Columns} columns */
  #showRows(store, columns) {
    const { cases } = store;
    const { visible } = columns;
    for (const [number, row] of this.#rows) {
      if (store.find(number) !== row.case) {
        row.element.remove();
        this.#rows.delete(number);
      }
    }
    cases.forEach((item, index) => {
      let row = this.#rows.get(item.number);
      if (!row) {
        row = new Row(item, () => this.#open(item.number));
        this.#rows.set(item.number, row);
        this.#list.insertBefore(row.element, this.#list.children[index] ?? null);
      }
      const hasNamesake = cases.some((other) => other !== item && other.name === item.name);
      const group = this.#groups.of(item.client.group);
      row.show(visible.includes(item.number), columns.active === item.number, hasNamesake, group);
    });
    find("#conversations-empty").hidden = cases.length > 0;
  }

  /** @param {QueueStatus} queueStatus */
  #showQueue(queueStatus) {
    const queue = queueStatus.status?.queue;
    const length = queue?.length ?? 0;
    setText(find("#queue-length"), length ? String(length) : "");
    find("#queue-empty").hidden = length > 0;
    setText(find("#queue-empty"), text(queue ? "queue_empty" : "queue_unknown"));
    const shown = queue?.first.slice(0, MAX_QUEUE_ROWS) ?? [];
    const titles = shown.map(({ group }) => this.#groups.of(group));
    const positions = positionsInGroups(shown);
    const key = JSON.stringify([shown, length, titles]);
    if (this.#queueRows.dataset.key === key) {
      return;
    }
    this.#queueRows.dataset.key = key;
    this.#queueRows.replaceChildren(
      ...shown.map(({ id, name, since, first_words: words }, index) => {
        const waitMs = make("span", "row-wait");
        waitMs.dataset.since = since;
        const position = make("span", "queue-position", String(positions[index]));
        const client = make("span", "queue-name", clientName(name, id));
        const group = titles[index] ? [make("span", "queue-group", titles[index])] : [];
        const beginning = words ? [make("span", "queue-words", words)] : [];
        return make("li", "queue-row", position, client, ...group, waitMs, ...beginning);
      }),
    );
    if (length > shown.length) {
      this.#queueRows.append(make("li", "queue-more", text("queue_more", { count: length - shown.length })));
    }
  }
}

/** The text below the client's name. @param {Case} item @param {boolean} visible */
function previewText(item, visible) {
  const { lastMessage, draft } = item;
  if (item.isTyping) {
    return text("typing_short");
  }
  if (item.unsent === "refused") {
    return text("not_sent");
  }
  if (item.state === "ended") {
    return text("over");
  }
  if (item.isEnding) {
    return text("ending");
  }
  if (item.unsent === "sending") {
    return text("sending_some");
  }
  if (draft.trim() && !visible) {
    return text("draft") + draft;
  }
  return lastMessage ? authorPrefix(lastMessage) + lastMessage.text : item.isNew ? text("new_here") : "";
}

/** @param {HTMLElement} element @param {string} content */
function setText(element, content) {
  if (element.textContent !== content) {
    element.textContent = content;
  }
}

/** The beginning of a preview of a message of an agent; empty for the client. @param {Message} message */
function authorPrefix({ own, colleague, sender }) {
  return own
    ? text("you_said")
    : colleague
      ? text("colleague_said", { name: sender?.name || text("role_waiter") })
      : "";
}
