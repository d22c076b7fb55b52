// A host's program on generated types: opens a session, reads it, and handles an error.
// Arguments: the address of the server, a token of the role `service`.

import createClient from "openapi-fetch";
import type { components, paths } from "./chat_api.js";

type Schemas = components["schemas"];

declare const process: { argv: string[] };
declare const console: { log(text: string): void };

const [baseUrl, token] = process.argv.slice(2) as [string, string];
const chat = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

function check(isTrue: boolean, text: string): asserts isTrue {
  if (!isTrue) throw new Error(text);
}

// The optional keys are left out: a document with `"default": null` would make them required.
const session: Schemas["SessionCreate"] = { user_id: 1, consultant_id: "2" };
const revocation: Schemas["RevocationCreate"] = { role: "user", id: 9 };
const notification: Schemas["NotificationCreate"] = { role: "user", id: 1, type: 0, msg: "hello" };

const opened = await chat.POST("/api/v1/sessions", { body: session });
check(opened.data !== undefined, JSON.stringify(opened.error));
const created: Schemas["Session"] = opened.data;
check(created.user_name === null, "a name");
check(!Number.isNaN(Date.parse(created.created)), created.created);

const path = { session_id: Number(created.session_id) };
const found = await chat.GET("/api/v1/sessions/{session_id}", { params: { path } });
check(found.data?.state === "ready", JSON.stringify(found));

const listed = await chat.GET("/api/v1/sessions", { params: { query: { consultant_id: "2", limit: 10 } } });
const items: Schemas["SessionSummary"][] = listed.data?.items ?? [];
check(items.length === 1 && items[0]?.session_id === created.session_id, JSON.stringify(listed));

const messages = await chat.GET("/api/v1/sessions/{session_id}/messages", { params: { path } });
check(messages.data?.items.length === 0, JSON.stringify(messages));

const notified = await chat.POST("/api/v1/notifications", { body: notification });
check(notified.response.status === 202, JSON.stringify(notified));

const revoked = await chat.POST("/api/v1/revocations", { body: revocation });
check(revoked.data?.all_tokens === false, JSON.stringify(revoked));

const missing = await chat.GET("/api/v1/sessions/{session_id}", { params: { path: { session_id: 99 } } });
const problem: Schemas["Problem"] | undefined = missing.error;
check(problem?.code === "no_such_session", JSON.stringify(missing));
console.log("done");
