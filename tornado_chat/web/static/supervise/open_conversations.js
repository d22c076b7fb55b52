// @ts-check
/**
 * The open support conversations that the person may follow, below the inbox. The list is requested when it
 * is opened, and by its button.
 *
 * @module
 */

import { guestName } from "../shared/guest_names.js";
import { find, make } from "../shared/elements.js";
import { text } from "../shared/strings.js";
import { ApiError } from "./api.js";
import { keyText, supportKey } from "./conversation_key.js";

/** @typedef {import("./api.js").SupervisionApi} SupervisionApi */
/** @typedef {import("./api.js").SupportConversation} SupportConversation */

export class OpenConversations {
  /**
   * @param {SupervisionApi} api
   * @param {(key: string) => void} onOpen
   */
  constructor(api, onOpen) {
    this.#api = api;
    this.#onOpen = onOpen;
    const details = find("#open-conversations", HTMLDetailsElement);
    details.addEventListener("toggle", () => details.open && void this.#load());
    find("#reload-conversations").addEventListener("click", () => void this.#load());
  }

  #api;
  #onOpen;
  #list = find("#conversation-rows");
  #words = find("#conversations-words");

  async #load() {
    this.#words.textContent = text("inbox_loading");
    try {
      const items = await this.#api.listOpenConversations();
      this.#list.replaceChildren(...items.map((item) => this.#makeRow(item)));
      this.#words.textContent = items.length ? "" : text("conversations_none");
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      this.#words.textContent = error.message;
    }
  }

  /** @param {SupportConversation} item */
  #makeRow(item) {
    const key = supportKey(item.conversation) ?? "";
    const client = item.user_name || guestName(item.user_id) || text("visitor_id", { id: item.user_id });
    const agent = item.waiter_id === null ? text("waits") : item.waiter_name || item.waiter_id;
    const button = make(
      "button",
      "conversation-row",
      make("span", "conversation-people", `${client} · ${agent}`),
      make("span", "conversation-meta", `${keyText(key)} · ${item.group}`),
    );
    button.type = "button";
    button.addEventListener("click", () => this.#onOpen(key));
    return make("li", "", button);
  }
}
