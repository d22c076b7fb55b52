// @ts-check
/**
 * The top of the room: who the other one is, whether they are here, and what kind of room this is.
 *
 * @module
 */

import { find, icon } from "../shared/elements.js";
import { text } from "../shared/strings.js";

/** @typedef {import("./session.js").SessionApi} SessionApi */
/** @typedef {import("../shared/token.js").Role} Role */
/** @typedef {import("../shared/token.js").Ticket} Ticket */

export class Head {
  /**
   * @param {Ticket} ticket
   * @param {Role} other
   * @param {string} key where this tab remembers the name
   * @param {SessionApi} api
   * @param {(name: string) => void} named the other one has this name
   */
  constructor(ticket, other, key, api, named) {
    this.#ticket = ticket;
    this.#other = other;
    this.#key = key;
    this.#api = api;
    this.#told = named;
  }

  #ticket;
  #other;
  #key;
  #api;
  #told;
  #name = "";
  #known = false;
  #unread = 0;

  start() {
    this.rename(sessionStorage.getItem(this.#key) ?? text(`role_${this.#other}`));
    if (this.#ticket.type === 1) {
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

  async learnName() {
    if (this.#known) {
      return;
    }
    try {
      const room = await this.#api.look();
      const names = {
        user: room.user_name,
        consultant: room.consultant_name,
        supervisor: room.supervisor_name,
      };
      const name = names[this.#other];
      this.#known = true;
      if (name) {
        this.rename(name);
      }
    } catch {
      // The role's name will do, and the socket tells what is wrong.
    }
  }

  /** @param {string} name */
  rename(name) {
    this.#name = name;
    if (name !== text(`role_${this.#other}`)) {
      sessionStorage.setItem(this.#key, name);
    }
    find("#name").textContent = name;
    find("#avatar").textContent = Array.from(name)[0]?.toUpperCase() ?? "";
    this.#told(name);
    this.#showTitle();
  }

  #showTitle() {
    if (!document.hidden) {
      this.#unread = 0;
    }
    const room = text(this.#ticket.type === 1 ? "room_record" : "room_session");
    document.title = `${this.#unread ? `(${this.#unread}) ` : ""}${this.#name} · ${room}`;
  }

  /** @param {boolean | undefined} present undefined: not known */
  showPresence(present) {
    const presence = find("#presence");
    presence.dataset.present = String(present);
    find(".words", HTMLElement, presence).textContent = text(
      present === undefined ? "presence_unknown" : present ? "present" : "absent",
    );
  }
}
