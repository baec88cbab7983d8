// The phrase tester: where a phrase would match, on stored items, before it is in the catalogue.

import { complain, count, field, fill, h, number } from "./dom.js";
import { itemLink } from "./findings.js";
import { highlighted } from "./item.js";
import { rested, send } from "./net.js";

export const title = () => "Phrase tester";

const SHOWN = 50;

const choice = (name, values) => h("select", { name }, values.map(([value, label]) => h("option", { value }, label)));

export function show({ root, query, signal }) {
  const said = h("p", { class: "hint", role: "status" }, "Type a phrase.");
  const list = h("ol", { class: "blocks" });
  const form = h("form", { class: "card fields", novalidate: true },
    field("Phrase", h("input", { name: "phrase", value: query.get("phrase") ?? "", autocomplete: "off" }), { wide: true }),
    field("Match", choice("match", [["stems", "stems: refund finds refunded"], ["words", "words: as they are"]])),
    field("Strictness", h("input", { name: "strictness", type: "number", min: 1, max: 100, value: 72 }), { hint: "100: all its words side by side." }),
    field("Said by", choice("participants", [["all", "anyone"], ["customer", "the customer"], ["agent", "the agent"]])),
    field("From", h("input", { name: "from", value: query.get("from") ?? "30d", autocomplete: "off" }), { hint: "A date, or a span back from now." }),
    h("p", { class: "error all", role: "alert", hidden: true }));
  root.append(h("h1", {}, "Phrase tester"),
    h("p", { class: "muted" }, "Where a phrase would match among stored items. Nothing is written."),
    form, h("section", { class: "card", "aria-label": "Matches" }, said, list));

  for (const name of ["strictness", "match", "participants"]) {
    if (query.get(name)) form.elements[name].value = query.get(name);
  }
  const test = rested(signal, async (leave) => {
    const { phrase, strictness, match, participants, from } = form.elements;
    if (!phrase.value.trim()) {
      said.textContent = "Type a phrase.";
      return fill(list, []);
    }
    said.textContent = "looking…";
    const body = { phrase: phrase.value, match: match.value, participants: participants.value, limit: SHOWN };
    if (strictness.value) body.strictness = Number(strictness.value);
    if (from.value.trim()) body.from = from.value.trim();
    try {
      const { read, matches } = await send("POST", "/api/v1/catalogue/test", body, leave);
      complain(form, null);
      const many = matches.length === SHOWN ? `The first ${SHOWN} blocks,` : count(matches.length, "block");
      said.textContent = `${many} in ${count(read, "item")} read.`;
      fill(list, matches.map((found) => h("li", { class: "block" },
        h("p", { class: "speaker muted" },
          h("span", {}, itemLink(found), ` · ${found.transcript} · block ${number(found.block)} · score ${number(found.score)}`)),
        h("p", { class: "text" }, highlighted(found.text ?? "", [{ ...found, title: `score ${found.score}` }])))));
    } catch (error) {
      if (leave.aborted) return;
      said.textContent = "";
      fill(list, []);
      complain(form, error);
    }
  }, 350);
  form.oninput = test;
  form.onsubmit = (event) => {
    event.preventDefault();
    test();
  };
  test();
}
