// What a job found, read off its exports: topics, the items behind a count, the differences. Nothing is read to its end
// that need not be, and what is being read is given up when the view is left.

import { bars } from "./chart.js";
import { count, fill, h, number, words } from "./dom.js";
import { Lost, Refused, get, jobPath, rows } from "./net.js";

const ITEMS = 50;
const CHANGES = 200;

export const itemLink = (row) => h("a", { href: `#/item/${row.kind}/${encodeURIComponent(row.id)}` }, `${row.kind} ${row.id}`);

const scroll = (label, table) => h("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": label }, table);
const table = (label, heads, lines) => scroll(label, h("table", {},
  h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
  h("tbody", {}, lines.map((line) => h("tr", {}, line.map((cell) => h("td", {}, cell)))))));

/// The names of a revision's topics; they never change.
const named = new Map();
async function namesOf(revision, signal) {
  if (!named.has(revision)) {
    const { topics } = await get(`/api/v1/catalogue${revision ? `?revision=${revision}` : ""}`, signal);
    named.set(revision, new Map(topics.map((topic) => [topic.id, topic.name ?? topic.id])));
  }
  return named.get(revision);
}

const broke = (error) => (error instanceof Lost || error instanceof Refused ? h("p", { class: "error" }, error.message) : null);

/// Reads at most `most` rows that are wanted; `true` when there were more.
async function first(path, signal, most, wanted, each) {
  let found = 0;
  for await (const row of rows(path, signal)) {
    if (!wanted(row)) continue;
    if (found === most) return true;
    found += 1;
    each(row, found);
  }
  return false;
}

export function topics(id, signal) {
  const node = h("section", { class: "card", "aria-label": "Topics", hidden: true });
  let read = "";
  const follow = async (job) => {
    const { added, removed, updated } = job.labels;
    const mark = `${added} ${removed} ${updated}`;
    if (mark === read || !(added || removed || updated) || job.pruned_at || !job.finished_at) return;
    read = mark;
    const lines = [];
    let names;
    try {
      names = await namesOf(job.catalogue_revision, signal);
      await first(jobPath(id, "topics.ndjson"), signal, 500, () => true, (row) => lines.push(row));
    } catch (error) {
      read = "";
      return void broke(error);
    }
    lines.sort((a, b) => b.added + b.removed + b.updated - (a.added + a.removed + a.updated));
    node.hidden = lines.length === 0;
    fill(node, [h("h2", {}, "Topics"), bars(lines.slice(0, 30).map((line) => ({ ...line, topic: names.get(line.topic) ?? line.topic }))),
      lines.length > 30 && h("p", { class: "hint" }, `The ${number(30)} with the most changes of ${number(lines.length)}; topics.csv has all.`)]);
  };
  return { node, follow };
}

/// The first items behind a count: failures by themselves, any other when it is asked for.
export function items(id, signal) {
  const list = h("div", {});
  const heading = h("h2", { tabindex: "-1" }, "Items");
  const said = h("p", { class: "hint", role: "status" });
  const node = h("section", { class: "card", "aria-label": "Items", hidden: true }, heading, said, list);
  let under = new AbortController();
  let shown = false;

  const read = async (kind, word) => {
    shown = true;
    under.abort();
    under = new AbortController();
    const leave = AbortSignal.any([signal, under.signal]);
    node.hidden = false;
    fill(heading, [`Items: ${words(word)}`]);
    said.textContent = "looking for them…";
    const found = [];
    const draw = () => fill(list, found.length ? [table(`Items: ${words(word)}`, ["Item", "State", "Outcome or reason", "Attempts"],
      found.map((row) => [itemLink(row), words(row.state), words(row.outcome ?? row.reason ?? "–"), number(row.attempts)]))] : []);
    draw();
    try {
      const more = await first(jobPath(id, "items.ndjson"), leave, ITEMS,
        (row) => (kind === "error" ? row.state === "quarantined" || (row.reason && row.reason !== "no_topics_detected") : row[kind] === word),
        (row, n) => {
          found.push(row);
          if (n % 10 === 1) draw();
        });
      draw();
      said.textContent = more ? `The first ${ITEMS}; items.csv has all.` : count(found.length, "item");
    } catch (error) {
      if (!leave.aborted) said.textContent = error.message;
    }
  };
  const choose = (kind, word) => {
    heading.focus();
    node.scrollIntoView({ block: "nearest" });
    return read(kind, word);
  };
  const follow = (job) => {
    if (shown || !job.finished_at || job.pruned_at) return;
    const none = job.reasons.no_topics_detected ?? 0;
    if (job.counts.failed + job.counts.quarantined > none) read("error", "errors and quarantined");
    else if (job.outcomes.newer_change) read("outcome", "newer_change");
    else if (none) read("reason", "no_topics_detected");
  };
  return { node, follow, choose };
}

/// What a dry run would change, and what any other did change.
export function diff(id, signal) {
  const node = h("section", { class: "card", "aria-label": "Differences", hidden: true });
  let read = false;
  const evidence = (phrase, score) => (phrase ? `“${phrase}” ${number(score)}` : "–");
  const see = async (revision) => {
    const found = [];
    const names = await namesOf(revision, signal);
    const more = await first(jobPath(id, "labels.ndjson") + "?change=all&before=true", signal, CHANGES, () => true, (row) => found.push(row));
    const sign = { added: "+", removed: "−", updated: "±" };
    fill(node, [h("h2", {}, "Differences"), table("Differences, row by row", ["Change", "Topic", "Item", "Block", "Before", "After"],
      found.map((row) => [
        h("span", { class: `delta ${row.change}` }, `${sign[row.change] ?? ""} ${row.change}`), names.get(row.topic) ?? row.topic, itemLink(row),
        `${row.transcript} · ${number(row.block)}`, evidence(row.old_phrase, row.old_score),
        row.change === "removed" ? "–" : evidence(row.phrase, row.score),
      ])),
    h("p", { class: "hint" }, more ? `The first ${CHANGES}; the download has all.` : count(found.length, "change"))]);
  };
  const follow = async (job) => {
    const { added, removed, updated } = job.labels;
    if (read || !job.finished_at || job.pruned_at || !(added || removed || updated)) return;
    read = true;
    node.hidden = false;
    if (job.dry_run) {
      fill(node, [h("h2", {}, "Differences"), h("p", { class: "hint" }, "reading…")]);
      await see(job.catalogue_revision).catch((error) => (signal.aborted ? null : fill(node, [h("h2", {}, "Differences"), broke(error)])));
      return;
    }
    fill(node, [h("h2", {}, "Differences"), h("div", { class: "row" }, h("button", { type: "button", onclick: () => see(job.catalogue_revision).catch(broke) }, "Show them"))]);
  };
  return { node, follow };
}
