// @ts-check
/**
 * The dialogs of the room: end the session, call a supervisor, download the transcript, rate.
 *
 * @module
 */

import { find } from "../shared/elements.js";
import { fillStars } from "../shared/stars.js";
import { text } from "../shared/strings.js";
import { roomAddress } from "../shared/room_link.js";
import { ApiError } from "./session_api.js";

/** @typedef {import("./session_api.js").SessionApi} SessionApi */
/** @typedef {import("../shared/room_link.js").RoomLink} RoomLink */

/**
 * Prepare the dialog that confirms the end.
 *
 * @param {() => boolean} hasUnsent whether a message is still being sent
 * @param {() => void} end
 */
export function prepareEnd(hasUnsent, end) {
  const dialog = find("#end-dialog", HTMLDialogElement);
  dialog.addEventListener("close", () => dialog.returnValue === "end" && end());
  return () => {
    find("#end-unsent").hidden = !hasUnsent();
    dialog.returnValue = "";
    dialog.showModal();
  };
}

/**
 * Prepare the call of a supervisor: the one of the link with one click, else one whose id the consultant
 * enters.
 *
 * @param {SessionApi} api
 * @param {RoomLink} link
 */
export function prepareCall(api, link) {
  const dialog = closableDialog("#call-dialog");
  const formStep = find(".call-step-form", HTMLElement, dialog);
  const progressStep = find(".call-step-progress", HTMLElement, dialog);
  const resultStep = find(".call-step-result", HTMLElement, dialog);
  const form = find("form", HTMLFormElement, dialog);
  const supervisor = find("#supervisor", HTMLInputElement);
  let lastSupervisor = link.supervisor;
  /** @param {HTMLElement} step */
  const show = (step) => {
    for (const each of [formStep, progressStep, resultStep]) {
      each.hidden = each !== step;
    }
  };
  onSubmit(dialog, async () => {
    const id = supervisor.value.trim();
    try {
      const record = await api.callSupervisor(id);
      const recordLink = find("#record-link", HTMLAnchorElement);
      recordLink.href = await roomAddress(link, record, 1);
      lastSupervisor = id;
      show(resultStep);
      recordLink.focus();
    } catch (error) {
      show(formStep); // this step shows the error
      throw error;
    }
  });
  const ask = () => {
    show(formStep);
    supervisor.value = lastSupervisor;
    dialog.showModal();
    supervisor.focus();
    supervisor.select();
  };
  const call = () => {
    ask();
    if (lastSupervisor) {
      show(progressStep);
      find("#call-title").focus();
      form.requestSubmit();
    }
  };
  return { ask, call };
}

/**
 * Prepare the dialog that asks for the download format.
 *
 * @param {SessionApi} api
 */
export function prepareDownload(api) {
  const dialog = closableDialog("#download-dialog");
  onSubmit(dialog, async (form) => {
    await api.download(String(new FormData(form).get("format")));
    dialog.close();
  });
  return () => dialog.showModal();
}

/**
 * Prepare the client's rating.
 *
 * @param {SessionApi} api
 * @param {() => void} onRated
 */
export function prepareRating(api, onRated) {
  const form = find("#rating", HTMLFormElement);
  const stars = find("#stars");
  fillStars(stars);
  onSubmit(form, async () => {
    const chosen = new FormData(form).get("stars");
    if (chosen === null) {
      find("input", HTMLInputElement, stars).focus();
      throw new ApiError(text("rate_choose"));
    }
    await api.rate(Number(chosen), find("#feedback", HTMLTextAreaElement).value.trim());
    onRated();
  });
}

/** @param {string} selector */
function closableDialog(selector) {
  const dialog = find(selector, HTMLDialogElement);
  for (const button of dialog.querySelectorAll(".close-button")) {
    button.addEventListener("click", () => dialog.close());
  }
  return dialog;
}

/**
 * Run `act` when the form is submitted, never twice at a time, and show its error in the form.
 *
 * @param {HTMLElement} container the form, or an element that contains it
 * @param {(form: HTMLFormElement) => Promise<void>} act
 */
function onSubmit(container, act) {
  const form = container instanceof HTMLFormElement ? container : find("form", HTMLFormElement, container);
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
      if (!(error instanceof ApiError)) {
        throw error;
      }
      problem.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}
