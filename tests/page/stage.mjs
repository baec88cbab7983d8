// Daemons and browsers for the walks: the real binary on scratch directories, and Chromium by Playwright.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after } from "node:test";
import { setTimeout as rest } from "node:timers/promises";
import { promisify } from "node:util";

const { PAGE_BINARY: BINARY, PAGE_SCRATCH: SCRATCH, PAGE_NPM: NPM } = process.env;
const outside = createRequire(path.join(NPM, "from-here.js"));
const { chromium } = outside("playwright-core");

/// Nothing here takes longer, unless it hangs.
const PATIENCE = 60_000;

/// Looks until it comes to anything.
export async function until(what, look) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; await rest(20)) {
    const found = await look();
    if (found) return found;
  }
  return assert.fail(`${what} never came`);
}

export const spanned = (more = {}) => ({ from: "2026-11-01", until: "2026-12-01", ...more });

export const conversation = (id, texts, more) => ({
  kind: "conversation", id, media: "chat", started_at: "2026-11-10T10:00:00Z", programs: ["billing"],
  transcripts: [{ id: "t1", blocks: texts.map((text) => ({ speaker: "customer", text })) }], ...more,
});

export const note = (id, version, text) => ({
  kind: "note", id, version, created_at: "2026-11-11T09:00:00Z", programs: ["billing"], text,
});

export const rules = () => ({
  topics: [
    { id: "refund", name: "Refund", programs: ["billing"], phrases: ["money back"] },
    { id: "late", programs: ["billing"], phrases: ["parcel is late"] },
  ],
});

const daemons = new Set();
after(() => daemons.forEach((daemon) => daemon.kill()));

export class Daemon {
  /// On a directory of its own, or on one that is there.
  static async start({ dir = fs.mkdtempSync(path.join(SCRATCH, "daemon-")), flags = ["--listen", "127.0.0.1:0"] } = {}) {
    const address = path.join(dir, "address");
    fs.rmSync(address, { force: true });
    const log = fs.openSync(`${dir}.stderr`, "a");
    const child = spawn(BINARY, ["serve", "--data-dir", dir, ...flags], { stdio: ["ignore", "ignore", log] });
    const daemon = new Daemon();
    Object.assign(daemon, { child, dir, ended: new Promise((resolve) => child.once("exit", resolve)) });
    daemons.add(daemon);
    daemon.address = await until("the file `address`", () => {
      assert.equal(child.exitCode, null, `the daemon ended: ${fs.readFileSync(`${dir}.stderr`, "utf8")}`);
      return fs.existsSync(address) && fs.readFileSync(address, "utf8");
    });
    daemon.url = `http://${daemon.address}`;
    return daemon;
  }

  /// With two conversations and two notes, of which three have a topic, and nothing published.
  static async stocked() {
    const daemon = await Daemon.start();
    await daemon.apply(rules());
    await daemon.import([
      conversation("fs-1", ["Hello", "I want my money back"]), conversation("fs-2", ["Good morning"]),
      note("n-1", 3, "Asked for her money back.\n\nWas calm."), note("n-2", 1, "The parcel is late."),
    ]);
    return daemon;
  }

  kill() {
    daemons.delete(this);
    this.child.kill("SIGKILL");
    return this.ended;
  }

