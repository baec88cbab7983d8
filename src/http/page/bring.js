// Items brought in: a file chosen or dropped, sent as it is, and what came of its lines.

import { ask, bytes, count, fill, h, number, table, tick, tr } from "./dom.js";
import { Lost, Refused, expected } from "./net.js";

const SHOWN = 100;
const COUNTS = ["inserted", "updated", "unchanged", "refused", "bad", "marks_dropped"];

/// `fetch` does not say how much of a file is sent.
function upload(file, strict, signal, sent) {
  return new Promise((done, refuse) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/v1/items${strict ? "?strict=true" : ""}`);
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => sent(loaded, total);
    request.onload = () => (request.status === 200 ? done(request.response) : refuse(new Refused(request.status, request.response ?? {})));
    request.onerror = () => refuse(new Lost("the connection broke off; importing the file again is safe"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

const lines = (errors) => errors.length > 0
  && table("Bad lines", ["Line", "What is wrong"], errors.slice(0, SHOWN).map(({ line, error }) => tr(number(line), error)), true);

export function bring(root, signal) {
  const file = h("input", { type: "file", id: "bring", accept: ".ndjson,.jsonl,.json,.gz" });
  const said = h("div", { role: "status" });
  const zone = h("div", { class: "zone" }, h("label", { for: "bring" }, "A file of items, one JSON object a line, also gzipped"), file,
    h("p", { class: "hint" }, "It can be dropped here. Repeating an import is safe; it labels nothing, a job does."));
  root.append(h("section", { class: "card", "aria-label": "Import" }, h("h2", {}, "Import"), zone, said));

  const told = (answer) => {
    const errors = answer.errors ?? [];
    return [h("ul", { class: "chips" }, COUNTS.filter((name) => answer[name] > 0 || name === "inserted").map((name) =>
      h("li", { class: name === "bad" || name === "refused" ? "wrong" : "" }, h("strong", {}, number(answer[name])), ` ${name.replace("_", " ")}`))),
    lines(errors), errors.length > SHOWN && h("p", { class: "hint" }, `The first ${SHOWN} bad lines of ${number(answer.bad)}.`)];
  };
  const send = async (chosen, strict) => {
    const bar = h("progress", { max: 1, value: 0, "aria-label": `Sending ${chosen.name}` });
    const far = h("span", { class: "muted" });
    fill(said, [h("p", { class: "row" }, bar, far)]);
    const sent = (loaded, total) => {
      bar.value = loaded / total;
      far.textContent = loaded < total ? `${bytes(loaded)} of ${bytes(total)} sent` : "sent; the last lines are being stored…";
    };
    try {
      const answer = await upload(chosen, strict, signal, sent);
      fill(said, [h("p", {}, h("strong", {}, chosen.name), ` is imported: ${count(answer.last_line, "line")} read.`), told(answer)]);
    } catch (error) {
      fill(said, [h("p", { class: "error" }, error.message), error.problem?.errors && lines(error.problem.errors)]);
      if (!expected(error)) throw error;
    }
    file.value = "";
  };
  const offer = (chosen) => chosen && ask({
    title: `Import ${chosen.name}?`,
    says: `${bytes(chosen.size)} are sent to the daemon. An item that is there already is replaced where the file has another text of it, `
      + "or a newer version; others stay as they are.",
    fields: [tick("Check all lines first, and import nothing when one is bad", { name: "strict" })],
    choices: [{ word: "yes", label: "Import", kind: "primary" }],
    act: async (_, form) => void send(chosen, form.elements.strict.checked),
  });
  file.onchange = () => offer(file.files[0]);
  zone.ondragover = (event) => {
    event.preventDefault();
    zone.classList.add("over");
  };
  zone.ondragleave = () => zone.classList.remove("over");
  zone.ondrop = (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    offer(event.dataTransfer.files[0]);
  };
}
