// One job: how far it is, what came of it, and what may be done to it.

import { progress } from "./chart.js";
import { course } from "./course.js";
import { capital, clock, count, fact, fill, h, link, number, time, words } from "./dom.js";
import { diff, items, topics } from "./findings.js";
import { badge, labels, nameOf, pace, reach } from "./jobs.js";
import { Refused, get, jobPath, maySteer, poll } from "./net.js";
import { buttons, idle } from "./steps.js";
import { record, tally } from "./watch.js";

export const title = ([id]) => `Job ${id}`;

function facts(job) {
  const { filter } = job;
  const other = (id) => id && link(`jobs/${id}`, `job ${id}`);
  const list = (of, all) => (of.length ? of.map(words).join(", ") : all);
  const whole = (text) => h("span", { class: "nowrap" }, text);
  const ranged = [whole(clock(filter.from)), " to ", whole(`${clock(filter.until)} UTC`)];
  const named = job.kind === "range" ? "of all times" : "named one by one";
  return [
    fact("Items", filter.from || filter.until ? ranged : named),
    fact("Types", list(filter.types, "conversations and notes")),
    fact("Media", list(filter.media, "any")),
    fact("Programs", list(filter.programs, "any")),
    filter.languages && fact("Languages", list(filter.languages, "any")),
    fact("Rules", job.catalogue_revision !== null
      && link(`catalogue?revision=${job.catalogue_revision}`, `revision ${job.catalogue_revision}`)),
    fact("Only what lags behind", filter.stale_only ? "yes" : "no"),
    fact("Keeps labels where nothing is found", filter.keep_when_empty ? "yes" : "no"),
    fact("Made of", other(job.parent_job)),
    fact("Applied by", other(job.applied_by)),
    job.jobs && fact("Its group", job.jobs.map((id) => [other(id), " "])),
    fact("Priority", job.lane === "live" ? "ahead of all (live)" : number(job.priority)),
    fact("Speed limit", job.max_per_second === null ? "none" : `${number(job.max_per_second)} items/s`),
    fact("Made", [time(job.created_at), ` by ${job.created_by}`]),
    job.started_at && fact("Started", time(job.started_at)),
    job.finished_at && fact("Ended", time(job.finished_at)),
    fact("About", job.description),
  ];
}

/// The counts of one kind; each shows its items in `list`.
function tallies(name, counts, kind, list) {
  const entries = Object.entries(counts).filter(([, n]) => n > 0);
  if (!entries.length) return null;
  const chip = (word, n) => h("button", {
    type: "button", class: "chip", title: "Show these items",
    "aria-pressed": String(list.pressed(kind, word)), onclick: () => list.choose(kind, word),
  }, h("strong", {}, number(n)), ` ${words(word)}`);
  return h("div", { "data-key": name }, h("h3", {}, name),
    h("ul", { class: "chips" }, entries.map(([word, n]) => h("li", { "data-key": word }, chip(word, n)))));
}

const statesOf = ({ pending, running, done, failed, quarantined, cancelled }) => ({ pending, running, done, failed, quarantined, cancelled });

const FILES = [
  ["items.csv", "Items (CSV)", "items.csv"],
  ["labels.csv?change=all&before=true", "Label changes (CSV)", "labels.csv"],
  ["topics.csv", "Topics (CSV)", "topics.csv"],
  ["items.ndjson", "Items (NDJSON)", "items.ndjson"],
  ["labels.ndjson?change=all&before=true", "Label changes (NDJSON)", "labels.ndjson"],
];

export function show({ root, parts: [id], signal }) {
  const head = h("div", { class: "head" }, h("h1", {}, `Job ${id}`));
  const actions = h("div", { class: "row", role: "group", "aria-label": "What can be done" });
  const now = h("section", { class: "card", "aria-label": "Progress" });
  const came = h("section", { class: "card", "aria-label": "What came of its items" });
  const about = h("section", { class: "card", "aria-label": "What it was asked" });
  const files = h("section", { class: "card", "aria-label": "Downloads" });
  const found = { course: course(id, signal), topics: topics(id, signal), items: items(id, signal, () => draw(last)), diff: diff(id, signal) };
  const said = h("p", { class: "visually-hidden", role: "status" });
  root.append(h("p", { class: "crumb" }, h("a", { href: "#/jobs" }, "Jobs")), head, said, actions, now, found.course.node,
    came, found.topics.node, found.items.node, found.diff.node, h("div", { class: "about" }, about, files));

  let last = null;
  let gone = false;
  const draw = (job) => {
    const done = tally(job);
    const { total } = job.counts;
    fill(head, [h("h1", { tabindex: "-1" }, h("span", { class: "muted" }, `#${job.id} `), nameOf(job)),
      h("span", { class: "tags" }, badge(job), job.dry_run && h("span", { class: "pill outline" }, "dry run: no label written"))]);
    if (last && last.state !== job.state) said.textContent = `Job ${id} is ${words(job.state)}.`;
    fill(actions, maySteer() ? buttons(job, look) : []);
    fill(now, [
      h("div", { class: "far big" }, progress(done, total, reach(job)),
        h("span", {}, h("strong", {}, capital(reach(job)))), h("span", { class: "muted" }, pace(job)), labels(job)),
      job.error && h("p", { class: "error" }, job.error),
      job.pruned_at && h("p", { class: "hint" }, "Its items and its history were pruned ", time(job.pruned_at), " (UTC): this summary is what is left."),
      job.dry_run && job.finished_at && !job.applied_by && job.state.startsWith("completed") && h("p", { class: "hint" },
        "Nothing was written. ", idle(job) ? "It would change nothing: no label is added, removed or updated."
          : maySteer() && "Read the differences below; “Apply” does just that."),
    ]);
    const chips = [tallies("States", statesOf(job.counts), "state", found.items), tallies("Outcomes", job.outcomes, "outcome", found.items),
      tallies("Reasons of failure", job.reasons, "reason", found.items)];
    came.hidden = !chips.some(Boolean) || Boolean(job.pruned_at && !total);
    fill(came, [h("h2", {}, "What came of its items"), h("div", { class: "three" }, chips)]);
    fill(about, [h("h2", {}, "What it was asked"), h("dl", { class: "facts" }, facts(job))]);
    files.hidden = Boolean(job.pruned_at) || total === null;
    fill(files, [h("h2", {}, "Downloads"), h("ul", { class: "files" }, FILES.map(([file, name, as]) =>
      h("li", {}, h("a", { href: `${jobPath(id)}/${file}`, download: `job-${id}-${as}` }, name)))),
      h("p", { class: "hint" }, `${count(total ?? 0, "item")}; a list of items can be published again.`)]);
    for (const part of Object.values(found)) part.follow(job);
    last = job;
  };
  const look = async () => {
    try {
      const job = await get(jobPath(id), signal);
      record(job);
      draw(job);
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 404) throw error;
      gone = true;
      fill(head, [h("h1", {}, `Job ${id}`)]);
      fill(now, [h("p", {}, `There is no job ${id}; it may have been deleted. See the `, link("jobs", "jobs"), " that there are.")]);
      root.replaceChildren(head, now);
    }
  };
  // One that has ended stays as it is, but for a name or an apply.
  let turn = 0;
  poll(signal, 1000, async () => {
    turn += 1;
    if (gone) return;
    if (!last?.finished_at || turn % 5 === 0) await look();
  });
}
