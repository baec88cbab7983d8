// The page as it looks, over the demo's data: in light, in dark and on a phone, with axe-core looking for what shuts
// people out; and by the keyboard alone. PAGE_SHOTS=DIR keeps a picture of each view.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test, { before } from "node:test";

import { AXE, Daemon, agree, press, reads, state, until, view, visitor } from "./stage.mjs";

const { PAGE_SHOTS: SHOTS, PAGE_STORE: STORE } = process.env;
let daemon;
let item;

before(async () => {
  daemon = await Daemon.start({ dir: STORE });
  const published = async (name, more) => {
    const id = await daemon.publish({ from: "60d", name, ...more });
    if (more.publish !== false) await daemon.job(id, (job) => job.state === "running" && job.counts.done > 0);
    return id;
  };
  await daemon.job("3");
  const cancelled = await published("Cancelled on the way, and with a name that is rather longer than what fits into a line", { max_per_second: 20 });
  await daemon.ask("POST", `/api/v1/jobs/${cancelled}/cancel`);
  await daemon.job(cancelled);
  const held = await published("Held", { max_per_second: 20 });
  await daemon.ask("POST", `/api/v1/jobs/${held}/pause`);
  await published("A slow one", { max_per_second: 4 });
  await published("For Monday", { publish: false });
  item = (await daemon.labels()).find((label) => label.topic === "refund" && label.kind === "conversation").id;
  const { transcripts: [{ id: transcript }] } = await daemon.see(`items/conversation/${item}`);
  const marks = [{ transcript, block: 0, topic: "praise", mark: "is" }, { transcript, block: 1, topic: "complaint", mark: "is_not" }];
  await daemon.ask("PUT", `/api/v1/items/conversation/${item}/marks`, { marks });
});

async function shoot(page, name, options = {}) {
  if (SHOTS) await page.screenshot({ path: path.join(SHOTS, `${name}.png`), fullPage: true, ...options });
}

/// axe-core finds nothing, and nothing is wider than the window.
async function forEverybody(page, what) {
  if (!(await page.evaluate(() => Boolean(window.axe)))) await page.evaluate(AXE);
  const found = await page.evaluate(async () => (await window.axe.run()).violations.map(({ id, nodes }) =>
    [id, ...nodes.map((node) => `${node.html} ${node.failureSummary}`)]));
  assert.deepEqual(found, [], what);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(over, 0, `${what}: wider than the window`);
}

const LOOKS = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { colorScheme: "light", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
};

for (const [look, options] of Object.entries(LOOKS)) {
  test(`every view is for everybody: ${look}`, async () => {
    const page = await visitor(daemon, options);
    for (const [name, hash, there] of [
      ["jobs", "#/jobs", "A slow one"],
      ["job", "#/jobs/1", "Price question"],
      ["dry-run", "#/jobs/2", "Differences"],
      ["errors", "#/jobs/3", "the text cannot be read"],
      ["pruned", "#/jobs/4", "this summary is what is left"],
      ["cancelled", "#/jobs/5", "cancelled"],
      ["held", "#/jobs/6", "paused"],
      ["running", "#/jobs/7", "left"],
      ["draft", "#/jobs/8", "For Monday"],
      ["publish", "#/publish", "items selected"],
      ["catalogue", "#/catalogue", "behind"],
      ["revise", "#/revise", "as it stands"],
      ["topic", "#/topic/refund", "Where it is found"],
      ["items", "#/item", "Import"],
      ["item", `#/item/conversation/${item}`, "marked: is"],
      ["phrase", "#/phrase?phrase=money+back&from=60d", "score"],
    ]) {
      await view(page, hash);
      await reads(page, there);
      await forEverybody(page, `${name}, ${look}`);
      await shoot(page, `${name}-${look}`);
    }
    await view(page, "#/jobs/1");
    await press(page, "Revert");
    await page.getByRole("dialog").waitFor();
    await forEverybody(page, `dialog, ${look}`);
    await shoot(page, `dialog-${look}`, { fullPage: false });
    await press(page, "Keep as it is");
    page.heard.clean(daemon);
  });
}

test("what belongs together stands in line, and nothing is beyond the edge", async () => {
  const page = await visitor(daemon);
  await reads(page, "A slow one");
  const rows = page.getByRole("list", { name: "Jobs" }).getByRole("listitem");
  const columns = await rows.evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.getBoundingClientRect().left).join()));
  assert.ok(columns.length > 5);
  assert.equal(new Set(columns).size, 1, columns.join("\n"));
  await view(page, "#/jobs/1");
  const items = page.locator("section[aria-label='Over time'] figure").last();
  await items.locator(".grid text").first().waitFor();
  for (const tick of await items.locator(".grid text").allTextContents()) assert.match(tick, /^[\d,]+$/, "items are whole");
  // As many as five figures and more leave the bar alone.
  const [figures, bar] = await page.getByRole("region", { name: "Topics added and removed" }).locator(".barred").first().evaluate((cell) => {
    cell.firstChild.textContent = "123,456";
    const figures = document.createRange();
    figures.selectNodeContents(cell.firstChild);
    return [figures.getBoundingClientRect().right, cell.lastChild.getBoundingClientRect().left];
  });
  assert.ok(bar - figures >= 4, `${figures} and ${bar}`);

  const phone = await visitor(daemon, LOOKS.phone);
  await view(phone, "#/catalogue");
  const action = phone.getByRole("region", { name: "Programs" }).getByRole("link").first();
  await action.waitFor();
  const edges = await action.boundingBox();
  assert.ok(edges.x + edges.width <= LOOKS.phone.viewport.width, JSON.stringify(edges));
  const head = await phone.locator("main .head .button").last().boundingBox();
  const below = await phone.locator("#revision").boundingBox();
  assert.ok(below.y - (head.y + head.height) >= 6, `${JSON.stringify(head)} and ${JSON.stringify(below)}`);
});

