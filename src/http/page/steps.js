// What people may do to a job: in which state, what it will do, and doing it.

import { announce, ask, count, field, h, number, tick } from "./dom.js";
import { jobPath, send } from "./net.js";
import { tally } from "./watch.js";

const ENDED = ["completed", "completed_with_failures", "failed", "cancelled"];
const OPEN = ["draft", "queued", "planning", "running", "paused", "cancelling"];

/// As `Action::in_state` of src/job/state.rs has it; a test compares the two.
const ALLOWED = {
  publish: ["draft"],
  pause: ["queued", "planning", "running"],
  resume: ["paused"],
  cancel: ["draft", "queued", "planning", "running", "paused"],
  steer: OPEN,
  retry: ENDED,
  revert: ENDED,
  apply: ["completed", "completed_with_failures"],
  delete: ["draft", ...ENDED],
};

const kept = (job) => !job.pruned_at;

/// What the job is, besides its state, decides too.
const SENSE = {
  retry: (job) => kept(job) && job.counts.failed + job.counts.quarantined > 0,
  revert: (job) => kept(job) && !job.dry_run && job.counts.done > 0,
  apply: (job) => kept(job) && job.dry_run && !job.applied_by,
};

const left = (job) => job.counts.pending + job.counts.running;

/// Whether it comes to no change of a label.
export const idle = ({ labels: { added, removed, updated } }) => !(added || removed || updated);

function changes(job) {
  const { added, removed, updated } = job.labels;
  return `${count(added, "label")} added, ${number(removed)} removed, ${number(updated)} updated`;
}

function open(id) {
  announce(`Job ${id} is published.`);
  location.hash = `#/jobs/${id}`;
}

/// A job of this one; `word` may be a dry run of it.
const derive = (job, verb) => async (word, form) => {
  const body = {};
  if (verb !== "apply") body.dry_run = word === "dry";
  const none = form.querySelector("[name=no_topics_detected]");
  if (none) body.no_topics_detected = none.checked;
  const made = await send("POST", jobPath(job.id, verb), body);
  open(made.id);
};

const simply = (job, verb, said, after) => async () => {
  await send("POST", jobPath(job.id, verb));
  announce(`Job ${job.id} ${said}.`);
  after();
};

/// Label, and the dialog: what it will do, and the ways to go on.
const STEPS = {
  publish: (job, after) => ({
    label: "Publish", kind: "primary",
    says: "The draft is published with the rules and the time span of this moment, and its items begin to be read.",
    choices: [{ word: "yes", label: "Publish", kind: "primary" }],
    act: simply(job, "publish", "is published", after),
  }),
  apply: (job) => ({
    label: "Apply", kind: idle(job) ? null : "primary",
    says: `A new job does in earnest what this dry run showed: the same ${count(job.counts.total, "item")} by the same rules `
      + `(revision ${job.catalogue_revision}); ${changes(job)}. It can be reverted.`,
    choices: [{ word: "yes", label: "Apply", kind: "primary" }],
    act: derive(job, "apply"),
  }),
  pause: (job, after) => ({
    label: "Pause",
    says: `No further item is taken. The ${count(left(job), "item")} left wait, over restarts too, until the job is resumed.`,
    choices: [{ word: "yes", label: "Pause", kind: "primary" }],
    act: simply(job, "pause", "is paused", after),
  }),
  resume: (job, after) => ({
    label: "Resume", kind: "primary",
    says: `The job goes on where it was: ${count(left(job), "item")} left.`,
    choices: [{ word: "yes", label: "Resume", kind: "primary" }],
    act: simply(job, "resume", "goes on", after),
  }),
  steer: (job, after) => ({
    label: "Priority and speed",
    title: `Steer job ${job.id}`,
    says: "Takes effect at the next item, and outlives a restart.",
    fields: () => [
      field("Name", h("input", { name: "name", value: job.name ?? "" })),
      field("Priority", h("input", { name: "priority", type: "number", min: 1, max: 100, value: job.priority, required: true }),
        { hint: "1 to 100. Bulk jobs share the workers by it, and none starves." }),
      field("Speed limit", h("input", { name: "max_per_second", type: "number", min: 0.001, step: "any", value: job.max_per_second ?? "" }),
        { hint: "Items a second; empty for none." }),
    ],
    choices: [{ word: "yes", label: "Set", kind: "primary" }],
    act: async (_, form) => {
      const { name, priority, max_per_second: speed } = form.elements;
      await send("PATCH", jobPath(job.id), {
        name: name.value || null, priority: Number(priority.value), max_per_second: speed.value ? Number(speed.value) : null,
      });
      announce(`Job ${job.id} is steered.`);
      after();
    },
  }),
  retry: (job) => {
    const { errors, none } = tally(job);
    const also = () => tick(`Also the ${count(none, "item")} on which no topic was detected`,
      { name: "no_topics_detected", checked: errors === 0 });
    return {
      label: "Retry",
      says: errors > 0
        ? `A new job reads once more the ${count(errors, "item")} that ended in errors or quarantine, by the rules of now.`
        : "No item ended in an error. A new job can read once more those on which no topic was detected, by the rules of now.",
      fields: () => (none ? [also()] : []),
      choices: [{ word: "dry", label: "Dry run of it" }, { word: "yes", label: "Retry", kind: "primary" }],
      act: derive(job, "retry"),
    };
  },
  revert: (job) => ({
    label: "Revert", kind: "danger",
    says: [
      `A new job takes back what this one did: ${changes(job)}. Labels, evidence and freshness go back exactly to what they were.`,
      "An item whose text, labels or marks have changed since is left as it is and listed as newer change. A revert can be reverted.",
    ],
    choices: [{ word: "dry", label: "Dry run of it" }, { word: "yes", label: "Revert", kind: "danger" }],
    act: derive(job, "revert"),
  }),
  cancel: (job, after) => ({
    label: "Cancel", kind: "danger",
    says: job.state === "draft" ? "The draft is given up."
      : `The job ends at the next item. What it did stays, and can be reverted; the ${count(left(job), "item")} left are not read. `
        + "A cancelled job does not go on.",
    choices: [{ word: "yes", label: "Cancel the job", kind: "danger" }],
    act: simply(job, "cancel", "is cancelled", after),
  }),
  delete: (job) => ({
    label: "Delete", kind: "danger",
    says: job.state === "draft" ? "The draft is removed for good."
      : "The job, its list of items and its history are removed for good. The labels stay as they are, and can no longer be reverted.",
    choices: [{ word: "yes", label: "Delete", kind: "danger" }],
    act: async () => {
      await send("DELETE", jobPath(job.id));
      announce(`Job ${job.id} is deleted.`);
      location.hash = "#/jobs";
    },
  }),
};

/// The buttons that the job's state allows; `after` is called when one has done its work here.
export function buttons(job, after) {
  const offered = Object.keys(STEPS).filter((verb) => ALLOWED[verb].includes(job.state) && (SENSE[verb]?.(job) ?? true));
  return offered.map((verb) => {
    const { label, kind } = STEPS[verb](job, after);
    const press = () => {
      const { title, says, fields, choices, act } = STEPS[verb](job, after);
      ask({ title: title ?? `${label} job ${job.id}?`, says, fields: fields?.() ?? [], choices, act });
    };
    return h("button", { type: "button", class: kind ?? "", "data-key": verb, onclick: press }, label);
  });
}
