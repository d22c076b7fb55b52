// @ts-check
/**
 * Adapts the host's brand colour so that text is readable: WCAG 2 demands a contrast of 4.5 to 1.
 *
 * @module
 */

/** @typedef {[number, number, number]} Rgb 0 to 255 each */

const MIN_CONTRAST = 4.5;
const MIX_STEP = 0.08;
const WHITE = /** @type {Rgb} */ ([255, 255, 255]);
const DARK_TEXT = /** @type {Rgb} */ ([20, 32, 27]);
const SURFACES = /** @type {Record<string, Rgb>} */ ({ light: [241, 237, 228], dark: [38, 45, 42] });

/**
 * Apply a brand colour, in light and in dark mode.
 *
 * @param {string} hex as #2c6656; any other value is ignored
 */
export function applyBrandColor(hex) {
  if (!/^#[0-9a-f]{6}$/i.test(hex)) {
    return;
  }
  const brand = /** @type {Rgb} */ ([1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const surface = SURFACES[dark.matches ? "dark" : "light"];
    const accent = makeReadable(brand, surface, dark.matches ? WHITE : DARK_TEXT);
    const { style } = document.documentElement;
    style.setProperty("--brand", toCss(brand));
    style.setProperty("--on-brand", toCss(textColorOn(brand)));
    style.setProperty("--accent", toCss(accent));
    style.setProperty("--accent-strong", toCss(mix(accent, dark.matches ? WHITE : DARK_TEXT, 0.2)));
    style.setProperty("--on-accent", toCss(textColorOn(accent)));
    style.setProperty("--own-background", toCss(mix(accent, surface, dark.matches ? 0.72 : 0.85)));
  };
  apply();
  dark.addEventListener("change", apply);
}

/**
 * Mix a colour with another one until it is readable on a surface.
 *
 * @param {Rgb} colour
 * @param {Rgb} surface
 * @param {Rgb} towards
 */
function makeReadable(colour, surface, towards) {
  let share = 0;
  while (contrast(mix(colour, towards, share), surface) < MIN_CONTRAST && share < 1) {
    share += MIX_STEP;
  }
  return mix(colour, towards, Math.min(share, 1));
}

/** The text colour for a background. @param {Rgb} colour */
function textColorOn(colour) {
  return contrast(colour, WHITE) >= contrast(colour, DARK_TEXT) ? WHITE : DARK_TEXT;
}

/**
 * @param {Rgb} one
 * @param {Rgb} other
 * @param {number} share the share of the other colour, 0 to 1
 */
function mix(one, other, share) {
  return /** @type {Rgb} */ (one.map((value, at) => value + (other[at] - value) * share));
}

/**
 * @param {Rgb} one
 * @param {Rgb} other
 */
function contrast(one, other) {
  const [less, more] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (more + 0.05) / (less + 0.05);
}

/** @param {Rgb} colour */
function luminance(colour) {
  const [red, green, blue] = colour.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** @param {Rgb} colour */
function toCss(colour) {
  return `rgb(${colour.map(Math.round).join(" ")})`;
}
