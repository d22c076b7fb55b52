// Tests after which close codes the socket is reopened, when, and with which token.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { FakeSocket, install } from "./browser.js";

const { Connection } = await import("../../tornado_chat/web/static/shared/connection.js");

let dispatch;
let statuses;
let token;
let probes;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  dispatch = install();
  statuses = [];
  token = "one";
  probes = 0;
});

async function connected(more = {}) {
  const connection = new Connection(async () => token, {
    path: (token) => `/socket?${token}`,
    onFrame: (frame) => frame === "welcome" && connection.markAccepted(),
    onStatus: (status) => statuses.push(status),
    sendProbe: () => (probes += 1),
    ...more,
  });
  connection.start();
  await settled();
  return connection;
}

async function accepted(more) {
  const connection = await connected(more);
  FakeSocket.last.acceptUpgrade();
  FakeSocket.last.receiveFrame("welcome");
  return connection;
}

/** Wait until pending token requests have finished. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function later(milliseconds) {
  mock.timers.tick(milliseconds);
  await settled();
}

const states = () => statuses.map((status) => status.state);

test("no frame is sent before the server has accepted the client", async () => {
  const connection = await connected();
  FakeSocket.last.acceptUpgrade();
  assert.equal(connection.send({ hello: 1 }), false);
  FakeSocket.last.receiveFrame("welcome");
  assert.equal(connection.send({ hello: 2 }), true);
  assert.deepEqual(FakeSocket.last.sent, [{ hello: 2 }]);
  assert.match(FakeSocket.last.url, /\/socket\?one$/);
  assert.deepEqual(states(), ["connecting", "open"]);
});

test("failed attempts do not change when the server was heard last", async () => {
  const connection = await connected();
  assert.equal(connection.heardMs, undefined);
  FakeSocket.last.acceptUpgrade();
  await later(100);
  FakeSocket.last.receiveFrame("welcome");
  assert.equal(connection.heardMs, 100);
  await later(1_000);
  FakeSocket.last.receiveFrame("a frame");
  await later(1_000);
  FakeSocket.last.serverClose(1006);
  await later(500);
  FakeSocket.last.serverClose(1006);
  await later(5_000);
  assert.equal(connection.heardMs, 1_100);
});

for (const code of [1001, 1006, 1011, 1012, 4408]) {
  test(`after ${code} the socket is reopened`, async () => {
    await accepted();
    FakeSocket.last.serverClose(code);
    assert.equal(statuses.at(-1).state, "waiting");
    assert.ok(statuses.at(-1).retryAtMs <= Date.now() + 500);
    await later(500);
    assert.equal(FakeSocket.all.length, 2);
    assert.equal(statuses.at(-1).wasOpen, true);
  });
}

for (const code of [1000, 4000, 4400, 4403, 4404, 4409]) {
  test(`${code} closes the connection for good`, async () => {
    await accepted();
    FakeSocket.last.serverClose(code, "because");
    await later(60_000);
    assert.equal(FakeSocket.all.length, 1);
    assert.deepEqual(statuses.at(-1), { state: "closed", wasOpen: true, code, reason: "because" });
  });
}

for (const [code, minDelayMs] of [
  [1013, 5_000],
  [4429, 10_000],
]) {
  test(`after ${code} the first retry is delayed`, async () => {
    await accepted();
    FakeSocket.last.serverClose(code);
    await later(minDelayMs - 1);
    assert.equal(FakeSocket.all.length, 1);
    await later(501);
    assert.equal(FakeSocket.all.length, 2);
  });
}

test("the retry delay grows to twenty seconds", async () => {
  await connected();
  const delays = [];
  for (let attempt = 0; attempt < 12; attempt += 1) {
    FakeSocket.last.serverClose(1006);
    delays.push(statuses.at(-1).retryAtMs - Date.now());
    await later(20_000);
  }
  assert.ok(delays[0] <= 500);
  delays.forEach((delay, n) => assert.ok(delay >= Math.min(20_000, 500 * 2 ** n) / 2 && delay <= 20_000));
});

test("a refused token is replaced by another one", async () => {
  await connected();
  token = "two";
  FakeSocket.last.serverClose(4401, "expired");
  await settled();
  await later(500);
  assert.match(FakeSocket.last.url, /\/socket\?two$/);
  assert.ok(!states().includes("closed"));
});

test("without another token the connection is closed for good", async () => {
  await connected();
  FakeSocket.last.serverClose(4401, "expired");
  await settled();
  assert.deepEqual(statuses.at(-1), { state: "closed", wasOpen: false, code: 4401, reason: "expired" });
});

test("without a token at the moment the connection is retried", async () => {
  let ready = false;
  const connection = new Connection(async () => (ready ? "one" : Promise.reject(new Error("away"))), {
    path: (token) => `/${token}`,
    onFrame: () => {},
    onStatus: (status) => statuses.push(status),
  });
  connection.start();
  await settled();
  assert.equal(statuses.at(-1).state, "waiting");
  ready = true;
  await later(500);
  assert.equal(FakeSocket.all.length, 1);
});

test("without a network there is no attempt; with it, there is one at once", async () => {
  await accepted();
  navigator.onLine = false;
  dispatch("offline");
  assert.deepEqual(statuses.at(-1), { state: "waiting", wasOpen: true });
  await later(60_000);
  assert.equal(FakeSocket.all.length, 1);
  navigator.onLine = true;
  dispatch("online");
  await settled();
  assert.equal(FakeSocket.all.length, 2);
});

test("a silent server gets a probe, and the socket is dropped without an answer", async () => {
  await accepted();
  await later(41_000);
  assert.ok(probes > 0);
  assert.equal(statuses.at(-1).state, "open");
  await later(12_000);
  assert.equal(statuses.at(-1).state, "waiting");
});

test("a silent server is noticed also after the clock was set back", async (context) => {
  await accepted();
  const { now } = Date;
  context.mock.method(Date, "now", () => now() - 3_600_000);
  await later(1_000);
  await later(41_000);
  assert.ok(probes > 0);
  await later(12_000);
  assert.equal(statuses.at(-1).state, "waiting");
});

test("the socket is dropped if a frame stays unanswered", async () => {
  const sent = Date.now();
  await accepted({ oldestPendingMs: () => sent });
  await later(16_000);
  assert.equal(statuses.at(-1).state, "waiting");
});

test("events of an earlier socket are ignored", async () => {
  const connection = await accepted();
  const first = FakeSocket.last;
  connection.drop();
  await later(500);
  const count = statuses.length;
  first.serverClose(4404);
  assert.equal(statuses.length, count);
});

test("a stopped connection makes no attempt", async () => {
  const connection = await accepted();
  connection.stop();
  await later(60_000);
  dispatch("online");
  await settled();
  assert.equal(FakeSocket.all.length, 1);
  assert.ok(FakeSocket.last.closing);
});

// --- a newer token for the open socket ---

const expiringIn = (seconds, name = "") =>
  `head.${btoa(JSON.stringify({ exp: Date.now() / 1000 + seconds, name }))}.signature`;

/** Let time pass on a socket that receives frames. @param {number} seconds */
async function busy(seconds) {
  for (let second = 0; second < seconds; second += 1) {
    FakeSocket.last.receiveFrame("news");
    await later(1_000);
  }
}

