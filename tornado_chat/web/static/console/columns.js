// @ts-check
/**
 * Which conversations are open, and in which order. One is active; others stay beside it if they are pinned
 * and the window is wide enough. The tab stores this.
 *
 * @module
 */

const TWO_COLUMNS_MIN_PX = 1500; // window widths from which two or three panels fit
const THREE_COLUMNS_MIN_PX = 2100;
const LIST_AND_PANEL_MIN_PX = 760; // below this width the list and the conversation are separate views

export class Columns {
  /**
   * @param {string} key a key of the tab's storage
   * @param {() => void} onChange
   */
  constructor(key, onChange) {
    this.#key = `${key}:open`;
    this.#onChange = onChange;
    const stored = JSON.parse(sessionStorage.getItem(this.#key) ?? "{}");
    this.#open = stored.open ?? [];
    this.#pinned = new Set(stored.pinned ?? []);
    this.#active = stored.active ?? null;
    for (const pixels of [LIST_AND_PANEL_MIN_PX, TWO_COLUMNS_MIN_PX, THREE_COLUMNS_MIN_PX]) {
      matchMedia(`(width >= ${pixels}px)`).addEventListener("change", onChange);
    }
  }

  #key;
  #onChange;
  /** @type {number[]} */
  #open;
  /** @type {Set<number>} */
  #pinned;
  /** @type {number | null} */
  #active;

  /** The conversation to which shortcuts and details refer. */
  get active() {
    return this.#active;
  }

  get isNarrow() {
    return innerWidth < LIST_AND_PANEL_MIN_PX;
  }

  get maxVisible() {
    return innerWidth < TWO_COLUMNS_MIN_PX ? 1 : innerWidth < THREE_COLUMNS_MIN_PX ? 2 : 3;
  }

  /** The visible conversations, from left to right. */
  get visible() {
    const active = this.#active;
    const first = active === null ? [] : [active, ...this.#open.filter((each) => each !== active)];
    const chosen = first.slice(0, this.maxVisible);
    return this.#open.filter((each) => chosen.includes(each));
  }

  /** @param {number} number */
  isPinned(number) {
    return this.#pinned.has(number);
  }

  /** Open a conversation instead of one that is not pinned, or beside pinned ones. @param {number} number */
  open(number) {
    if (!this.#open.includes(number)) {
      const free = [this.#active, ...this.#open].find((each) => each !== null && !this.#pinned.has(each));
      if (free !== undefined && free !== null) {
        this.#open[this.#open.indexOf(free)] = number;
      } else {
        this.#open.push(number);
      }
    }
    this.#active = number;
    this.#limitAndSave();
  }

  /** Pin a conversation, so that it stays when another one is opened, or unpin it. @param {number} number */
  togglePin(number) {
    if (!this.#pinned.delete(number)) {
      this.#pinned.add(number);
    } else if (this.#open.some((each) => each !== number && !this.#pinned.has(each))) {
      this.close(number); // the other conversation stays alone
      return;
    }
    this.#limitAndSave();
  }

  /** @param {number} number */
  close(number) {
    const index = this.#open.indexOf(number);
    if (index < 0) {
      return;
    }
    this.#open.splice(index, 1);
    this.#pinned.delete(number);
    if (this.#active === number) {
      this.#active = this.#open[Math.min(index, this.#open.length - 1)] ?? null;
    }
    this.#limitAndSave();
  }

  /** Return to the list, where only one view fits. */
  closeAll() {
    this.#open = [];
    this.#pinned.clear();
    this.#active = null;
    this.#limitAndSave();
  }

  #limitAndSave() {
    // One column always stays free for the next conversation; the oldest pin is removed.
    const maxOpen = Math.max(2, this.maxVisible);
    while (this.#pinned.size >= maxOpen) {
      this.#pinned.delete([...this.#pinned][0]);
    }
    while (this.#open.length > maxOpen) {
      const removable = this.#open.findIndex((each) => each !== this.#active && !this.#pinned.has(each));
      this.#open.splice(Math.max(removable, 0), 1);
    }
    const stored = { open: this.#open, pinned: [...this.#pinned], active: this.#active };
    sessionStorage.setItem(this.#key, JSON.stringify(stored));
    this.#onChange();
  }
}
