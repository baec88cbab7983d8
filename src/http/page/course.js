// How a job went over time: as it was watched, and of one that has ended as its items say.

import { outcomes, rates, throughput } from "./chart.js";
import { clock, count, duration, failed, fill, h, number, rate } from "./dom.js";
import { jobPath, rows } from "./net.js";
import { KINDS, ended, samplesOf } from "./watch.js";

/// A longer list is read when it is asked for.
const AT_ONCE = 50_000;
const [FEWEST, MOST, APART] = [12, 120, 500];

function kindOf({ state, outcome, reason }) {
  if (state === "done") return outcome === "changed" ? "changed" : "kept";
  return state === "failed" && reason === "no_topics_detected" ? "none" : "errors";
}

/// Samples of the tallies from its start to its end; each item says when it ended.
async function past(job, signal) {
  const [from, until] = [Date.parse(job.started_at), Date.parse(job.finished_at)];
  const span = Math.max(until - from, 1);
  const parts = Math.min(MOST, Math.max(FEWEST, Math.round(span / APART)));
  const empty = () => Object.fromEntries(KINDS.map(([kind]) => [kind, 0]));
  const samples = Array.from({ length: parts + 1 }, (_, i) => ({ at: (from + (span * i) / parts) / 1000, ...empty() }));
  for await (const row of rows(jobPath(job.id, "items.ndjson"), signal)) {
    // Those that were cancelled ended with the job, and came to nothing.
    if (row.state === "cancelled" || !row.finished_at) continue;
    const part = Math.ceil(((Date.parse(row.finished_at) - from) / span) * parts);
    samples[Math.min(Math.max(part, 1), parts)][kindOf(row)] += 1;
  }
  for (let i = 1; i <= parts; i += 1) for (const [kind] of KINDS) samples[i][kind] += samples[i - 1][kind];
  return samples;
}

export function course(id, signal) {
  const node = h("section", { class: "card charts", "aria-label": "Over time", hidden: true });
  let read = null;
  let asked = false;

  const draw = (job) => {
    const samples = read ?? samplesOf(id);
    const across = node.clientWidth - 42;
    const wide = across > 800 ? (across - 24) / 2 : across;
    const { total } = job.counts;
    if (!read) {
      const why = "Measured while this page is open.";
      return fill(node, [throughput(rates(samples), { why, wide, least: 10 }), outcomes(samples, total, { why, wide, least: 10 })]);
    }
    const [first, last] = [samples[0], samples.at(-1)];
    const took = Math.max(last.at - first.at, 0.001);
    const ends = [clock(job.started_at).slice(11), `${clock(job.finished_at).slice(11)} UTC`];
    const says = `${count(ended(last), "item")} in ${duration(took)}, ${rate(ended(last) / took)}`;
    return fill(node, [throughput(rates(samples), { wide, ends, says }), outcomes(samples, total, { wide, ends })]);
  };
  const look = async (job) => {
    fill(node, [h("p", { class: "muted" }, "reading its items…")]);
    try {
      read = await past(job, signal);
      draw(job);
    } catch (error) {
      failed(node, error, signal);
    }
  };
  const follow = (job) => {
    node.hidden = !job.started_at || !job.counts.total || Boolean(job.pruned_at && !read);
    if (node.hidden || asked) return;
    if (!job.finished_at) return draw(job);
    asked = true;
    if (job.counts.total <= AT_ONCE) return look(job);
    fill(node, [h("div", { class: "row" }, h("button", { type: "button", onclick: () => look(job) }, "Show how it went over time"),
      h("span", { class: "muted" }, `read off its ${number(job.counts.total)} items`))]);
  };
  return { node, follow };
}