test("a newer token is sent on the open socket before the old one expires", async () => {
  const sent = [];
  const asked = [];
  token = expiringIn(900);
  const connection = new Connection(
    async (refused, isRenewal) => {
      asked.push(isRenewal === true);
      return token;
    },
    {
      path: (token) => `/socket?${token}`,
      onFrame: (frame) => frame === "welcome" && connection.markAccepted(),
      onStatus: (status) => statuses.push(status),
      sendToken: (token) => sent.push(token),
    },
  );
  connection.start();
  await settled();
  FakeSocket.last.acceptUpgrade();
  FakeSocket.last.receiveFrame("welcome");
  await busy(844);
  assert.deepEqual(asked, [false]);
  await busy(2);
  assert.deepEqual([asked, sent], [[false, true], []]); // the source has no other token yet
  token = expiringIn(900, "newer");
  await busy(20);
  assert.deepEqual(sent, [token]);
  await busy(60);
  assert.equal(asked.length, 3);
  assert.equal(FakeSocket.all.length, 1);
});

test("a token source that fails leaves the open socket", async () => {
  token = expiringIn(30);
  const sent = [];
  let failing = false;
  const connection = new Connection(async () => (failing ? Promise.reject(new Error("away")) : token), {
    path: (token) => `/socket?${token}`,
    onFrame: (frame) => frame === "welcome" && connection.markAccepted(),
    onStatus: (status) => statuses.push(status),
    sendToken: (token) => sent.push(token),
  });
  connection.start();
  await settled();
  FakeSocket.last.acceptUpgrade();
  FakeSocket.last.receiveFrame("welcome");
  failing = true;
  await busy(120);
  assert.deepEqual([connection.open, sent], [true, []]);
});

test("a dialect without newer tokens asks for none", async () => {
  token = expiringIn(900);
  await accepted();
  await busy(1_000);
  assert.equal(statuses.at(-1).state, "open");
});
