// Tests of the supervision page: each notice once, and the messages of a session once and without gaps.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import fc from "fast-check";
import { install } from "./browser.js";

install();
const { Inbox, toNotice } = await import("../../tornado_chat/web/static/supervise/inbox.js");
const { SessionMessages } = await import("../../tornado_chat/web/static/supervise/session_messages.js");
const { ApiError } = await import("../../tornado_chat/web/static/supervise/api.js");

const settled = () => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => mock.timers.reset());

// --- the inbox ---

const frame = (id, more = {}) => ({ id, seq: id, type: 0, msg: `n${id}`, time: "t", data: null, ...more });

const item = (id, more = {}) => {
  const { id: notification_id, ...rest } = frame(id);
  return { notification_id, ...rest, read: false, read_at: null, ...more };
};

const alert = { type: 2, data: { sessionId: 5, observeSessionId: 12, alert: true } };

function inbox() {
  const arrived = [];
  const made = new Inbox((news) => arrived.push(...news.map((notice) => notice.id)), true);
  return { inbox: made, arrived };
}

const ids = (notices) => notices.map((notice) => notice.id);

test("notifications of the protocol become notices", () => {
  const call = { type: 2, data: { sessionId: 5, observeSessionId: 12 } };
  const kinds = [
    [frame(1), true, { kind: "note" }],
    [frame(1, { type: 1, data: { apointmentId: 3 } }), true, { kind: "appointment", appointment: "3" }],
    [frame(1, call), true, { kind: "call", session: "12", record: "5" }],
    [frame(1, alert), true, { kind: "alert", session: "12", record: "5" }],
    [frame(1, { data: { alert: true } }), true, { kind: "alert", session: undefined }],
    [frame(1, { type: 2, data: { sessionId: 5 } }), true, { kind: "note", session: undefined }],
    // A record may have the number of its session; an administrator never has a record.
    [
      frame(1, { type: 2, data: { sessionId: 7, observeSessionId: "7" } }),
      true,
      { session: "7", record: "7" },
    ],
    [
      frame(1, { type: 2, data: { sessionId: 7, observeSessionId: 7 } }),
      false,
      { session: "7", record: undefined },
    ],
  ];
  for (const [reported, supervising, expected] of kinds) {
    const notice = toNotice(reported, supervising);
    for (const [key, value] of Object.entries(expected)) {
      assert.equal(notice[key], value, `${JSON.stringify(reported)}: ${key}`);
    }
  }
});

test("each notice exists once, from the socket and the API in any order", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 9 }))), (reported) => {
      const { inbox: made, arrived } = inbox();
      for (const [bySocket, id] of reported) {
        if (bySocket) {
          made.addFrame(frame(id));
        } else {
          made.addItems([item(id)]);
        }
      }
      const all = [...new Set(reported.map(([, id]) => id))].sort((one, other) => other - one);
      assert.deepEqual(ids(made.notices), all);
      assert.equal(new Set(arrived).size, arrived.length);
    }),
  );
});

test("the first API answer contains old notices; later ones are new unless they are read", () => {
  const { inbox: made, arrived } = inbox();
  made.addFrame(frame(2));
  made.addItems([item(1), item(2)]);
  made.addItems([item(3), item(4, { read: true })]);
  assert.deepEqual(arrived, [2, 3]);
});

test("unacknowledged alerts are on top, newest first; acknowledged ones are in order", () => {
  const { inbox: made } = inbox();
  made.addItems([item(1, alert), item(2), item(3, alert), item(4)]);
  assert.deepEqual(ids(made.notices), [3, 1, 4, 2]);
  made.markRead(3, "later");
  assert.deepEqual(ids(made.notices), [1, 4, 3, 2]);
  assert.equal(made.find(3).readAt, "later");
  assert.deepEqual(ids(made.alerts), [1]);
});

test("a read notice stays read after an older answer", () => {
  const { inbox: made } = inbox();
  made.addItems([item(1, alert)]);
  made.markRead(1, "then");
  made.addItems([item(1, alert)]);
  made.addFrame(frame(1, alert));
  assert.deepEqual(made.alerts, []);
  assert.equal(made.find(1).readAt, "then");
});

