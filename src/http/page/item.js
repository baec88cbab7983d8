// One item: its text with the found phrases, its labels, and people's marks.

import { bring } from "./bring.js";
import { announce, ask, count, failed, field, fill, h, link, number, time, words } from "./dom.js";
import { namesOf, topicLink } from "./findings.js";
import { Refused, get, maySteer, path, send } from "./net.js";

export const title = ([, id]) => (id ? `Item ${id}` : "Items");

/// The text with the spans marked. They are code points of it, half-open, and may overlap.
export function highlighted(text, spans) {
  const points = Array.from(text);
  const borders = [...new Set([0, points.length, ...spans.flatMap((span) => [span.start, span.end])])]
    .filter((at) => at >= 0 && at <= points.length).sort((a, b) => a - b);
  return borders.slice(0, -1).map((from, i) => {
    const until = borders[i + 1];
    const here = spans.filter((span) => span.start <= from && span.end >= until);
    const part = points.slice(from, until).join("");
    return here.length ? h("mark", { title: here.map((span) => span.title).join(", ") }, part) : part;
  });
}

/// A note's blocks: its paragraphs, divided by lines of nothing but white space (src/lines/item.rs has the same).
function paragraphs(text) {
  const blocks = [];
  let lines = [];
  for (const line of [...text.split("\n"), ""]) {
    if (line.trim()) lines.push(line);
    else if (lines.length) {
      blocks.push(lines.join("\n").trim());
      lines = [];
    }
  }
  return blocks.length ? blocks : [""];
}

/// What a mark does.
const MEANS = {
  is: "A person’s word that the block has this topic: no job takes it away",
  is_not: "A person’s word that the block has not this topic: no rule puts it there",
  null: "Take the mark back; rules may speak again",
};

const transcripts = (item) => item.transcripts ?? [{ id: "note", blocks: paragraphs(item.text).map((text) => ({ text })) }];

const at = (ms) => `${Math.floor(ms / 60000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`;

function find(root, signal) {
  const kind = h("select", { id: "kind", name: "kind" }, h("option", { value: "conversation" }, "conversation"), h("option", { value: "note" }, "note"));
  const id = h("input", { id: "item-id", name: "id", required: true, autocomplete: "off" });
  const go = (event) => {
    event.preventDefault();
    location.hash = `#/item/${kind.value}/${encodeURIComponent(id.value)}`;
  };
  root.append(h("h1", {}, "Items"), h("form", { class: "card row bottom", onsubmit: go },
    h("div", { class: "field" }, h("label", { for: "kind" }, "Kind"), kind),
    h("div", { class: "field grow" }, h("label", { for: "item-id" }, "Id"), id),
    h("button", { type: "submit", class: "primary" }, "Show")));
  if (maySteer()) bring(root, signal);
}

