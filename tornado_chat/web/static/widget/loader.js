// @ts-check

/** @typedef {string | (() => string | null | Promise<string | null>)} Token a JWT, or what asks the host for one */

/**
 * The second part of `/widget.js`: the frame, who is signed in, and what the page can ask for.
 * docs/widget.md says how to use it.
 *
 * It runs in pages of others. It takes one name (TornadoChat) and one element, and hears and tells the
 * frame only as the origin that it was loaded from.
 */
(() => {
  "use strict";

  const script = document.currentScript;
  const global = /** @type {any} */ (window);
  const queued = global.TornadoChat;
  if (!(script instanceof HTMLScriptElement) || (queued && !Array.isArray(queued))) {
    return; // it is there already
  }

  const { origin } = new URL(script.src);
  const guests = /on/.test("{{guests}}");
  const allowedOrigins = "{{origins}}".split(" ");
  const pageOrigin = location.origin; // "null" of a file, which nothing can be told to
  const isAllowed =
    pageOrigin === origin ||
    allowedOrigins.includes(pageOrigin) ||
    (allowedOrigins.includes("*") && pageOrigin !== "null");

  const KEY = "tornado-chat"; // in both storages of the page: how many are unread, and whether it is open
  const FRAME_TIMEOUT_MS = 8000; // milliseconds that a frame may take to say something once it is loaded
  const {
    token: initialToken,
    language: wantedLanguage,
    position,
    color,
    title,
    greeting,
    launcher,
  } = script.dataset;
  /** @type {any} */
  const language =
    [wantedLanguage, document.documentElement.lang, ...navigator.languages]
      .map((each) => /^(zh|en)\b/i.exec(each ?? "")?.[1].toLowerCase())
      .find(Boolean) ?? "en";
  const ui = new Launcher(
    { language, color: color ?? "", left: position === "left", hasOwnButton: launcher === "off" },
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
  /** Where the focus was when the reader opened it. @type {HTMLElement | null} */
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
      greeting: greeting ?? "",
      color: color ?? "",
    };
    const made = (frame = element("iframe", ""));
    made.src = `${origin}/widget#${new URLSearchParams(settings)}`;
    made.title = name;
    made.lang = language;
    made.allow = "";
    if (pageOrigin !== origin) {
      // Its own origin: for the socket, and to remember guests. Forms: to send. Popups: links.
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

  /** The server is out of reach, or its policy keeps the frame from this page. */
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

  /** The frame asks; each question has a number. @param {number} number */
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

  // --- what the page's storages know; either may be forbidden: then a page knows nothing of the one before ---

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
      load(); // another tab has begun a conversation
      post({ chat: "wake" });
    }
  });

  // --- what happens ---

  /** @param {boolean} open */
  function setOpen(open) {
    isOpen = open;
    store("sessionStorage", open ? "open" : null);
    show();
    post({ chat: open ? "open" : "close" });
    emit(open ? "open" : "close", undefined);
  }

  /** @param {boolean} [forgotten] a guest is to be forgotten, too */
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
      queueMicrotask(() => listener(detail)); // the page's mistakes are its own
    }
  }

  /** @param {string} why */
  function logInfo(why) {
    console.info(`TornadoChat: ${why}`);
  }

  // --- what the page can ask for ---

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

    /** @param {Token | null} next null: nobody is signed in */
    setToken(next) {
      token = next || undefined;
      onIdentityChange();
    },

    /** Nobody is signed in any more, and a guest is forgotten. */
    signOut() {
      store("localStorage", "forget"); // until the frame has done so: the page may be gone before
      load();
      forget();
    },

    /**
     * Returns what takes the listener away again.
     *
     * @param {"open" | "close" | "unread" | "conversation"} name
     * @param {(detail: any) => void} listener
     */
    on(name, listener) {
      (listeners[name] ??= new Set()).add(listener);
      return () => listeners[name].delete(listener);
    },

    /** For what was queued before the script was there. @param {(chat: object) => void} act */
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
    addEventListener("DOMContentLoaded", start); // it came faster than the page
  }
})();
