// @ts-check
/**
 * The list of quick replies above a composer whose text is `/` and the beginning of a name.
 *
 * The field keeps the focus; `aria-activedescendant` names the selected option (ARIA APG, combobox with list
 * autocomplete).
 *
 * @module
 */

import { find, make } from "../shared/elements.js";
import { newId } from "../shared/outbox.js";
import { text } from "../shared/strings.js";

/** @typedef {import("../shared/composer.js").ChatComposer} ChatComposer */
/** @typedef {import("./replies.js").QuickReplies} QuickReplies */
/** @typedef {import("./replies.js").Reply} Reply */

// Chinese input methods produce the other two characters with the / key.
const REPLY_PREFIX = /^[/／、]([^\s/／、]*)$/;
const MAX_SUGGESTIONS = 8;

/**
 * @param {ChatComposer} composer
 * @param {QuickReplies} replies
 * @param {() => string} name the value of `{name}` in a reply; empty if the client has none
 */
export function suggestReplies(composer, replies, name) {
  const field = find("textarea", HTMLTextAreaElement, composer);
  const list = make("ul", "suggestions");
  const count = make("p", "visually-hidden");
  list.id = `replies-${newId()}`;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", text("replies"));
  list.hidden = true;
  count.setAttribute("role", "status");
  composer.append(list, count);
  field.setAttribute("aria-autocomplete", "list");

  /** @type {Reply[]} */
  let found = [];
  let selected = 0;
  let dismissed = ""; // the text at which the list was closed with Escape

  const close = () => {
    list.hidden = true;
    field.removeAttribute("aria-activedescendant");
    field.removeAttribute("aria-controls");
    count.textContent = "";
    count.className = "visually-hidden"; // else the box of the sentence would stay, empty
  };

  /** @param {number} index */
  const select = (index) => {
    selected = (index + found.length) % found.length;
    Array.from(list.children).forEach((option, at) =>
      option.setAttribute("aria-selected", String(at === selected)),
    );
    const option = list.children[selected];
    field.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest" });
  };

  /** @param {Reply} reply */
  const insert = (reply) => {
    field.value = reply.words;
    close();
    field.dispatchEvent(new Event("input", { bubbles: true }));
    composer.focus();
  };

  const show = () => {
    const match = REPLY_PREFIX.exec(field.value);
    if (!match || field.value === dismissed) {
      close();
      return;
    }
    found = replies
      .matching(match[1])
      .slice(0, MAX_SUGGESTIONS)
      .map((reply) => fillName(reply, name()));
    const none = replies.all.length === 0;
    list.replaceChildren(...found.map((reply, index) => option(`${list.id}-${index}`, reply, insert)));
    count.textContent = none ? text("reply_none") : text("reply_count", { count: found.length });
    count.classList.toggle("visually-hidden", !none);
    count.classList.toggle("suggestions-empty", none);
    list.hidden = found.length === 0;
    if (found.length) {
      field.setAttribute("aria-controls", list.id);
      select(0);
    } else {
      field.removeAttribute("aria-activedescendant");
    }
  };

  field.addEventListener("input", () => {
    dismissed = field.value === dismissed ? dismissed : "";
    show();
  });
  field.addEventListener("blur", close);
  // In the capture phase, before the composer handles Enter.
  composer.addEventListener(
    "keydown",
    (event) => {
      if (list.hidden || event.isComposing || event.keyCode === 229 || event.altKey || event.ctrlKey) {
        return;
      }
      const actions = /** @type {Record<string, () => void>} */ ({
        ArrowDown: () => select(selected + 1),
        ArrowUp: () => select(selected - 1),
        Enter: () => insert(found[selected]),
        Tab: () => insert(found[selected]),
        Escape: () => {
          dismissed = field.value;
          close();
        },
      });
      if (actions[event.key] && !event.shiftKey) {
        event.preventDefault();
        event.stopPropagation();
        actions[event.key]();
      }
    },
    { capture: true },
  );
}

const NAME_AT_START = /^\{name\}[^\S\n]*[,，、:：!！]?[^\S\n]*(\S?)/gm;
const NAME_IN_SENTENCE = /[,，、]?[^\S\n]*\{name\}/g;

/**
 * Fill in the name. Without one, leave out the placeholder with the space and the comma that belong to it.
 *
 * @param {Reply} reply
 * @param {string} name
 */
function fillName(reply, name) {
  const words = name
    ? reply.words.replaceAll("{name}", name)
    : reply.words.replace(NAME_AT_START, (_, first) => first.toUpperCase()).replace(NAME_IN_SENTENCE, "");
  return { ...reply, words };
}

/**
 * @param {string} id
 * @param {Reply} reply
 * @param {(reply: Reply) => void} take
 */
function option(id, reply, take) {
  const element = make("li", "", make("b", "", `/${reply.name}`), make("span", "", reply.words));
  element.id = id;
  element.setAttribute("role", "option");
  element.addEventListener("pointerdown", (event) => event.preventDefault()); // keep the focus in the field
  element.addEventListener("click", () => take(reply));
  return element;
}