export async function show({ root, parts: [kind, id], signal }) {
  if (!id) return find(root, signal);
  const where = path("api", "v1", "items", kind, id);
  const head = h("div", { class: "head" }, h("h1", {}, `${kind} ${id}`));
  const actions = h("span", { class: "tags" });
  head.append(actions);
  const about = h("p", { class: "muted" });
  const text = h("div", {}, h("p", { class: "muted" }, "loading…"));
  root.append(h("p", { class: "crumb" }, link("item", "Items")), head, about, text);
  let names = new Map();
  const nameOf = (topic) => names.get(topic) ?? topic;

  const mark = async (transcript, block, topic, word) => {
    draw(await send("PUT", `${where}/marks`, { marks: [{ transcript, block, topic, mark: word }] }, signal));
    announce(word ? `Marked: ${words(word)} ${nameOf(topic)}.` : `The mark on ${nameOf(topic)} is withdrawn.`);
  };

  function labelled(transcript, block, topic, label, marked) {
    const press = (word, says) => h("button", {
      type: "button", class: "small quiet", "aria-label": `${says}: ${nameOf(topic)}`, title: MEANS[word],
      onclick: () => mark(transcript, block, topic, word).catch((error) => announce(error.message)),
    }, says);
    const why = label?.phrase ? `“${label.phrase}” · ${number(label.score)}` : label?.source === "human" ? "by a person" : "";
    return h("li", { class: marked?.mark === "is_not" ? "label not" : "label", "data-key": topic },
      h("strong", {}, topicLink(topic, nameOf(topic))), " ",
      marked && h("span", { class: `pill ${marked.mark === "is" ? "good" : "bad"}` }, `marked: ${words(marked.mark)}`), " ",
      h("span", { class: "muted" }, why), label?.job && h("a", { class: "muted", href: `#/jobs/${label.job}` }, ` job ${label.job}`),
      maySteer() && h("span", { class: "marks" },
        marked?.mark !== "is" && press("is", "is"), marked?.mark !== "is_not" && press("is_not", "is not"), marked && press(null, "withdraw")));
  }

  function block(transcript, no, { speaker, text: said, at_ms: ms }, item) {
    const here = (row) => row.transcript === transcript && row.block === no;
    const labels = item.labels.filter(here);
    const marks = item.marks.filter(here);
    const topics = [...new Set([...labels, ...marks].map((row) => row.topic))];
    const spans = labels.filter((label) => label.start !== null).map((label) => ({ ...label, title: nameOf(label.topic) }));
    const others = [...names].filter(([topic]) => !topics.includes(topic));
    const another = () => ask({
      title: `Mark block ${no}`,
      says: [said ? `“${said.length > 200 ? `${said.slice(0, 200)}…` : said}”` : "(empty)",
        "A mark is a person’s word: no job changes it, and it can be withdrawn."],
      fields: [field("Topic", h("select", { name: "topic" }, others.map(([topic, name]) => h("option", { value: topic }, name))))],
      choices: [{ word: "is_not", label: "It is not this topic" }, { word: "is", label: "It is this topic", kind: "primary" }],
      act: (word, form) => mark(transcript, no, form.elements.topic.value, word),
    });
    return h("li", { class: "block", "data-key": `${transcript}/${no}` },
      h("p", { class: "speaker muted" }, h("span", {}, speaker ?? `paragraph ${no + 1}`, ms !== undefined && ` · ${at(ms)}`),
        maySteer() && others.length > 0
          && h("button", { type: "button", class: "small quiet", "aria-label": `Mark block ${no}`, onclick: another }, "Mark…")),
      h("p", { class: "text" }, said ? highlighted(said, spans) : h("span", { class: "muted" }, "(empty)")),
      topics.length > 0 && h("ul", { class: "labels", "aria-label": "Labels" }, topics.map((topic) => {
        const of = (row) => row.topic === topic;
        return labelled(transcript, no, topic, labels.find(of), marks.find(of));
      })));
  }

  function draw(item) {
    fill(about, [[item.media, item.version !== undefined && `version ${item.version}`].filter(Boolean).map((word) => `${word} · `),
      time(item.started_at ?? item.created_at), ` UTC · programs ${item.programs.join(", ") || "default"} · ${count(item.labels.length, "label")}`]);
    fill(text, transcripts(item).map(({ id: transcript, blocks, program, language }) =>
      h("section", { class: "card", "data-key": transcript, "aria-label": `Transcript ${transcript}` },
        h("h2", {}, `Transcript ${transcript}`,
          h("span", { class: "muted" }, [program, language].filter(Boolean).map((word) => ` · ${word}`).join(""))),
        h("ol", { class: "blocks" }, blocks.map((each, i) => block(transcript, i, each, item))))));
  }

  try {
    const [item, present] = await Promise.all([get(where, signal), namesOf(null, signal)]);
    names = present;
    draw(item);
    const key = kind.startsWith("note") ? { kind: "note", id, version: item.version } : { kind: "conversation", id };
    const reread = () => ask({
      title: "Read this item again?",
      says: "A job of this one item goes ahead of everything else: its text is read by the rules of now, and its labels written. Marks stay.",
      choices: [{ word: "dry", label: "Dry run of it" }, { word: "yes", label: "Read again", kind: "primary" }],
      act: async (word) => {
        const job = await send("POST", "/api/v1/jobs", { kind: "single", ids: [key], dry_run: word === "dry" });
        location.hash = `#/jobs/${job.id}`;
      },
    });
    const erase = () => ask({
      title: `Erase ${kind} ${id}?`,
      says: "Its text, labels, marks and history are overwritten and cannot be had back; jobs keep its key alone, as gone.",
      choices: [{ word: "yes", label: "Erase for good", kind: "danger" }],
      act: async () => {
        await send("DELETE", where);
        announce(`${kind} ${id} is erased.`);
        location.hash = "#/item";
      },
    });
    if (maySteer()) {
      actions.append(h("button", { type: "button", onclick: reread }, "Read again"),
        h("button", { type: "button", class: "danger", onclick: erase }, "Erase"));
    }
  } catch (error) {
    const missing = error instanceof Refused && error.status === 404;
    failed(text, missing ? new Refused(404, { detail: "There is no such item." }) : error, signal);
  }
}
