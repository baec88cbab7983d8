// The daemon's health and the jobs, as they go.

import { progress, throughput } from "./chart.js";
import { announce, bytes, count, duration, fill, h, link, number, rate, since, words } from "./dom.js";
import { get, jobPath, maySteer } from "./net.js";
import { ended, paceOfAll, seen, tally, watch } from "./watch.js";

export const title = () => "Jobs";

const TONES = {
  running: "busy", planning: "busy", queued: "calm", paused: "warn", cancelling: "warn", draft: "calm",
  completed: "good", completed_with_failures: "warn", failed: "bad", cancelled: "calm",
};

export const badge = (job) => h("span", { class: `pill ${TONES[job.state]}` }, words(job.state));
const KINDS = { range: "Time range", list: "List of items", single: "Single item", retry: "Retry", revert: "Revert" };
export const nameOf = (job) => job.name || `${KINDS[job.kind] ?? words(job.kind)}${job.parent_job ? ` of job ${job.parent_job}` : ""}`;

/// What one may want to know of a job in one breath.
export function pace(job) {
  const parts = [];
  if (job.rate_per_second !== null) parts.push(rate(job.rate_per_second));
  if (job.eta_seconds !== null) parts.push(`${duration(job.eta_seconds)} left`);
  if (job.queue_position !== null && !job.started_at) parts.push(`place ${job.queue_position} in the queue`);
  if (job.finished_at && job.started_at) {
    parts.push(`took ${duration((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000)}`);
  }
  return parts.join(" · ");
}

export function reach(job) {
  const { total } = job.counts;
  const done = ended(tally(job)) - job.counts.cancelled;
  if (total === null) return job.state === "draft" ? "not published" : "listing its items";
  if (total === 0) return job.empty_because ? `nothing to do: ${words(job.empty_because)}` : "no items";
  return done === total ? count(total, "item") : `${number(done)} of ${count(total, "item")}`;
}

export function labels(job) {
  const { added, removed, updated } = job.labels;
  if (!(added || removed || updated)) return h("span", { class: "muted" }, job.started_at ? "no label changed" : "");
  return h("span", { class: "delta" },
    h("span", { class: added ? "added" : "muted" }, `+${number(added)}`), " ",
    h("span", { class: removed ? "removed" : "muted" }, `−${number(removed)}`), " ",
    h("span", { class: updated ? "updated" : "muted" }, `±${number(updated)}`),
    h("span", { class: "muted" }, job.dry_run ? " labels, if applied" : " labels"));
}

const tallies = (job) => Object.entries({ ...job.outcomes, ...job.reasons }).map(([word, n]) => `${words(word)} ${number(n)}`).join(" · ");

function row(job) {
  const { total } = job.counts;
  const done = tally(job);
  return h("li", { "data-key": job.id, class: "job" },
    h("div", {},
      h("a", { href: `#/jobs/${job.id}`, title: job.name?.length > 60 && job.name },
        h("span", { class: "muted" }, `#${job.id} `), nameOf(job)),
      h("span", { class: "tags" }, badge(job), job.dry_run && h("span", { class: "pill outline" }, "dry run"),
        job.lane === "live" && h("span", { class: "pill outline" }, "live"))),
    h("div", { class: "far" },
      progress(done, total, `${reach(job)}: ${words(job.state)}`),
      h("span", {}, reach(job)), h("span", { class: "muted" }, pace(job))),
    h("div", { class: "came" }, labels(job), h("span", { class: "muted" }, tallies(job) || job.error || "")),
    h("div", { class: "muted" }, since(job.published_at ?? job.created_at)));
}

const tile = (name, value, more, tone) => h("div", { class: `tile ${tone ?? ""}` },
  h("dt", {}, name), h("dd", {}, value, more && h("span", { class: "muted" }, ` ${more}`)));

export const condition = ({ held, state }) => (held ? `held: ${words(held)}` : state);

