// Items on the page: their text and found phrases, people's marks, erasing, importing, and the phrase tester.

import assert from "node:assert/strict";
import test from "node:test";
import { gzipSync } from "node:zlib";

import { Daemon, agree, conversation, note, press, reads, spanned, state, until, view, visitor } from "./stage.mjs";

test("an item shows its phrases as text, and takes marks", async () => {
  const daemon = await Daemon.stocked();
  // Beyond the first plane a code point is two of JavaScript's units; and what looks like markup is text.
  const hostile = "😀 <img src=x onerror=alert(1)> I want my money back 😀";
  await daemon.import([conversation("a/b ä#1", [hostile, ""]), note("n-3", 1, "First.\n\n \nAsked for her money back.")]);
  await daemon.job(await daemon.publish(spanned()));
  const page = await visitor(daemon);
  await view(page, "#/item");
  await page.getByLabel("Id", { exact: true }).fill("a/b ä#1");
  await press(page, "Show");
  await page.locator("mark").getByText("money back", { exact: true }).waitFor();
  const block = page.getByRole("listitem").filter({ hasText: hostile }).first();
  assert.equal(await block.locator(".text").innerText(), hostile);

  await press(page, "is not: Refund");
  await page.getByText("marked: is not", { exact: true }).waitFor();
  await page.locator("mark").waitFor({ state: "detached" });
  const shown = await daemon.see("items/conversation/a%2Fb%20%C3%A4%231");
  assert.deepEqual([shown.marks[0].mark, shown.labels], ["is_not", []]);
  await press(page, "withdraw: Refund");
  await page.getByText("marked: is not", { exact: true }).waitFor({ state: "detached" });
  const marked = async (choice) => {
    await press(page, "Mark block 1");
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Topic").selectOption("late");
    await press(dialog, choice);
    await dialog.waitFor({ state: "detached" });
    return (await daemon.see("items/conversation/a%2Fb%20%C3%A4%231")).marks.map(({ block, topic, mark }) => [block, topic, mark]);
  };
  assert.deepEqual(await marked("It is this topic"), [[1, "late", "is"]]);
  await reads(page, "by a person");
  await press(page, "withdraw: late");
  await page.getByText("by a person", { exact: true }).waitFor({ state: "detached" });
  assert.deepEqual(await marked("It is not this topic"), [[1, "late", "is_not"]]);

  await agree(page, "Read again", { says: "goes ahead of everything else" });
  await state(page, "completed");
  await reads(page, "ahead of all (live)");

  await view(page, "#/item/note/n-3");
  await page.getByRole("listitem").filter({ hasText: "paragraph 2" }).locator("mark").getByText("money back").waitFor();
  await agree(page, "Erase", { says: "cannot be had back", choice: "Keep as it is" });
  await daemon.see("items/note/n-3");
  await agree(page, "Erase", { choice: "Erase for good" });
  await page.getByRole("heading", { level: 1, name: "Items" }).waitFor();
  await assert.rejects(daemon.see("items/note/n-3"), /404/);
  await view(page, "#/item/note/n-3");
  await reads(page, "There is no such item.");
  page.heard.clean(daemon, "status of 404");
});

test("a phrase is tried while one types", async () => {
  const daemon = await Daemon.stocked();
  const page = await visitor(daemon);
  await view(page, "#/phrase");
  await page.getByLabel("From", { exact: true }).fill("2026-11-01");
  await page.getByLabel("Phrase", { exact: true }).fill("parcel");
  await page.locator("mark").getByText("parcel", { exact: true }).waitFor();
  await page.getByLabel("Strictness").fill("0");
  await page.locator("[name=strictness][aria-invalid]").waitFor();
  assert.deepEqual(await daemon.labels(), []);
  page.heard.clean(daemon, "status of 422");
});

test("items are imported from a file, chosen or dropped", async () => {
  const daemon = await Daemon.stocked();
  const page = await visitor(daemon);
  await view(page, "#/item");
  const line = (id) => JSON.stringify(conversation(id, ["My money back, please"]));
  const file = (name, text) => ({ name, mimeType: "application/x-ndjson", buffer: Buffer.from(text) });
  const choose = page.getByLabel("A file of items");
  const region = page.getByRole("region", { name: "Import" });
  const dialog = page.getByRole("dialog", { name: /^Import / });

  await choose.setInputFiles(file("mixed.ndjson", `${line("new-1")}\n{"kind":"x"}\n${line("new-2")}\n`));
  await dialog.getByText("are sent to the daemon").waitFor();
  await dialog.getByLabel("Check all lines first").check();
  await press(dialog, "Import");
  await region.getByText("1 bad line(s): nothing was imported").waitFor();
  assert.equal((await daemon.see("status")).items, 4);

  await choose.setInputFiles(file("mixed.ndjson", `${line("new-1")}\n{"kind":"x"}\n${line("new-2")}\n`));
  await press(dialog, "Import");
  await region.getByText("2 inserted").waitFor();
  await region.getByText("1 bad").waitFor();
  await region.getByRole("row", { name: "2 kind: must be conversation or note" }).waitFor();
  assert.equal((await daemon.see("status")).items, 6);

  // Dropped, and gzipped.
  const zipped = gzipSync(`${line("new-3")}\n`).toString("base64");
  const dropped = await page.evaluateHandle((base64) => {
    const carried = new DataTransfer();
    carried.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], "new.ndjson.gz"));
    return carried;
  }, zipped);
  await region.locator(".zone").dispatchEvent("drop", { dataTransfer: dropped });
  await page.getByRole("dialog", { name: "Import new.ndjson.gz?" }).waitFor();
  await press(dialog, "Import");
  await region.getByText("1 inserted").waitFor();
  await until("the seventh item", async () => (await daemon.see("status")).items === 7);
  page.heard.clean(daemon, "status of 422");
});
