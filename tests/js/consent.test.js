// Tests of the question for a visitor's consent: what is sent before and after it, and lost connections.

import assert from "node:assert/strict";
import { test } from "node:test";
import { install } from "./browser.js";

install();
const { ConsentQuestion } = await import("../../tornado_chat/web/static/shared/consent.js");

const form = (version, group = "default") => ({ group, version, language: "en", text: "…" });

/** A question, with what was shown and sent. */
function makeQuestion() {
  const [asked, sent] = [[], []];
  const question = new ConsentQuestion(
    ({ version }, problem) => asked.push([version, problem]),
    (version, accept) => sent.push([version, accept]),
  );
  return { question, asked, sent };
}

test("an answer that was lost with its connection is sent again, and the visitor is not asked again", () => {
  const { question, asked, sent } = makeQuestion();
  question.onAsked(form("1"));
  question.answer(true);
  question.onReconnected();
  question.onAsked(form("1"));
  assert.deepEqual(asked, [["1", ""]]);
  assert.deepEqual(sent, [
    ["1", true],
    ["1", true],
  ]);
  assert.ok(question.isOpen); // until the server has noted it
});

test("another version, or the text of another group, is another question", () => {
  const { question, asked, sent } = makeQuestion();
  question.onAsked(form("1"));
  question.answer(true);
  question.onReconnected();
  question.onAsked(form("2"));
  question.answer(true);
  question.onAsked(form("2", "crisis"));
  assert.deepEqual(
    asked.map(([version]) => version),
    ["1", "2", "2"],
  );
  assert.equal(sent.length, 2);
});

test("a server that lets the visitor in without asking again closes the question", () => {
  const { question } = makeQuestion();
  assert.ok(!question.onAdmitted());
  question.onAsked(form("1"));
  assert.ok(!question.onAdmitted()); // asked on this connection
  question.onReconnected();
  assert.ok(question.onAdmitted()); // accepted in another window
  assert.ok(!question.isOpen);
});

test("a refused answer is asked for again, with the reason", () => {
  const { question, asked, sent } = makeQuestion();
  question.onAsked(form("1"));
  question.answer(true);
  question.onRefused("try again");
  question.answer(false);
  assert.deepEqual(asked.at(-1), ["1", "try again"]);
  assert.deepEqual(sent.at(-1), ["1", false]);
});
