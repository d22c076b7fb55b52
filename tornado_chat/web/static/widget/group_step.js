// @ts-check
/**
 * The step before a conversation in which the visitor chooses a group of agents, if there are several and the
 * page names none.
 *
 * @module
 */

import { fetchGroups } from "../shared/groups.js";
import { text } from "../shared/strings.js";

/** @typedef {import("../shared/connection.js").TokenSource} TokenSource */
/** @typedef {import("../shared/groups.js").Group} Group */
/** @typedef {import("./panel.js").Panel} Panel */

/**
 * `wanted`: the group that the page names; empty: none. `areSeveral`: whether the server has several groups.
 *
 * @typedef {{ wanted: string, areSeveral: boolean }} GroupSettings
 */

/**
 * What to do with the groups that a visitor may choose.
 *
 * - `join`: join the queue of `group`; empty: of the default group
 * - `choose`: let the visitor choose; `gone`: the last choice is not in the list
 * - `fail`: the server refused to start a conversation for another reason
 *
 * @typedef {{ act: "join", group: string } | { act: "choose", gone: boolean } | { act: "fail" }} GroupDecision
 */

/**
 * @param {readonly Group[]} groups the groups that the visitor may choose
 * @param {string | null} refused the group with which the server refused `connect`, empty: without one; null:
 *   there was no `connect` yet
 * @returns {GroupDecision}
 */
export function decideGroup(groups, refused) {
  const gone = Boolean(refused) && !groups.some(({ name }) => name === refused);
  if (refused !== null && !gone) {
    return { act: "fail" };
  }
  // A page that names a group which is gone must not keep a visitor from the only group.
  return groups.length > 1 ? { act: "choose", gone } : { act: "join", group: "" };
}

export class GroupStep {
  /**
   * @param {GroupSettings} settings
   * @param {TokenSource} token
   * @param {Panel} panel
   * @param {object} acts
   * @param {(group: string) => void} acts.join join the queue of a group; empty: of the default group
   * @param {(problem: string) => void} acts.fail no conversation is started; the problem may be empty
   * @param {(group: string) => void} acts.reportUnknown the server has refused the group that the page names
   */
  constructor({ wanted, areSeveral }, token, panel, acts) {
    this.#wanted = wanted;
    this.#areSeveral = areSeveral;
    this.#token = token;
    this.#panel = panel;
    this.#acts = acts;
  }

  /** The group that the page names, until the server has refused it. */
  #wanted;
  #areSeveral;
  #token;
  #panel;
  #acts;
  /** The group of the last `connect`. */
  #joined = "";
  /** Counts attempts to start: an attempt that is no longer the latest is abandoned. */
  #attempt = 0;

  /** The visitor starts a conversation. */
  begin() {
    this.cancel();
    this.#joined = "";
    if (this.#wanted || !this.#areSeveral) {
      this.#join(this.#wanted);
    } else {
      void this.#decide(null, "");
    }
  }

  /** The server refused `connect`. @param {string} reason */
  onRefused(reason) {
    if (this.#joined) {
      void this.#decide(this.#joined, reason);
    } else {
      this.#acts.fail(reason);
    }
  }

  /** The start is no longer requested. */
  cancel() {
    this.#attempt += 1;
  }

  /** @param {string} group */
  #join(group) {
    this.#joined = group;
    this.#acts.join(group);
  }

  /**
   * @param {string | null} refused as in `decideGroup`
   * @param {string} reason
   */
  async #decide(refused, reason) {
    const attempt = this.#attempt;
    /** @type {Group[]} */
    let groups;
    try {
      groups = await fetchGroups(this.#token);
    } catch (error) {
      if (attempt === this.#attempt) {
        this.#acts.fail(reason || /** @type {Error} */ (error).message);
      }
      return;
    }
    if (attempt !== this.#attempt) {
      return;
    }
    const decision = decideGroup(groups, refused);
    if (decision.act === "fail") {
      this.#acts.fail(reason);
      return;
    }
    if (refused) {
      if (this.#wanted) {
        this.#acts.reportUnknown(this.#wanted);
      }
      this.#wanted = "";
    }
    if (decision.act === "join") {
      this.#join(decision.group);
      return;
    }
    this.#panel.showGroups(groups, decision.gone ? text("group_gone") : "", {
      choose: (name) => {
        this.#panel.showStarting();
        this.#join(name);
      },
      back: () => this.#acts.fail(""),
    });
  }
}
