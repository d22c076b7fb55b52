// Tests of the format of remaining times.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

const { formatRemaining, Ticker } = await import("../../tornado_chat/web/static/shared/countdown.js");

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setInterval"] });
});

for (const [milliseconds, shown] of [
  [120_000, "2:00"],
  [119_001, "2:00"],
  [80_000, "1:20"],
  [9_500, "0:10"],
  [1, "0:01"],
  [0, "0:00"],
  [-5_000, "0:00"],
  [3_600_000, "60:00"],
]) {
  test(`${milliseconds} ms are shown as ${shown}`, () => {
    assert.equal(formatRemaining(milliseconds), shown);
  });
}

test("a ticker shows at once and every second, until it is stopped", () => {
  const shown = [];
  const ticker = new Ticker();
  ticker.run((isFirst) => shown.push(isFirst));
  mock.timers.tick(2_000);
  ticker.run((isFirst) => shown.push(isFirst ? "again" : "more"));
  mock.timers.tick(1_000);
  ticker.stop();
  mock.timers.tick(5_000);
  assert.deepEqual(shown, [true, false, false, "again", "more"]);
});
