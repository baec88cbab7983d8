// The form that publishes a job: it counts what it selects while one types.

import { announce, ask, clock, complain, count, field, fill, h, number, tick, words } from "./dom.js";
import { get, rested, send } from "./net.js";
import { seen } from "./watch.js";

export const title = () => "Publish a job";

function group(name, legend, ticks, hint) {
  const id = `field-${name}`;
  const about = { class: name === "programs" ? "wide" : "", id, "data-name": name, "aria-describedby": `${id}-error` };
  return h("fieldset", about, h("legend", {}, legend), h("div", { class: "ticks" }, ticks), h("p", { class: "hint" }, hint),
    h("p", { class: "error", id: `${id}-error`, hidden: true }));
}

const chosen = (form, name) => [...form.querySelectorAll(`[data-name="${name}"] input:checked`)].map((input) => input.value);

/// What the form asks for; what it leaves open is left out.
function wish(form) {
  const { from, until, stale_only: stale, keep_when_empty: keep } = form.elements;
  const body = { from: from.value.trim(), until: until.value.trim() };
  for (const name of ["types", "media", "programs"]) body[name] = chosen(form, name);
  for (const [name, value] of Object.entries(body)) if (value.length === 0) delete body[name];
  if (stale.checked) body.stale_only = true;
  if (!keep.checked) body.keep_when_empty = false;
  return body;
}

function whole(form) {
  const { name, priority, max_per_second: speed, split } = form.elements;
  const body = wish(form);
  if (name.value.trim()) body.name = name.value.trim();
  if (priority.value !== "") body.priority = Number(priority.value);
  if (speed.value !== "") body.max_per_second = Number(speed.value);
  if (split.checked) body.split = true;
  return body;
}

/// The largest of them: the buttons below are not to be pushed out of sight.
const SHOWN = 8;

function split(counts) {
  const parts = Object.entries(counts).sort(([, a], [, b]) => b - a);
  const more = parts.length - SHOWN;
  return [parts.slice(0, SHOWN).map(([word, n]) => h("li", {}, h("strong", {}, number(n)), ` ${words(word)}`)),
    more > 0 && h("li", { class: "muted" }, `and ${number(more)} more`)];
}

function counted(answer) {
  const part = (name, counts) => Object.keys(counts).length > 0
    && h("div", {}, h("h3", {}, name), h("ul", { class: "chips" }, split(counts)));
  return [part("By kind", answer.by_kind), part("By media", answer.by_media), part("By program", answer.by_program)];
}

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/// How the usual forms of a time are read, by this machine's clock; of any other nothing is guessed.
function reading(text) {
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) return ` Read as ${text} 00:00 UTC.`;
  const [, n, unit] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  return unit ? ` Read as ${clock(new Date(Date.now() - n * UNITS[unit] * 1000).toISOString()).slice(0, 16)} UTC.` : "";
}

/// The form, and what of it changes.
function laid(given) {
  const total = h("p", { class: "total", role: "status", id: "count" }, "counting…");
  const parts = h("div", { class: "parts" });
  const says = h("p", { class: "hint" });
  const read = h("span", {});
  const programs = group("programs", "Programs", [], "None ticked: items of any program, each by the rules of all its programs.");
  const media = group("media", "Media", [], "None ticked: any, and notes.");
  const which = h("div", { class: "card fields" },
    h("h2", { class: "wide" }, "Which items"),
    field("From", h("input", { name: "from", value: given("from") || "30d", autocomplete: "off" }),
      { hint: ["A date, a time, or a span back from now: 30d, 6mo.", read] }),
    field("Until", h("input", { name: "until", value: given("until"), autocomplete: "off" }), { hint: "Empty: now." }),
    group("types", "Types", ["conversations", "notes"].map((word) => tick(words(word), { value: word })), "None ticked: both."),
    media, programs,
    h("div", { class: "field wide" },
      tick("Only items that lag behind the present rules", { name: "stale_only", checked: given("stale_only") === "true" }),
      tick("Keep the labels of a block on which nothing is found",
        { name: "keep_when_empty", checked: given("keep_when_empty") !== "false" })));
  const how = h("div", { class: "card fields" },
    h("h2", { class: "wide" }, "How"),
    field("Name", h("input", { name: "name", value: given("name"), autocomplete: "off" }), { hint: "For people; it may stay empty." }),
    field("Priority", h("input", { name: "priority", type: "number", min: 1, max: 100, placeholder: "50" }),
      { hint: "1 to 100; more is sooner." }),
    field("Speed limit", h("input", { name: "max_per_second", type: "number", min: 0, step: "any", placeholder: "none" }),
      { hint: "Items a second." }),
    h("div", { class: "field wide" }, tick("Make several jobs where there are too many items for one", { name: "split" })));
  const ways = h("div", { class: "card sticky" },
    total, parts, says,
    h("p", { class: "error all", role: "alert", hidden: true }),
    h("div", { class: "row" },
      h("button", { type: "submit", class: "primary", value: "dry" }, "Dry run first"),
      h("button", { type: "submit", value: "publish" }, "Publish…"),
      h("button", { type: "submit", class: "quiet", value: "draft" }, "Save as a draft")));
  return { form: h("form", { class: "publish", novalidate: true }, which, how, ways), total, parts, says, read, media, programs };
}

