// The catalogue on the page: looked through, changed, taken back to an earlier revision.

import assert from "node:assert/strict";
import test from "node:test";

import { Daemon, agree, press, reads, rules, spanned, until, view, visitor } from "./stage.mjs";

const revision = async (daemon) => (await daemon.see("catalogue")).revision;

test("rules are checked while one types, and applied when one has agreed to what changes", async () => {
  const daemon = await Daemon.stocked();
  const page = await visitor(daemon);
  await view(page, "#/catalogue");
  await page.getByRole("link", { name: "Change the rules…" }).click();
  const text = page.getByLabel("Catalogue (JSON)");
  const says = (what) => page.getByRole("status").getByText(what).waitFor();
  await says("Nothing: this is revision 1, as it stands.");
  const apply = page.getByRole("button", { name: "Apply…" });
  assert.ok(await apply.isDisabled());

  // What is wrong is said with its place, which the text shows.
  const wrong = rules();
  wrong.topics[1].strictness = 900;
  await text.fill(JSON.stringify(wrong, null, 1));
  await says("1 error");
  await press(page, "topics[1].strictness");
  assert.equal(await text.evaluate((area) => area.value.slice(area.selectionStart, area.selectionEnd)), "900");
  await text.fill('{"topics": [\n  oops]}');
  await page.getByRole("button", { name: /^line 2, column/ }).click();
  assert.equal(await text.evaluate((area) => area.value.slice(0, area.selectionStart)), '{"topics": [\n');
  assert.ok(await apply.isDisabled());

  const next = rules();
  next.topics[0].phrases = ["money back", "refund"];
  next.topics[1] = { id: "calm", name: "Calm", programs: ["billing"], phrases: ["was calm"] };
  // As a file.
  await page.getByLabel("Or take a file").setInputFiles({ name: "topics.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(next)) });
  await says("As revision 2:");
  for (const part of ["Added 1", "Changed 1", "Removed 1"]) await page.getByRole("heading", { name: part }).waitFor();
  await apply.click();
  const dialog = page.getByRole("dialog", { name: "Apply it as revision 2?" });
  await dialog.getByText("added 1 topic, changed 1 topic, removed 1 topic").waitFor();
  // Not before one has agreed to what goes.
  await press(dialog, "Apply");
  await dialog.locator(":invalid").first().waitFor();
  assert.equal(await revision(daemon), 1);
  await dialog.getByLabel("Remove 1 topic: late").check();
  await press(dialog, "Apply");
  await page.getByRole("heading", { level: 1, name: "Catalogue" }).waitFor();
  await reads(page, "Against revision 1: added calm; changed refund; removed late.");
  assert.equal(await revision(daemon), 2);

  // What another person applied in the meantime is not written over.
  await view(page, "#/revise");
  await says("Nothing: this is revision 2, as it stands.");
  await text.fill(JSON.stringify(rules()));
  await says("As revision 3:");
  next.topics[0].strictness = 50;
  await daemon.apply(next);
  await apply.click();
  const again = page.getByRole("dialog");
  await again.getByRole("checkbox").check();
  await press(again, "Apply");
  await again.getByText("the catalogue is at revision 3, not 2").waitFor();
  assert.equal(await revision(daemon), 3);
  page.heard.clean(daemon, "status of 400", "status of 409", "status of 422");
});

test("earlier revisions are looked at, and applied again", async () => {
  const daemon = await Daemon.stocked();
  const other = rules();
  other.topics[0].name = "Money back";
  await daemon.apply(other);
  const page = await visitor(daemon);
  await view(page, "#/catalogue");
  await page.getByLabel("Revision").selectOption("1");
  await reads(page, "You look at an earlier revision.");
  await page.getByRole("link", { name: "Refund", exact: true }).waitFor();
  await page.getByRole("link", { name: "Apply this one again…" }).click();
  await page.getByRole("heading", { name: "Changed 1" }).waitFor();
  await agree(page, "Apply…", { says: "changed 1 topic", choice: "Apply" });
  await until("revision 3", async () => (await revision(daemon)) === 3);
  assert.equal((await daemon.see("catalogue")).topics[0].name, "Refund");
  page.heard.clean(daemon);
});

test("a topic is found by its phrases, and shows where it is found", async () => {
  const daemon = await Daemon.stocked();
  await daemon.job(await daemon.publish(spanned()));
  const page = await visitor(daemon);
  await view(page, "#/catalogue");
  const topics = page.getByRole("region", { name: "Topics" }).locator("tbody tr");
  await until("both topics", async () => (await topics.count()) === 2);
  await page.getByLabel("Find").fill("PARCEL");
  await until("one topic", async () => (await topics.count()) === 1);
  await page.getByLabel("Find").fill("money");
  await page.getByRole("link", { name: "Refund" }).click();
  await page.getByRole("heading", { level: 1, name: "Refund" }).waitFor();
  await reads(page, "2 items, 2 blocks");
  await page.getByRole("row", { name: "conversation fs-1 t1 · 1 “money back” 100 job 1" }).waitFor();
  await page.getByRole("link", { name: "money back" }).click();
  assert.equal(await page.getByLabel("Phrase", { exact: true }).inputValue(), "money back");
  page.heard.clean(daemon);
});
