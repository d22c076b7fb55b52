// @ts-check
/**
 * The header of the room: the name and the presence of the other participant, and the kind of room.
 *
 * @module
 */

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
   */
  constructor(link, other, key, api, onName) {
    this.#link = link;
    this.#other = other;
    this.#key = key;
    this.#api = api;
    this.#onName = onName;
  }

  #link;
  #other;
  #key;
  #api;
  #onName;
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

  /** @param {boolean | undefined} present undefined: unknown */
  showPresence(present) {
    const presence = find("#presence");
    presence.dataset.present = String(present);
    find(".text", HTMLElement, presence).textContent = text(
      present === undefined ? "presence_unknown" : present ? "present" : "absent",
    );
  }
}
