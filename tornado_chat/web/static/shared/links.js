// @ts-check
/**
 * Links in messages: web addresses, mail addresses and phone numbers. All other text stays text, and the text of
 * a link is what was written. Nothing is requested before the reader follows a link, so there are no previews.
 *
 * @module
 */

import { make } from "./elements.js";

// A web address without a scheme begins with `www.`. It has ASCII characters, because Chinese text adjoins without
// a space; only if the host begins with another character, it ends at a space or punctuation.
const WEB_ADDRESSES = [
  /(?:https?:\/\/|(?<![\w@.-])www\.)[!#-;=?-~]+/,
  /https?:\/\/[^\s!-~][^\s<>"“”‘’「」《》（）【】，。；：！？、]+/,
];
const MAIL_ADDRESS = /(?<![\w.+@-])\w[\w.+-]*@(?:[a-z\d-]+\.)+[a-z]{2,}(?![\w@-])/;
// Other digits may be a date, a sum or an order number.
const PHONE_NUMBERS = [
  /\+\d(?:[ .()-]{0,2}\d){6,14}/, // with the country code
  /1[3-9]\d(?<mobile>[ -]?)\d{4}\k<mobile>\d{4}/, // a Chinese mobile phone
  /\(?0\d{1,4}(?:\)|[ -])[ -]?\d(?:[ -]?\d){5,9}/, // with an area code
  /0\d{9,10}/,
  /[48]00(?<service>[ -]?)\d{3,4}\k<service>\d{3,4}/, // a Chinese service number
  /(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])\d{3}[ .-]\d{4}/, // as written in North America
];

const LINK_PATTERN = new RegExp(
  [
    `(?<web>${anyOf(WEB_ADDRESSES)})`,
    `(?<mail>${MAIL_ADDRESS.source})`,
    `(?<phone>(?<![\\w@./+-])(?:${anyOf(PHONE_NUMBERS)})(?![\\w@]|[.:/-]\\d))`,
  ].join("|"),
  "gi",
);
const TRAILING_PUNCTUATION = /[.,;:!?')\]}]$/;
const MIN_PHONE_DIGITS = 9; // of a number with the trunk prefix: a date has at most 8

/**
 * Split a text into plain strings and link elements.
 *
 * @param {string} text
 * @returns {(string | HTMLAnchorElement)[]}
 */
export function linkify(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(LINK_PATTERN)) {
    const { web, mail, phone } = match.groups ?? {};
    const found = web ? webLink(web) : mail ? makeLink(mail, `mailto:${mail}`) : phoneLink(phone);
    if (found) {
      pieces.push(text.slice(end, match.index), found);
      end = match.index + (found.textContent ?? "").length;
    }
  }
  return [...pieces, text.slice(end)];
}

/** @param {string} written */
function webLink(written) {
  const shown = withoutTrailingPunctuation(written);
  const address = /^http/i.test(shown) ? shown : `https://${shown}`;
  const isComplete = /^http/i.test(shown) || /^www\.[^./]+\.[^./]/i.test(shown);
  if (!isComplete || !URL.canParse(address)) {
    return null;
  }
  const link = makeLink(shown, address);
  link.target = "_blank";
  return link;
}

/** @param {string} written */
function phoneLink(written) {
  const digits = written.replace("(0)", "").replace(/\D/g, ""); // "+49 (0)30": (0) is for calls within the country
  if (digits.length < MIN_PHONE_DIGITS && !written.startsWith("+")) {
    return null;
  }
  return makeLink(written, `tel:${written.startsWith("+") ? "+" : ""}${digits}`);
}

/** @param {string} shown @param {string} address */
function makeLink(shown, address) {
  const link = make("a", "", shown);
  link.href = address;
  link.rel = "noopener noreferrer";
  link.dir = "ltr"; // and apart: characters before the link that change the direction do not reverse it
  return link;
}

/** Punctuation at the end belongs to the sentence, a bracket only if it was opened before the address. */
function withoutTrailingPunctuation(/** @type {string} */ written) {
  let shown = written;
  while (TRAILING_PUNCTUATION.test(shown) && !(shown.endsWith(")") && isBalanced(shown))) {
    shown = shown.slice(0, -1);
  }
  return shown;
}

/** @param {string} shown */
function isBalanced(shown) {
  return shown.split("(").length === shown.split(")").length;
}

/** @param {RegExp[]} patterns */
function anyOf(patterns) {
  return patterns.map((pattern) => pattern.source).join("|");
}
