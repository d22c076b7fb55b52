// Tests of the groups of agents: which one a visitor joins, titles, positions, and whose message it is.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import fc from "fast-check";
import { FakeSocket, install } from "./browser.js";

install();
const { GroupTitles, fetchGroups, groupList, positionsInGroups } =
  await import("../../tornado_chat/web/static/shared/groups.js");
const { decideGroup, GroupStep } = await import("../../tornado_chat/web/static/widget/group_step.js");
await import("../../tornado_chat/web/static/widget/strings.js");
const { Outbox } = await import("../../tornado_chat/web/static/shared/outbox.js");
const { UserSupportSocket } = await import("../../tornado_chat/web/static/shared/support_user.js");
const { WaiterSupportSocket } = await import("../../tornado_chat/web/static/shared/support_waiter.js");

const settled = () => new Promise((resolve) => setImmediate(resolve));
const token = async () => "t";
const group = (name, title = name) => ({ name, title, text: "", open: true });
const GENERAL = group("default", "Questions");
const CRISIS = group("crisis", "In a crisis");

/** The addresses of the requests, and the groups or the failure of each answer. */
let requested = [];
let answers = [];

beforeEach(() => {
  install();
  requested = [];
  answers = [];
  globalThis.fetch = async (address) => {
    requested.push(String(address));
    const items = answers.length > 1 ? answers.shift() : answers[0];
    if (items instanceof Error) {
      throw items;
    }
    return { ok: true, status: 200, text: async () => JSON.stringify({ items, next: null }) };
  };
});

// --- rules ---

test("a visitor chooses among several groups, and joins a single one", () => {
  assert.deepEqual(decideGroup([], null), { act: "join", group: "" });
  assert.deepEqual(decideGroup([GENERAL], null), { act: "join", group: "" });
  assert.deepEqual(decideGroup([GENERAL, CRISIS], null), { act: "choose", gone: false });
});

test("a refused group leads to the choice only if it is gone", () => {
  assert.deepEqual(decideGroup([GENERAL, CRISIS], "school"), { act: "choose", gone: true });
  assert.deepEqual(decideGroup([GENERAL], "school"), { act: "join", group: "" });
  assert.deepEqual(decideGroup([GENERAL, CRISIS], "crisis"), { act: "fail" });
  assert.deepEqual(decideGroup([GENERAL, CRISIS], ""), { act: "fail" });
});

test("positions count from one, without gaps, in each group", () => {
  const users = fc.array(fc.record({ group: fc.constantFrom("default", "crisis", undefined) }));
  fc.assert(
    fc.property(users, (queue) => {
      const positions = positionsInGroups(queue);
      for (const name of ["default", "crisis", undefined]) {
        const own = positions.filter((_, index) => queue[index].group === name);
        assert.deepEqual(
          own,
          own.map((_, index) => index + 1),
        );
      }
    }),
  );
});

test("without groups the positions are those of the queue", () => {
  assert.deepEqual(positionsInGroups([{}, {}, {}]), [1, 2, 3]);
});

// --- titles ---

test("titles are in the language of the page, and the default group always has one", async () => {
  answers = [[group("default"), CRISIS]];
  const [first, second] = await fetchGroups(token);
  assert.equal(new URL(requested[0]).search, "?language=en");
  assert.equal(first.title, "General");
  assert.equal(second.title, "In a crisis");
});

test("titles are requested once, again for another group, and again after a failure", async () => {
  answers = [new Error("offline"), [GENERAL, CRISIS]];
  let changes = 0;
  const titles = new GroupTitles(token, () => (changes += 1));
  titles.request(["default"]);
  await settled();
  assert.equal(titles.of("default"), "");
  titles.request(["default"]);
  titles.request(["default"]);
  await settled();
  assert.deepEqual([requested.length, changes], [2, 1]);
  assert.equal(titles.of("crisis"), "In a crisis");
  assert.equal(groupList(["crisis", "gone", "default"], titles), "In a crisis and Questions");
  titles.request(["default", "gone"]);
  titles.request(["gone"]);
  await settled();
  assert.equal(requested.length, 3);
});

test("a single group has no title on the pages", async () => {
  answers = [[GENERAL]];
  const titles = new GroupTitles(token, () => {});
  titles.request(["default"]);
  await settled();
  assert.equal(titles.of("default"), "");
  assert.equal(groupList(["default"], titles), "");
});

// --- the step ---

/** A step whose calls are noted. */
function step(wanted, areSeveral = true) {
  const calls = [];
  const note =
    (name) =>
    (...values) =>
      calls.push([name, ...values]);
  const panel = {
    showStarting: () => {},
    showGroups: (groups, problem, actions) => {
      calls.push(["choose", groups.map(({ name }) => name), problem]);
      panel.actions = actions;
    },
  };
  const acts = { join: note("join"), fail: note("fail"), reportUnknown: note("unknown") };
  return { step: new GroupStep({ wanted, areSeveral }, token, panel, acts), calls, panel };
}

test("without groups, and with a group of the page, nothing is requested", () => {
  for (const [wanted, areSeveral] of [
    ["", false],
    ["crisis", false],
    ["crisis", true],
  ]) {
    const made = step(wanted, areSeveral);
    made.step.begin();
    assert.deepEqual(made.calls, [["join", wanted]]);
  }
  assert.deepEqual(requested, []);
});

test("the chosen group is joined, and chosen again when it is gone", async () => {
  answers = [
    [GENERAL, CRISIS],
    [GENERAL, group("legal")],
  ];
  const made = step("");
  made.step.begin();
  await settled();
  made.panel.actions.choose("crisis");
  made.step.onRefused("There is no group crisis");
  await settled();
  assert.deepEqual(made.calls, [
    ["choose", ["default", "crisis"], ""],
    ["join", "crisis"],
    ["choose", ["default", "legal"], "This choice is not available any more. Please choose again."],
  ]);
});

