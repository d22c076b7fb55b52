// @ts-check
/**
 * The questions of the room: end it, call a supervisor, download the transcript, rate it.
 *
 * @module
 */

import { find } from "../shared/elements.js";
import { fillStars } from "../shared/stars.js";
import { text } from "../shared/strings.js";
import { roomAddress } from "../shared/token.js";
import { Failed } from "./session.js";

/** @typedef {import("./session.js").SessionApi} SessionApi */
/** @typedef {import("../shared/token.js").Ticket} Ticket */

/**
 * Ask before ending.
 *
 * @param {() => boolean} unsent whether something is still on its way
 * @param {() => void} end
 */
export function prepareEnd(unsent, end) {
  const dialog = find("#end-dialog", HTMLDialogElement);
  dialog.addEventListener("close", () => dialog.returnValue === "end" && end());
  return () => {
    find("#end-unsent").hidden = !unsent();
    dialog.returnValue = "";
    dialog.showModal();
  };
}

/**
 * Call a supervisor: the one of the link by a click, else whom the consultant names.
 *
 * @param {SessionApi} api
 * @param {Ticket} ticket
 */
export function prepareCall(api, ticket) {
  const dialog = closable("#call-dialog");
  const asking = find(".asking", HTMLElement, dialog);
  const calling = find(".calling", HTMLElement, dialog);
  const asked = find(".asked", HTMLElement, dialog);
  const form = find("form", HTMLFormElement, dialog);
  const supervisor = find("#supervisor", HTMLInputElement);
  let known = ticket.supervisor;
  /** @param {HTMLElement} step */
  const show = (step) => {
    for (const each of [asking, calling, asked]) {
      each.hidden = each !== step;
    }
  };
  onSubmit(dialog, async () => {
    const id = supervisor.value.trim();
    try {
      const record = await api.callSupervisor(id);
      const link = find("#record-link", HTMLAnchorElement);
      link.href = await roomAddress(ticket, record, 1);
      known = id;
      show(asked);
      link.focus();
    } catch (error) {
      show(asking); // which says what went wrong
      throw error;
    }
  });
  const ask = () => {
    show(asking);
    supervisor.value = known;
    dialog.showModal();
    supervisor.focus();
    supervisor.select();
  };
  const call = () => {
    ask();
    if (known) {
      show(calling);
      find("#call-title").focus();
      form.requestSubmit();
    }
  };
  return { ask, call };
}

/**
 * Ask in which form to download.
 *
 * @param {SessionApi} api
 */
export function prepareDownload(api) {
  const dialog = closable("#download-dialog");
  onSubmit(dialog, async (form) => {
    await api.download(String(new FormData(form).get("format")));
    dialog.close();
  });
  return () => dialog.showModal();
}

/**
 * The visitor's rating.
 *
 * @param {SessionApi} api
 * @param {() => void} done
 */
export function prepareRating(api, done) {
  const form = find("#rating", HTMLFormElement);
  const stars = find("#stars");
  fillStars(stars);
  onSubmit(form, async () => {
    const chosen = new FormData(form).get("stars");
    if (chosen === null) {
      find("input", HTMLInputElement, stars).focus();
      throw new Failed(text("rate_choose"));
    }
    await api.rate(Number(chosen), find("#feedback", HTMLTextAreaElement).value.trim());
    done();
  });
}

/** @param {string} selector */
function closable(selector) {
  const dialog = find(selector, HTMLDialogElement);
  for (const button of dialog.querySelectorAll(".closes")) {
    button.addEventListener("click", () => dialog.close());
  }
  return dialog;
}

/**
 * Do it when the form is sent, once at a time, and tell what went wrong where it was asked for.
 *
 * @param {HTMLElement} place the form, or what holds it
 * @param {(form: HTMLFormElement) => Promise<void>} act
 */
function onSubmit(place, act) {
  const form = place instanceof HTMLFormElement ? place : find("form", HTMLFormElement, place);
  const problem = find(".problem", HTMLElement, form);
  const button = /** @type {HTMLButtonElement} */ (
    Array.from(form.elements).find((each) => each instanceof HTMLButtonElement && each.type === "submit")
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    problem.textContent = "";
    try {
      await act(form);
    } catch (error) {
      if (!(error instanceof Failed)) {
        throw error;
      }
      problem.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}
