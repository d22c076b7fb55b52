// @ts-check

/**
 * @typedef {string | (() => string | null | Promise<string | null>)} Token a JWT, or a function that returns
 *   one
 */

/**
 * The second part of `/widget.js`: the frame, the identity of the reader, and the page's API, which
 * `docs/widget.md` describes.
 *
 * It runs in pages of other sites. It occupies one global name (TornadoChat) and one element, and exchanges
 * messages with the frame only under the origin from which it was loaded.
 */
(() => {
  "use strict";

  const script = document.currentScript;
  const global = /** @type {any} */ (window);
  const queued = global.TornadoChat;
  if (!(script instanceof HTMLScriptElement) || (queued && !Array.isArray(queued))) {
    return; // the script is already loaded
  }

  const base = new URL(".", script.src).href; // the server may be below a path of its host
  const { origin } = new URL(base);
  const guests = /on/.test("{{guests}}");
  const allowedOrigins = "{{origins}}".split(" ");
  const pageOrigin = location.origin; // "null" for a file, which cannot receive messages
  const isAllowed =
    pageOrigin === origin ||
    allowedOrigins.includes(pageOrigin) ||
    (allowedOrigins.includes("*") && pageOrigin !== "null");

  const KEY = "tornado-chat"; // in both storages of the page: the unread count, and whether the panel is open
  const FRAME_TIMEOUT_MS = 8000; // how long a loaded frame may take to send its first message
  const {
    token: initialToken,
    language: wantedLanguage,
    position,
    color = "",
    group = "",
    title,
    greeting = "",
    launcher,
  } = script.dataset;
  /** @type {any} */
  const language =
    (wantedLanguage ? [wantedLanguage] : [document.documentElement.lang, ...navigator.languages])
      .map((each) => /^(zh|en)\b/i.exec(each)?.[1].toLowerCase())
      .find(Boolean) ?? "en"; // for every reader the same, if the page wants another language
  const ui = new Launcher(
    { language, color, left: position === "left", hasOwnButton: launcher === "off" },
    { press: () => (isOpen ? api.close() : api.open()), close: () => api.close(), near: () => load() },
  );

  /** @type {Token | undefined} */
  let token = initialToken;
  /** @type {HTMLIFrameElement | undefined} */
  let frame;
  let isReady = false;
  let isOpen = false;
  let hasConversation = false;
  let unread = Number(readStored()) || 0;
  let isExplained = false;
  /** The element that had the focus before the reader opened the panel. @type {HTMLElement | null} */
  let focusedBefore = null;
  /** @type {Record<string, Set<(detail: any) => void>>} */
  const listeners = {};

  function isUsable() {
    return isAllowed && (guests || Boolean(token));
  }

  function show() {
    ui.show(isUsable(), isOpen, unread);
  }

  // --- the frame ---

  function load() {
    if (frame || !isUsable()) {
      return;
    }
    const name = title || ui.texts.title;
    const settings = {
      origin: pageOrigin,
      language,
      title: name,
      greeting,
      color,
      group,
    };
    const made = (frame = element("iframe", ""));
    made.src = `${base}widget#${new URLSearchParams(settings)}`;
    made.title = name;
    made.lang = language;
    made.allow = "";
    if (pageOrigin !== origin) {
      // Same origin: for the socket, and to store guests. Forms: to send. Popups: for links.
      const sandbox =
        "allow-scripts allow-same-origin allow-forms allow-popups allow-popups-to-escape-sandbox";
      made.setAttribute("sandbox", sandbox);
    }
    made.addEventListener("load", () =>
      setTimeout(() => frame === made && !isReady && giveUp(), FRAME_TIMEOUT_MS),
    );
    ui.unreachableText.hidden = true;
    ui.panel.append(made);
  }

  /** The server cannot be reached, or a CSP keeps the frame out of this page. */
  function giveUp() {
    frame?.remove();
    frame = undefined;
    ui.unreachableText.hidden = false;
    logInfo(`no answer from ${origin}; is it running, and does frame-src allow it?`);
  }

  /** @param {object} message */
  function post(message) {
    if (isReady) {
      frame?.contentWindow?.postMessage(message, origin);
    }
  }

  addEventListener("message", ({ data, origin: from, source }) => {
    if (from !== origin || !source || source !== frame?.contentWindow) {
      return;
    }
    if (data.chat === "ready") {
      isReady = true;
      sendHello();
    } else if (data.chat === "token") {
      void giveToken(data.number);
    } else if (data.chat === "state") {
      applyState(data.going === true, Number(data.unread) || 0);
    } else if (data.chat === "forgotten") {
      store("localStorage", null);
    } else if (data.chat === "close") {
      api.close();
    } else if (data.chat === "group") {
      logInfo(`no group ${data.group} for this visitor`);
    }
  });

  function sendHello() {
    const before = readStored();
    post({
      chat: "hello",
      signedIn: Boolean(token),
      guests,
      open: isOpen,
      focus: isOpen && focusedBefore !== null,
      active: isOpen || before !== null,
      forget: before === "forget",
    });
    if (isOpen && focusedBefore) {
      frame?.focus();
    }
  }

  /** Answer the frame's request for a token; each request has a number. @param {number} number */
  async function giveToken(number) {
    try {
      const found = typeof token === "function" ? await token() : token;
      post({ chat: "token", number, token: found || null });
    } catch {
      post({ chat: "token", number, failed: true });
    }
  }

  /**
   * @param {boolean} nowActive
   * @param {number} nowUnread
   */
  function applyState(nowActive, nowUnread) {
    const [wasActive, before] = [hasConversation, unread];
    [hasConversation, unread] = [nowActive, nowUnread];
    if (readStored() !== "forget") {
      store("localStorage", hasConversation || unread ? `${unread}` : null);
    }
    show();
    if (unread !== before) {
      emit("unread", unread);
    }
    if (hasConversation !== wasActive) {
      emit("conversation", hasConversation);
    }
  }

  // --- storages of the page; if either is forbidden, nothing is known from the page before ---

  /** @param {"localStorage" | "sessionStorage"} where */
  function readStored(where = "localStorage") {
    return tryOrNull(() => window[where].getItem(KEY));
  }

  /**
   * @param {"localStorage" | "sessionStorage"} where
   * @param {string | null} value
   */
  function store(where, value) {
    tryOrNull(() => (value === null ? window[where].removeItem(KEY) : window[where].setItem(KEY, value)));
  }

  /**
   * @template T
   * @param {() => T} act
   */
  function tryOrNull(act) {
    try {
      return act();
    } catch {
      return null;
    }
  }

  addEventListener("storage", ({ key, newValue }) => {
    if (key === KEY && newValue === "forget") {
      forget(); // signed out in another tab
    } else if (key === KEY && newValue && !hasConversation) {
      load(); // another tab has started a conversation
      post({ chat: "wake" });
    }
  });

  // --- events ---

  /** @param {boolean} open */
  function setOpen(open) {
    isOpen = open;
    store("sessionStorage", open ? "open" : null);
    show();
    post({ chat: open ? "open" : "close" });
    emit(open ? "open" : "close", undefined);
  }

  /** @param {boolean} [forgotten] whether to forget the guest, too */
  function onIdentityChange(forgotten = false) {
    if (!isUsable()) {
      api.close();
    }
    post({ chat: "identity", signedIn: Boolean(token), forget: forgotten });
    show();
    if (!isUsable() && !isExplained) {
      isExplained = true;
      logInfo(
        isAllowed
          ? "no chat without a token (data-token, setToken()) while [auth] guests is off"
          : `${pageOrigin} is not in [web] origins of ${origin}`,
      );
    }
  }

  function forget() {
    token = undefined;
    applyState(false, 0);
    onIdentityChange(true);
  }

  /**
   * @param {string} name
   * @param {any} detail
   */
  function emit(name, detail) {
    for (const listener of listeners[name] ?? []) {
      queueMicrotask(() => listener(detail)); // errors of the page's listeners must not affect this script
    }
  }

  /** @param {string} why */
  function logInfo(why) {
    console.info(`TornadoChat: ${why}`);
  }

  // --- the API for the page ---

  const api = Object.freeze({
    open() {
      load();
      if (frame && !isOpen) {
        const active = document.activeElement;
        focusedBefore = active instanceof HTMLElement ? active : ui.button;
        setOpen(true);
        frame.focus();
      }
    },

    close() {
      if (isOpen) {
        const inside = ui.root.activeElement !== null;
        setOpen(false);
        if (inside) {
          (ui.button.hidden ? focusedBefore : ui.button)?.focus();
        }
      }
    },

    /** @param {Token | null} next null: no person is signed in */
    setToken(next) {
      token = next || undefined;
      onIdentityChange();
    },

    /** Sign the person out, and forget the guest. */
    signOut() {
      store("localStorage", "forget"); // kept until the frame has done it: the page may be left before
      load();
      forget();
    },

    /**
     * Add a listener. Return a function that removes it.
     *
     * @param {"open" | "close" | "unread" | "conversation"} name
     * @param {(detail: any) => void} listener
     */
    on(name, listener) {
      (listeners[name] ??= new Set()).add(listener);
      return () => listeners[name].delete(listener);
    },

    /** Run functions that were queued before the script was loaded. @param {(chat: object) => void} act */
    push(act) {
      act(api);
    },
  });

  function start() {
    ui.add();
    if (before !== null || wasOpen) {
      load();
      if (frame && wasOpen && !isOpen) {
        setOpen(true);
      }
    }
  }

  const before = readStored();
  const wasOpen = readStored("sessionStorage");
  global.TornadoChat = api;
  (queued ?? []).forEach(api.push);
  onIdentityChange();
  if (document.body) {
    start();
  } else {
    addEventListener("DOMContentLoaded", start); // the script was loaded before the body
  }
})();
