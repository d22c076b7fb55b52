// @ts-check
/**
 * Functions that find and create DOM elements. Contents are always set as text: user input is never parsed as
 * HTML.
 *
 * @module
 */

/**
 * Return an element that the page must have.
 *
 * @template {Element} [T=HTMLElement]
 * @param {string} selector
 * @param {new () => T} [type]
 * @param {ParentNode} [root]
 * @returns {T}
 */
export function find(selector, type = /** @type {any} */ (HTMLElement), root = document) {
  const element = root.querySelector(selector);
  if (!(element instanceof type)) {
    throw new Error(`the page has no ${selector}`);
  }
  return element;
}

/**
 * Create an element.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} [className]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) {
    element.className = className;
  }
  element.append(...children);
  return element;
}

/**
 * Line drawings of 24 by 24 units, for elements that have an accessible name.
 *
 * @type {Record<string, string>}
 */
const ICONS = {
  send: "M5 12h13M12.5 6l6 6-6 6",
  more: "M12 5.5v.01M12 12v.01M12 18.5v.01",
  down: "M12 5v13M6 12.5l6 6 6-6",
  back: "M14.5 5.5L8 12l6.5 6.5",
  close: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  pin: "M9 4h6l-.7 6.2 3.2 3.3H6.5l3.2-3.3ZM12 13.5V20",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4.5 20c.8-3.6 3.8-5.5 7.5-5.5s6.7 1.9 7.5 5.5",
  hand_over: "M4 8.500h14M14 4.500l4 4-4 4M20 15.500H6M10 11.500l-4 4 4 4",
  end: "M10 4.500H6A1.5 1.5 0 0 0 4.5 6v12A1.5 1.5 0 0 0 6 19.500h4M14.5 8l4 4-4 4M18.5 12H9.5",
  settings:
    "M4 7h9M17 7h3M4 17h3M11 17h9M15 9a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM9 19a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  keyboard:
    "M5 6.500h14A1.5 1.5 0 0 1 20.5 8v8a1.5 1.5 0 0 1-1.5 1.500H5A1.5 1.5 0 0 1 3.5 16V8A1.5 1.5 0 0 1 5 6.500ZM7 10v.01M10.5 10v.01M14 10v.01M17 10v.01M8.5 14h7",
  clock: "M12 7v5l3 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z",
  talk: "M5 5.500h14A1.5 1.5 0 0 1 20.5 7v8.500A1.5 1.5 0 0 1 19 17h-6.500L8 20.500V17H5A1.5 1.5 0 0 1 3.5 15.500V7A1.5 1.5 0 0 1 5 5.500Z",
  pause: "M9 6v12M15 6v12",
  add: "M12 5.500v13M5.5 12h13",
  trash: "M5 7h14M10 7V4.500h4V7M7 7l.8 12.500h8.400L17 7M10.5 10.500v5.500M13.5 10.500v5.5",
  aside: "M5 19h14M12 4.500v10M7.5 10.500l4.5 4.500 4.500-4.500",
  fold: "M6 9.500l6 6 6-6",
  eye: "M2.5 12C5 7.500 8.300 5.500 12 5.500s7 2 9.500 6.500c-2.500 4.500-5.800 6.500-9.500 6.500S5 16.500 2.500 12ZM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  alert: "M12 4.500L2.800 19.500h18.400ZM12 10v4.500M12 17v.01",
  call: "M4.500 6.500A2 2 0 0 1 6.500 4.500h11a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2H12l-4.500 4v-4h-1a2 2 0 0 1-2-2ZM12 7.500v3M12 12.700v.01",
  calendar:
    "M5.500 6.500h13a1 1 0 0 1 1 1v11a1 1 0 0 1-1 1h-13a1 1 0 0 1-1-1v-11a1 1 0 0 1 1-1ZM4.500 10.500h15M8.500 4.500v4M15.500 4.500v4",
  note: "M6 16.500V11a6 6 0 0 1 12 0v5.500l1.500 2h-15ZM10 21h4",
  sending: "M12 7v5l3 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z",
  stored: "M6 12.5l4 4 8.5-9",
  delivered: "M2.5 12.5l4 4 8.5-9M12 16l.5.5 8.5-9",
  read: "M2.5 12C5 7.500 8.300 5.500 12 5.500s7 2 9.500 6.500c-2.500 4.500-5.800 6.500-9.500 6.500S5 16.500 2.500 12ZM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  refused: "M12 7.5v5.5M12 16.5v.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z",
  held: "M12 7v5l3 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z",
  bubble:
    "M12 4.5c5 0 8.5 3 8.5 7s-3.5 7-8.5 7c-1 0-2-.1-2.9-.4L4.5 20l1.3-3.4C4.3 15.3 3.5 13.5 3.5 11.5c0-4 3.5-7 8.5-7Z",
  minimize: "M6 12h12",
  star: "M12 3.6l2.6 5.4 5.9.8-4.3 4.1 1 5.9L12 17l-5.2 2.8 1-5.9L3.5 9.8l5.9-.8Z",
  leaf: "M5 19c2-6 6-9 11-10.5M4.5 14C3.5 7 9 4 20 4c.5 9-3 15.5-9.5 15.5-3 0-5-1.5-6-5.5Z",
  lock: "M8 11V8a4 4 0 0 1 8 0v3M7 11h10a1.5 1.5 0 0 1 1.5 1.5v6A1.5 1.5 0 0 1 17 20H7a1.5 1.5 0 0 1-1.5-1.5v-6A1.5 1.5 0 0 1 7 11ZM12 14.5v2",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7l-1.3 1.3M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7L12 17",
};

/** @param {string} name */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}
