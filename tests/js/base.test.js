// @ts-check
/** The addresses of a server below a path of its host. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf, serverPathOf, socketAddressOf } from "../../tornado_chat/web/static/shared/base.js";

const ROOT = addressOf("/");

test("addresses are below the folder that has the folder of static files", () => {
  assert.equal(ROOT, new URL("../../tornado_chat/", import.meta.url).href);
  assert.equal(addressOf("/api/v1/status?a=b"), `${ROOT}api/v1/status?a=b`);
  assert.equal(socketAddressOf("/chat?token=x"), `${ROOT}chat?token=x`); // the scheme here is file:
});

test("only an address below that folder has a path", () => {
  assert.equal(serverPathOf(new URL("room#session=4", ROOT)), "/room");
  assert.equal(serverPathOf(new URL(ROOT)), "/");
  assert.equal(serverPathOf(new URL("../room", ROOT)), "");
  assert.equal(serverPathOf(new URL("https://elsewhere.example/room")), "");
});
