// @ts-check
/**
 * The transcript of a session, to be read only.
 *
 * @module
 */

import { find, icon } from "../shared/elements.js";
import { ChatMessages } from "../shared/messages.js";
import { language, text } from "../shared/strings.js";
import { TimeFormatter } from "../shared/time.js";
import { ApiError } from "./desk_api.js";
import { isOpen, timeOf, visitorName } from "./session.js";
import { makeRating, timesText } from "./session_rows.js";

/** @typedef {import("./desk_api.js").DeskApi} DeskApi */

const times = new TimeFormatter(language);

export class TranscriptPane {
  /**
   * @param {DeskApi} api
   * @param {(session: string) => string} address the URL of the room of a session
   * @param {() => void} onClose called when the counsellor closes the pane
   */
  constructor(api, address, onClose) {
    this.#api = api;
    this.#address = address;
    const close = find("#transcript-close");
    close.append(icon("close"));
    close.addEventListener("click", onClose);
    find("#transcript-retry").addEventListener("click", () => void this.#load());
  }

  #api;
  #address;
  #number = "";

  /** The number of the session that is shown; empty: none. */
  get number() {
    return this.#number;
  }

  /** @param {string} number */
  open(number) {
    this.#number = number;
    find("#transcript-title").textContent = text("session_number", { number });
    find("#transcript-meta").textContent = find("#transcript-feedback").textContent = "";
    find("#transcript-room", HTMLAnchorElement).href = this.#address(number);
    find("#transcript-list").replaceChildren();
    find("#transcript").hidden = false;
    find("#transcript-title").focus({ preventScroll: true });
    void this.#load();
  }

  close() {
    this.#number = "";
    find("#transcript").hidden = true;
    find("#transcript-list").replaceChildren();
  }

  async #load() {
    const number = this.#number;
    this.#showStatus(text("transcript_loading"));
    try {
      const [session, messages] = await Promise.all([
        this.#api.getSession(number),
        this.#api.getMessages(number),
      ]);
      if (number === this.#number) {
        this.#show(session, messages);
      }
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      if (number === this.#number) {
        this.#showStatus(error.message, true);
        find("#transcript-retry").hidden = !error.isTransient;
      }
    }
  }

  /**
   * @param {import("./session.js").Session & { feedback: string | null }} session
   * @param {import("./desk_api.js").MessageRow[]} rows
   */
  #show(session, rows) {
    const name = visitorName(session);
    find("#transcript-title").textContent = name;
    const parts = [text("session_number", { number: session.session_id }), times.day(timeOf(session))];
    const stage = isOpen(session) ? "transcript_open" : `stage_${session.state}`;
    const meta = find("#transcript-meta");
    meta.textContent = [...parts, timesText(session), text(stage)].join(" · ");
    if (session.rate) {
      meta.append(" · ", makeRating(session.rate));
    }
    find("#transcript-feedback").textContent = session.feedback
      ? text("feedback_of", { feedback: session.feedback })
      : "";
    this.#showStatus(rows.length ? "" : text("transcript_empty"));
    if (rows.length === 0) {
      return;
    }
    const list = new ChatMessages();
    list.otherName = name;
    find("#transcript-list").replaceChildren(list);
    list.addHistory(
      rows.map(({ seq, msg, senderType, time }) => ({ seq, text: msg, own: senderType, time })),
      false,
    );
  }

  /**
   * @param {string} content
   * @param {boolean} [isProblem]
   */
  #showStatus(content, isProblem = false) {
    const status = find("#transcript-status");
    status.textContent = content;
    status.classList.toggle("problem", isProblem);
    find("#transcript-retry").hidden = true;
  }
}
