// @ts-check
/**
 * What is to be seen in the frame: one screen at a time, and the header above it.
 *
 * @module
 */

import { ChatComposer } from "../shared/composer.js";
import { find, icon } from "../shared/elements.js";
import { ChatMessages } from "../shared/messages.js";
import { ChatStanding } from "../shared/standing.js";
import { fillStars } from "../shared/stars.js";
import { text } from "../shared/strings.js";
import { placeText } from "./strings.js";

/**
 * What the reader does.
 *
 * @typedef {object} Acts
 * @property {() => void} start begin a conversation
 * @property {() => void} leave the line
 * @property {() => void} end the conversation
 * @property {() => boolean} unsent whether something is still on its way
 * @property {(stars: number, feedback: string) => void} rate
 * @property {() => void} tryAgain
 * @property {() => void} retry the connection, now
 * @property {() => void} close the panel
 */

const SCREENS = ["resuming", "start", "talk", "card"];

export class Panel {
  /**
   * @param {string} title
   * @param {string} greeting
   * @param {Acts} acts
   */
  constructor(title, greeting, acts) {
    this.#title = title || text("widget_title");
    this.#acts = acts;
    document.title = this.#title;
    find("#greeting").textContent = greeting || text("greeting");
    find("#close").append(icon("shrink"));
    find("#start-picture").append(icon("bubble"));
    fillStars(find("#stars"));
    this.standing.addEventListener("retry", acts.retry);
    onClick("#close", acts.close);
    onClick("#start-button", acts.start);
    onClick("#again", acts.start);
    onClick("#card-again", acts.tryAgain);
    onClick("#leave", acts.leave);
    this.#prepareEnd();
    this.#prepareRating();
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing && !document.querySelector("dialog[open]")) {
        acts.close();
      }
    });
    this.#head(this.#title, "", "");
  }

  #title;
  #acts;
  standing = find("#standing", ChatStanding);
  /** @type {ChatMessages | undefined} */
  #messages;
  /** @type {ChatComposer | undefined} */
  #composer;
  #screen = "resuming";

  /** Nothing is to be seen, while it is not known whose it may be. */
  set veiled(/** @type {boolean} */ veiled) {
    find(".widget").classList.toggle("veiled", veiled);
  }

  /** It is a page of its own, which nobody can close. */
  standAlone() {
    document.body.classList.add("alone");
    find("#close").hidden = true;
  }

  // --- the screens ---

  showResuming() {
    this.#head(this.#title, "", "");
    this.#show("resuming");
  }

  /**
   * @param {string} [note] the text of what has just happened
   * @param {string} [problem] why no conversation could be begun
   */
  showStart(note = "", problem = "") {
    this.#head(this.#title, "", "");
    find("#start-note").textContent = note;
    find("#start-problem").textContent = problem;
    this.#starting(false);
    this.#show("start");
  }

  /** A conversation is asked for, and nobody has answered yet. */
  showStarting() {
    find("#start-note").textContent = "";
    find("#start-problem").textContent = "";
    this.#starting(true);
  }

  /**
   * Instead of a chat: what is wrong, and what to do.
   *
   * @param {string} key
   * @param {string} picture
   * @param {Record<string, string>} [values]
   */
  showCard(key, picture, values) {
    this.#head(this.#title, "", "");
    find("#card-picture").replaceChildren(icon(picture));
    find("#card-title").textContent = text(`${key}_title`);
    find("#card-text").textContent = text(`${key}_text`, values);
    this.#show("card");
  }

  /**
   * @param {number} place in the line
   * @param {boolean} returned the waiter was lost
   */
  showLine(place, returned) {
    this.#head(this.#title, text("waiting"), "");
    const words = placeText(place);
    if (find("#place").textContent !== words) {
      find("#place").textContent = words; // it is read out
    }
    find("#line-text").textContent = text(returned ? "returned_text" : "waiting_text");
    this.#showTalk("line");
  }

  /** @param {string} name of the waiter, may be empty */
  showTalk(name) {
    this.#head(name || text("somebody"), text("with_you"), name);
    this.#showTalk("words");
  }

  /**
   * @param {string} name
   * @param {boolean} rated
   */
  showEnd(name, rated) {
    this.#head(name || this.#title, text("ended_sub"), name);
    find("#rating", HTMLFormElement).hidden = rated;
    find("#thanks").textContent = rated ? text("rated") : "";
    this.#starting(false);
    this.#showTalk("end");
    this.#messages?.toEnd();
  }

  /** A rating could not be given. @param {string} problem */
  showRatingProblem(problem) {
    find("#rating-problem").textContent = problem;
    find("#rate", HTMLButtonElement).disabled = false;
  }

  /**
   * An empty list and an empty composer, for another conversation.
   *
   * @param {boolean} watched
   */
  freshTalk(watched) {
    const messages = new ChatMessages();
    const composer = new ChatComposer();
    messages.links = true;
    find("#words").replaceChildren(messages, composer);
    messages.watched = watched;
    this.#messages = messages;
    this.#composer = composer;
    find("#rating", HTMLFormElement).reset();
    find("#rating-more").hidden = true;
    this.showRatingProblem("");
    return { messages, composer };
  }

  /** Nothing of what was said stays. */
  clear() {
    find("#words").replaceChildren();
    this.#messages = this.#composer = undefined;
    for (const dialog of document.querySelectorAll("dialog[open]")) {
      /** @type {HTMLDialogElement} */ (dialog).close();
    }
    this.standing.say("calm", "");
  }

  /** Tell it to screen readers. @param {string} news */
  announce(news) {
    find("#news").textContent = news;
  }

  /** Put the focus where one goes on. */
  focus() {
    // On a telephone it would bring up the keyboard before anything was read.
    const writes =
      this.#composer?.isConnected && !this.#composer.hidden && matchMedia("(hover: hover)").matches;
    if (this.#screen === "talk" && writes) {
      this.#composer?.focus();
    } else if (this.#screen === "start") {
      find("#start-button").focus();
    } else {
      find("#title").focus();
    }
  }

  // --- inside ---

  /** @param {"line" | "words" | "end"} part */
  #showTalk(part) {
    if (part !== "words") {
      this.#closeDialog();
    }
    find("#line").hidden = part !== "line";
    find("#ended").hidden = part !== "end";
    find("#end").hidden = part !== "words";
    if (this.#composer) {
      this.#composer.hidden = part === "end";
    }
    this.#show("talk");
  }

  /** @param {string} screen */
  #show(screen) {
    this.#screen = screen;
    for (const each of SCREENS) {
      find(`#${each}`).hidden = each !== screen;
    }
    if (screen !== "talk") {
      find("#end").hidden = true;
      this.#closeDialog();
    }
    if (
      document.hasFocus() &&
      (document.activeElement === document.body || !isShown(document.activeElement))
    ) {
      this.focus(); // what had it is gone
    }
  }

  /**
   * @param {string} title
   * @param {string} sub
   * @param {string} name
   */
  #head(title, sub, name) {
    find("#title").textContent = title;
    find("#sub").textContent = sub;
    find("#avatar").replaceChildren(name ? (Array.from(name)[0] ?? "").toUpperCase() : icon("bubble"));
    if (this.#messages) {
      this.#messages.otherName = name || text("somebody");
    }
  }

  /** @param {boolean} busy */
  #starting(busy) {
    for (const [selector, key] of [
      ["#start-button", "start"],
      ["#again", "again"],
    ]) {
      find(selector, HTMLButtonElement).disabled = busy;
      find(selector).textContent = text(busy ? "starting" : key);
    }
  }

  #prepareEnd() {
    const dialog = find("#end-dialog", HTMLDialogElement);
    onClick("#end", () => {
      find("#end-unsent").hidden = !this.#acts.unsent();
      dialog.returnValue = "";
      dialog.showModal();
    });
    dialog.addEventListener("close", () => dialog.returnValue === "end" && this.#acts.end());
  }

  #closeDialog() {
    const dialog = find("#end-dialog", HTMLDialogElement);
    if (dialog.open) {
      dialog.close("");
    }
  }

  #prepareRating() {
    const form = find("#rating", HTMLFormElement);
    form.addEventListener("change", () => {
      find("#rating-more").hidden = false;
      this.#messages?.toEnd();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      find("#rate", HTMLButtonElement).disabled = true;
      const stars = Number(new FormData(form).get("stars"));
      this.#acts.rate(stars, find("#feedback", HTMLTextAreaElement).value.trim());
    });
  }
}

/**
 * @param {string} selector
 * @param {() => void} act
 */
function onClick(selector, act) {
  find(selector).addEventListener("click", () => act());
}

/** @param {Element | null} element */
function isShown(element) {
  return element !== null && element.getClientRects().length > 0;
}
