// @ts-check
/**
 * Which conversations are open, and where. One is the active one; others are beside it if they are pinned
 * and the window is wide enough. The tab remembers it.
 *
 * @module
 */

const TWO_COLUMNS_MIN_PX = 1500; // pixels from which two have room, or three
const THREE_COLUMNS_MIN_PX = 2100;
const LIST_AND_PANEL_MIN_PX = 760; // below, the list and a conversation have a view each

export class Columns {
  /**
   * @param {string} key of the tab's storage
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

  /** The conversation that the keyboard and the details are about. */
  get active() {
    return this.#active;
  }

  get isNarrow() {
    return innerWidth < LIST_AND_PANEL_MIN_PX;
  }

  get maxVisible() {
    return innerWidth < TWO_COLUMNS_MIN_PX ? 1 : innerWidth < THREE_COLUMNS_MIN_PX ? 2 : 3;
  }

  /** Those on the screen, from left to right. */
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

  /** Show a conversation, in the place of one that is not pinned, or beside those. @param {number} number */
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

  /** Keep it when another one is opened, or no longer. @param {number} number */
  togglePin(number) {
    if (!this.#pinned.delete(number)) {
      this.#pinned.add(number);
    } else if (this.#open.some((each) => each !== number && !this.#pinned.has(each))) {
      this.close(number); // what it was kept beside goes on alone
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

  /** Back to the list, where there is room for one view only. */
  closeAll() {
    this.#open = [];
    this.#pinned.clear();
    this.#active = null;
    this.#limitAndSave();
  }

  #limitAndSave() {
    // One place is always free for the next; the oldest pin gives way.
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
