// @ts-check
/**
 * Keyboard shortcuts. All are Alt with one key, so that they work while writing and do not collide with input
 * methods, screen readers (which use other keys, or Alt with further modifiers) or the browser. Only `?` has
 * no modifier; it works outside of fields.
 *
 * @module
 */

const IS_MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/**
 * @typedef {"next" | "previous" | "urgent" | "write" | "details" | "hand" | "end" | "ready" | "pin"} Shortcut
 */

/**
 * By physical key: with Alt, some systems produce other characters.
 *
 * @type {Record<Shortcut, { code: string, label: string }>}
 */
export const SHORTCUTS = {
  next: { code: "ArrowDown", label: "↓" },
  previous: { code: "ArrowUp", label: "↑" },
  urgent: { code: "KeyN", label: "N" },
  write: { code: "KeyC", label: "C" },
  details: { code: "KeyI", label: "I" },
  hand: { code: "KeyO", label: "O" },
  end: { code: "KeyX", label: "X" },
  ready: { code: "KeyP", label: "P" },
  pin: { code: "KeyB", label: "B" },
};

/** The text of a shortcut. @param {Shortcut} shortcut */
export function shortcutText(shortcut) {
  return IS_MAC ? `⌥${SHORTCUTS[shortcut].label}` : `Alt+${SHORTCUTS[shortcut].label}`;
}

/** The value of `aria-keyshortcuts`. @param {Shortcut} shortcut */
export function ariaShortcut(shortcut) {
  return `Alt+${SHORTCUTS[shortcut].code.replace("Key", "")}`;
}

/**
 * Listen for shortcuts.
 *
 * @param {() => boolean} isEnabled whether shortcuts are switched on
 * @param {Record<Shortcut, () => void>} actions
 * @param {() => void} showHelp
 */
export function listenForShortcuts(isEnabled, actions, showHelp) {
  document.addEventListener("keydown", (event) => {
    // 229: the key belongs to an input method. AltGr, which types characters, is reported as Ctrl and Alt.
    if (!isEnabled() || event.isComposing || event.keyCode === 229 || event.ctrlKey || event.metaKey) {
      return;
    }
    const open = document.querySelector("dialog[open]");
    if (event.key === "?" && !event.altKey && !open && !isField(event.target)) {
      event.preventDefault();
      showHelp();
    }
    const plainAlt = event.altKey && !event.shiftKey && !event.getModifierState("AltGraph");
    const shortcut = /** @type {Shortcut[]} */ (Object.keys(SHORTCUTS)).find(
      (each) => SHORTCUTS[each].code === event.code,
    );
    if (plainAlt && shortcut) {
      event.preventDefault();
      if (!open) {
        actions[shortcut]();
      }
    }
  });
}

/** @param {EventTarget | null} target */
function isField(target) {
  return target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]");
}
