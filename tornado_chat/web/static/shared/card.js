// @ts-check
/**
 * A card that replaces the page: it says what is wrong and offers actions.
 *
 * @module
 */

import { icon, make } from "./elements.js";
import { SignInExpired } from "./identity.js";
import { signIn } from "./signin.js";
import { text } from "./strings.js";

/**
 * Replace the page by a card.
 *
 * @param {object} card
 * @param {string} card.iconName
 * @param {string} card.title
 * @param {string} card.message
 * @param {{ label: string, act: () => unknown }[]} [card.actions]
 */
export function showCard({ iconName, title, message, actions = [] }) {
  const heading = make("h1", "", title);
  heading.tabIndex = -1;
  const buttons = make("div", "buttons");
  for (const { label, act } of actions) {
    const button = make("button", "primary-button", label);
    button.type = "button";
    button.addEventListener("click", act);
    buttons.append(button);
  }
  const iconBox = make("div", "card-icon");
  iconBox.append(icon(iconName));
  const card = make("main", "card", iconBox, heading, make("p", "", message));
  if (actions.length) {
    card.append(buttons);
  }
  document.body.replaceChildren(card);
  document.title = title;
  heading.focus();
}

/**
 * Call `signIn`; resolve only if a person with a role of `roles` is signed in, show a card in all other
 * cases.
 *
 * @param {{ roles: readonly string[] }} options
 * @returns {Promise<import("./signin.js").SignedIn>}
 */
export async function signInOrShowCard(options) {
  try {
    const found = await signIn(options);
    if (found && !("wrongRole" in found)) {
      return found;
    }
    showSignInCard(found);
  } catch (error) {
    showSignInCard(/** @type {Error} */ (error));
  }
  return new Promise(() => {});
}

/**
 * Show why no person is signed in, or why this person may not use the page.
 *
 * @param {import("./signin.js").WrongRole | Error | null} reason the result of `signIn`, or the error that
 *   `signIn` or `token` threw
 */
export function showSignInCard(reason) {
  if (reason instanceof SignInExpired) {
    showCard({ iconName: "lock", title: text("over_title"), message: text("over_text") });
  } else if (reason instanceof Error) {
    showCard({
      iconName: "link",
      title: text("unreachable_title"),
      message: text("failed_network"),
      actions: [{ label: text("try_again"), act: () => location.reload() }],
    });
  } else if (reason) {
    const { wrongRole, name, signInAgain } = reason;
    const role = roleName(wrongRole);
    showCard({
      iconName: "lock",
      title: text("wrong_role_title"),
      message: name ? text("wrong_role_text", { name, role }) : text("wrong_role_text_nameless", { role }),
      actions: signInAgain ? [{ label: text("sign_in_as_another"), act: signInAgain }] : [],
    });
  } else {
    showCard({ iconName: "link", title: text("no_sign_in_title"), message: text("no_sign_in_text") });
  }
}

/** @param {string} role */
export function roleName(role) {
  return ["user", "consultant", "supervisor", "waiter", "admin"].includes(role) ? text(`role_${role}`) : role;
}
