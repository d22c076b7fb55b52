// @ts-check
/**
 * The states of own messages that need the approval of a supervisor.
 *
 * @module
 */

/**
 * A message that waits, or has waited, for an approval, as in the frames `approval`.
 *
 * @typedef {object} Approval
 * @property {number} held its number
 * @property {"held" | "approved" | "edited" | "refused" | "expired"} state
 * @property {string} [client_id]
 * @property {string} text as the agent has written it
 * @property {string} time
 * @property {string} [until]
 * @property {string} [final] the text of the supervisor
 * @property {number} [seq]
 * @property {{ role: string, id: string, name: string | null }} [by]
 * @property {string} [note]
 * @property {{ id: string, name: string | null }[]} [approvers] who could approve it, if none of them is there
 */

/** The states of the messages of one conversation: a state other than `held` is final. */
export class ApprovalStates {
  /** By the number of the held message. @type {Map<number, Approval>} */
  #states = new Map();

  /** Return whether a state is newer than the known one. @param {Approval} approval */
  accept(approval) {
    const known = this.#states.get(approval.held);
    if (known && known.state !== "held") {
      return false;
    }
    // who could approve it stays known
    this.#states.set(approval.held, { approvers: known?.approvers, ...approval });
    return true;
  }

  /** The states, oldest message first. */
  get all() {
    return [...this.#states.values()].sort((one, other) => one.held - other.held);
  }
}
