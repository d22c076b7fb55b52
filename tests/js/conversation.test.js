// Tests that each message is shown once and in order, whatever the network does to frames.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import fc from "fast-check";
import { install } from "./browser.js";

const shared = "../../tornado_chat/web/static/shared";
const { Conversation } = await import(`${shared}/conversation.js`);
const { Outbox } = await import(`${shared}/outbox.js`);

beforeEach(install);

/** The shown messages: own messages by id until they are stored, all others by sequence number. */
class Recorder {
  lines = [];

  addUnsent(entry) {
    this.lines.push({ id: entry.id, text: entry.text });
  }

  onMessage = (message) => this.#put(message);
  onHistory = (messages) => messages.forEach((message) => this.#put(message));
  onStored = (id, seq) => {
    const line = this.lines.find((each) => each.id === id);
    assert.ok(line, `${id} is shown`);
    assert.equal(line.seq, undefined, "stored once");
    if (this.lines.some((each) => each.seq === seq)) {
      // as the message list does: it was already part of the history
      this.lines.splice(this.lines.indexOf(line), 1);
    } else {
      line.seq = seq;
    }
  };
  onRefused = (id) => {
    this.lines.find((each) => each.id === id).refused = true;
  };

  #put({ seq, text }) {
    assert.ok(!this.lines.some((line) => line.seq === seq), `${seq} is reported once`);
    this.lines.push({ seq, text });
  }
}

/** A server that stores messages, and a network that may lose frames in both directions. */
class Simulation {
  log = [];
  open = true;
  recorder = new Recorder();
  /** Frames on their way to the page. */
  incoming = [];

  constructor() {
    this.load();
  }

  /** Load the page (again): it has only what the tab has stored. */
  load() {
    this.recorder = new Recorder();
    this.outbox = new Outbox("test");
    this.outbox.entries.forEach((entry) => this.recorder.addUnsent(entry));
    this.page = new Conversation(this.outbox, this.recorder, {
      send: (entry) => this.open && this.store(entry),
      requestOlder: (before) => this.open && this.sendHistory(before),
    });
    this.connect();
  }

  store({ id, text }) {
    let line = this.log.find((each) => each.id === id);
    if (!line) {
      line = { id, seq: this.log.length + 1, text, own: true };
      this.log.push(line);
      this.incoming.push((page) => page.receive({ seq: line.seq, text, own: true, time: "" }));
    }
    this.incoming.push((page) => page.acknowledge(id, line.seq, ""));
    return true;
  }

  other(text) {
    const line = { seq: this.log.length + 1, text, own: false };
    this.log.push(line);
    if (this.open) {
      this.incoming.push((page) => page.receive({ ...line, time: "" }));
    }
  }

  sendHistory(before = Infinity) {
    const lines = this.log.filter((line) => line.seq < before).slice(-3);
    const more = lines.length > 0 && lines[0].seq > 1;
    this.incoming.push((page) =>
      page.receiveHistory(
        lines.map(({ seq, text, own }) => ({ seq, text, own, time: "" })),
        more,
      ),
    );
  }

  deliver(count) {
    for (const frame of this.incoming.splice(0, count)) {
      frame(this.page);
    }
  }

  disconnect() {
    this.open = false;
    this.incoming = [];
  }

  /** Open a socket whose first page is still to come: the page does not yet send what waits. */
  reopen() {
    this.open = true;
    this.incoming = [];
    this.page.resetInFlight();
  }

  connect() {
    this.reopen();
    this.sendHistory();
    this.deliver(1);
    this.page.flush();
  }

  settle() {
    this.connect();
    for (let turn = 0; turn < 200; turn += 1) {
      this.deliver(this.incoming.length);
      this.page.loadOlder();
    }
  }
}

const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant("send"), text: fc.constantFrom("yes", "no", "yes ") }),
    fc.record({ do: fc.constant("other"), text: fc.constantFrom("yes", "what?") }),
    fc.record({ do: fc.constant("deliver"), count: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ do: fc.constantFrom("disconnect", "reopen", "connect", "load", "loadOlder") }),
  ),
  { maxLength: 40 },
);