const load = ({ pending, running }) => (running ? `${number(running)} running` : pending ? "waiting" : "idle");

function tiles(status) {
  if (!status) return [];
  const { live, bulk } = status.queue;
  return [
    tile("Daemon", condition(status), `up ${duration(status.uptime_seconds)} · ${count(status.workers, "worker")}`, status.held && "bad"),
    tile("Live queue", number(live.pending + live.running), load(live)),
    tile("Bulk queue", number(bulk.pending + bulk.running), load(bulk)),
    tile("Items", number(status.items)),
    tile("Catalogue", `revision ${status.catalogue_revision}`),
    tile("Database", bytes(status.database_bytes), `+ ${bytes(status.wal_bytes)} log`),
    tile("Version", status.version, status.labeller ?? ""),
  ];
}

export function show({ root, signal }) {
  const health = h("dl", { class: "tiles", "aria-label": "Health" });
  const chart = h("div", { class: "card" });
  const list = h("ul", { id: "jobs", class: "jobs", "aria-label": "Jobs" });
  const none = h("div", { class: "card empty", hidden: true },
    h("p", {}, "No job was published yet."),
    h("p", { class: "muted" }, "First items are ", link("item", "imported"), " and ", link("catalogue", "rules"),
      " applied; then a job reads the items by the rules. Here, or with ", h("code", {}, "relabeld publish --watch"), "."));
  const older = h("button", { type: "button", class: "quiet", hidden: true }, "Older jobs");
  const state = h("select", { id: "state", onchange: () => again().catch(missed) },
    h("option", { value: "" }, "in any state"),
    Object.keys(TONES).map((word) => h("option", { value: word }, words(word))));
  root.append(
    h("div", { class: "head" }, h("h1", {}, "Jobs"),
      maySteer() && h("a", { class: "button primary", href: "#/publish" }, "Publish a job")),
    health, chart,
    h("div", { class: "row" }, h("label", { for: "state" }, "Show jobs"), state),
    list, none, h("div", { class: "row center" }, older));

  // Behind the newest, which are looked at again and again.
  let tail = [];
  let cursor;
  let filtered = null;
  const draw = () => {
    fill(health, tiles(seen.status));
    fill(chart, [throughput(paceOfAll(), { why: "Measured while this page is open.", wide: chart.clientWidth - 42, least: 60 })]);
    const page = state.value ? filtered : seen.jobs;
    if (!page) return;
    const newest = new Set(page.jobs.map((job) => job.id));
    fill(list, [...page.jobs, ...tail.filter((job) => !newest.has(job.id))].map(row));
    none.hidden = page.jobs.length > 0 || state.value !== "";
    older.hidden = !(cursor === undefined ? page.next_cursor : cursor);
  };
  // The banner says that the daemon is away; this, what was not done meanwhile.
  const missed = (error) => signal.aborted || announce(error.message);
  const again = async () => {
    [tail, cursor, filtered] = [[], undefined, null];
    if (state.value) filtered = await get(`/api/v1/jobs?limit=50&state=${state.value}`, signal);
    draw();
  };
  const further = async () => {
    const page = state.value ? filtered : seen.jobs;
    const more = await get(`/api/v1/jobs?limit=50&cursor=${cursor ?? page.next_cursor}${state.value && `&state=${state.value}`}`, signal);
    tail.push(...more.jobs);
    cursor = more.next_cursor;
    draw();
  };
  older.onclick = () => further().catch(missed);
  let turns = 0;
  watch(signal, () => {
    turns += 1;
    if (state.value && turns % 4 === 0) {
      get(`/api/v1/jobs?limit=50&state=${state.value}`, signal).then((page) => (filtered = page), () => {});
    }
    // Of the older ones those that have not ended go on as well.
    const open = turns % 4 === 0 ? tail.filter((job) => !job.finished_at).slice(0, 10) : [];
    for (const job of open) get(jobPath(job.id), signal).then((now) => Object.assign(job, now), () => {});
    draw();
  });
}
