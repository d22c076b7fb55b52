// Tests of first words: what a visitor writes in the line is sent at once, and again over a new socket.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { FakeSocket, install } from "./browser.js";

install();
const { Outbox } = await import("../../tornado_chat/web/static/shared/outbox.js");
const { UserSupportSocket } = await import("../../tornado_chat/web/static/shared/support_user.js");

const settled = () => new Promise((resolve) => setImmediate(resolve));
const listener = new Proxy({}, { get: () => () => {} });

beforeEach(() => install());

/** Open a socket that is signed in. */
async function signIn() {
  await settled();
  const socket = FakeSocket.last;
  socket.acceptUpgrade();
  socket.receiveFrame({ type: "initialize", to: "me", payload: null });
  socket.receiveFrame({ type: "auth_success", payload: { id: "1", type: "user", name: null } });
  return socket;
}

const sent = (socket, type) => socket.sent.filter((frame) => frame.type === type);
const texts = (socket) => sent(socket, "message_text").map((frame) => frame.payload.message);

function queue(socket, more) {
  const payload = { location: 1, conversation: 7, returned: false, ...more };
  socket.receiveFrame({ type: "connect_queue", payload });
}

for (const [name, more, isSent] of [
  ["first words", { early: "keep" }, true],
  ["the words of a visitor who has lost its agent", { returned: true }, true],
  ["words for a server that takes none yet", {}, false],
]) {
  test(`${name} ${isSent ? "are sent at once, and again over a new socket" : "wait for the agent"}`, async () => {
    const user = new UserSupportSocket(async () => "t", new Outbox("k"), listener);
    user.start();
    const first = await signIn();
    queue(first, more);
    user.send("one");
    assert.deepEqual(texts(first), isSent ? ["one"] : []);
    queue(first, { ...more, location: 2 }); // a position is no reason to ask for the history again
    assert.equal(sent(first, "get_history").length, isSent ? 1 : 0);
    first.serverClose(1012);
    user.retry();
    const second = await signIn();
    queue(second, more);
    assert.deepEqual(texts(second), isSent ? ["one"] : []);
    second.receiveFrame({ type: "connect_success", payload: { uuid: "u", conversation: 7, name: null } });
    assert.deepEqual(texts(second), ["one"]);
    user.stop();
  });
}

test("leaving may take the words back, also as soon as there is a connection", async () => {
  const user = new UserSupportSocket(async () => "t", new Outbox("k"), listener);
  user.start();
  const first = await signIn();
  queue(first, { early: "keep" });
  first.serverClose(1012);
  user.leave(true);
  user.retry();
  const second = await signIn();
  queue(second, { early: "keep" });
  assert.deepEqual(
    sent(second, "disconnect").map((frame) => frame.payload),
    [{ withdraw: true }],
  );
  user.stop();
});
