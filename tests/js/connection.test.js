// Tests after which close codes the socket is reopened, when, and with which token.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { FakeSocket, install } from "./browser.js";

const { Connection } = await import("../../tornado_chat/web/static/shared/connection.js");

let tell;
let told;
let token;
let alive;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  tell = install();
  told = [];
  token = "one";
  alive = 0;
});

async function connected(more = {}) {
  const connection = new Connection(async () => token, {
    path: (token) => `/socket?${token}`,
    onFrame: (frame) => frame === "welcome" && connection.markAccepted(),
    onStatus: (standing) => told.push(standing),
    sendProbe: () => (alive += 1),
    ...more,
  });
  connection.start();
  await settled();
  return connection;
}

async function admitted(more) {
  const connection = await connected(more);
  FakeSocket.last.opens();
  FakeSocket.last.says("welcome");
  return connection;
}

/** Wait until pending token requests have finished. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function later(milliseconds) {
  mock.timers.tick(milliseconds);
  await settled();
}

const states = () => told.map((standing) => standing.state);

test("nothing goes out before somebody is let in", async () => {
  const connection = await connected();
  FakeSocket.last.opens();
  assert.equal(connection.send({ hello: 1 }), false);
  FakeSocket.last.says("welcome");
  assert.equal(connection.send({ hello: 2 }), true);
  assert.deepEqual(FakeSocket.last.sent, [{ hello: 2 }]);
  assert.equal(FakeSocket.last.url, "ws://chat.test/socket?one");
  assert.deepEqual(states(), ["connecting", "open"]);
});

for (const code of [1001, 1006, 1011, 1012, 4408]) {
  test(`after ${code} another socket is opened`, async () => {
    await admitted();
    FakeSocket.last.closes(code);
    assert.equal(told.at(-1).state, "waiting");
    assert.ok(told.at(-1).retryAtMs <= Date.now() + 500);
    await later(500);
    assert.equal(FakeSocket.all.length, 2);
    assert.equal(told.at(-1).wasOpen, true);
  });
}

for (const code of [1000, 4000, 4400, 4403, 4404, 4409]) {
  test(`${code} is the end`, async () => {
    await admitted();
    FakeSocket.last.closes(code, "because");
    await later(60_000);
    assert.equal(FakeSocket.all.length, 1);
    assert.deepEqual(told.at(-1), { state: "closed", wasOpen: true, code, reason: "because" });
  });
}

for (const [code, least] of [
  [1013, 5_000],
  [4429, 10_000],
]) {
  test(`after ${code} the server is left alone for a while`, async () => {
    await admitted();
    FakeSocket.last.closes(code);
    await later(least - 1);
    assert.equal(FakeSocket.all.length, 1);
    await later(501);
    assert.equal(FakeSocket.all.length, 2);
  });
}

test("attempts become rarer, up to one in twenty seconds", async () => {
  await connected();
  const delays = [];
  for (let attempt = 0; attempt < 12; attempt += 1) {
    FakeSocket.last.closes(1006);
    delays.push(told.at(-1).retryAtMs - Date.now());
    await later(20_000);
  }
  assert.ok(delays[0] <= 500);
  delays.forEach((delay, n) => assert.ok(delay >= Math.min(20_000, 500 * 2 ** n) / 2 && delay <= 20_000));
});

test("a token that was refused is replaced, if there is another", async () => {
  await connected();
  token = "two";
  FakeSocket.last.closes(4401, "expired");
  await settled();
  await later(500);
  assert.equal(FakeSocket.last.url, "ws://chat.test/socket?two");
  assert.ok(!states().includes("closed"));
});

test("without another token it is the end", async () => {
  await connected();
  FakeSocket.last.closes(4401, "expired");
  await settled();
  assert.deepEqual(told.at(-1), { state: "closed", wasOpen: false, code: 4401, reason: "expired" });
});

test("no token to be had is like no network", async () => {
  let ready = false;
  const connection = new Connection(async () => (ready ? "one" : Promise.reject(new Error("away"))), {
    path: (token) => `/${token}`,
    onFrame: () => {},
    onStatus: (standing) => told.push(standing),
  });
  connection.start();
  await settled();
  assert.equal(told.at(-1).state, "waiting");
  ready = true;
  await later(500);
  assert.equal(FakeSocket.all.length, 1);
});

test("without a network nothing is tried; with it, at once", async () => {
  await admitted();
  navigator.onLine = false;
  tell("offline");
  assert.deepEqual(told.at(-1), { state: "waiting", wasOpen: true });
  await later(60_000);
  assert.equal(FakeSocket.all.length, 1);
  navigator.onLine = true;
  tell("online");
  await settled();
  assert.equal(FakeSocket.all.length, 2);
});

test("a silent server is asked for a sign of life, and given up without one", async () => {
  await admitted();
  await later(41_000);
  assert.ok(alive > 0);
  assert.equal(told.at(-1).state, "open");
  await later(12_000);
  assert.equal(told.at(-1).state, "waiting");
});

test("a frame without an answer is a reason to try another socket", async () => {
  const sent = Date.now();
  await admitted({ oldestPendingMs: () => sent });
  await later(16_000);
  assert.equal(told.at(-1).state, "waiting");
});

test("what an earlier socket still brings is not listened to", async () => {
  const connection = await admitted();
  const first = FakeSocket.last;
  connection.drop();
  await later(500);
  const before = told.length;
  first.closes(4404);
  assert.equal(told.length, before);
});

test("stopped means stopped", async () => {
  const connection = await admitted();
  connection.stop();
  await later(60_000);
  tell("online");
  await settled();
  assert.equal(FakeSocket.all.length, 1);
  assert.ok(FakeSocket.last.closing);
});
