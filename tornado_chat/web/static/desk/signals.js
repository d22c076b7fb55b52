// @ts-check
/**
 * Page title, sounds and desktop notifications. The sound of a visitor who waits repeats until the counsellor
 * enters the session, and that of an alert until it is read.
 *
 * @module
 */

import { RepeatingSignals } from "../shared/repeating_signals.js";
import { text } from "../shared/strings.js";

/** @typedef {import("../shared/repeating_signals.js").Sound} Sound */
/** @typedef {import("./notices.js").NoticeKind | "waits"} SignalKind */

/** @type {Record<SignalKind, Sound>} */
const SOUNDS = {
  alert: { tones: [[587, 0], [784, 0.2], [587, 0.6], [784, 0.8]], repeatMs: 20_000 }, // prettier-ignore
  waits: { tones: [[523, 0], [659, 0.16], [784, 0.32]], repeatMs: 45_000 }, // prettier-ignore
  session: { tones: [[523, 0], [659, 0.16], [784, 0.32]] }, // prettier-ignore
  appointment: { tones: [[659, 0]] },
  note: { tones: [[659, 0]] },
};

/** @extends {RepeatingSignals<SignalKind>} */
export class Signals extends RepeatingSignals {
  constructor() {
    super("desk:signals", SOUNDS);
  }

  /**
   * Show what is open now.
   *
   * @param {{ alerts: number, waiting: number, pending: number }} open
   */
  show({ alerts, waiting, pending }) {
    const title = text("desk");
    document.title = waiting
      ? text("title_waiting", { count: waiting, title })
      : `${pending ? `(${pending}) ` : ""}${title}`;
    this.repeat(alerts ? "alert" : waiting ? "waits" : undefined);
  }
}
