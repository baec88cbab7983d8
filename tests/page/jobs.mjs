// The page as those who run jobs walk through it.

import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";

import { Daemon, agree, conversation, press, reads, rules, spanned, state, until, view, visitor } from "./stage.mjs";

/// As `stocked`, and forty conversations more.
async function crowded() {
  const daemon = await Daemon.stocked();
  await daemon.import([...Array(40).keys()].map((n) => conversation(`more-${n}`, ["My money back, please"])));
  return daemon;
}

const rowsOf = (page, region) => page.getByRole("region", { name: region, exact: true }).locator("tbody tr");

test("a job is counted, tried, applied and taken back", async () => {
  const daemon = await crowded();
  const page = await visitor(daemon);
  await reads(page, "No job was published yet.");
  await page.getByRole("link", { name: "Publish a job" }).click();
  const selected = (n) => page.getByRole("status").filter({ hasText: new RegExp(`^${n}\\s*items? selected$`) }).waitFor();
  // The count follows what is typed.
  await page.getByLabel("From", { exact: true }).fill("2026-11-01");
  await page.getByLabel("Until", { exact: true }).fill("2026-12-01");
  await selected(44);
  await reads(page, "Read as 2026-11-01 00:00 UTC.");
  await page.getByRole("checkbox", { name: "notes" }).check();
  await selected(2);
  await page.getByRole("checkbox", { name: "notes" }).uncheck();
  await selected(44);
  // What is wrong is said where it is.
  const from = page.getByLabel("From", { exact: true });
  await from.fill("soon");
  await page.locator("[aria-invalid]").waitFor();
  assert.equal(await from.getAttribute("aria-invalid"), "true");
  assert.match(await page.locator("#field-from-error").innerText(), /soon/);
  const ways = page.locator("form.publish button[type=submit]");
  for (const way of await ways.all()) assert.ok(await way.isDisabled(), "what cannot be counted is not published");
  await from.fill("2026-11-01");
  await page.locator("[aria-invalid]").waitFor({ state: "detached" });
  await page.getByLabel("Name", { exact: true }).fill("<b>mended</b>");

  await press(page, "Dry run first");
  // A name is text.
  await page.getByRole("heading", { level: 1, name: "#1 <b>mended</b>" }).waitFor();
  await state(page, "completed");
  await reads(page, "if applied");
  await until("the differences", async () => (await rowsOf(page, "Differences, row by row").count()) === 43);
  await until("the topics", async () => (await rowsOf(page, "Topics added and removed").count()) === 2);
  assert.equal((await daemon.labels()).length, 0, "a dry run writes nothing");

  // It says what it will do, and does nothing when it is told not to.
  await agree(page, "Apply", { says: "43 labels added, 0 removed, 0 updated", choice: "Keep as it is" });
  assert.equal((await daemon.see("jobs")).jobs.length, 1);
  assert.equal(await page.evaluate(() => document.activeElement.innerText), "Apply", "the focus is back where it was");
  await agree(page, "Apply");
  await page.getByRole("heading", { level: 1, name: "#2" }).waitFor();
  await state(page, "completed");
  assert.equal((await daemon.labels()).length, 43);

  // The item that failed is listed by itself, with its reason, and leads to its text.
  const items = page.getByRole("region", { name: "Items", exact: true });
  await items.getByRole("row", { name: /conversation fs-2.*no topics detected/ }).waitFor();
  await press(page, "43 changed");
  await items.getByRole("heading", { name: "Items: changed" }).waitFor();
  await until("43 rows", async () => (await rowsOf(page, "Items: changed").count()) === 43);
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "Label changes (CSV)" }).click();
  const csv = fs.readFileSync(await (await download).path(), "utf8");
  assert.equal((await download).suggestedFilename(), "job-2-labels.csv");
  assert.match(csv, /^kind,id,version,transcript,block,topic,change,phrase/);
  assert.equal(csv.trimEnd().split("\n").length, 44);

  await agree(page, "Revert", { says: "takes back what this one did" });
  await page.getByRole("heading", { level: 1, name: "#3" }).waitFor();
  await state(page, "completed");
  assert.equal((await daemon.labels()).length, 0);
  await agree(page, "Delete", { says: "removed for good" });
  await until("two jobs", async () => (await page.getByRole("list", { name: "Jobs" }).getByRole("listitem").count()) === 2);
  page.heard.clean(daemon, "status of 404", "status of 422");
});

