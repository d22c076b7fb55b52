// @ts-check
/**
 * Turns URLs in messages into links. All other text stays text: only a plain http(s) URL becomes a link, and
 * the link text is the URL.
 *
 * @module
 */

import { make } from "./elements.js";

// A URL ends at a space, a quotation mark or Chinese punctuation; punctuation at its end belongs to the
// sentence.
const URL_PATTERN = /https?:\/\/[^\s<>"“”‘’「」《》（）【】，。；：！？、]+/g;
const TRAILING_PUNCTUATION = /[.,;:!?')\]}]+$/;

/**
 * Split a text into plain strings and link elements.
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
