// The next revision of the catalogue: pasted, chosen or edited, checked while one types, and applied.

import { announce, ask, count, failed, field, fill, h, link, number, tick } from "./dom.js";
import { Refused, get, rested, send } from "./net.js";
import { spanOf } from "./places.js";

export const title = () => "Change the rules";

const CATALOGUE = "/api/v1/catalogue";
const CHANGES = [["added", "Added"], ["changed", "Changed"], ["removed", "Removed"]];

/// Topic by topic, phrases in lines of their own: as people write it.
function written({ topics, programs }) {
  const lines = (list, each) => (list.length ? `[\n${list.map(each).join(",\n")}\n  ]` : "[]");
  const topic = ({ phrases, ...rest }) => {
    const fields = Object.entries(rest).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
    return `    {${[...fields, `"phrases": [\n${phrases.map((phrase) => `      ${JSON.stringify(phrase)}`).join(",\n")}\n    ]`].join(", ")}}`;
  };
  return `{\n  "topics": ${lines(topics, topic)},\n  "programs": ${lines(programs, (program) => `    ${JSON.stringify(program)}`)}\n}\n`;
}

const named = (topics) => h("ul", { class: "chips" }, topics.slice(0, 40).map((id) => h("li", {}, id)),
  topics.length > 40 && h("li", { class: "muted" }, `and ${number(topics.length - 40)} more`));

const inOne = (would) => CHANGES.filter(([kind]) => would[kind].length)
  .map(([kind, verb]) => `${verb.toLowerCase()} ${count(would[kind].length, "topic")}`).join(", ") || "other names and programs";

export function show({ root, query, signal }) {
  const text = h("textarea", { name: "catalogue", rows: 22, spellcheck: "false", autocomplete: "off", wrap: "off", class: "code" });
  const file = h("input", { type: "file", name: "file", accept: ".json,application/json" });
  const said = h("div", { role: "status", class: "would" }, h("p", { class: "muted" }, "loading…"));
  const apply = h("button", { type: "submit", class: "primary", disabled: true }, "Apply…");
  const form = h("form", { class: "publish revise", novalidate: true },
    h("div", { class: "card" },
      field("Catalogue (JSON)", text,
        { hint: "Topics and programs, whole: a topic that is not here would be removed. A file can be dropped here too." }),
      field("Or take a file", file)),
    h("div", { class: "card sticky" }, h("h2", {}, "What would change"), said, h("div", { class: "row" }, apply)));
  root.append(h("p", { class: "crumb" }, link("catalogue", "Catalogue")), h("h1", {}, "Change the rules"),
    h("p", { class: "muted" }, "It becomes the next revision, all of it or nothing. Stored labels stay as they are until a job reads their items again."), form);

  let base = null;
  let would = null;
  const point = ({ place }) => {
    const [from, until] = spanOf(text.value, place);
    text.focus();
    text.setSelectionRange(from, until);
    const line = text.value.slice(0, from).split("\n").length - 1;
    text.scrollTop = Math.max(0, line * parseFloat(getComputedStyle(text).lineHeight) - text.clientHeight / 3);
  };
  const faults = (problem) => fill(said, [h("p", { class: "error" }, count(problem.errors.length, "error"), ". Nothing can be applied."),
    h("ul", { class: "faults" }, problem.errors.slice(0, 50).map((fault) => h("li", {},
      h("button", { type: "button", class: "small", title: "Show it in the text", onclick: () => point(fault) }, fault.place || "the whole"), ` ${fault.what}`)))]);
  const draw = () => fill(said, would.new
    ? [h("p", {}, `As revision ${would.revision}:`), CHANGES.filter(([kind]) => would[kind].length).map(([kind, verb]) =>
      h("div", { class: kind }, h("h3", {}, `${verb} ${number(would[kind].length)}`), named(would[kind]))),
    !CHANGES.some(([kind]) => would[kind].length) && h("p", {}, "Names of programs, the order of topics, or the labeller alone.")]
    : [h("p", { class: "muted" }, `Nothing: this is revision ${would.revision}, as it stands.`)]);

  const check = rested(signal, async (leave) => {
    would = null;
    try {
      const tried = send("PUT", `${CATALOGUE}?dry_run=true`, text.value, leave);
      const [now, answer] = await Promise.all([get("/api/v1/status", leave), tried]);
      [base, would] = [now.catalogue_revision, answer];
      text.removeAttribute("aria-invalid");
      draw();
    } catch (error) {
      if (leave.aborted) return;
      if (error instanceof Refused && error.problem.errors) {
        text.setAttribute("aria-invalid", "true");
        faults(error.problem);
      } else failed(said, error, leave);
    } finally {
      if (!leave.aborted) apply.disabled = !would?.new;
    }
  }, 300);
  const take = async (chosen) => {
    if (!chosen) return;
    text.value = await chosen.text();
    check();
  };
  text.oninput = () => {
    apply.disabled = true;
    check();
  };
  file.onchange = () => take(file.files[0]);
  text.ondragover = (event) => event.preventDefault();
  text.ondrop = (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    if (!would?.new) return;
    const { removed } = would;
    const some = removed.slice(0, 10).join(", ") + (removed.length > 10 ? ", …" : "");
    ask({
      title: `Apply it as revision ${would.revision}?`,
      says: [`This has ${inOne(would)}.`, "Jobs under way go on by the rules that they were published with. "
        + "Stored labels stay until a job reads their items again."],
      fields: removed.length
        ? [tick(`Remove ${count(removed.length, "topic")}: ${some}`, { name: "allow_remove", required: true })] : [],
      choices: [{ word: "yes", label: "Apply", kind: "primary" }],
      act: async () => {
        const applied = await send("PUT", `${CATALOGUE}${removed.length ? "?allow_remove=true" : ""}`, text.value, signal, { "If-Match": `"${base}"` });
        announce(`Revision ${applied.revision} is applied: ${inOne(applied)}.`);
        location.hash = "#/catalogue";
      },
    });
  };

  (async () => {
    const { topics, programs } = await get(`${CATALOGUE}?revision=${query.get("revision") ?? ""}`, signal);
    text.value = written({ topics, programs });
    check();
  })().catch((error) => failed(said, error, signal));
}
