// What a job found, read off its exports: topics, the items behind a count, the differences. Nothing is read to its end
// that need not be, and what is being read is given up when the view is left.

import { bars } from "./chart.js";
import { count, failed, fill, h, link, number, table, tr, words } from "./dom.js";
import { expected, get, jobPath, rows } from "./net.js";
import { tally } from "./watch.js";

const ITEMS = 50;
const CHANGES = 200;

export const itemLink = (row) => link(`item/${row.kind}/${encodeURIComponent(row.id)}`, `${row.kind} ${row.id}`);
export const topicLink = (topic, name) => link(`topic/${encodeURIComponent(topic)}`, name);

/// A revision never changes; which one is the present does, and that is what null asks for.
const revisions = new Map();
export async function revisionOf(number, signal) {
  if (revisions.has(number)) return revisions.get(number);
  const catalogue = await get(`/api/v1/catalogue?revision=${number ?? ""}`, signal);
  if (number !== null) revisions.set(number, catalogue);
  return catalogue;
}

/// The name of each topic of a revision.
export async function namesOf(revision, signal) {
  const { topics } = await revisionOf(revision, signal);
  return new Map(topics.map((topic) => [topic.id, topic.name ?? topic.id]));
}

/// Reads at most `most` rows; `true` when there were more.
export async function first(path, signal, most, each) {
  let found = 0;
  for await (const row of rows(path, signal)) {
    if (found === most) return true;
    found += 1;
    each(row, found);
  }
  return false;
}

export function topics(id, signal) {
  const node = h("section", { class: "card", "aria-label": "Topics", hidden: true });
  let read = "";
  let reading = false;
  const follow = async (job) => {
    const { added, removed, updated } = job.labels;
    const mark = `${added} ${removed} ${updated}`;
    if (reading || mark === read || !(added || removed || updated) || job.pruned_at) return;
    reading = true;
    const lines = [];
    try {
      const names = await namesOf(job.catalogue_revision, signal);
      await first(jobPath(id, "topics.ndjson"), signal, 500, (row) =>
        lines.push({ ...row, name: topicLink(row.topic, names.get(row.topic) ?? row.topic) }));
      read = mark;
    } catch (error) {
      // The next look at the job asks again.
      if (signal.aborted || expected(error)) return;
      throw error;
    } finally {
      reading = false;
    }
    lines.sort((a, b) => b.added + b.removed + b.updated - (a.added + a.removed + a.updated));
    node.hidden = lines.length === 0;
    fill(node, [h("h2", {}, "Topics"), bars(lines.slice(0, 30)),
      lines.length > 30 && h("p", { class: "hint" }, `The ${number(30)} with the most changes of ${number(lines.length)}; topics.csv has all.`)]);
  };
  return { node, follow };
}

const ERRORS = { reason: "error,crashed" };

/// The first items behind a count: failures by themselves, any other when it is asked for, which `chosen` is told.
export function items(id, signal, chosen) {
  const list = h("div", {});
  const heading = h("h2", { tabindex: "-1" }, "Items");
  const said = h("p", { class: "hint", role: "status" });
  const node = h("section", { class: "card", "aria-label": "Items", hidden: true }, heading, said, list);
  let under = new AbortController();
  let shown = "";
  let pressed = null;

  const read = async (which, title) => {
    under.abort();
    under = new AbortController();
    const leave = AbortSignal.any([signal, under.signal]);
    node.hidden = false;
    fill(heading, [`Items: ${title}`]);
    said.textContent = "looking for them…";
    const query = new URLSearchParams(which);
    const found = [];
    try {
      const more = await first(`${jobPath(id, "items.ndjson")}?${query}`, leave, ITEMS, (row) => found.push(row));
      fill(list, found.length ? [table(`Items: ${title}`, ["Item", "State", "Outcome or reason", "Attempts"],
        found.map((row) => tr(itemLink(row), words(row.state), words(row.outcome ?? row.reason ?? "–"), number(row.attempts))), true)] : []);
      fill(said, [more ? `The first ${ITEMS}. ` : `${count(found.length, "item")}. `,
        found.length > 0 && h("a", { href: `${jobPath(id, "items.csv")}?${query}`, download: `job-${id}-items.csv` }, "Download these (CSV)")]);
    } catch (error) {
      if (!leave.aborted) said.textContent = error.message;
    }
  };
  const choose = (kind, word) => {
    pressed = `${kind} ${word}`;
    chosen();
    heading.focus();
    node.scrollIntoView({ block: "nearest" });
    return read({ [kind]: word }, words(word));
  };
  /// What failed is shown by itself, and again when more of it has.
  const follow = (job) => {
    if (pressed || job.pruned_at || job.counts.total === null) return;
    const { errors, none } = tally(job);
    const left = job.finished_at ? (job.outcomes.newer_change ?? 0) : 0;
    const mark = `${errors} ${left} ${job.finished_at && none}`;
    if (mark === shown) return;
    shown = mark;
    if (errors) read(ERRORS, "errors and quarantined");
    else if (left) read({ outcome: "newer_change" }, "newer change");
    else if (job.finished_at && none) read({ reason: "no_topics_detected" }, "no topics detected");
  };
  return { node, follow, choose, pressed: (kind, word) => pressed === `${kind} ${word}` };
}

/// What a dry run would change, and what any other did change.
export function diff(id, signal) {
  const body = h("div", {});
  const node = h("section", { class: "card", "aria-label": "Differences", hidden: true }, h("h2", {}, "Differences"), body);
  let read = false;
  const evidence = (phrase, score) => (phrase ? `“${phrase}” ${number(score)}` : "–");
  const sign = { added: "+", removed: "−", updated: "±" };
  const line = (row, names) => tr(
    h("span", { class: `delta ${row.change}` }, `${sign[row.change] ?? ""} ${row.change}`),
    topicLink(row.topic, names.get(row.topic) ?? row.topic), itemLink(row), `${row.transcript} · ${number(row.block)}`,
    evidence(row.old_phrase, row.old_score), row.change === "removed" ? "–" : evidence(row.phrase, row.score));
  const see = async (revision) => {
    fill(body, [h("p", { class: "hint" }, "reading…")]);
    try {
      const found = [];
      const names = await namesOf(revision, signal);
      const path = `${jobPath(id, "labels.ndjson")}?change=all&before=true`;
      const more = await first(path, signal, CHANGES, (row) => found.push(row));
      fill(body, [table("Differences, row by row", ["Change", "Topic", "Item", "Block", "Before", "After"],
        found.map((row) => line(row, names)), true),
      h("p", { class: "hint" }, more ? `The first ${CHANGES}; the download has all.` : count(found.length, "change"))]);
    } catch (error) {
      failed(body, error, signal);
    }
  };
  const follow = (job) => {
    const { added, removed, updated } = job.labels;
    if (read || !job.finished_at || job.pruned_at || !(added || removed || updated)) return;
    read = true;
    node.hidden = false;
    if (job.dry_run) see(job.catalogue_revision);
    else fill(body, [h("div", { class: "row" },
      h("button", { type: "button", onclick: () => see(job.catalogue_revision) }, "Show the differences"))]);
  };
  return { node, follow };
}