test("a dry run that comes to nothing says so", async () => {
  const daemon = await Daemon.stocked();
  await daemon.job(await daemon.publish(spanned()));
  const id = await daemon.publish(spanned({ dry_run: true }));
  await daemon.job(id);
  const page = await visitor(daemon);
  await view(page, `#/jobs/${id}`);
  await reads(page, "It would change nothing");
  const apply = page.getByRole("button", { name: "Apply", exact: true });
  assert.ok(!(await apply.getAttribute("class")).includes("primary"));
  await view(page, "#/publish");
  await reads(page, "items of any program");
  page.heard.clean(daemon);
});

test("a dialog closes with the page that it was asked on", async () => {
  const daemon = await Daemon.stocked();
  const page = await visitor(daemon);
  await page.getByRole("link", { name: "Publish a job" }).click();
  await page.getByRole("status").filter({ hasText: /items? selected$/ }).waitFor();
  await press(page, "Publish…");
  await page.getByRole("dialog").waitFor();
  await page.goBack();
  await page.getByRole("heading", { level: 1, name: "Jobs", exact: true }).waitFor();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  // Forward again nothing is left of it either.
  await page.goForward();
  await page.getByRole("heading", { level: 1, name: "Publish a job" }).waitFor();
  assert.equal(await page.getByRole("dialog").count(), 0);
  assert.deepEqual((await daemon.see("jobs")).jobs, []);
  page.heard.clean(daemon);
});

test("a running job is paused, resumed and steered", async () => {
  const daemon = await crowded();
  const id = await daemon.publish(spanned({ max_per_second: 1, name: "slow" }));
  const page = await visitor(daemon);
  await page.getByRole("listitem").filter({ hasText: "running" }).getByRole("link", { name: "slow" }).click();
  await page.getByRole("img", { name: /^Throughput: [\d.]+\/s now/ }).waitFor();
  await page.getByRole("img", { name: /^Outcomes: changed \d+/ }).waitFor();
  await reads(page, "left");

  await agree(page, "Pause", { says: "No further item is taken" });
  await state(page, "paused");
  assert.equal((await daemon.see(`jobs/${id}`)).state, "paused");
  // Focus stays where it was while the page goes on looking.
  const steer = page.getByRole("button", { name: "Priority and speed" });
  await steer.focus();
  for (let looks = 0; looks < 2; looks += 1) await page.waitForResponse((answer) => answer.url().endsWith(`/jobs/${id}`));
  assert.ok(await steer.evaluate((button) => button === document.activeElement));
  await agree(page, "Resume", { says: "goes on where it was" });
  await state(page, "running");

  await steer.click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Priority").fill("500");
  await press(dialog, "Set");
  await dialog.locator(":invalid").first().waitFor();
  await dialog.getByLabel("Priority").fill("90");
  await dialog.getByLabel("Speed limit").fill("100000");
  await press(dialog, "Set");
  await state(page, "completed");
  const job = await daemon.job(id);
  assert.deepEqual([job.priority, job.max_per_second], [90, 100000]);
  page.heard.clean(daemon);
});

test("what lags behind is one press away", async () => {
  const daemon = await Daemon.stocked();
  await daemon.job(await daemon.publish(spanned()));
  const page = await visitor(daemon);
  await view(page, "#/catalogue");
  await reads(page, "up to date");
  const changed = rules();
  changed.topics[0].phrases = ["money back", "calm"];
  await daemon.apply(changed);
  await reads(page, "4 behind");
  await page.getByRole("link", { name: "Relabel what lags behind", exact: true }).click();
  await page.getByRole("status").filter({ hasText: /^4\s*items selected$/ }).waitFor();
  await press(page, "Publish…");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("4 items will be read by the rules of revision 2").waitFor();
  await press(dialog, "Publish");
  await state(page, "completed");
  assert.equal((await daemon.job("2")).filter.stale_only, true);
  await view(page, "#/catalogue");
  await reads(page, "up to date");
  page.heard.clean(daemon);
});

test("a job behind sixty others goes on where one looks at it", async () => {
  const daemon = await Daemon.stocked();
  const id = await daemon.publish(spanned({ max_per_second: 0.001, name: "the first" }));
  for (let n = 0; n < 60; n += 1) await daemon.publish({ kind: "single", ids: [{ kind: "conversation", id: "fs-1" }] });
  const page = await visitor(daemon);
  const rows = page.getByRole("list", { name: "Jobs" }).getByRole("listitem");
  await until("a page of them", async () => (await rows.count()) === 50);
  await press(page, "Older jobs");
  await until("all of them", async () => (await rows.count()) === 61);
  await daemon.ask("POST", `/api/v1/jobs/${id}/pause`);
  await rows.filter({ hasText: "the first" }).getByText("paused").waitFor();
  await page.getByLabel("Show jobs").selectOption("paused");
  await until("the one that is paused", async () => (await rows.count()) === 1);
  page.heard.clean(daemon);
});
