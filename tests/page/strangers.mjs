// The page when the daemon is away, when it only lets one look, and when it does not let one in.

import assert from "node:assert/strict";
import test from "node:test";

import { Daemon, newcomer, press, reads, rules, spanned, until, view, visitor } from "./stage.mjs";

test("a daemon that dies is missed, and found again", async () => {
  const daemon = await Daemon.stocked();
  const page = await visitor(daemon);
  const banner = page.getByRole("alert").filter({ hasText: "No answer from the daemon since" });
  assert.equal(await banner.isVisible(), false);
  await daemon.kill();
  await banner.waitFor();
  await reads(page, "no answer");
  const again = await Daemon.start({ dir: daemon.dir, flags: ["--listen", daemon.address] });
  // By itself, and still signed in.
  await banner.waitFor({ state: "hidden" });
  await again.publish(spanned({ name: "after the fall" }));
  await page.getByRole("link", { name: "after the fall" }).waitFor();
  page.heard.clean(again, "net::ERR_");

  // A token that is rotated ends the session, and the page says so.
  await again.ask("POST", "/api/v1/tokens/token/rotate");
  await page.getByRole("alert").filter({ hasText: "Your session has ended" }).waitFor();
});

/// All that a request can change.
async function everything(daemon) {
  const { items } = await daemon.see("status");
  const asked = ["catalogue", "jobs", "labels.ndjson", "labels.ndjson?since=0", "items/conversation/fs-1", "items/note/n-1"];
  return [items, ...(await Promise.all(asked.map(daemon.see)))];
}

test("whoever may only look sees no button that changes anything", async () => {
  const daemon = await Daemon.stocked();
  await daemon.job(await daemon.publish(spanned()));
  await daemon.job(await daemon.publish(spanned({ dry_run: true })));
  await daemon.publish(spanned({ publish: false }));
  const changed = rules();
  changed.topics[0].strictness = 50;
  await daemon.apply(changed);
  const before = await everything(daemon);
  const page = await visitor(daemon, { flags: ["--read"] });
  await reads(page, "looking only");
  const harmless = [/^Show/, /^\d/, "Find", "Sign out"];
  for (const [hash, there] of [
    // No view is called constructor, but every object has one.
    ["#/jobs", "Throughput"], ["#/constructor", "There is no such page"], ["#/jobs/1", "no topics detected"], ["#/jobs/2", "dry run"], ["#/jobs/3", "draft"],
    ["#/publish", "may only look"], ["#/catalogue", "behind"], ["#/item", "Kind"], ["#/item/conversation/fs-1", "Transcript t1"],
  ]) {
    await view(page, hash);
    await reads(page, there);
    const offered = await page.getByRole("button").allInnerTexts();
    const others = offered.filter((text) => !harmless.some((known) => text.match(known)));
    assert.deepEqual(others, [], hash);
    assert.deepEqual(await page.locator("main a.button, main textarea, main input[type=file]").allInnerTexts(), [], hash);
    assert.equal(await page.getByRole("navigation").getByRole("link", { name: "Publish" }).count(), 0);
  }
  assert.deepEqual(await everything(daemon), before);
  page.heard.clean(daemon);
});

test("an address at which nothing is says so", async () => {
  const daemon = await Daemon.stocked();
  const page = await visitor(daemon);
  for (const [hash, there] of [
    ["#/jobs/9999", "There is no job 9999"], ["#/job/9999", "There is no job 9999"], ["#/jobs/nine", "There is no job nine"],
    ["#/nope", "There is no such page"], ["#/toString/1", "There is no such page"],
  ]) {
    await view(page, hash);
    await reads(page, there);
    assert.ok((await page.locator("main .card").count()) <= 1, `${hash}: cards with nothing in them`);
    await page.getByRole("main").getByRole("link", { name: "jobs", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "Jobs", exact: true }).waitFor();
  }
  page.heard.clean(daemon, "status of 404");
});

test("whoever is not signed in is told how", async () => {
  const daemon = await Daemon.stocked();
  const page = await newcomer();
  await page.goto(daemon.url);
  await page.getByRole("heading", { name: "Sign in to relabeld" }).waitFor();
  await page.getByText("relabeld login", { exact: true }).waitFor();
  // In the page's own looks, without a session.
  assert.equal(await page.locator(".card").evaluate((card) => getComputedStyle(card).borderRadius), "10px");
  const link = await daemon.link();
  await page.goto(link);
  await reads(page, "No job was published yet.");
  await press(page, "Sign out");
  await reads(page, "no session here");
  await page.goto(link);
  await reads(page, "used already");
  page.heard.clean(daemon, "status of 401");
});
