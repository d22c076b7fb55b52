// As much of a browser as the pages' modules need when they are tried without one.

/** A `sessionStorage` that a "reload" does not empty. */
export class Storage {
  #items = new Map();

  getItem(key) {
    return this.#items.get(key) ?? null;
  }

  setItem(key, value) {
    this.#items.set(key, String(value));
  }

  removeItem(key) {
    this.#items.delete(key);
  }
}

/** A WebSocket whose other end the test plays. */
export class FakeSocket {
  static OPEN = 1;
  static all = [];

  constructor(url) {
    this.url = url;
    this.readyState = 0;
    this.sent = [];
    FakeSocket.all.push(this);
  }

  static get last() {
    return FakeSocket.all.at(-1);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code = 1005, reason = "") {
    this.closing = { code, reason };
    this.readyState = 2;
  }

  /** The server's turn. */
  opens() {
    this.readyState = 1;
    this.onopen?.({});
  }

  says(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  closes(code, reason = "", wasClean = true) {
    this.readyState = 3;
    this.onclose?.({ code, reason, wasClean });
  }
}

/** Puts the globals in place; returns a function that tells an event to who listens. */
export function install() {
  const listeners = new EventTarget();
  FakeSocket.all = [];
  Object.defineProperty(globalThis, "navigator", {
    value: { languages: ["en-GB"], onLine: true },
    configurable: true,
    writable: true,
  });
  Object.assign(globalThis, {
    sessionStorage: new Storage(),
    location: { origin: "http://chat.test", pathname: "/test", hash: "" },
    WebSocket: FakeSocket,
    addEventListener: listeners.addEventListener.bind(listeners),
    document: Object.assign(new EventTarget(), { hidden: false }),
  });
  return (name) => listeners.dispatchEvent(new Event(name));
}
