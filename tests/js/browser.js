// The browser globals that the pages' modules need in tests without a browser.

/** A `sessionStorage` that survives a simulated reload. */
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

/** A WebSocket whose server side is played by the test. */
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

  /** The server opens the socket. */
  acceptUpgrade() {
    this.readyState = 1;
    this.onopen?.({});
  }

  receiveFrame(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  serverClose(code, reason = "", wasClean = true) {
    this.readyState = 3;
    this.onclose?.({ code, reason, wasClean });
  }
}

/** Install the globals. Return a function that dispatches an event to the window's listeners. */
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
