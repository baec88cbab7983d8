// Charts as inline SVG: stacked areas over time, and bars.

import { capital, duration, h, number, rate, svg, table } from "./dom.js";
import { KINDS } from "./watch.js";

const [HIGH, LEFT, BELOW] = [150, 42, 20];

/// The next round number above: 1, 2 or 5 times a power of ten.
function roundUp(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(n, 1e-9)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((round) => round >= n * 0.999) ?? power * 10;
}

const short = (n) => (n < 10_000 ? n.toLocaleString("en", { maximumFractionDigits: 1 })
  : n.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 }));

function legend(kinds) {
  return h("ul", { class: "legend" }, kinds.map(([kind, name]) => h("li", {}, h("span", { class: `dot ${kind}` }), name)));
}

/// `points` have `at` in seconds and a number of each kind; the newest stands at the right edge, and the chart is `wide`
/// pixels, so that its letters are as large as all others. `ends` are the words below its two ends.
function stacked(points, { title, unit, whole, says, wide, least = 0.001, ends }) {
  const WIDE = Math.max(wide, 240);
  const kinds = KINDS.filter(([kind]) => points.some((point) => point[kind] > 0));
  const until = points.at(-1).at;
  const span = Math.max(until - points[0].at, least);
  const from = until - span;
  const sums = points.map((point) => kinds.reduce((sum, [kind]) => sum + point[kind], 0));
  // What is but begun is seen as well: how much is left, the bar above says.
  const top = Math.max(Math.min(roundUp(Math.max(...sums, 1)), whole ?? Infinity), 1);
  const x = (at) => LEFT + ((at - from) / span) * (WIDE - LEFT - 4);
  const y = (n) => 8 + (1 - n / top) * (HIGH - BELOW - 8);
  // Items are whole; what comes of them a second need not be.
  const steps = [0, whole === undefined ? top / 2 : Math.round(top / 2), top];
  const grid = [...new Set(steps)].map((step) => svg("g", { class: "grid" },
    svg("line", { x1: LEFT, x2: WIDE - 4, y1: y(step), y2: y(step) }),
    svg("text", { x: LEFT - 6, y: y(step) + 4, "text-anchor": "end" }, short(step))));
  const below = points.map(() => 0);
  const areas = kinds.map(([kind]) => {
    const lower = points.map((point, i) => `${x(point.at).toFixed(1)},${y(below[i]).toFixed(1)}`);
    points.forEach((point, i) => (below[i] += point[kind]));
    const upper = points.map((point, i) => `${x(point.at).toFixed(1)},${y(below[i]).toFixed(1)}`);
    return svg("polygon", { class: `area ${kind}`, points: [...upper, ...lower.reverse()].join(" ") });
  });
  const foot = (at, anchor, text) => svg("text", { class: "foot", x: at, y: HIGH - 4, "text-anchor": anchor }, text);
  return h("figure", { class: "chart" },
    h("figcaption", {}, title, h("span", { class: "muted" }, ` ${unit}`)),
    svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, height: HIGH, role: "img", "aria-label": `${title}: ${says}` },
      grid, areas, foot(LEFT, "start", ends?.[0] ?? `${duration(span)} ago`), foot(WIDE - 4, "end", ends?.[1] ?? "now")),
    legend(kinds));
}

const nothing = (title, why) => h("figure", { class: "chart" }, h("figcaption", {}, title), h("p", { class: "muted" }, why));

/// Items a second, by how they ended.
export function throughput(points, { why, says, ...looks }) {
  const title = "Throughput";
  if (points.length < 2) return nothing(title, why);
  const last = points.at(-1);
  const sum = KINDS.reduce((sum, [kind]) => sum + last[kind], 0);
  return stacked(points, { title, unit: "items a second, by outcome", says: says ?? `${rate(sum)} now`, ...looks });
}

/// From tallies to what came between them, a second.
export function rates(samples) {
  return samples.slice(1).map((sample, i) => {
    const earlier = samples[i];
    const seconds = Math.max(sample.at - earlier.at, 0.001);
    const point = { at: sample.at };
    for (const [kind] of KINDS) point[kind] = Math.max(0, sample[kind] - earlier[kind]) / seconds;
    return point;
  });
}

/// All that ended so far, by how, up to the whole of the job.
export function outcomes(samples, total, { why, ...looks }) {
  const title = "Outcomes";
  if (samples.length < 2) return nothing(title, why);
  const last = samples.at(-1);
  const parts = KINDS.filter(([kind]) => last[kind] > 0).map(([kind, name]) => `${name} ${number(last[kind])}`);
  return stacked(samples, { title, unit: `of ${number(total)} items`, whole: total, says: parts.join(", "), ...looks });
}

/// How far a job is: one segment a kind.
export function progress(tallied, total, label) {
  let at = 0;
  const parts = KINDS.filter(([kind]) => tallied[kind] > 0).map(([kind]) => {
    const wide = total ? (100 * tallied[kind]) / total : 0;
    const part = svg("rect", { class: `area ${kind}`, x: `${at}%`, width: `${wide}%`, height: "100%" });
    at += wide;
    return part;
  });
  return svg("svg", { class: "progress", role: "img", "aria-label": label }, parts);
}

/// One line a name, with what was added and removed as bars of one scale; what there is none of at all is left out.
export function bars(lines) {
  const kinds = ["added", "removed", "updated"].filter((kind) => lines.some((line) => line[kind] > 0));
  const most = Math.max(1, ...lines.flatMap((line) => kinds.map((kind) => line[kind])));
  const bar = (kind, n) => svg("svg", { class: "bar", "aria-hidden": "true" },
    svg("rect", { class: `area ${kind}`, width: `${(100 * n) / most}%`, height: "100%", rx: 2 }));
  return table("Topics added and removed", ["topic", ...kinds].map(capital), lines.map((line) => h("tr", { "data-key": line.topic },
    h("th", { scope: "row" }, line.name),
    kinds.map((kind) => h("td", { class: "barred" }, h("span", { class: "n" }, number(line[kind])), bar(kind, line[kind]))))));
}
