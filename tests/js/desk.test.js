// Tests of the counsellor's desk: the stage of a session, the reader's days, and each notice once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { install } from "./browser.js";

install();
process.env.TZ = "Europe/Berlin";
const { dayOf, dayOfField, stageOf } = await import("../../tornado_chat/web/static/desk/session.js");
const { Notices, toNotice } = await import("../../tornado_chat/web/static/desk/notices.js");

test("the stage of a session", () => {
  const both = ["user", "consultant"];
  const cases = [
    ["ready", [], "ready"],
    ["ready", null, "ready"],
    ["ready", ["consultant"], "ready"],
    ["ready", ["user"], "waits"],
    ["ready", both, "ready"], // it starts in a moment
    ["active", both, "active"],
    ["active", null, "active"],
    ["active", ["user"], "waits"],
    ["active", ["consultant"], "away"],
    ["active", [], "away"],
    ["completed", null, "completed"],
    ["cancelled", null, "cancelled"],
  ];
  for (const [state, present, stage] of cases) {
    assert.equal(stageOf({ state, present }), stage, `${state} ${present}`);
  }
});

test("a day in which the clocks change has its own length", () => {
  const hours = ({ from, before }) => (before - from) / 3_600_000;
  assert.equal(hours(dayOfField("2025-03-29")), 24);
  assert.equal(hours(dayOfField("2025-03-30")), 23);
  assert.equal(hours(dayOfField("2025-10-26")), 25);
  assert.equal(dayOfField("2025-03-30").from.toISOString(), "2025-03-29T23:00:00.000Z");
  assert.deepEqual(dayOf(new Date("2025-03-30T21:59:59Z")), dayOfField("2025-03-30"));
  assert.equal(dayOfField(""), null);
});

const frame = (id, more = {}) => ({ id, seq: id, type: 0, msg: `n${id}`, time: "t", data: null, ...more });
const item = (id, more = {}) => {
  const { id: notification_id, ...rest } = frame(id);
  return { notification_id, ...rest, read: false, ...more };
};
const opened = (session) => ({ type: 2, data: { sessionId: session } });
const ids = (notices) => notices.map((notice) => notice.id);

test("notifications of the protocol become notices", () => {
  for (const [more, kind, session] of [
    [{}, "note", undefined],
    [opened(4), "session", "4"],
    [opened("9007199254740993"), "session", "9007199254740993"],
    [{ type: 2, data: { sessionId: 4, alert: true } }, "alert", "4"],
    [{ type: 2, data: {} }, "note", undefined],
    [{ type: 1, data: { apointmentId: 3 } }, "appointment", undefined],
  ]) {
    const notice = toNotice(frame(1, more));
    assert.deepEqual([notice.kind, notice.session], [kind, session], JSON.stringify(more));
  }
});

test("each notice arrives once, and waits as long as it is unread", () => {
  const arrived = [];
  const notices = new Notices((news) => arrived.push(...ids(news)));
  notices.addFrame(frame(1));
  notices.addItems([item(1), item(2, opened(4)), item(3, { read: true })]);
  notices.addFrame(frame(2, opened(4)));
  notices.addFrame(frame(4, opened(5)));
  assert.deepEqual(arrived, [1, 4]);
  assert.deepEqual(ids(notices.all), [4, 3, 2, 1]);
  assert.deepEqual(ids(notices.pending), [1]);
  assert.deepEqual(notices.newSessions, new Set(["5", "4"]));
  notices.markRead(2);
  notices.addItems([item(2)]); // an answer from before
  assert.deepEqual(notices.newSessions, new Set(["5"]));
  notices.markRead(1);
  assert.deepEqual(ids(notices.pending), []);
});
