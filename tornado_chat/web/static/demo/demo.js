// @ts-check
/**
 * Sets the demo site's language before the widget reads it. Not a module: modules run later.
 *
 * @module
 */

document.documentElement.lang = /^zh\b/i.test(
  navigator.languages.find((each) => /^(?:zh|en)\b/i.test(each)) ?? "",
)
  ? "zh-CN"
  : "en";
