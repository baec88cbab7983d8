// Looks at the daemon twice a second and shows what it says. Every text goes in as text, never as markup.
"use strict";

const place = (id) => document.getElementById(id);

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail || answer.statusText);
  return body;
}

function row(cells) {
  const tr = document.createElement("tr");
  for (const cell of cells) {
    const td = document.createElement("td");
    td.append(cell);
    tr.append(td);
  }
  return tr;
}

const number = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en"));

function progress(job) {
  const { total, done, failed, quarantined, cancelled } = job.counts;
  if (total === null) return "planning";
  const ended = done + failed + quarantined + cancelled;
  const bar = document.createElement("progress");
  bar.max = Math.max(total, 1);
  bar.value = total === 0 ? 1 : ended;
  bar.setAttribute("aria-label", `job ${job.id}: ${ended} of ${total}`);
  const both = document.createElement("span");
  both.append(bar, ` ${number(ended)} of ${number(total)}`);
  return both;
}

function shown(job) {
  const all = Object.entries({ ...job.outcomes, ...job.reasons });
  const labels = job.labels;
  return row([
    `${job.id} ${job.name || job.kind}`,
    job.state.replaceAll("_", " "),
    progress(job),
    job.rate_per_second === null ? "–" : `${number(Math.round(job.rate_per_second))}/s`,
    `+${number(labels.added)} −${number(labels.removed)} ±${number(labels.updated)}`,
    all.map(([word, n]) => `${word.replaceAll("_", " ")} ${number(n)}`).join(", ") || job.empty_because || "–",
    (job.published_at || "").replace("T", " ").slice(0, 19),
  ]);
}

async function look() {
  try {
    const [status, jobs] = await Promise.all([ask("/api/v1/status"), ask("/api/v1/jobs?limit=20")]);
    const { live, bulk } = status.queue;
    const waiting = live.pending + bulk.pending + live.running + bulk.running;
    place("health").textContent =
      `${status.held ? "held: " + status.held.replaceAll("_", " ") : status.state} · ${number(status.items)} items · ` +
      `${number(waiting)} tasks waiting · catalogue revision ${status.catalogue_revision} · version ${status.version}`;
    place("health").className = status.held ? "bad" : "good";
    place("jobs").replaceChildren(...jobs.jobs.map(shown));
    place("no-jobs").hidden = jobs.jobs.length > 0;
  } catch (error) {
    place("health").textContent = `no answer (${error.message}); trying again`;
    place("health").className = "bad";
  }
  setTimeout(look, 500);
}

async function lookAtTopics() {
  try {
    const { topics } = await ask("/api/v1/topics");
    place("topics").replaceChildren(
      ...topics.map((topic) => row([topic.name || topic.id, number(topic.items), number(topic.blocks)])),
    );
  } catch {
    // The other look says that there is no answer.
  }
  setTimeout(lookAtTopics, 5000);
}

look();
lookAtTopics();