test("what failed is listed with its reason, and counted as the daemon counts it", async () => {
  const page = await visitor(daemon);
  await view(page, "#/jobs/3");
  const items = page.getByRole("region", { name: "Items", exact: true });
  const rows = items.locator("tbody tr");
  await until("errors and quarantined", async () => (await rows.count()) === 4);
  assert.equal(await rows.filter({ hasText: "the text cannot be read" }).count(), 3);
  await rows.filter({ hasText: "quarantined" }).filter({ hasText: "the process died 1 times" }).waitFor();
  const job = await daemon.see("jobs/3");
  const counts = { ...job.outcomes, ...job.reasons, quarantined: job.counts.quarantined };
  for (const [word, n] of Object.entries(counts)) {
    await press(page, `${n} ${word.replaceAll("_", " ")}`);
    await items.getByRole("heading", { name: `Items: ${word.replaceAll("_", " ")}` }).waitFor();
    await until(`${n} of ${word}`, async () => (await rows.count()) === Math.min(n, 50));
    assert.equal(await page.locator('.chip[aria-pressed="true"]').count(), 1);
  }
  page.heard.clean(daemon);
});

test("the charts show what the daemon counts", async () => {
  const page = await visitor(daemon);
  const { counts, outcomes, reasons } = await daemon.see("jobs/1");
  await view(page, "#/jobs/1");
  const number = (n) => n.toLocaleString("en");
  const said = `Outcomes: changed ${number(outcomes.changed)}, left as they were ${number(counts.done - outcomes.changed)}, no topics detected ${number(reasons.no_topics_detected)}`;
  await page.getByRole("img", { name: said, exact: true }).waitFor();
  await page.getByRole("img", { name: new RegExp(`^Throughput: ${number(counts.total)} items in `) }).waitFor();
  // What stands under the curve of items a second is the items.
  const drawn = await page.locator("section[aria-label='Over time'] figure").first().evaluate((figure) => {
    const ys = (line) => line.getAttribute("points").split(" ").map((point) => point.split(",").map(Number));
    const areas = [...figure.querySelectorAll("polygon")].map((polygon) => {
      const points = ys(polygon);
      return Math.abs(points.reduce((sum, [x, y], i) => {
        const [nextX, nextY] = points[(i + 1) % points.length];
        return sum + x * nextY - nextX * y;
      }, 0) / 2);
    });
    return areas.map((area) => area / areas.reduce((sum, one) => sum + one, 0));
  });
  const parts = [outcomes.changed, counts.done - outcomes.changed, reasons.no_topics_detected].map((n) => n / counts.total);
  drawn.forEach((part, i) => assert.ok(Math.abs(part - parts[i]) < 0.05, `${drawn} are not ${parts}`));
  // The bars of the topics are the daemon's counts, the most first.
  const topics = (await daemon.see("jobs/1/topics.ndjson")).trim().split("\n").map((line) => JSON.parse(line).added).sort((a, b) => b - a);
  const shown = await page.getByRole("region", { name: "Topics added and removed" }).locator(".n").allInnerTexts();
  assert.deepEqual(shown, topics.slice(0, 30).map(number));
  page.heard.clean(daemon);
});

test("the keyboard is enough", async () => {
  const page = await visitor(daemon);
  await page.reload();
  await page.getByRole("heading", { level: 1 }).waitFor();
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("Tab");
  const skip = page.getByRole("link", { name: "Skip to the content" });
  assert.ok(await skip.evaluate((link) => link === document.activeElement && link.getBoundingClientRect().top >= 0));
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.innerText), "Publish a job", "the header is skipped");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, "solid", "where the focus is can be seen");

  await view(page, "#/jobs/1");
  await state(page, "completed");
  const revert = page.getByRole("button", { name: "Revert" });
  for (let n = 0; n < 40 && !(await revert.evaluate((button) => button === document.activeElement)); n += 1) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  assert.ok(await dialog.evaluate((node) => node.contains(document.activeElement)), "the focus is in the dialog");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.ok(await revert.evaluate((button) => button === document.activeElement), "and goes back to where it came from");
  await agree(page, "Revert", { says: "takes back what this one did", choice: "Dry run of it" });
  await page.getByRole("heading", { level: 1, name: "Revert of job 1" }).waitFor();
  page.heard.clean(daemon);
});

test("an empty store says what to do first", async () => {
  const empty = await Daemon.start();
  const page = await visitor(empty);
  await reads(page, "No job was published yet.");
  for (const [hash, there] of [["#/catalogue", "No catalogue was applied yet."], ["#/publish", "Nothing is selected"], ["#/phrase", "Type a phrase."], ["#/topic/none", "no longer"]]) {
    await view(page, hash);
    await reads(page, there);
    await forEverybody(page, `${hash}, empty`);
  }
  page.heard.clean(empty);
});

test("the picture of README: a job under way", { skip: !SHOTS }, async () => {
  await daemon.job((await daemon.ask("POST", "/api/v1/jobs/1/revert")).id);
  const id = await daemon.publish({ from: "60d", name: "Mended rules for refunds", max_per_second: 250 });
  const page = await visitor(daemon, { viewport: { width: 1120, height: 1040 } });
  await view(page, `#/jobs/${id}`);
  await daemon.job(id, (job) => job.counts.done > 2_600);
  await page.getByRole("region", { name: "Topics added and removed" }).waitFor();
  await shoot(page, "picture", { fullPage: false });
});
