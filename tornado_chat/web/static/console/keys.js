// @ts-check
/**
 * Shortcuts. All are Alt with one key, so that they work while one writes, and mean nothing to input methods,
 * to screen readers (which use other keys, or Alt with more) or to the browser. Only `?` is alone, outside of
 * fields.
 *
 * @module
 */

const IS_MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/** @typedef {"next" | "previous" | "urgent" | "write" | "details" | "hand" | "end" | "ready" | "pin"} Deed */

/**
 * By the physical key: with Alt, some systems make other characters of them.
 *
 * @type {Record<Deed, { code: string, shown: string }>}
 */
export const SHORTCUTS = {
  next: { code: "ArrowDown", shown: "↓" },
  previous: { code: "ArrowUp", shown: "↑" },
  urgent: { code: "KeyN", shown: "N" },
  write: { code: "KeyC", shown: "C" },
  details: { code: "KeyI", shown: "I" },
  hand: { code: "KeyO", shown: "O" },
  end: { code: "KeyX", shown: "X" },
  ready: { code: "KeyP", shown: "P" },
  pin: { code: "KeyB", shown: "B" },
};

/** How a shortcut is written. @param {Deed} deed */
export function shown(deed) {
  return IS_MAC ? `⌥${SHORTCUTS[deed].shown}` : `Alt+${SHORTCUTS[deed].shown}`;
}

/** How a shortcut is told to screen readers. @param {Deed} deed */
export function announced(deed) {
  return `Alt+${SHORTCUTS[deed].code.replace("Key", "")}`;
}

/**
 * @param {() => boolean} wanted whether shortcuts are switched on
 * @param {Record<Deed, () => void>} deeds
 * @param {() => void} help
 */
export function listen(wanted, deeds, help) {
  document.addEventListener("keydown", (event) => {
    // 229: an input method has it. AltGr, which writes characters, comes as Ctrl and Alt.
    if (!wanted() || event.isComposing || event.keyCode === 229 || event.ctrlKey || event.metaKey) {
      return;
    }
    const open = document.querySelector("dialog[open]");
    if (event.key === "?" && !event.altKey && !open && !isField(event.target)) {
      event.preventDefault();
      help();
    }
    const plainAlt = event.altKey && !event.shiftKey && !event.getModifierState("AltGraph");
    const deed = /** @type {Deed[]} */ (Object.keys(SHORTCUTS)).find(
      (each) => SHORTCUTS[each].code === event.code,
    );
    if (plainAlt && deed) {
      event.preventDefault();
      if (!open) {
        deeds[deed]();
      }
    }
  });
}

/** @param {EventTarget | null} target */
function isField(target) {
  return target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]");
}
