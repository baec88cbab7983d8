// The guide's snippets in the console of the page, by the cookie that the login link sets.

import assert from "node:assert/strict";
import test from "node:test";

import { Daemon, paste, until, visitor } from "./stage.mjs";

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
  const [daemon, other] = [await Daemon.stocked(), await Daemon.stocked()];
  // Signed in to both, and on the other's page: the same host, so that the cookie goes along, and another origin.
  const page = await visitor(daemon);
  await page.goto(await other.link());
  const cookies = await page.context().cookies(daemon.url);
  assert.equal(cookies.length, 2);
  await paste(page, `
    await fetch("${daemon.url}/api/internal/pubsub/publish", {method: "POST", mode: "no-cors", credentials: "include",
        body: JSON.stringify({topic: "conversation_note_analysis", key: {conversation_fs_id: "fs-1"}})})
        .then(() => "sent", () => "refused")`);
  assert.deepEqual((await daemon.see("jobs")).jobs, []);
});