test("requests start at the oldest unread notice, which may have been read elsewhere", () => {
  const { inbox: made } = inbox();
  assert.equal(made.resumeSeq, 0);
  made.addItems([item(1, { read: true }), item(2), item(3, { read: true }), item(4)]);
  assert.equal(made.resumeSeq, 1);
  made.markRead(2, null);
  made.markRead(4, null);
  assert.equal(made.resumeSeq, 4);
});

test("the record of the last call for a session counts, whatever its number", () => {
  const { inbox: made } = inbox();
  const call = (record) => ({ type: 2, data: { sessionId: record, observeSessionId: 12 } });
  made.addItems([
    item(1, call("4611686018427387904")),
    item(2, call(8)),
    item(3, { type: 2, data: { sessionId: 9, observeSessionId: 1 } }),
  ]);
  assert.equal(made.latestRecordOf("12", ""), "8");
  assert.equal(made.latestRecordOf("12", "4611686018427387904"), "8");
  assert.equal(made.latestRecordOf("12", "3"), "3", "no notice names it: it is newer than the inbox");
  assert.equal(made.latestRecordOf("77", ""), "");
});

// --- messages ---

const message = (seq) => ({ seq, msg: `m${seq}`, senderType: false, time: "t" });

/** The messages of a session in which `said()` messages were sent, and what was reported. */
function lines({ said, fails = () => null }) {
  const reported = [];
  const loaded = [];
  let requests = 0;
  const fetch = async (after) => {
    requests += 1;
    const failure = fails(requests);
    if (failure !== null) {
      throw new ApiError("no", failure);
    }
    return Array.from({ length: Math.max(0, said() - after) }, (_, index) => message(after + 1 + index));
  };
  const made = new SessionMessages(fetch, {
    onMessages: (found, isNew) => reported.push(...found.map(({ seq }) => (isNew ? seq : -seq))),
    onLoaded: (readable) => loaded.push(readable),
  });
  return { made, reported, loaded, requests: () => requests };
}

test("earlier and new messages are joined without duplicates", async () => {
  let count = 3;
  const { made, reported, loaded } = lines({ said: () => count });
  const done = made.resync();
  count = 4;
  made.receive(message(4)); // while the API request is pending
  await done;
  await settled();
  made.receive(message(4));
  made.receive(message(5));
  assert.deepEqual(
    reported.map(Math.abs).sort((one, other) => one - other),
    [1, 2, 3, 4, 5],
  );
  assert.equal(loaded[0], true);
});

test("a gap is filled by the API", async () => {
  let count = 2;
  const { made, reported } = lines({ said: () => count });
  await made.resync();
  count = 5;
  made.receive(message(5)); // another window of the same person received 3 and 4
  await settled();
  assert.deepEqual(reported, [-1, -2, 5, -3, -4]);
});

test("without access to earlier messages new ones are reported, and the API is not requests again", async () => {
  const { made, reported, loaded, requests } = lines({ said: () => 9, fails: () => 403 });
  await made.resync();
  made.receive(message(10));
  made.receive(message(12));
  await settled();
  assert.deepEqual(reported, [10, 12]);
  assert.deepEqual(loaded, [false]);
  assert.equal(requests(), 1);
});

test("a server that does not answer is requests again", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { made, reported, requests } = lines({
    said: () => 2,
    fails: (attempt) => (attempt < 3 ? 503 : null),
  });
  await made.resync();
  for (let attempt = 0; attempt < 4; attempt += 1) {
    mock.timers.tick(5_000);
    await settled();
  }
  assert.deepEqual(reported, [-1, -2]);
  assert.equal(requests(), 3);
});

test("after a stop no message is reported", async () => {
  const { made, reported } = lines({ said: () => 3 });
  const done = made.resync();
  made.stop();
  await done;
  assert.deepEqual(reported, []);
});

test("every message is reported once, even if frames are lost, duplicated or late", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 30 }), async (heard) => {
      let count = 0;
      const { made, reported } = lines({ said: () => count });
      for (const seq of heard) {
        count = Math.max(count, seq);
        made.receive(message(seq));
        if (seq % 3 === 0) {
          await settled();
        }
      }
      await made.resync();
      await settled();
      const all = Array.from({ length: count }, (_, index) => index + 1);
      assert.deepEqual(
        reported.map(Math.abs).sort((one, other) => one - other),
        all,
      );
    }),
    { numRuns: 60 },
  );
});
