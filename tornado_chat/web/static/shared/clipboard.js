// @ts-check
/**
 * Copying to the clipboard.
 *
 * @module
 */

import { make } from "./elements.js";
import { text } from "./strings.js";

/**
 * A button that copies a text.
 *
 * @param {() => string} content returns the text
 */
export function makeCopyButton(content) {
  const button = make("button", "link-button", text("copy"));
  button.type = "button";
  button.addEventListener("click", async () => {
    button.textContent = text((await copyText(content())) ? "copied" : "not_copied");
  });
  return button;
}

/**
 * Copy a text to the clipboard, from the handler of a click.
 *
 * @param {string} content
 * @returns {Promise<boolean>} whether the browser has copied it
 */
async function copyText(content) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(content).then(
      () => true,
      () => false,
    );
  }
  // Without HTTPS there is no `navigator.clipboard`.
  const field = make("textarea", "visually-hidden");
  field.value = content;
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (focused instanceof HTMLElement) {
    focused.focus();
  }
  return done;
}
