// @ts-check
/**
 * The language of the made-up web site, before the chat looks at it: no module, for these come later.
 *
 * @module
 */

document.documentElement.lang = /^zh\b/i.test(
  navigator.languages.find((each) => /^(?:zh|en)\b/i.test(each)) ?? "",
)
  ? "zh-CN"
  : "en";