  async ask(method, target, body) {
    const headers = { Authorization: `Bearer ${fs.readFileSync(path.join(this.dir, "token"), "utf8").trim()}` };
    const answer = await fetch(this.url + target, { method, headers, body: typeof body === "object" ? JSON.stringify(body) : body });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${target}: ${answer.status} ${text}`);
    return answer.headers.get("Content-Type") === "application/json" ? JSON.parse(text) : text;
  }

  see = (target) => this.ask("GET", `/api/v1/${target}`);
  import = (items) => this.ask("POST", "/api/v1/items", items.map((item) => JSON.stringify(item)).join("\n"));
  apply = (catalogue) => this.ask("PUT", "/api/v1/catalogue", catalogue);
  publish = async (job) => (await this.ask("POST", "/api/v1/jobs", job)).id;

  /// The job, once it is as wanted: else once it has ended.
  async job(id, wanted = (job) => job.finished_at) {
    return until(`what is wanted of job ${id}`, async () => {
      const job = await this.see(`jobs/${id}`);
      return wanted(job) && job;
    });
  }

  async labels() {
    const lines = await this.see("labels.ndjson");
    return lines.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }

  /// The link that the command line prints.
  async link(...flags) {
    const { stdout } = await promisify(execFile)(BINARY, ["login", "--data-dir", this.dir, ...flags]);
    return stdout.trim();
  }
}

let chrome;
after(() => chrome?.then((browser) => browser.close()));

function executable() {
  const found = process.env.PATH.split(path.delimiter).map((dir) => path.join(dir, "chromium")).find((file) => fs.existsSync(file));
  return found ?? assert.fail("there is no chromium; tests/run installs it");
}

/// What a page asked for, and what was complained of.
class Heard {
  complaints = [];
  asked = [];

  constructor(context) {
    context.on("request", (request) => this.asked.push(request.url()));
    context.on("page", (page) => {
      page.on("pageerror", (error) => this.complaints.push(String(error)));
      page.on("console", (message) => this.complaints.push(`${message.type()}: ${message.text()}`));
    });
  }

  /// Nothing was complained of but what has one of `expected` in it, and nothing asked of another host.
  clean(daemon, ...expected) {
    const others = this.complaints.filter((complaint) => !expected.some((part) => complaint.includes(part)));
    assert.deepEqual(others, []);
    assert.ok(this.asked.length > 5, `${this.asked}`);
    const away = this.asked.filter((url) => !url.startsWith(`${daemon.url}/`) && url !== "data:,");
    assert.deepEqual(away, []);
  }
}

/// A browser that nobody has used yet. What is said on its page is where one looks: `page.heard`.
export async function newcomer(options = {}) {
  chrome ??= chromium.launch({ executablePath: executable(), args: ["--no-sandbox"] });
  const context = await (await chrome).newContext({ viewport: { width: 1280, height: 844 }, ...options });
  const heard = new Heard(context);
  const page = await context.newPage();
  page.heard = heard;
  return page;
}

/// A browser that has opened the link that `relabeld login` prints.
export async function visitor(daemon, { flags = [], ...options } = {}) {
  const page = await newcomer(options);
  await page.goto(await daemon.link(...flags));
  await page.getByRole("heading", { level: 1 }).waitFor();
  return page;
}

/// Opens a view of the page that is there, and ends when it is the one that is shown.
export async function view(page, hash) {
  await page.evaluate((to) => new Promise((shown) => {
    if (location.hash === to) return shown();
    addEventListener("hashchange", () => shown(), { once: true });
    location.hash = to;
  }), hash);
}

/// Waits until the page shows this.
export const reads = (page, text) => page.getByText(text).filter({ visible: true }).first().waitFor();
export const press = (where, name) => where.getByRole("button", { name, exact: true }).click();
export const state = (page, word) => page.locator("main .head").getByText(word, { exact: true }).waitFor();

/// Presses a button, and the one of the dialog that it opens, once that says what it should.
export async function agree(page, name, { says, choice = name } = {}) {
  await press(page.getByRole("main"), name);
  const dialog = page.getByRole("dialog");
  if (says) await dialog.getByText(says).waitFor();
  await press(dialog, choice);
  await dialog.waitFor({ state: "detached" });
}

/// What the console answers, as when one pastes into it: top-level `await`, and the last value.
export async function paste(page, expression) {
  const devtools = await page.context().newCDPSession(page);
  const answer = await devtools.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true, replMode: true });
  assert.equal(answer.exceptionDetails, undefined, JSON.stringify(answer.exceptionDetails));
  await devtools.detach();
  return answer.result.value;
}

export const AXE = fs.readFileSync(outside.resolve("axe-core/axe.min.js"), "utf8");
