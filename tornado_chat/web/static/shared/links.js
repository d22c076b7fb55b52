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
export function linkUrls(text) {
  const pieces = [];
  let end = 0;
  for (const { 0: match, index } of text.matchAll(URL_PATTERN)) {
    const url = match.replace(TRAILING_PUNCTUATION, "");
    if (URL.canParse(url)) {
      const link = make("a", "", url);
      link.href = url;
      link.target = "_blank";
      link.rel = "noopener noreferrer";
      pieces.push(text.slice(end, index), link);
      end = index + url.length;
    }
  }
  return [...pieces, text.slice(end)];
}
