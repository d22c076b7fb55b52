// @ts-check
/**
 * Addresses in what somebody wrote, as links; everything else stays text.
 *
 * @module
 */

import { make } from "./elements.js";

/** An address, without what ends the sentence around it. */
const ADDRESS = /\bhttps?:\/\/[^\s<>"'，。；：！？、）】》]+[^\s<>"'，。；：！？、）】》.,;:!?)\]}]/gi;

/**
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function linked(text) {
  /** @type {(Node | string)[]} */
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(ADDRESS)) {
    const link = make("a", "", found[0]);
    link.href = found[0];
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    parts.push(text.slice(end, found.index), link);
    end = found.index + found[0].length;
  }
  return [...parts, text.slice(end)];
}