export function show({ root, query, signal }) {
  const { form, total, parts, says, read, media, programs } = laid((name) => query.get(name) ?? "");
  root.append(h("h1", {}, "Publish a job"), h("p", { class: "muted" },
    "A job reads the items that it selects by the rules of now. A dry run shows all that would change, and writes no label."), form);

  let selected = null;
  const buttons = [...form.querySelectorAll("button[type=submit]")];
  const countable = (can) => buttons.forEach((button) => (button.disabled = !can));
  const recount = rested(signal, async (leave) => {
    try {
      const answer = await send("POST", "/api/v1/count", wish(form), leave);
      complain(form, null);
      countable(true);
      selected = answer.total;
      fill(read, [reading(form.elements.from.value.trim() || "30d")]);
      fill(total, [h("strong", {}, number(answer.total)), ` ${answer.total === 1 ? "item" : "items"} selected`]);
      fill(parts, counted(answer));
      fill(says, [answer.total ? "" : "Nothing is selected: such a job ends at once."]);
    } catch (error) {
      if (leave.aborted) return;
      selected = null;
      fill(total, ["cannot count this"]);
      fill(parts, []);
      for (const hint of [says, read]) fill(hint, []);
      complain(form, error);
      countable(false);
      // What is wrong in the form waits for whoever types; a daemon that is away or busy is asked again.
      if (![400, 422].includes(error.status)) setTimeout(recount, 2000);
    }
  });
  form.oninput = () => {
    total.classList.add("old");
    recount();
  };
  new MutationObserver(() => total.classList.remove("old")).observe(total, { childList: true, subtree: true, characterData: true });

  const publish = async (more) => {
    const job = await send("POST", "/api/v1/jobs", { ...whole(form), ...more });
    const verb = more.publish === false ? "saved as a draft" : more.dry_run ? "published as a dry run" : "published";
    announce(job.jobs ? `Jobs ${job.jobs.join(", ")} are ${verb}.` : `Job ${job.id} is ${verb}.`);
    location.hash = `#/jobs/${job.id}`;
  };
  form.onsubmit = async (event) => {
    event.preventDefault();
    const word = event.submitter?.value ?? "dry";
    complain(form, null);
    if (word === "publish") {
      const many = selected === null ? "The items that it selects" : count(selected, "item");
      ask({
        title: "Publish this job?",
        says: `${many} will be read by the rules of revision ${seen.status?.catalogue_revision ?? "now"}, and labels written. `
          + "It can be paused, cancelled, and when it has ended reverted.",
        choices: [{ word: "publish", label: "Publish", kind: "primary" }],
        act: () => publish({}),
      });
      return;
    }
    try {
      await publish(word === "dry" ? { dry_run: true } : { publish: false });
    } catch (error) {
      complain(form, error);
      form.querySelector("[aria-invalid]")?.focus();
    }
  };

  const offer = (fieldset, name, choices) => {
    const wanted = query.getAll(name);
    fieldset.hidden = choices.length === 0;
    fill(fieldset.querySelector(".ticks"), choices.map(([value, label]) => tick(label, { value, checked: wanted.includes(value) })));
  };
  offer(media, "media", []);
  offer(programs, "programs", query.getAll("programs").map((id) => [id, id]));
  (async () => {
    // All that there is to choose from.
    const all = await send("POST", "/api/v1/count", { from: "1970-01-01" }, signal);
    offer(media, "media", Object.keys(all.by_media).map((word) => [word, words(word)]));
    const { programs: known } = await get("/api/v1/catalogue", signal);
    const names = new Map(known.map((program) => [program.id, program.name]));
    const ids = new Set([...Object.keys(all.by_program), ...query.getAll("programs")]);
    offer(programs, "programs", [...ids].map((id) => [id, names.get(id) ?? id]));
  })().catch(() => {}).finally(recount);
}