test("a page that names an unknown group is told so, and its visitors get help", async () => {
  answers = [[GENERAL]];
  const made = step("crysis");
  made.step.begin();
  made.step.onRefused("There is no group crysis");
  await settled();
  assert.deepEqual(made.calls, [
    ["join", "crysis"],
    ["unknown", "crysis"],
    ["join", ""],
  ]);
});

test("other refusals and a lost network are shown", async () => {
  answers = [[GENERAL, CRISIS]];
  const refused = step("crisis");
  refused.step.begin();
  refused.step.onRefused("Too fast");
  await settled();
  assert.deepEqual(refused.calls.at(-1), ["fail", "Too fast"]);
  answers = [new Error("offline")];
  const offline = step("");
  offline.step.begin();
  await settled();
  assert.equal(offline.calls.length, 1);
  assert.match(offline.calls[0][1], /cannot be reached/);
});

test("a conversation that another tab has started ends the step", async () => {
  answers = [[GENERAL, CRISIS]];
  const made = step("");
  made.step.begin();
  made.step.cancel();
  await settled();
  assert.deepEqual(made.calls, []);
});

// --- frames ---

/** A listener with some methods; all others do nothing. */
const makeListener = (methods = {}) =>
  new Proxy(methods, { get: (known, name) => known[name] ?? (() => {}) });

/** Open the last socket, and sign in. */
async function signIn(role, id) {
  await settled();
  const socket = FakeSocket.last;
  socket.acceptUpgrade();
  socket.receiveFrame({ type: "initialize", to: "me", payload: null });
  socket.receiveFrame({ type: "auth_success", payload: { id, type: role, name: null } });
  return socket;
}

const payloadsOf = (socket, type) =>
  socket.sent.filter((frame) => frame.type === type).map((frame) => frame.payload);

test("`connect` names the group until the server has answered", async () => {
  const user = new UserSupportSocket(token, new Outbox("k"), makeListener());
  user.start();
  const socket = await signIn("user", "1");
  user.joinQueue("crisis");
  user.resume();
  socket.receiveFrame({ type: "connect_queue", payload: { location: 1, conversation: 7, group: "crisis" } });
  user.resume();
  assert.deepEqual(payloadsOf(socket, "connect"), [
    { resume: true },
    { resume: false, group: "crisis" },
    { resume: false, group: "crisis" },
    { resume: true },
  ]);
  assert.equal(user.phase.group, "crisis");
  user.stop();
});

test("a consultant's own messages are its own, those of a waiter with the same id a colleague's", async () => {
  const messages = [];
  const listener = makeListener({ onHistory: (page) => messages.push(...page) });
  const agent = new WaiterSupportSocket(
    token,
    true,
    makeListener({ onAssigned: () => ({ listener, outbox: new Outbox("k") }) }),
  );
  agent.start();
  const socket = await signIn("consultant", "8");
  const client = { uuid: "u", conversation: 7, id: "1", name: null, since: "t", group: "crisis" };
  socket.receiveFrame({ type: "new_connection", conversation: 7, payload: client });
  const { id } = socket.sent.find((frame) => frame.type === "get_history");
  const items = ["user", "waiter", "consultant"].map((role, index) => ({
    seq: index + 1,
    sender: { role, id: role === "user" ? "1" : "8", name: null },
    message: "m",
    time: "t",
  }));
  socket.receiveFrame({ type: "message_history", reply_id: id, payload: { items, next: null } });
  assert.deepEqual(
    messages.map(({ own, colleague }) => [own, colleague]),
    [
      [false, false],
      [false, true],
      [true, false],
    ],
  );
  agent.transfer(7, { id: "5", role: "consultant" }).catch(() => {});
  assert.deepEqual(payloadsOf(socket, "transfer"), [{ waiter: "5", role: "consultant" }]);
  agent.stop();
});

test("the expected wait is that of the last position", async () => {
  const user = new UserSupportSocket(token, new Outbox("k"), makeListener());
  user.start();
  const socket = await signIn("user", "1");
  const payload = { location: 2, conversation: 7, returned: false };
  const eta = { seconds: 300, based_on: 9, places: 2 };
  socket.receiveFrame({ type: "connect_queue", payload: { ...payload, eta } });
  assert.equal(user.phase.wait, 300);
  socket.receiveFrame({ type: "connect_queue", payload });
  assert.equal(user.phase.wait, undefined);
  user.stop();
});

test("an agent confirms a client once, is told that it lost one, and that it is paused", async () => {
  const told = [];
  const agent = new WaiterSupportSocket(
    token,
    true,
    makeListener({
      onAssigned: () => ({ listener: makeListener(), outbox: new Outbox("k") }),
      onRemoved: (number, reason) => told.push([number, reason]),
      onPaused: () => told.push("paused"),
    }),
  );
  agent.start();
  const socket = await signIn("waiter", "8");
  const client = { uuid: "u", conversation: 7, id: "1", name: null, since: "t", accept_within: 30 };
  socket.receiveFrame({ type: "new_connection", conversation: 7, from: "u", payload: client });
  agent.accept(7);
  agent.accept(7);
  assert.equal(socket.sent.filter(({ type, to }) => type === "accept" && to === "u").length, 1);
  socket.receiveFrame({ type: "disconnected", from: "u", payload: null, reason: "not_accepted" });
  socket.receiveFrame({ type: "ready_success", payload: { ready: false } });
  assert.deepEqual(told, [[7, "missed"], "paused"]);
  agent.stop();
});
