// Tests of the receive-only sockets: when the client is accepted, and which events are reported.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { FakeSocket, install } from "./browser.js";

install();
const { NotifySocket, ObserveSocket } =
  await import("../../tornado_chat/web/static/shared/receive_only_sockets.js");

let events;
let statuses;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  install();
  events = [];
  statuses = [];
});

const settled = () => new Promise((resolve) => setImmediate(resolve));

async function later(milliseconds) {
  mock.timers.tick(milliseconds);
  await settled();
}

async function notify() {
  const socket = new NotifySocket(async () => "me", {
    onStatus: (status) => statuses.push(status),
    onAccepted: () => events.push("accepted"),
    onNotification: (frame) => events.push(frame.msg),
  });
  socket.start();
  await settled();
  return socket;
}

async function observe() {
  const socket = new ObserveSocket(
    async () => "me",
    { sessionId: "12" },
    {
      onStatus: (status) => statuses.push(status),
      onMessage: (line) => events.push(`${line.seq} ${line.msg}`),
      onPresence: (present) => events.push(present),
      onEnd: (time) => events.push(`ended ${time}`),
      onPart: (part) => events.push(`part ${part}`),
      onStored: (id) => events.push(`stored ${id}`),
      onRefused: (words, id) => events.push(`refused ${id}: ${words}`),
    },
  );
  socket.start();
  await settled();
  return socket;
}

const states = () => statuses.map((status) => status.state);

test("the answer to the first probe accepts the client", async () => {
  await notify();
  assert.match(FakeSocket.last.url, /\/notify\?token=me&features=seq%2Calive%2Ctoken&language=en$/);
  FakeSocket.last.acceptUpgrade();
  assert.deepEqual(FakeSocket.last.sent, [{ alive: true }]);
  assert.deepEqual(states(), ["connecting"]);
  FakeSocket.last.receiveFrame({ alive: true });
  assert.deepEqual(states(), ["connecting", "open"]);
  assert.deepEqual(events, ["accepted"]);
});

test("a missed notification accepts the client, too, and only once", async () => {
  await notify();
  FakeSocket.last.acceptUpgrade();
  FakeSocket.last.receiveFrame({ id: 4, seq: 1, type: 0, msg: "one", time: "", data: null });
  FakeSocket.last.receiveFrame({ alive: true });
  FakeSocket.last.receiveFrame({ id: 5, seq: 2, type: 0, msg: "two", time: "", data: null });
  assert.deepEqual(events, ["accepted", "one", "two"]);
  assert.deepEqual(states(), ["connecting", "open"]);
});

for (const code of [1013, 4429]) {
  test(`a close with ${code} right after the upgrade is not an open connection, and the retry delay grows`, async () => {
    await notify();
    const delays = [];
    for (let attempt = 0; attempt < 6; attempt += 1) {
      FakeSocket.last.acceptUpgrade();
      FakeSocket.last.serverClose(code);
      delays.push(statuses.at(-1).retryAtMs - Date.now());
      await later(60_000);
    }
    assert.ok(!states().includes("open"));
    assert.ok(statuses.every((status) => status.wasOpen === false));
    assert.ok(delays.at(-1) > delays[0] + 2_000, String(delays));
  });
}

test("a refused client gets the close code without an open connection", async () => {
  await observe();
  FakeSocket.last.acceptUpgrade();
  FakeSocket.last.serverClose(4403, "not yours");
  assert.deepEqual(states(), ["connecting", "closed"]);
  assert.equal(statuses.at(-1).code, 4403);
});

test("a silent server gets a probe, whose answer is not an event", async () => {
  await notify();
  FakeSocket.last.acceptUpgrade();
  FakeSocket.last.receiveFrame({ alive: true });
  for (let second = 0; second < 41; second += 1) {
    await later(1_000);
  }
  assert.deepEqual(FakeSocket.last.sent, [{ alive: true }, { alive: true }]);
  FakeSocket.last.receiveFrame({ alive: true });
  await later(20_000);
  assert.equal(states().at(-1), "open");
  assert.deepEqual(events, ["accepted"]);
});

test("an observer gets messages, presence and the end", async () => {
  await observe();
  assert.match(FakeSocket.last.url, /\/observe\?token=me&sessionId=12&features=/);
  FakeSocket.last.acceptUpgrade();
  FakeSocket.last.receiveFrame({ presence: { user: true, consultant: false } });
  FakeSocket.last.receiveFrame({ msg: "hello", senderType: false, time: "t1", id: "s12-3", seq: 3 });
  FakeSocket.last.receiveFrame({ part: "supervisor" });
  FakeSocket.last.receiveFrame({ ack: "a1", seq: 4, time: "t2" });
  FakeSocket.last.receiveFrame({ isSystem: true, msg: "Error: no", time: "t2", id: "a2" });
  FakeSocket.last.receiveFrame({ msg: "over", senderType: null, time: "t3" });
  FakeSocket.last.serverClose(1000);
  assert.deepEqual(events, [
    { user: true, consultant: false },
    "3 hello",
    "part supervisor",
    "stored a1",
    "refused a2: Error: no",
    "ended t3",
  ]);
  assert.deepEqual(states(), ["connecting", "open", "closed"]);
});
