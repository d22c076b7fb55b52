// @ts-check
/**
 * A card in the place of a page: what is wrong, and what to do.
 *
 * @module
 */

import { icon, make } from "./elements.js";
import { signIn } from "./signin.js";
import { text } from "./strings.js";

/**
 * @param {object} card
 * @param {string} card.picture
 * @param {string} card.title
 * @param {string} card.words
 * @param {{ label: string, act: () => unknown }[]} [card.actions]
 */
export function showCard({ picture, title, words, actions = [] }) {
  const heading = make("h1", "", title);
  heading.tabIndex = -1;
  const buttons = make("div", "buttons");
  for (const { label, act } of actions) {
    const button = make("button", "main-button", label);
    button.type = "button";
    button.addEventListener("click", act);
    buttons.append(button);
  }
  const card = make("main", "card", make("div", "card-icon", icon(picture)), heading, make("p", "", words));
  if (actions.length) {
    card.append(buttons);
  }
  document.body.replaceChildren(card);
  document.title = title;
  heading.focus();
}

/**
 * `signIn` for pages that show a card in all other cases: it resolves only with somebody of `roles`.
 *
 * @param {{ roles: readonly string[] }} wanted
 * @returns {Promise<import("./signin.js").SignedIn>}
 */
export async function signInOrShowCard(wanted) {
  const found = await signIn(wanted);
  if (found && !("wrongRole" in found)) {
    return found;
  }
  if (found) {
    const role = text(`role_${found.wrongRole}`);
    const words = found.name
      ? text("wrong_role_text", { name: found.name, role })
      : text("wrong_role_text_nameless", { role });
    showCard({ picture: "lock", title: text("wrong_role_title"), words });
  } else {
    showCard({ picture: "link", title: text("nobody_title"), words: text("nobody_text") });
  }
  return new Promise(() => {});
}
