// @ts-check

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";
const BUBBLE_PATH =
  "M12 4.5c5 0 8.5 3 8.5 7s-3.5 7-8.5 7c-1 0-2-.1-2.9-.4L4.5 20l1.3-3.4C4.3 15.3 3.5 13.5 3.5 11.5c0-4 3.5-7 8.5-7Z";
const DOWN_PATH = "M6 9.5l6 6 6-6";

/**
 * @typedef {object} LauncherOptions
 * @property {"zh" | "en"} language
 * @property {string} color as #2c6656, else the default colours
 * @property {boolean} left whether it is in the left corner
 * @property {boolean} hasOwnButton whether the page has its own button
 */

/**
 * The first part of `/widget.js`: the button in the corner, and the panel above it.
 *
 * Everything is in a shadow root, so that the page's style sheets and this one do not affect each other. It
 * is built without HTML strings and style attributes, which a page's CSP may forbid.
 */
class Launcher {
  /**
   * @param {LauncherOptions} options
   * @param {{ press: () => void, close: () => void, near: () => void }} listener
   */
  constructor({ language, color, left, hasOwnButton: own }, { press, close, near }) {
    this.texts = this.#TEXTS[language];
    this.#hasOwnButton = own;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("{{style}}");
    this.root.adoptedStyleSheets = [sheet];
    this.button.type = "button";
    const svg = document.createElementNS(SVG_NAMESPACE, "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    svg.append(this.#iconPath);
    this.button.append(svg, this.#badge);
    this.#badge.ariaHidden = "true";
    this.#announcement.role = "status";
    this.unreachableText.textContent = this.texts.away;
    this.unreachableText.hidden = true;
    this.panel.append(this.unreachableText);
    for (const each of [this.button, this.panel]) {
      each.lang = language;
      each.classList.toggle("left", left);
      if (/^#[0-9a-f]{6}$/i.test(color)) {
        each.style.setProperty("--color", color);
        each.style.setProperty("--text", isLight(color) ? "#14201b" : "#fff");
      }
    }
    this.root.append(this.button, this.panel, this.#announcement);
    this.button.addEventListener("click", press);
    this.button.addEventListener("pointerenter", near, { once: true });
    this.panel.addEventListener("keydown", ({ key }) => key === "Escape" && close());
    this.#smallScreen.addEventListener("change", () => this.#updateCover());
    visualViewport?.addEventListener("resize", () => this.#fitViewport());
    visualViewport?.addEventListener("scroll", () => this.#fitViewport());
  }

  #host = document.createElement("tornado-chat");
  root = this.#host.attachShadow({ mode: "open" });
  button = element("button", "launcher");
  panel = element("div", "panel");
  /** Shown when the server cannot be reached. */
  unreachableText = element("p", "");
  #iconPath = document.createElementNS(SVG_NAMESPACE, "path");
  #badge = element("span", "badge");
  #announcement = element("p", "announcement");
  #hasOwnButton;
  #smallScreen = matchMedia("(max-width: 480px), (max-height: 480px)");
  #open = false;
  #unread = 0;
  #coversPage = false;
  #pageOverflow = "";
  #TEXTS = {
    zh: {
      title: "在线客服",
      open: "打开聊天",
      close: "收起聊天",
      unread: (/** @type {number} */ count) => `${count} 条新消息`,
      away: "暂时无法连接客服，请稍后再试。",
    },
    en: {
      title: "Chat with us",
      open: "Open the chat",
      close: "Close the chat",
      unread: (/** @type {number} */ count) => `${count} new message${count === 1 ? "" : "s"}`,
      away: "The chat cannot be reached right now. Please try again later.",
    },
  };

  /**
   * Add the elements after the body: scripts of the page may replace the body, and in the tab order they come
   * last.
   */
  add() {
    document.documentElement.append(this.#host);
  }

  /**
   * @param {boolean} isUsable
   * @param {boolean} open
   * @param {number} unread
   */
  show(isUsable, open, unread) {
    const { button, texts } = this;
    const showsCount = unread > 0 && !open;
    this.panel.hidden = !isUsable;
    this.panel.classList.toggle("open", open);
    this.#badge.hidden = !showsCount;
    this.#badge.textContent = unread > 9 ? "9+" : `${unread}`;
    button.hidden = !isUsable || this.#hasOwnButton;
    this.#iconPath.setAttribute("d", open ? DOWN_PATH : BUBBLE_PATH);
    button.ariaExpanded = `${open}`;
    button.ariaLabel = (open ? texts.close : texts.open) + (showsCount ? ` (${texts.unread(unread)})` : "");
    if (!showsCount) {
      this.#announcement.textContent = "";
    } else if (unread > this.#unread) {
      this.#announcement.textContent = texts.unread(unread); // announced by screen readers
    }
    this.#unread = unread;
    this.#open = open;
    this.#updateCover();
  }

  /**
   * On small screens the panel covers the page, so the page must be out of reach for keyboard and screen
   * readers, too.
   */
  #updateCover() {
    const now = this.#open && this.#smallScreen.matches;
    if (now !== this.#coversPage && document.body) {
      this.#coversPage = now;
      const { style } = document.documentElement;
      [this.#pageOverflow, style.overflow] = now ? [style.overflow, "hidden"] : ["", this.#pageOverflow];
      document.body.inert = now;
    }
    this.#fitViewport();
  }

  /** Fit the panel into the part of the screen that an on-screen keyboard leaves. */
  #fitViewport() {
    const view = visualViewport;
    if (view?.scale === 1) {
      this.panel.style.setProperty("--top", `${view.offsetTop}px`);
      this.panel.style.setProperty("--height", `${view.height}px`);
    }
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} name
 */
function element(tag, name) {
  const made = document.createElement(tag);
  made.className = name;
  return made;
}

/**
 * Whether dark text is more readable on a colour than white text (WCAG 2, relative luminance).
 *
 * @param {string} hex
 */
function isLight(hex) {
  const [red, green, blue] = [1, 3, 5].map((at) => (parseInt(hex.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18;
}
