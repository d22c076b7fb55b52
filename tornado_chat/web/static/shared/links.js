// @ts-check
/**
 * Addresses in what people write, to be followed by a click. Everything stays text: only what is plainly an
 * http(s) address becomes a link, and it shows where it leads.
 *
 * @module
 */

import { make } from "./elements.js";

// Up to a space, a quotation mark or Chinese punctuation; what ends a sentence is not part of it.
const URL_PATTERN = /https?:\/\/[^\s<>"“”‘’「」《》（）【】，。；：！？、]+/g;
const TRAILING_PUNCTUATION = /[.,;:!?')\]}]+$/;

/**
 * The text in pieces, of which some are links.
 *
 * @param {string} text
 * @returns {(string | HTMLAnchorElement)[]}
 */
export function linked(text) {
  const pieces = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(URL_PATTERN)) {
    const address = found.replace(TRAILING_PUNCTUATION, "");
    if (URL.canParse(address)) {
      const link = make("a", "", address);
      link.href = address;
      link.target = "_blank";
      link.rel = "noopener noreferrer";
      pieces.push(text.slice(end, index), link);
      end = index + address.length;
    }
  }
  return [...pieces, text.slice(end)];
}
