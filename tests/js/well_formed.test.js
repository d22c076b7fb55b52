// Tests that no half of a character is sent to the server.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import fc from "fast-check";
import { FakeSocket, install } from "./browser.js";

const shared = "../../tornado_chat/web/static/shared";
const { toJson, wellFormed } = await import(`${shared}/well_formed.js`);
const { Outbox } = await import(`${shared}/outbox.js`);
const { Connection } = await import(`${shared}/connection.js`);

const REPLACEMENT = "\uFFFD";

beforeEach(install);

test("each half of a character is replaced, whole characters stay", () => {
  for (const [text, expected] of [
    ["half \ud83d", `half ${REPLACEMENT}`],
    ["\ude00 other half", `${REPLACEMENT} other half`],
    ["\ude00\ud83d", `${REPLACEMENT}${REPLACEMENT}`],
    ["😀\ud83d😀", `😀${REPLACEMENT}😀`],
    ["family 👨‍👩‍👧 🇨🇳", "family 👨‍👩‍👧 🇨🇳"],
  ]) {
    assert.equal(wellFormed(text), expected);
  }
});

test("every text is well formed afterwards, and unchanged if it was before", () => {
  const anyText = fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units));
  fc.assert(
    fc.property(anyText, (text) => {
      assert.ok(wellFormed(text).isWellFormed());
      assert.equal(wellFormed(text), text.toWellFormed());
    }),
  );
});

test("nested texts of a frame are well formed", () => {
  const frame = { id: "m1", payload: { message: "half \ud83d", rate: 5, feedback: null, list: ["\ude00"] } };
  assert.deepEqual(JSON.parse(toJson(frame)), {
    id: "m1",
    payload: { message: `half ${REPLACEMENT}`, rate: 5, feedback: null, list: [REPLACEMENT] },
  });
});

test("a message in the outbox is well formed, also one that an earlier version of the page stored", () => {
  sessionStorage.setItem("room", JSON.stringify([{ id: "m1", text: "old \ud83d" }]));
  const outbox = new Outbox("room");
  outbox.add("new \ude00");
  const texts = [`old ${REPLACEMENT}`, `new ${REPLACEMENT}`];
  assert.deepEqual(
    outbox.entries.map((entry) => entry.text),
    texts,
  );
  assert.deepEqual(
    new Outbox("room").entries.map((entry) => entry.text),
    texts,
  );
});

test("a connection sends well-formed frames", async () => {
  const connection = new Connection(async () => "t", {
    path: () => "/chat",
    onFrame: () => {},
    onStatus: () => {},
  });
  connection.start();
  await new Promise((resolve) => setImmediate(resolve));
  FakeSocket.last.acceptUpgrade();
  connection.markAccepted();
  connection.send({ msg: "half \ud83d" });
  assert.deepEqual(FakeSocket.last.sent, [{ msg: `half ${REPLACEMENT}` }]);
  connection.stop();
});
