// Tests of the receive-only sockets: when the client is accepted, and which events are reported.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { FakeSocket, install } from "./browser.js";

const { NotifySocket, ObserveSocket } =
  await import("../../tornado_chat/web/static/shared/receive_only_sockets.js");

let told;
let standings;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  install();
  told = [];
  standings = [];
});

const settled = () => new Promise((resolve) => setImmediate(resolve));

async function later(milliseconds) {
  mock.timers.tick(milliseconds);
  await settled();
}

async function notify() {
  const socket = new NotifySocket(async () => "me", {
    onStatus: (standing) => standings.push(standing),
    onAccepted: () => told.push("admitted"),
    onNotification: (frame) => told.push(frame.msg),
  });
  socket.start();
  await settled();
  return socket;
}

async function observe() {
  const socket = new ObserveSocket(async () => "me", 12, {
    onStatus: (standing) => standings.push(standing),
    onMessage: (line) => told.push(`${line.seq} ${line.msg}`),
    onPresence: (present) => told.push(present),
    onEnd: (time) => told.push(`ended ${time}`),
  });
  socket.start();
  await settled();
  return socket;
}

const states = () => standings.map((standing) => standing.state);

test("it is let in by the answer to its first sign of life", async () => {
  await notify();
  assert.equal(FakeSocket.last.url, "ws://chat.test/notify?token=me&features=seq%2Calive");
  FakeSocket.last.opens();
  assert.deepEqual(FakeSocket.last.sent, [{ alive: true }]);
  assert.deepEqual(states(), ["connecting"]);
  FakeSocket.last.says({ alive: true });
  assert.deepEqual(states(), ["connecting", "open"]);
  assert.deepEqual(told, ["admitted"]);
});

test("what was missed lets it in, too, and once", async () => {
  await notify();
  FakeSocket.last.opens();
  FakeSocket.last.says({ id: 4, seq: 1, type: 0, msg: "one", time: "", data: null });
  FakeSocket.last.says({ alive: true });
  FakeSocket.last.says({ id: 5, seq: 2, type: 0, msg: "two", time: "", data: null });
  assert.deepEqual(told, ["admitted", "one", "two"]);
  assert.deepEqual(states(), ["connecting", "open"]);
});

for (const code of [1013, 4429]) {
  test(`a close with ${code} right after the upgrade is no connection, and attempts become rarer`, async () => {
    await notify();
    const delays = [];
    for (let attempt = 0; attempt < 6; attempt += 1) {
      FakeSocket.last.opens();
      FakeSocket.last.closes(code);
      delays.push(standings.at(-1).retryAtMs - Date.now());
      await later(60_000);
    }
    assert.ok(!states().includes("open"));
    assert.ok(standings.every((standing) => standing.wasOpen === false));
    assert.ok(delays.at(-1) > delays[0] + 2_000, String(delays));
  });
}

test("whoever may not listen learns it without having been connected", async () => {
  await observe();
  FakeSocket.last.opens();
  FakeSocket.last.closes(4403, "not yours");
  assert.deepEqual(states(), ["connecting", "closed"]);
  assert.equal(standings.at(-1).code, 4403);
});

test("a silent server is asked for a sign of life, which is no news", async () => {
  await notify();
  FakeSocket.last.opens();
  FakeSocket.last.says({ alive: true });
  for (let second = 0; second < 41; second += 1) {
    await later(1_000);
  }
  assert.deepEqual(FakeSocket.last.sent, [{ alive: true }, { alive: true }]);
  FakeSocket.last.says({ alive: true });
  await later(20_000);
  assert.equal(states().at(-1), "open");
  assert.deepEqual(told, ["admitted"]);
});

test("an observer hears lines, who is there, and the end", async () => {
  await observe();
  assert.match(FakeSocket.last.url, /^ws:\/\/chat\.test\/observe\?token=me&sessionId=12&features=/);
  FakeSocket.last.opens();
  FakeSocket.last.says({ presence: { user: true, consultant: false } });
  FakeSocket.last.says({ msg: "hello", senderType: false, time: "t1", id: "s12-3", seq: 3 });
  FakeSocket.last.says({ isSystem: true, msg: "Error: no", time: "t2" });
  FakeSocket.last.says({ msg: "over", senderType: null, time: "t3" });
  FakeSocket.last.closes(1000);
  assert.deepEqual(told, [{ user: true, consultant: false }, "3 hello", "ended t3"]);
  assert.deepEqual(states(), ["connecting", "open", "closed"]);
});
