// The rules of now: programs and what of them lags behind, topics and what carries them.

import { capital, fill, h, number, time } from "./dom.js";
import { get, maySteer, poll } from "./net.js";

export const title = () => "Catalogue";

const head = (...names) => h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name))));
const scroll = (label, table) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
/// The link fills the form; it asks before it publishes.
const behind = (more) => `#/publish?${new URLSearchParams({ from: "1970-01-01", stale_only: "true", ...more })}`;

function programs(counted) {
  const row = ({ id, name, items, not_fresh: stale }) => h("tr", { "data-key": id },
    h("th", { scope: "row" }, name ?? id, name && name !== id && h("span", { class: "muted" }, ` ${id}`)),
    h("td", {}, number(items)),
    h("td", {}, stale ? h("span", { class: "pill warn" }, `${number(stale)} behind`)
      : h("span", { class: items ? "pill good" : "muted" }, items ? "up to date" : "nothing to read")),
    h("td", {}, stale > 0 && maySteer() && h("a", { class: "button small", href: behind({ programs: id, name: `What lags behind in ${name ?? id}` }) }, "Relabel what lags behind",
      h("span", { class: "visually-hidden" }, ` in ${name ?? id}`))));
  return scroll("Programs", h("table", {}, head("Program", "Items", "Read by the present rules", "Action"), h("tbody", {}, counted.map(row))));
}

function phrases(topic) {
  return h("details", {}, h("summary", {}, `${number(topic.phrases.length)} phrases`),
    h("ul", { class: "chips" }, topic.phrases.map((phrase) => h("li", {},
      typeof phrase === "string" ? phrase : [phrase.text, h("span", { class: "muted" }, ` ≥ ${phrase.strictness}`)]))));
}

function programsOf({ programs: ids }) {
  if (!ids?.length) return "default";
  if (ids.length <= 4) return ids.join(", ");
  return h("details", {}, h("summary", {}, `${number(ids.length)} programs`), h("p", { class: "hint" }, ids.join(", ")));
}

function topics(catalogue, counted) {
  const carried = new Map(counted.map((topic) => [topic.id, topic]));
  const gone = counted.filter((topic) => !catalogue.topics.some((known) => known.id === topic.id));
  const row = (topic) => h("tr", { "data-key": topic.id },
    h("th", { scope: "row" }, topic.name ?? topic.id, topic.name && topic.name !== topic.id && h("span", { class: "muted" }, ` ${topic.id}`)),
    h("td", { class: "n" }, number(carried.get(topic.id)?.items ?? 0)),
    h("td", { class: "n" }, number(carried.get(topic.id)?.blocks ?? 0)),
    h("td", {}, programsOf(topic)),
    h("td", { class: "nowrap" }, topic.phrases ? `${topic.participants} · ${topic.match} · ≥ ${topic.strictness}` : "no longer in the catalogue"),
    h("td", { class: "nowrap" }, topic.phrases ? phrases(topic) : "–"));
  return scroll("Topics", h("table", {}, head("Topic", "Items", "Blocks", "Programs", "Who · how · strictness", "Phrases"),
    h("tbody", {}, [...catalogue.topics, ...gone].map(row))));
}

export function show({ root, signal }) {
  const about = h("p", { class: "muted" });
  const all = h("span", {});
  const first = h("section", { class: "card" }, h("h2", {}, "Programs"), h("div", {}));
  const second = h("section", { class: "card" }, h("h2", {}, "Topics"), h("div", {}));
  root.append(h("div", { class: "head" }, h("h1", {}, "Catalogue"), all), about, first, second);
  poll(signal, 5000, async () => {
    const [catalogue, counted] = await Promise.all([get("/api/v1/catalogue", signal), get("/api/v1/topics", signal)]);
    const stale = counted.programs.reduce((sum, program) => sum + program.not_fresh, 0);
    fill(about, catalogue.revision
      ? [`Revision ${catalogue.revision}, applied `, time(catalogue.applied_at), ` UTC · labeller ${catalogue.labeller}. `,
        h("code", {}, "relabeld catalogue apply topics.json"), " makes the next."]
      : ["No catalogue was applied yet: ", h("code", {}, "relabeld catalogue apply topics.json"), " does."]);
    fill(all, [stale > 0 && maySteer() && h("a", { class: "button primary", href: behind({ name: "What lags behind" }) }, "Relabel what lags behind")]);
    fill(first.lastChild, counted.programs.length ? [programs(counted.programs)] : [h("p", { class: "muted" }, "No items were imported yet.")]);
    fill(second.lastChild, catalogue.topics.length ? [topics(catalogue, counted.topics)] : [h("p", { class: "muted" }, capital("no topics."))]);
  });
}
