// @ts-check
/**
 * The visitor's earlier conversations of this tab: folded above the current one, and loaded when opened.
 *
 * @module
 */

import { addressOf } from "../shared/base.js";
import { make } from "../shared/elements.js";
import { ChatMessages } from "../shared/messages.js";
import { parseJson } from "../shared/numbers.js";
import { text } from "../shared/strings.js";

/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("../shared/conversation.js").Message} Message */

const FETCH_TIMEOUT_MS = 15_000;
const PAGE_MESSAGES = 500; // the server's maximum

/**
 * Return a folded section with earlier conversations.
 *
 * @param {readonly (number | string)[]} numbers of the conversations, the oldest first
 * @param {TokenSource} token
 */
export function makeEarlier(numbers, token) {
  const lists = make("div", "earlier-lists");
  const key = numbers.length === 1 ? "earlier_one" : "earlier_several";
  const section = make("details", "earlier", make("summary", "", text(key)), lists);
  section.addEventListener("toggle", () => {
    if (section.open && !lists.firstChild) {
      void load(lists, numbers, token);
    }
  });
  return section;
}

/**
 * @param {HTMLElement} lists
 * @param {readonly (number | string)[]} numbers
 * @param {TokenSource} token
 */
async function load(lists, numbers, token) {
  lists.replaceChildren(make("p", "earlier-note", text("earlier_loading")));
  try {
    const conversations = await Promise.all(numbers.map((number) => fetchMessages(number, token)));
    lists.replaceChildren();
    for (const messages of conversations) {
      const list = new ChatMessages();
      lists.append(list);
      list.otherName = text("unnamed_agent");
      list.visible = false; // nothing is reported as read
      list.addHistory(messages, false);
    }
  } catch {
    lists.replaceChildren(make("p", "earlier-note", text("failed_network")));
    lists.closest("details")?.addEventListener("toggle", () => lists.replaceChildren(), { once: true });
  }
}

/**
 * @param {number | string} conversation
 * @param {TokenSource} token
 * @returns {Promise<Message[]>}
 */
async function fetchMessages(conversation, token) {
  /** @type {Message[]} */
  const messages = [];
  for (let after = 0; ;) {
    const response = await fetch(
      addressOf(
        `/api/v1/support/conversations/${conversation}/messages?after=${after}&limit=${PAGE_MESSAGES}`,
      ),
      {
        headers: { Authorization: `Bearer ${await token("", true)}` },
        signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
      },
    );
    if (!response.ok) {
      throw new Error(`conversation ${conversation}: ${response.status}`);
    }
    const page = parseJson(await response.text());
    for (const { seq, message, sender, time } of page.items) {
      messages.push({ seq, text: message, own: sender === "user", time });
    }
    if (page.next === null) {
      return messages;
    }
    after = page.next;
  }
}
