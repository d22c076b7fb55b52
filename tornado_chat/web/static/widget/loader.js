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
  const early = global.TornadoChat;
  if (!(script instanceof HTMLScriptElement) || (early && !Array.isArray(early))) {
    return; // it is there already
  }

  const { origin } = new URL(script.src);
  const guests = /on/.test("{{guests}}");
  const hosts = "{{origins}}".split(" ");
  const here = location.origin; // "null" of a file, which nothing can be told to
  const allowed = here === origin || hosts.includes(here) || (hosts.includes("*") && here !== "null");

  const KEY = "tornado-chat"; // in both storages of the page: how many are unread, and whether it is open
  const FRAME_TIMEOUT_MS = 8000; // milliseconds that a frame may take to say something once it is loaded
  const { token: given, language: wished, position, color, title, greeting, launcher } = script.dataset;
  /** @type {any} */
  const language =
    [wished, document.documentElement.lang, ...navigator.languages]
      .map((each) => /^(zh|en)\b/i.exec(each ?? "")?.[1].toLowerCase())
      .find(Boolean) ?? "en";
  const look = new Launcher(
    { language, color: color ?? "", left: position === "left", own: launcher === "off" },
    { press: () => (isOpen ? api.close() : api.open()), close: () => api.close(), near: () => load() },
  );

  /** @type {Token | undefined} */
  let token = given;
  /** @type {HTMLIFrameElement | undefined} */
  let frame;
  let ready = false;
  let isOpen = false;
  let going = false;
  let unread = Number(kept()) || 0;
  let explained = false;
  /** Where the focus was when the reader opened it. @type {HTMLElement | null} */
  let focused = null;
  /** @type {Record<string, Set<(detail: any) => void>>} */
  const listeners = {};

  function usable() {
    return allowed && (guests || Boolean(token));
  }

  function show() {
    look.show(usable(), isOpen, unread);
  }

  // --- the frame ---

  function load() {
    if (frame || !usable()) {
      return;
    }
    const name = title || look.texts.title;
    const settings = { origin: here, language, title: name, greeting: greeting ?? "", color: color ?? "" };
    const made = (frame = element("iframe", ""));
    made.src = `${origin}/widget#${new URLSearchParams(settings)}`;
    made.title = name;
    made.lang = language;
    made.allow = "";
    if (here !== origin) {
      // Its own origin: for the socket, and to remember guests. Forms: to send. Popups: links.
      const sandbox =
        "allow-scripts allow-same-origin allow-forms allow-popups allow-popups-to-escape-sandbox";
      made.setAttribute("sandbox", sandbox);
    }
    made.addEventListener("load", () =>
      setTimeout(() => frame === made && !ready && giveUp(), FRAME_TIMEOUT_MS),
    );
    look.away.hidden = true;
    look.panel.append(made);
  }

  /** The server is out of reach, or its policy keeps the frame from this page. */
  function giveUp() {
    frame?.remove();
    frame = undefined;
    look.away.hidden = false;
    explain(`no answer from ${origin}; is it running, and does frame-src allow it?`);
  }

  /** @param {object} message */
  function tell(message) {
    if (ready) {
      frame?.contentWindow?.postMessage(message, origin);
    }
  }

  addEventListener("message", ({ data, origin: from, source }) => {
    if (from !== origin || !source || source !== frame?.contentWindow) {
      return;
    }
    if (data.chat === "ready") {
      ready = true;
      greet();
    } else if (data.chat === "token") {
      void giveToken(data.number);
    } else if (data.chat === "state") {
      take(data.going === true, Number(data.unread) || 0);
    } else if (data.chat === "forgotten") {
      keep("localStorage", null);
    } else if (data.chat === "close") {
      api.close();
    }
  });

  function greet() {
    const before = kept();
    tell({
      chat: "hello",
      signedIn: Boolean(token),
      guests,
      open: isOpen,
      focus: isOpen && focused !== null,
      active: isOpen || before !== null,
      forget: before === "forget",
    });
    if (isOpen && focused) {
      frame?.focus();
    }
  }

  /** The frame asks; each question has a number. @param {number} number */
  async function giveToken(number) {
    try {
      const found = typeof token === "function" ? await token() : token;
      tell({ chat: "token", number, token: found || null });
    } catch {
      tell({ chat: "token", number, failed: true });
    }
  }

  /**
   * @param {boolean} nowGoing
   * @param {number} nowUnread
   */
  function take(nowGoing, nowUnread) {
    const [wasGoing, before] = [going, unread];
    [going, unread] = [nowGoing, nowUnread];
    if (kept() !== "forget") {
      keep("localStorage", going || unread ? `${unread}` : null);
    }
    show();
    if (unread !== before) {
      emit("unread", unread);
    }
    if (going !== wasGoing) {
      emit("conversation", going);
    }
  }

  // --- what the page's storages know; either may be forbidden: then a page knows nothing of the one before ---

  /** @param {"localStorage" | "sessionStorage"} where */
  function kept(where = "localStorage") {
    return attempt(() => window[where].getItem(KEY));
  }

  /**
   * @param {"localStorage" | "sessionStorage"} where
   * @param {string | null} value
   */
  function keep(where, value) {
    attempt(() => (value === null ? window[where].removeItem(KEY) : window[where].setItem(KEY, value)));
  }

  /**
   * @template T
   * @param {() => T} act
   */
  function attempt(act) {
    try {
      return act();
    } catch {
      return null;
    }
  }

  addEventListener("storage", ({ key, newValue }) => {
    if (key === KEY && newValue === "forget") {
      forget(); // signed out in another tab
    } else if (key === KEY && newValue && !going) {
      load(); // another tab has begun a conversation
      tell({ chat: "wake" });
    }
  });

  // --- what happens ---

  /** @param {boolean} open */
  function turn(open) {
    isOpen = open;
    keep("sessionStorage", open ? "open" : null);
    show();
    tell({ chat: open ? "open" : "close" });
    emit(open ? "open" : "close", undefined);
  }

  /** @param {boolean} [forgotten] a guest is to be forgotten, too */
  function signedInAnew(forgotten = false) {
    if (!usable()) {
      api.close();
    }
    tell({ chat: "identity", signedIn: Boolean(token), forget: forgotten });
    show();
    if (!usable() && !explained) {
      explained = true;
      explain(
        allowed
          ? "no chat without a token (data-token, setToken()) while [auth] guests is off"
          : `${here} is not in [web] origins of ${origin}`,
      );
    }
  }

  function forget() {
    token = undefined;
    take(false, 0);
    signedInAnew(true);
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
  function explain(why) {
    console.info(`TornadoChat: ${why}`);
  }

  // --- what the page can ask for ---

  const api = Object.freeze({
    open() {
      load();
      if (frame && !isOpen) {
        const active = document.activeElement;
        focused = active instanceof HTMLElement ? active : look.button;
        turn(true);
        frame.focus();
      }
    },

    close() {
      if (isOpen) {
        const inside = look.root.activeElement !== null;
        turn(false);
        if (inside) {
          (look.button.hidden ? focused : look.button)?.focus();
        }
      }
    },

    /** @param {Token | null} next null: nobody is signed in */
    setToken(next) {
      token = next || undefined;
      signedInAnew();
    },

    /** Nobody is signed in any more, and a guest is forgotten. */
    signOut() {
      keep("localStorage", "forget"); // until the frame has done so: the page may be gone before
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

  function begin() {
    look.add();
    if (before !== null || wasOpen) {
      load();
      if (frame && wasOpen && !isOpen) {
        turn(true);
      }
    }
  }

  const before = kept();
  const wasOpen = kept("sessionStorage");
  global.TornadoChat = api;
  (early ?? []).forEach(api.push);
  signedInAnew();
  if (document.body) {
    begin();
  } else {
    addEventListener("DOMContentLoaded", begin); // it came faster than the page
  }
})();
