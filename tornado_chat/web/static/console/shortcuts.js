// @ts-check
/**
 * Shortcuts. All are Alt with one key, so that they work while one writes, and mean nothing to input methods,
 * to screen readers (which use other keys, or Alt with more) or to the browser. Only `?` is alone, outside of
 * fields.
 *
 * @module
 */

const IS_MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/** @typedef {"next" | "previous" | "urgent" | "write" | "details" | "hand" | "end" | "ready" | "pin"} Shortcut */

/**
 * By the physical key: with Alt, some systems make other characters of them.
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

/** How a shortcut is written. @param {Shortcut} shortcut */
export function shortcutText(shortcut) {
  return IS_MAC ? `⌥${SHORTCUTS[shortcut].label}` : `Alt+${SHORTCUTS[shortcut].label}`;
}

/** How a shortcut is told to screen readers. @param {Shortcut} shortcut */
export function ariaShortcut(shortcut) {
  return `Alt+${SHORTCUTS[shortcut].code.replace("Key", "")}`;
}

/**
 * @param {() => boolean} isEnabled whether shortcuts are switched on
 * @param {Record<Shortcut, () => void>} actions
 * @param {() => void} showHelp
 */
export function listenForShortcuts(isEnabled, actions, showHelp) {
  document.addEventListener("keydown", (event) => {
    // 229: an input method has it. AltGr, which writes characters, comes as Ctrl and Alt.
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
