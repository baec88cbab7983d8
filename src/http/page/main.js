// Which view is open, how the daemon fares, and whether it answers.

import * as catalogue from "./catalogue.js";
import { fill, h, link, place } from "./dom.js";
import * as item from "./item.js";
import * as job from "./job.js";
import * as jobs from "./jobs.js";
import { get, knowCaller, line, maySteer, poll, send, state } from "./net.js";
import * as phrase from "./phrase.js";
import * as publish from "./publish.js";
import * as revise from "./revise.js";
import * as topic from "./topic.js";
import { look } from "./watch.js";

const nowhere = {
  title: () => "No such page",
  show: ({ root }) => root.append(h("h1", {}, "There is no such page"),
    h("p", {}, "Nothing is at ", h("code", {}, location.hash), ". See the ", link("jobs", "jobs"), ".")),
};
const VIEWS = { jobs, job, publish, catalogue, revise, topic, item, phrase, nowhere };
/// Views that are of no use to whoever may only look.
const CHANGING = ["publish", "revise"];
/// Views that stand below another in the navigation.
const BELOW = { job: "jobs", revise: "catalogue", topic: "catalogue" };
let leave = new AbortController();

/// `#/item/note/a%2Fb?x=1` is the view item, its parts and its query.
function asked() {
  const [path, query] = location.hash.replace(/^#(main$|\/)?/, "").split("?");
  const [name, ...parts] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  const named = parts[0] ? "job" : "jobs";
  const view = ["job", "jobs", ""].includes(name) ? named : name;
  return { name: Object.hasOwn(VIEWS, view) ? view : "nowhere", parts: parts.filter(Boolean), query: new URLSearchParams(query) };
}

function open(first) {
  leave.abort();
  leave = new AbortController();
  // What was asked on the page that was left is not done on another.
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  const { name, parts, query } = asked();
  const view = VIEWS[name];
  const root = h("div", { class: `view-${name}` });
  place("main").replaceChildren(root);
  if (CHANGING.includes(name) && !maySteer()) root.append(h("h1", {}, view.title()), h("p", {}, "This session may only look."));
  else view.show({ root, parts, query, signal: leave.signal });
  document.title = `${view.title(parts)} · relabeld`;
  for (const tab of place("views").children) {
    const here = tab.getAttribute("href") === `#/${BELOW[name] ?? name}`;
    if (here) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  const heading = root.querySelector("h1");
  if (!heading || first) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function showLine() {
  const { may, since, signedOut } = state;
  document.documentElement.dataset.may = may ?? "";
  const said = signedOut ? "Your session has ended. Run “relabeld login” on the daemon’s machine and open the link it prints."
    : since && `No answer from the daemon since ${since}. What you see is what it said last; trying again every second.`;
  place("banner").textContent = said ?? "";
  place("banner").hidden = !said;
  if (said) showHealth(signedOut ? "signed out" : "no answer", "bad");
  fill(place("caller"), [may === "read" && h("span", { class: "pill" }, "looking only")]);
}

function showHealth(says, tone) {
  fill(place("health"), [says]);
  place("health").className = `pill ${tone}`;
}

async function start() {
  const forever = new AbortController().signal;
  line.addEventListener("change", showLine);
  // Which buttons there are depends on who looks, so the first view waits for that.
  let opened = false;
  const begin = () => {
    if (opened) return;
    opened = true;
    open(true);
    addEventListener("hashchange", () => location.hash !== "#main" && open(false));
  };
  poll(forever, 1000, async () => {
    const before = state.may;
    const status = await get("/api/v1/status");
    knowCaller(status.caller);
    showHealth(jobs.condition(status), status.held ? "bad" : status.state === "running" ? "good" : "warn");
    look.status(status);
    begin();
    if (before && before !== state.may) open(true);
  });
  poll(forever, 1000, async () => look.jobs(await get("/api/v1/jobs?limit=50")));
}

place("sign-out").onclick = async () => {
  await send("POST", "/api/v1/logout").catch(() => {});
  location.replace("/");
};
document.querySelector(".skip").onclick = (event) => {
  event.preventDefault();
  place("main").focus();
};
start();
