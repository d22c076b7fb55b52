// Tests that every text exists in both languages, with the same placeholders.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

const root = new URL("../../tornado_chat/web/static/", import.meta.url);
const files = readdirSync(root, { recursive: true })
  .filter((name) => /\.(js|html)$/.test(name))
  .map((name) => ({ name, page: name.split("/")[0], source: readFileSync(new URL(name, root), "utf8") }));

const ENTRY = /^ {2}(\w+): \[\s*("(?:[^"\\]|\\.)*"),\s*("(?:[^"\\]|\\.)*"),?\s*\],?$/gms;
const placeholders = (text) => [...text.matchAll(/\{(\w+)\}/g)].map((found) => found[1]).sort();

/** The texts of each `strings.js`, by page, including `shared`. */
const texts = new Map();
for (const { name, page, source } of files.filter((file) => file.name.endsWith("strings.js"))) {
  const found = new Map(
    [...source.matchAll(ENTRY)].map(([, key, chinese, english]) => [key, [chinese, english]]),
  );
  assert.ok(found.size > 0, `${name} has texts`);
  texts.set(page, found);
}

test("both languages have the same placeholders", () => {
  for (const [page, found] of texts) {
    for (const [key, [chinese, english]] of found) {
      assert.deepEqual(placeholders(chinese), placeholders(english), `${page}: ${key}`);
      assert.ok(
        /[\u4e00-\u9fff]|^"[\W\d]*\{|JSON/.test(chinese),
        `${page}: ${key} is in Chinese: ${chinese}`,
      );
    }
  }
});

test("no page has another word for what has become of a message", () => {
  for (const page of ["room", "widget", "console", "supervise"]) {
    for (const state of ["sending", "held", "stored", "delivered", "read"]) {
      assert.ok(!texts.get(page)?.has(state), `${page}: ${state}`);
    }
  }
});

const CALLED = /\btext\(\s*"(\w+)"/g;
const MARKED = /data-(?:text|label|placeholder|title)="(\w+)"/g;

test("every text that a page asks for exists", () => {
  for (const { name, page, source } of files) {
    const asked = [...source.matchAll(name.endsWith(".html") ? MARKED : CALLED)].map((found) => found[1]);
    for (const key of asked) {
      assert.ok(texts.get(page)?.has(key) || texts.get("shared").has(key), `${name} asks for ${key}`);
    }
  }
});

const FAMILY = /\btext\(\s*`(\w+_)\$\{/g;

test("keys that are built from a prefix exist", () => {
  for (const { name, page, source } of files) {
    const keys = [...(texts.get(page)?.keys() ?? []), ...texts.get("shared").keys()];
    for (const [, prefix] of source.matchAll(FAMILY)) {
      assert.ok(
        keys.some((key) => key.startsWith(prefix)),
        `${name} asks for ${prefix}…`,
      );
    }
  }
});
