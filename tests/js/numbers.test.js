// Tests of numbers and ids that a JavaScript number cannot hold.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseJson, parseNumber } from "../../tornado_chat/web/static/shared/numbers.js";

const MAX_NUMBER = 2n ** 63n - 1n;

test("the digits of every number of the server are kept", () => {
  fc.assert(
    fc.property(fc.bigInt(1n, MAX_NUMBER), (number) => parseNumber(String(number)) === String(number)),
  );
  assert.equal(parseNumber(4), "4");
  assert.equal(parseNumber("0012"), "12");
});

test("what is no number of the server is refused", () => {
  const others = [
    "",
    "0",
    "-1",
    "1.5",
    "1e3",
    " 4",
    "4 ",
    "abc",
    "٤",
    String(MAX_NUMBER + 1n),
    "1".repeat(40),
  ];
  for (const value of [...others, 0, 1.5, 1e21, null, undefined, {}]) {
    assert.equal(parseNumber(value), undefined, String(value));
  }
});

test("whole numbers above 2^53 become texts, all other values stay as they are", () => {
  const json = `{"id": 9007199254740993, "max": ${MAX_NUMBER}, "low": -9007199254740993, "exact": 9007199254740991,
    "float": 0.1234567890123456789, "large": 1e300, "texts": ["9007199254740993", "a \\"1234567890123456789\\" b", "\\\\"],
    "1234567890123456789": [1234567890123456789]}`;
  assert.deepEqual(parseJson(json), {
    id: "9007199254740993",
    max: String(MAX_NUMBER),
    low: "-9007199254740993",
    exact: 9007199254740991,
    float: 0.12345678901234568,
    large: 1e300,
    texts: ["9007199254740993", 'a "1234567890123456789" b', "\\"],
    "1234567890123456789": ["1234567890123456789"],
  });
});

test("JSON without such numbers is parsed as by JSON.parse", () => {
  fc.assert(
    fc.property(fc.json(), (json) => {
      // A whole number that JavaScript cannot hold is a text afterwards, or still a number with an exponent.
      const isLarge = (value) =>
        (typeof value === "string" && /^-?\d{16,}$/.test(value)) ||
        (typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER);
      const unify = (key, value) => (isLarge(value) ? "large" : value);
      assert.deepEqual(JSON.parse(JSON.stringify(parseJson(json)), unify), JSON.parse(json, unify));
    }),
    {
      examples: [['[{"":9007199254740992}]'], ["[1e300]"], ['["9007199254740993"]'], ['{"toString":false}']],
    },
  );
  assert.throws(() => parseJson("{"), SyntaxError);
  assert.throws(() => parseJson('{"a": 12345678901234567890'), SyntaxError);
});

test("a long text without an end is refused at once", () => {
  assert.throws(() => parseJson(`{"a": 12345678901234567890, "b": "${"x".repeat(1_000_000)}`), SyntaxError);
});
