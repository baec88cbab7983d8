// The guide's snippets in the console of the page, by the cookie that the login link sets.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import test, { after } from "node:test";

import { Daemon, paste, until, visitor } from "./stage.mjs";

/// The address of a page that is not the daemon's.
async function elsewhere() {
  const server = http.createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end("<!doctype html>"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${server.address().port}/`;
}

test("the guide's snippets work in the page's console", async () => {
  const daemon = await Daemon.stocked();
  const page = await visitor(daemon);
  assert.equal(page.url(), `${daemon.url}/`, "the code is gone from the address");
  assert.equal(await paste(page, "document.cookie"), "", "no script reads the session");

  const [status, job] = await paste(page, `
    const response = await fetch("/api/internal/pubsub/publish", {
        method: "POST",
        body: JSON.stringify({
            topic: "conversation_note_analysis",
            key: { conversation_fs_id: "fs-1", note_id: "", note_version: "" },
            data: {},
        }),
    });
    [response.status, await response.json()]`);
  assert.equal(status, 200);
  assert.equal((await daemon.job(job.id)).labels.added, 1);
  assert.equal(await paste(page, `
    await fetch("/api/internal/pubsub/publish", {method: "POST", body: JSON.stringify({topic: "conversation_note_analysis",
        key: {conversation_fs_id: "", note_id: "n-1", note_version: "3"}, data: {}})}).then((answer) => answer.status)`), 200);
  const [ranged, bulk] = await paste(page, `
    await fetch("/api/internal/labels/reanalysis?from=2026-11-01&until=2026-12-01&type=conversations", {method: "POST"})
        .then(async (answer) => [answer.status, await answer.json()])`);
  assert.equal(ranged, 200);
  await daemon.job(bulk.id);
  assert.equal(await paste(page, `await fetch("/api/tick/runners", {method: "POST"}).then((answer) => answer.status)`), 200);

  // The page shows them by itself.
  const ended = page.getByRole("list", { name: "Jobs" }).getByRole("listitem").filter({ hasText: "completed" });
  await until("three jobs that have ended", async () => (await ended.count()) === 3);
  await ended.filter({ hasText: "no topics detected 1" }).waitFor();
  page.heard.clean(daemon);
});

test("a page of another origin publishes nothing", async () => {
  const daemon = await Daemon.stocked();
  const page = await visitor(daemon);
  // On the same host, so that the cookie goes along, and with no policy of its own that would keep the request in.
  await page.goto(await elsewhere());
  assert.equal(await paste(page, `
    await fetch("${daemon.url}/api/internal/pubsub/publish", {method: "POST", mode: "no-cors", credentials: "include",
        body: JSON.stringify({topic: "conversation_note_analysis", key: {conversation_fs_id: "fs-1"}})})
        .then(() => "sent", () => "kept in")`), "sent");
  // 403 and not 401: it came with the session, and was refused for where it came from.
  const refused = 'relabeld_http_requests_total{method="POST",route="/api/internal/pubsub/publish",code="403"} 1';
  await until("the refusal", async () => (await daemon.ask("GET", "/metrics")).includes(refused));
  assert.deepEqual((await daemon.see("jobs")).jobs, []);
});
