// @ts-check
/**
 * A rating of one to five stars, as radio buttons named `stars`.
 *
 * @module
 */

import { icon, make } from "./elements.js";
import { text } from "./strings.js";

const STARS = [1, 2, 3, 4, 5];

/** @param {HTMLElement} container an element of class `stars` in a form */
export function fillStars(container) {
  for (const number of STARS) {
    const input = make("input", "visually-hidden");
    input.type = "radio";
    input.name = "stars";
    input.value = String(number);
    const label = make(
      "label",
      "star",
      input,
      icon("star"),
      make("span", "visually-hidden", text(`star_${number}`)),
    );
    label.title = text(`star_${number}`);
    container.append(label);
  }
}