/** The answer to a request for missing messages is lost with the connection: a message was never shown. */
const LOST_ANSWER = [
  { do: "send", text: "yes" },
  { do: "connect" },
  { do: "other", text: "yes" },
  { do: "other", text: "yes" },
  { do: "other", text: "yes" },
  { do: "send", text: "yes" },
  { do: "connect" },
  { do: "other", text: "yes" },
];

/** A message is written between the opening of a socket and its first page, while an older one waits. */
const OVERTAKING = [
  { do: "disconnect" },
  { do: "send", text: "yes" },
  { do: "reopen" },
  { do: "send", text: "no" },
];

test("every message is shown once, and every written message is stored once", () => {
  fc.assert(
    fc.property(steps, (taken) => {
      install();
      const simulation = new Simulation();
      const written = [];
      for (const step of taken) {
        if (step.do === "send") {
          const entry = simulation.page.send(step.text);
          simulation.recorder.addUnsent(entry);
          written.push(entry.id);
        } else if (step.do === "other") {
          simulation.other(step.text);
        } else if (step.do === "deliver") {
          simulation.deliver(step.count);
        } else if (step.do === "loadOlder") {
          simulation.page.loadOlder();
        } else {
          simulation[step.do]();
        }
      }
      simulation.settle();
      assert.deepEqual(
        simulation.log.filter((line) => line.own).map((line) => line.id),
        written,
      );
      const shown = simulation.recorder.lines.toSorted((one, other) => one.seq - other.seq);
      assert.deepEqual(
        shown.map(({ seq, text }) => [seq, text]),
        simulation.log.map(({ seq, text }) => [seq, text]),
      );
      assert.deepEqual(simulation.outbox.entries, []);
    }),
    { numRuns: 2000, examples: [[LOST_ANSWER], [OVERTAKING]] },
  );
});

test("a refused message is kept, and sent again on request", () => {
  const sent = [];
  const recorder = new Recorder();
  const outbox = new Outbox("test");
  const page = new Conversation(outbox, recorder, {
    send: (entry) => sent.push(entry.id) > 0,
    requestOlder: () => {},
  });
  const entry = page.send("rude");
  recorder.addUnsent(entry);
  page.refuse(entry.id, "not that word");
  page.resetInFlight();
  page.flush();
  assert.deepEqual(sent, [entry.id]);
  assert.equal(new Outbox("test").entries[0].refused, "not that word");
  page.resend(entry.id);
  assert.deepEqual(sent, [entry.id, entry.id]);
});

test("a message that exceeds the server's limit is not sent again and again", () => {
  const recorder = new Recorder();
  const page = new Conversation(new Outbox("test"), recorder, { send: () => true, requestOlder: () => {} });
  const [small, big] = [page.send("x"), page.send("x".repeat(99))];
  [small, big].forEach((entry) => recorder.addUnsent(entry));
  page.refuseLongest();
  assert.equal(recorder.lines.find((line) => line.id === big.id).refused, true);
  assert.equal(recorder.lines.find((line) => line.id === small.id).refused, undefined);
});

test("the page is loaded again when a known number comes with another time", () => {
  let reloads = 0;
  globalThis.location = { reload: () => (reloads += 1) };
  const page = new Conversation(new Outbox("test"), new Recorder(), {
    send: () => true,
    requestOlder: () => {},
  });
  page.receive({ seq: 1, text: "lost", own: false, time: "2026-11-30T10:00:00" });
  page.receive({ seq: 1, text: "lost", own: false, time: "2026-11-30T10:00:00" });
  assert.equal(reloads, 0);
  page.receive({ seq: 1, text: "after the failover", own: false, time: "2026-11-30T10:00:05" });
  assert.equal(reloads, 1);
});

test("a change of the agent is reported once, by a frame and by each history page", () => {
  const reported = [];
  const recorder = Object.assign(new Recorder(), { onHandover: (handover) => reported.push(handover) });
  const page = new Conversation(new Outbox("test"), recorder, { send: () => true, requestOlder: () => {} });
  const [first, second] = ["10:00:00", "10:05:00"].map((time) => ({
    from: { id: "7", name: "Bob" },
    to: { id: "8", name: "Ann" },
    time: `2026-11-30T${time}`,
  }));
  page.receiveHandovers([first]);
  page.receiveHandovers([first, second]);
  page.receiveHandovers([]);
  assert.deepEqual(reported, [first, second]);
});
