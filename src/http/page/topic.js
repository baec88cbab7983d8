// One topic: how it is known, and the first of the items that carry it.

import { count, fill, h, link, number, words } from "./dom.js";
import { first, itemLink, table } from "./findings.js";
import { Lost, Refused, get } from "./net.js";

export const title = ([id]) => `Topic ${id ?? ""}`;

const MOST = 100;

export async function show({ root, parts: [id = ""], signal }) {
  const head = h("h1", {}, id);
  const about = h("section", { class: "card", "aria-label": "How it is known" }, h("p", { class: "muted" }, "loading…"));
  const list = h("section", { class: "card", "aria-label": "Labels", hidden: true });
  root.append(h("p", { class: "crumb" }, link("catalogue", "Catalogue")), head, about, list);
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  try {
    const [catalogue, counted] = await Promise.all([get("/api/v1/catalogue", signal), get("/api/v1/topics", signal)]);
    const topic = catalogue.topics.find((known) => known.id === id);
    const { items = 0, blocks = 0 } = counted.topics.find((known) => known.id === id) ?? {};
    if (topic?.name) fill(head, [topic.name]);
    const phrase = (given) => (typeof given === "string" ? { text: given } : given);
    fill(about, [h("dl", { class: "facts" },
      fact("Id", id), fact("Carried by", `${count(items, "item")}, ${count(blocks, "block")}`),
      topic ? [fact("Programs", topic.programs?.join(", ") || "default"), fact("Said by", topic.participants === "all" ? "anyone" : `the ${topic.participants}`),
        fact("Match", words(topic.match)), fact("Strictness", number(topic.strictness))] : fact("In the catalogue", "no longer")),
    topic && [h("h2", { class: "apart" }, "Phrases", h("span", { class: "hint" }, " each opens the phrase tester")), h("ul", { class: "chips" }, topic.phrases.map(phrase).map(({ text, strictness }) => h("li", {},
      link(`phrase?${new URLSearchParams({ phrase: text, match: topic.match, participants: topic.participants, strictness: strictness ?? topic.strictness })}`, text),
      strictness !== undefined && h("span", { class: "muted" }, ` ≥ ${strictness}`))))]]);
    if (!items) return;
    list.hidden = false;
    const found = [];
    const query = new URLSearchParams({ topics: id });
    const more = await first(`/api/v1/labels.ndjson?${query}`, signal, MOST, (row) => found.push(row));
    fill(list, [h("h2", {}, "Where it is found"),
      table("Where it is found", ["Item", "Block", "Phrase and score", "By"], found.map((row) => [itemLink(row), `${row.transcript} · ${number(row.block)}`,
        row.phrase ? `“${row.phrase}” ${number(row.score)}` : "–", row.source === "human" ? "a person" : row.job ? link(`jobs/${row.job}`, `job ${row.job}`) : "a rule"])),
      h("p", { class: "hint" }, more ? `The first ${number(MOST)} labels. ` : `${count(found.length, "label")}. `,
        h("a", { href: `/api/v1/labels.csv?${query}`, download: "labels.csv" }, "Download all of them (CSV)"))]);
  } catch (error) {
    if (signal.aborted) return;
    fill(about, [h("p", { class: "error" }, error.message)]);
    if (!(error instanceof Lost || error instanceof Refused)) throw error;
  }
}
