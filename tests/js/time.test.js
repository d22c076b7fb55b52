// Tests that times are shown in the reader's zone, also in the night in which clocks change.

import assert from "node:assert/strict";
import { after, beforeEach, test } from "node:test";
import {
  isShownTwice,
  onNewDay,
  parseTime,
  sameDay,
  TimeFormatter,
} from "../../tornado_chat/web/static/shared/time.js";

const machineZone = process.env.TZ;
let formatter = new TimeFormatter("en-GB");

/** Use another zone from now on. */
function useZone(zone) {
  process.env.TZ = zone;
  formatter = new TimeFormatter("en-GB"); // a formatter keeps the zone in which it was made
}

beforeEach(() => useZone("Europe/Berlin"));
after(() => {
  if (machineZone === undefined) {
    delete process.env.TZ;
  } else {
    process.env.TZ = machineZone;
  }
});

test("a time with an offset is shown in the reader's zone and on the reader's day", () => {
  const time = "2026-11-30T23:47:00.123456+08:00";
  for (const [zone, clock, day] of [
    ["Asia/Shanghai", "23:47", "Today"],
    ["Europe/Berlin", "16:47", "Today"],
    ["America/New_York", "10:47", "Today"],
    ["Pacific/Kiritimati", "05:47", "Today"], // of the next day
  ]) {
    useZone(zone);
    assert.equal(formatter.clock(parseTime(time)), clock, zone);
    assert.equal(formatter.day(parseTime(time), new Date("2026-11-30T15:47:30Z")), day, zone);
  }
});

test("the same moment is another day for another reader", () => {
  const [before, later] = [parseTime("2026-11-30T15:00:00+00:00"), parseTime("2026-11-30T17:00:00+00:00")];
  assert.ok(sameDay(before, later));
  useZone("Asia/Shanghai");
  assert.ok(!sameDay(before, later));
  assert.equal(formatter.day(before, later), "Yesterday");
});

test("two times of the hour that clocks show twice are told apart", () => {
  const [summer, winter] = [parseTime("2026-10-25T00:30:00+00:00"), parseTime("2026-10-25T01:30:00+00:00")];
  assert.equal(formatter.clock(summer), "02:30 GMT+2");
  assert.equal(formatter.clock(winter), "02:30 GMT+1");
  assert.ok(sameDay(summer, winter));
});

test("only the repeated hour is shown with its offset", () => {
  for (const [time, clock] of [
    ["2026-10-24T23:59:59Z", "01:59"],
    ["2026-10-25T00:00:00Z", "02:00 GMT+2"],
    ["2026-10-25T00:59:59Z", "02:59 GMT+2"],
    ["2026-10-25T01:00:00Z", "02:00 GMT+1"],
    ["2026-10-25T01:59:59Z", "02:59 GMT+1"],
    ["2026-10-25T02:00:00Z", "03:00"],
    ["2026-03-29T00:59:59Z", "01:59"],
    ["2026-03-29T01:00:00Z", "03:00"],
    ["2026-07-01T00:30:00Z", "02:30"],
  ]) {
    assert.equal(formatter.clock(parseTime(time)), clock, time);
  }
});

test("a change of half an hour repeats half an hour", () => {
  useZone("Australia/Lord_Howe"); // 2026-04-05: at 02:00 back to 01:30
  for (const [time, isTwice] of [
    ["2026-04-04T14:29:59Z", false],
    ["2026-04-04T14:30:00Z", true],
    ["2026-04-04T15:00:00Z", true],
    ["2026-04-04T15:29:59Z", true],
    ["2026-04-04T15:30:00Z", false],
  ]) {
    assert.equal(isShownTwice(parseTime(time)), isTwice, time);
  }
});

test("zones without a change of clocks repeat no hour", () => {
  useZone("Asia/Shanghai");
  for (let hour = 0; hour < 24 * 366; hour += 1) {
    assert.ok(!isShownTwice(new Date(Date.UTC(2026, 0, 1, hour, 30))));
  }
});

test("exactly one hour of a year is shown twice", () => {
  const found = [];
  for (let hour = 0; hour < 24 * 365; hour += 1) {
    const time = new Date(Date.UTC(2026, 0, 1, hour, 30));
    if (isShownTwice(time)) {
      found.push(time.toISOString());
    }
  }
  assert.deepEqual(found, ["2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z"]);
});

test("a new day is noticed once, also by a page that was hidden at midnight", (context) => {
  context.mock.timers.enable({ apis: ["setInterval", "Date"], now: Date.parse("2026-11-30T22:58:30Z") });
  const page = new EventTarget();
  globalThis.document = page; // Berlin: 23:58:30
  context.after(() => delete globalThis.document);
  let days = 0;
  const ended = new AbortController();
  onNewDay(() => (days += 1), ended.signal);
  context.mock.timers.tick(60_000);
  assert.equal(days, 0);
  context.mock.timers.tick(60_000);
  assert.equal(days, 1);
  context.mock.timers.tick(3_600_000);
  assert.equal(days, 1);
  context.mock.timers.setTime(Date.parse("2026-12-02T08:00:00Z"));
  page.dispatchEvent(new Event("visibilitychange"));
  assert.equal(days, 2);
  ended.abort();
  context.mock.timers.tick(86_400_000);
  page.dispatchEvent(new Event("visibilitychange"));
  assert.equal(days, 2);
});
