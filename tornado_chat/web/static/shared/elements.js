// @ts-check
/**
 * Finding and making elements. Texts are always set as text: nothing that anybody wrote is ever read as HTML.
 *
 * @module
 */

/**
 * The element that a page surely has.
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
 * Line drawings of 24 by 24, for elements whose name says the same in words.
 *
 * @type {Record<string, string>}
 */
const ICONS = {
  send: "M5 12h13M12.5 6l6 6-6 6",
  more: "M12 5.5v.01M12 12v.01M12 18.5v.01",
  down: "M12 5v13M6 12.5l6 6 6-6",
  sending: "M12 7v5l3 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z",
  stored: "M6 12.5l4 4 8.5-9",
  seen: "M2.5 12.5l4 4 8.5-9M12 16l.5.5 8.5-9",
  refused: "M12 7.5v5.5M12 16.5v.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z",
  held: "M12 7v5l3 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z",
  talk: "M12 4.5c5 0 8.5 3 8.5 7s-3.5 7-8.5 7c-1 0-2-.1-2.9-.4L4.5 20l1.3-3.4C4.3 15.3 3.5 13.5 3.5 11.5c0-4 3.5-7 8.5-7Z",
  shrink: "M6 9.5l6 6 6-6",
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
