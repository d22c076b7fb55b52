// @ts-check
/**
 * Scripts of the documentation pages: copy buttons, and the server's own origin in examples.
 *
 * @module
 */

import { addressOf, socketAddressOf } from "../shared/base.js";
import { find, make } from "../shared/elements.js";

const COPIED_NOTICE_MS = 2_000;
const NARROW_PAGE = "(max-width: 60rem)";

const announcement = find("#announcement");
const labels = document.body.dataset;

for (const origin of document.querySelectorAll("[data-origin]")) {
  origin.textContent = addressOf("/").slice(0, -1);
}
for (const origin of document.querySelectorAll("[data-ws-origin]")) {
  origin.textContent = socketAddressOf("/").slice(0, -1);
}
for (const code of document.querySelectorAll("pre.copyable")) {
  addCopyButton(/** @type {HTMLElement} */ (code));
}

// On a narrow page the table of contents would push everything else down.
if (matchMedia(NARROW_PAGE).matches) {
  find(".contents details", HTMLDetailsElement).open = false;
}
find(".contents").addEventListener("click", (event) => {
  const link = /** @type {Element} */ (event.target).closest("a");
  if (link && matchMedia(NARROW_PAGE).matches) {
    find(".contents details", HTMLDetailsElement).open = false;
  }
});

/** @param {HTMLElement} code */
function addCopyButton(code) {
  const frame = make("div", "copy-box");
  const button = make("button", "copy", labels.copy ?? "");
  button.type = "button";
  code.replaceWith(frame);
  frame.append(code, button);
  button.addEventListener("click", async () => {
    const done = await copy(code.textContent ?? "");
    const word = (done ? labels.copied : labels.notCopied) ?? "";
    button.textContent = word;
    announcement.textContent = word;
    setTimeout(() => {
      button.textContent = labels.copy ?? "";
      announcement.textContent = "";
    }, COPIED_NOTICE_MS);
  });
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether it was copied to the clipboard
 */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text); // missing without TLS, except on localhost
    return true;
  } catch {
    return false;
  }
}
