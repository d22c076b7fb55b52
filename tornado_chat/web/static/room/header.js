// @ts-check
/**
 * The header of the room: the name and the presence of the other participant, and the kind of room.
 *
 * @module
 */

import { formatRemaining, Ticker } from "../shared/countdown.js";
import { find, icon } from "../shared/elements.js";
import { text } from "../shared/strings.js";

/** @typedef {import("./session_api.js").SessionApi} SessionApi */
/** @typedef {import("../shared/room_link.js").Role} Role */
/** @typedef {import("../shared/room_link.js").RoomLink} RoomLink */

export class RoomHeader {
  /**
   * @param {RoomLink} link
   * @param {Role} other the role of the other participant
   * @param {string} key the key under which this tab stores the name
   * @param {SessionApi} api
   * @param {(name: string) => void} onName called with the name of the other participant
   * @param {() => void} waitLonger lets the session wait longer for the other participant
   */
  constructor(link, other, key, api, onName, waitLonger) {
    this.#link = link;
    this.#other = other;
    this.#key = key;
    this.#api = api;
    this.#onName = onName;
    this.#waitLonger = waitLonger;
  }

  #link;
  #other;
  #key;
  #api;
  #onName;
  #waitLonger;
  #ticker = new Ticker();
  #waitButton = find("#wait", HTMLButtonElement);
  #name = "";
  #isNameLoaded = false;
  #unread = 0;

  start() {
    this.setName(sessionStorage.getItem(this.#key) ?? text(`role_${this.#other}`));
    if (this.#link.type === 1) {
      find("#room").classList.add("record");
      find("#private").prepend(icon("lock"));
      find("#private").hidden = false;
    }
    document.addEventListener("visibilitychange", () => this.#showTitle());
    this.#waitButton.addEventListener("click", () => {
      this.#waitButton.disabled = true; // until the server has answered
      this.#waitLonger();
    });
  }

  get name() {
    return this.#name;
  }

  countUnread() {
    if (document.hidden) {
      this.#unread += 1;
      this.#showTitle();
    }
  }

  async loadName() {
    if (this.#isNameLoaded) {
      return;
    }
    try {
      const room = await this.#api.getSession();
      const names = {
        user: room.user_name,
        consultant: room.consultant_name,
        supervisor: room.supervisor_name,
      };
      const name = names[this.#other];
      this.#isNameLoaded = true;
      if (name) {
        this.setName(name);
      }
    } catch {
      // The name of the role stays, and the socket reports what is wrong.
    }
  }

  /** @param {string} name */
  setName(name) {
    this.#name = name;
    if (name !== text(`role_${this.#other}`)) {
      sessionStorage.setItem(this.#key, name);
    }
    find("#name").textContent = name;
    find("#avatar").textContent = Array.from(name)[0]?.toUpperCase() ?? "";
    this.#onName(name);
    this.#showTitle();
  }

  #showTitle() {
    if (!document.hidden) {
      this.#unread = 0;
    }
    const room = text(this.#link.type === 1 ? "room_record" : "room_session");
    document.title = `${this.#unread ? `(${this.#unread}) ` : ""}${this.#name} · ${room}`;
  }

  /**
   * @param {boolean | undefined} present undefined: unknown
   * @param {number} [awaitedMs] for how long the session waits for the other participant, who is absent
   */
  showPresence(present, awaitedMs) {
    const presence = find("#presence");
    const content = find(".text", HTMLElement, presence);
    presence.dataset.present = String(present);
    this.#ticker.stop();
    this.#waitButton.hidden = awaitedMs === undefined;
    this.#waitButton.disabled = false;
    this.#waitButton.textContent = text("wait_longer");
    if (awaitedMs === undefined) {
      content.textContent = text(present === undefined ? "presence_unknown" : present ? "present" : "absent");
      return;
    }
    const untilMs = Date.now() + awaitedMs;
    this.#ticker.run(() => {
      content.textContent = text("absent_awaited", { time: formatRemaining(untilMs - Date.now()) });
    });
  }

  /** The session waits for the other participant as long as it may. */
  showLongestWait() {
    this.#waitButton.textContent = text("waits_longest");
  }
}
