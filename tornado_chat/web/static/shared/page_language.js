// @ts-check
/**
 * Sets the language of a page that has its texts in both languages, see page_language.css.
 *
 * Not a module: modules run later, after scripts that read the language.
 *
 * @module
 */

document.documentElement.lang = /^zh\b/i.test(
  navigator.languages.find((each) => /^(?:zh|en)\b/i.test(each)) ?? "",
)
  ? "zh-CN"
  : "en";
