// @ts-check
/**
 * Page title, sounds and desktop notifications; alerts and calls repeat until they are handled.
 *
 * @module
 */

import { RepeatingSignals } from "../shared/repeating_signals.js";
import { text } from "../shared/strings.js";

/** @typedef {import("../shared/repeating_signals.js").Sound} Sound */
/** @typedef {import("./inbox.js").NoticeKind} NoticeKind */

/** @type {Record<NoticeKind, Sound>} */
const SOUNDS = {
  alert: { tones: [[587, 0], [784, 0.2], [587, 0.6], [784, 0.8]], repeatMs: 20_000 }, // prettier-ignore
  call: { tones: [[523, 0], [659, 0.16], [784, 0.32]], repeatMs: 45_000 }, // prettier-ignore
  appointment: { tones: [[659, 0]] },
  note: { tones: [[659, 0]] },
};

/** @extends {RepeatingSignals<NoticeKind>} */
export class Signals extends RepeatingSignals {
  constructor() {
    super("supervise:signals", SOUNDS);
  }

  /**
   * Show the number of open notices.
   *
   * @param {{ alerts: number, calls: number, unread: number }} open `calls`: those that arrived while this
   *   page was open
   */
  show({ alerts, calls, unread }) {
    const prefix = unread ? `(${unread}) ` : "";
    document.title = alerts
      ? text("title_alerts", { count: alerts, title: text("supervise") })
      : prefix + text("supervise");
    this.repeat(alerts ? "alert" : calls ? "call" : undefined);
  }
}
