// The rules of now: programs and what of them lags behind, topics and what carries them.

import { count, fill, h, link, number, table, time } from "./dom.js";
import { revisionOf, topicLink } from "./findings.js";
import { get, maySteer, poll } from "./net.js";

export const title = () => "Catalogue";

/// The link fills the form; it asks before it publishes.
const behind = (more) => `#/publish?${new URLSearchParams({ from: "1970-01-01", stale_only: "true", ...more })}`;

function programs(counted) {
  const offer = (id, name) => h("a", { class: "button small", href: behind({ programs: id, name: `What lags behind in ${name}` }) },
    "Relabel what lags behind", h("span", { class: "visually-hidden" }, ` in ${name}`));
  const row = ({ id, name, items, not_fresh: stale }) => h("tr", { "data-key": id },
    h("th", { scope: "row" }, name ?? id, name && name !== id && h("span", { class: "muted" }, ` ${id}`)),
    h("td", {}, number(items)),
    // In one cell, so that on a phone the way to go on is not beyond the edge.
    h("td", {}, h("div", { class: "row close" }, stale ? h("span", { class: "pill warn" }, `${number(stale)} behind`)
      : h("span", { class: items ? "pill good" : "muted" }, items ? "up to date" : "nothing to read"),
    stale > 0 && maySteer() && offer(id, name ?? id))));
  return table("Programs", ["Program", "Items", "Read by the present rules"], counted.map(row));
}

function phrases(topic) {
  return h("details", {}, h("summary", {}, count(topic.phrases.length, "phrase")),
    h("ul", { class: "chips" }, topic.phrases.map((phrase) => h("li", {},
      typeof phrase === "string" ? phrase : [phrase.text, h("span", { class: "muted" }, ` ≥ ${phrase.strictness}`)]))));
}

function programsOf({ programs: ids }) {
  if (!ids?.length) return "default";
  if (ids.length <= 4) return ids.join(", ");
  return h("details", {}, h("summary", {}, `${number(ids.length)} programs`), h("p", { class: "hint" }, ids.join(", ")));
}

/// Words of a topic that one may look for.
const spoken = (topic) =>
  [topic.id, topic.name, ...(topic.phrases ?? []).map((phrase) => phrase.text ?? phrase)].join("\n").toLowerCase();

function topics(catalogue, counted, wanted) {
  const carried = new Map(counted.map((topic) => [topic.id, topic]));
  const gone = counted.filter((topic) => !catalogue.topics.some((known) => known.id === topic.id));
  const row = (topic) => h("tr", { "data-key": topic.id },
    h("th", { scope: "row" }, topicLink(topic.id, topic.name ?? topic.id),
      topic.name && topic.name !== topic.id && h("span", { class: "muted" }, ` ${topic.id}`)),
    h("td", { class: "n" }, number(carried.get(topic.id)?.items ?? 0)),
    h("td", { class: "n" }, number(carried.get(topic.id)?.blocks ?? 0)),
    h("td", {}, programsOf(topic)),
    h("td", { class: "nowrap" }, topic.phrases ? `${topic.participants} · ${topic.match} · ≥ ${topic.strictness}` : "no longer in the catalogue"),
    h("td", { class: "nowrap" }, topic.phrases ? phrases(topic) : "–"));
  return table("Topics", ["Topic", "Items", "Blocks", "Programs", "Who · how · strictness", "Phrases"],
    [...catalogue.topics, ...gone].filter((topic) => spoken(topic).includes(wanted)).map(row));
}

/// What a revision changed, topic by topic. Both are as the daemon shows them, so what is equal reads equal.
function between(earlier, later) {
  const before = new Map(earlier.topics.map((topic) => [topic.id, JSON.stringify(topic)]));
  const after = new Map(later.topics.map((topic) => [topic.id, JSON.stringify(topic)]));
  const ids = (map, wanted) => [...map.keys()].filter(wanted);
  return [
    ["added", ids(after, (id) => !before.has(id))],
    ["changed", ids(after, (id) => before.has(id) && before.get(id) !== after.get(id))],
    ["removed", ids(before, (id) => !after.has(id))],
  ].filter(([, list]) => list.length);
}

function differences(revision, parts) {
  const said = parts.map(([kind, ids]) => `${kind} ${ids.slice(0, 5).join(", ")}${ids.length > 5 ? ` and ${number(ids.length - 5)} more` : ""}`);
  return revision && h("p", { class: "hint" }, `Against revision ${revision - 1}: ${said.join("; ") || "other names, programs, or another labeller"}.`);
}

export function show({ root, query, signal }) {
  const wanted = Number(query.get("revision")) || null;
  const choice = h("select", { id: "revision", onchange: () => (location.hash = `#/catalogue?revision=${choice.value}`) });
  const about = h("p", { class: "muted" });
  const changed = h("div", {});
  const all = h("span", { class: "tags" });
  const first = h("section", { class: "card" }, h("h2", {}, "Programs"), h("div", {}));
  const search = h("input", { type: "search", id: "search", autocomplete: "off", placeholder: "name, id or phrase" });
  const second = h("section", { class: "card" },
    h("div", { class: "head" }, h("h2", {}, "Topics"), h("div", { class: "row search" }, h("label", { for: "search" }, "Find"), search)), h("div", {}));
  root.append(h("div", { class: "head" }, h("h1", {}, "Catalogue"), all),
    h("div", { class: "row" }, h("label", { for: "revision" }, "Revision"), choice, about), changed, first, second);

  let last = null;
  const draw = () => {
    const [catalogue, counted] = last;
    const looked = search.value.trim().toLowerCase();
    const any = catalogue.topics.length || counted.topics.length;
    fill(second.lastChild, [any ? topics(catalogue, counted.topics, looked) : h("p", { class: "muted" }, "No topics yet.")]);
  };
  search.oninput = () => last && draw();
  const look = async () => {
    const [{ catalogue_revision: now }, counted] = await Promise.all([get("/api/v1/status", signal), get("/api/v1/topics", signal)]);
    const catalogue = await revisionOf(wanted ?? now, signal);
    const { revision } = catalogue;
    const older = revision !== now;
    last = [catalogue, counted];
    const stale = counted.programs.reduce((sum, program) => sum + program.not_fresh, 0);
    fill(choice, Array.from({ length: now + (now ? 0 : 1) }, (_, i) => now - i)
      .map((n) => h("option", { value: n, selected: n === revision }, n === now ? `${n} (now)` : `${n}`)));
    fill(about, catalogue.applied_at ? ["applied ", time(catalogue.applied_at), ` UTC · labeller ${catalogue.labeller}`]
      : ["No catalogue was applied yet."]);
    fill(changed, [differences(revision, revision ? between(await revisionOf(revision - 1, signal), catalogue) : []),
      older && h("p", { class: "row" }, h("strong", {}, "You look at an earlier revision."), link("catalogue", "Look at the present one"))]);
    fill(all, maySteer() ? [
      older ? h("a", { class: "button", href: `#/revise?revision=${revision}` }, "Apply this one again…")
        : h("a", { class: "button", href: "#/revise" }, "Change the rules…"),
      !older && stale > 0 && h("a", { class: "button primary", href: behind({ name: "What lags behind" }) }, "Relabel what lags behind")] : []);
    first.hidden = older;
    fill(first.lastChild, counted.programs.length ? [programs(counted.programs)] : [h("p", { class: "muted" }, "No items were imported yet.")]);
    draw();
  };
  poll(signal, 5000, look);
}
