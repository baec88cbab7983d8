// One topic: how it is known, and the first of the items that carry it.

import { count, fact, failed, fill, h, link, number, table, tr, words } from "./dom.js";
import { first, itemLink } from "./findings.js";
import { get } from "./net.js";

export const title = ([id]) => `Topic ${id ?? ""}`;

const MOST = 100;

function known(topic) {
  if (!topic) return fact("In the catalogue", "no longer");
  return [fact("Programs", topic.programs?.join(", ") || "default"),
    fact("Said by", topic.participants === "all" ? "anyone" : `the ${topic.participants}`),
    fact("Match", words(topic.match)), fact("Strictness", number(topic.strictness))];
}

/// Each opens the phrase tester.
function phrases({ phrases: all, match, participants, strictness: usual }) {
  const chip = ({ text, strictness }) => h("li", {},
    link(`phrase?${new URLSearchParams({ phrase: text, match, participants, strictness: strictness ?? usual })}`, text),
    strictness !== undefined && h("span", { class: "muted" }, ` ≥ ${strictness}`));
  return [h("h2", { class: "apart" }, "Phrases", h("span", { class: "hint" }, " each opens the phrase tester")),
    h("ul", { class: "chips" }, all.map((given) => chip(typeof given === "string" ? { text: given } : given)))];
}

/// Who said so.
function source(row) {
  if (row.source === "human") return "a person";
  return row.job ? link(`jobs/${row.job}`, `job ${row.job}`) : "a rule";
}

export async function show({ root, parts: [id = ""], signal }) {
  const head = h("h1", {}, id);
  const about = h("section", { class: "card", "aria-label": "How it is known" }, h("p", { class: "muted" }, "loading…"));
  const list = h("section", { class: "card", "aria-label": "Labels", hidden: true });
  root.append(h("p", { class: "crumb" }, link("catalogue", "Catalogue")), head, about, list);
  try {
    const [catalogue, counted] = await Promise.all([get("/api/v1/catalogue", signal), get("/api/v1/topics", signal)]);
    const topic = catalogue.topics.find((one) => one.id === id);
    const { items = 0, blocks = 0 } = counted.topics.find((one) => one.id === id) ?? {};
    if (topic?.name) fill(head, [topic.name]);
    fill(about, [h("dl", { class: "facts" },
      fact("Id", id), fact("Carried by", `${count(items, "item")}, ${count(blocks, "block")}`), known(topic)),
    topic && phrases(topic)]);
    if (!items) return;
    list.hidden = false;
    const found = [];
    const query = new URLSearchParams({ topics: id });
    const more = await first(`/api/v1/labels.ndjson?${query}`, signal, MOST, (row) => found.push(row));
    fill(list, [h("h2", {}, "Where it is found"),
      table("Where it is found", ["Item", "Block", "Phrase and score", "By"], found.map((row) => tr(itemLink(row),
        `${row.transcript} · ${number(row.block)}`, row.phrase ? `“${row.phrase}” ${number(row.score)}` : "–", source(row))), true),
      h("p", { class: "hint" }, more ? `The first ${number(MOST)} labels. ` : `${count(found.length, "label")}. `,
        h("a", { href: `/api/v1/labels.csv?${query}`, download: "labels.csv" }, "Download all of them (CSV)"))]);
  } catch (error) {
    failed(about, error, signal);
  }
}
