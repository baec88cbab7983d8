// What the page has seen of the daemon and its jobs while it was open: the last answers, and samples of the counts.

/// How a job's items ended, in five kinds; what is left is still to be done.
export const KINDS = [
  ["changed", "changed"],
  ["kept", "left as they were"],
  ["none", "no topics detected"],
  ["errors", "errors"],
  ["cancelled", "cancelled"],
];

export function tally(job) {
  const { done, failed, quarantined, cancelled } = job.counts;
  const changed = job.outcomes.changed ?? 0;
  const none = job.reasons.no_topics_detected ?? 0;
  return { changed, kept: done - changed, none, errors: failed - none + quarantined, cancelled };
}

export const ended = (t) => t.changed + t.kept + t.none + t.errors + t.cancelled;

/// Samples of a job: its times and its tallies. A long one is thinned, never cut.
const MOST = 400;
const jobs = new Map();

export function record(job) {
  if (!job.started_at) return;
  const now = performance.now() / 1000;
  const seen = jobs.get(job.id) ?? { samples: [], over: false };
  jobs.set(job.id, seen);
  const last = seen.samples.at(-1);
  if (seen.over || (last && now - last.at < 0.4 && !job.finished_at)) return;
  seen.samples.push({ at: now, ...tally(job) });
  seen.over = Boolean(job.finished_at);
  if (seen.samples.length > MOST) seen.samples = seen.samples.filter((_, i, all) => i % 2 === 0 || i === all.length - 1);
}

export const samplesOf = (id) => jobs.get(id)?.samples ?? [];

/// What all jobs did together, second by second, over the last minutes.
const SPAN = 300;
let recent = [];
let before = null;

function together(list) {
  const now = performance.now() / 1000;
  const tallies = new Map(list.map((job) => [job.id, tally(job)]));
  if (before && now - before.at < 30) {
    const rates = { at: now };
    for (const [kind] of KINDS) rates[kind] = 0;
    for (const [id, after] of tallies) {
      const earlier = before.tallies.get(id);
      // A job that was not there yet began since; one from an older page of the list did not.
      if (!earlier && Number(id) <= before.newest) continue;
      for (const [kind] of KINDS) rates[kind] += Math.max(0, after[kind] - (earlier?.[kind] ?? 0)) / (now - before.at);
    }
    recent.push(rates);
  }
  before = { at: now, tallies, newest: Math.max(0, ...list.map((job) => Number(job.id))) };
  recent = recent.filter((rates) => now - rates.at < SPAN);
}

export const paceOfAll = () => recent;

/// The last answers, and whoever wants to know of the next.
export const seen = { status: null, jobs: null };
const watchers = new Set();

export function watch(signal, shown) {
  watchers.add(shown);
  signal.addEventListener("abort", () => watchers.delete(shown));
  shown();
}

const tell = () => watchers.forEach((shown) => shown());

export const look = {
  status(status) {
    seen.status = status;
    tell();
  },
  jobs(page) {
    seen.jobs = page;
    page.jobs.forEach(record);
    together(page.jobs);
    tell();
  },
};
