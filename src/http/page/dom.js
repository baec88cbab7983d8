// Elements, words and dialogs. Every text goes in as text, never as markup.

import { expected } from "./net.js";

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "onchange", "oninput", "onsubmit", "ontoggle"];

function made(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const h = (tag, attributes, ...children) => made(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => made(document.createElementNS(SVG, tag), attributes, children);

/// Makes `old` look like `fresh` and changes no more than it must: focus, selection and open details stay.
function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const handler of HANDLERS) {
    if (old[handler] !== fresh[handler]) old[handler] = fresh[handler];
  }
  fill(old, [...fresh.childNodes]);
}

const keyOf = (node) => node.dataset?.key;

/// The children of `parent` become these, as gently as may be.
export function fill(parent, children) {
  const nodes = children.flat(3).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(child)));
  const keyed = new Map([...parent.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  let at = parent.firstChild;
  for (const fresh of nodes) {
    const key = keyOf(fresh);
    const known = key ? keyed.get(key) : at;
    const alike = known && known.nodeName === fresh.nodeName && (key !== undefined || !keyOf(known));
    if (!alike) {
      parent.insertBefore(fresh, at);
      continue;
    }
    if (known !== at) parent.insertBefore(known, at);
    else at = at.nextSibling;
    if (known !== fresh) morph(known, fresh);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

export const place = (id) => document.getElementById(id);

export const number = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en"));
export const words = (word) => word.replaceAll("_", " ");
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; n >= 1024 && unit < units.length - 1; unit += 1) n /= 1024;
  return `${n.toLocaleString("en", { maximumFractionDigits: n < 10 && unit ? 1 : 0 })} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds < 0.05) return "under 0.1 s";
  if (seconds < 9.95 && seconds > 0) return `${seconds.toLocaleString("en", { maximumFractionDigits: 1 })} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s % 60 ? ` ${s % 60} s` : ""}`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const rate = (n) => `${n.toLocaleString("en", { maximumFractionDigits: n < 10 ? 1 : 0 })}/s`;

/// A time as the daemon says it, in UTC, to the second.
export const clock = (at) => (at ? at.replace("T", " ").slice(0, 19) : "–");
export const time = (at) => (at ? h("time", { datetime: at, title: `${at} (UTC)` }, clock(at)) : "–");

/// How long since, for those who have not the date in mind; the time itself is behind it.
export function since(at) {
  const seconds = (Date.now() - Date.parse(at)) / 1000;
  const said = seconds < 5 ? "just now" : `${duration(seconds < 60 ? seconds : Math.floor(seconds / 60) * 60)} ago`;
  return h("time", { datetime: at, title: `${at} (UTC)` }, seconds < 6 * 3600 ? said : clock(at).slice(0, 16));
}

let silence;
/// Said at the edge of the page, and by screen readers.
export function announce(text) {
  place("notice").textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => (place("notice").textContent = ""), 6000);
}

export function field(label, control, { hint, name, wide } = {}) {
  const id = control.id || `field-${name ?? control.name}`;
  control.id = id;
  const described = [hint && `${id}-hint`, `${id}-error`].filter(Boolean).join(" ");
  control.setAttribute("aria-describedby", described);
  return h("div", { class: wide ? "field wide" : "field" },
    h("label", { for: id }, label),
    control,
    hint && h("p", { class: "hint", id: `${id}-hint` }, hint),
    h("p", { class: "error", id: `${id}-error`, hidden: true }));
}

/// A table that scrolls where it is wider than its place; a `tall` one has an end to its height, too.
export const table = (label, heads, rows, tall) =>
  h("div", { class: tall ? "scroll tall" : "scroll", tabindex: "0", role: "region", "aria-label": label }, h("table", {},
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows)));

/// A row of it that has no heading.
export const tr = (...cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell)));

/// A name and its value; nothing where there is no value.
export const fact = (name, value) => ![null, undefined, "", false].includes(value)
  && h("div", {}, h("dt", {}, name), h("dd", {}, value));

/// Says why something cannot be shown, in its place, unless nobody looks there any more.
export function failed(node, error, signal) {
  if (signal.aborted) return;
  fill(node, [h("p", { class: "error" }, error.message)]);
  if (!expected(error)) throw error;
}

/// An address within the page.
export const link = (to, ...children) => h("a", { href: `#/${to}` }, ...children);

export const tick = (label, attributes) => h("label", { class: "tick" }, h("input", { type: "checkbox", ...attributes }), h("span", {}, label));

/// What a form says of the problem: at the field that the daemon names, else at its end.
export function complain(form, error) {
  for (const node of form.querySelectorAll("[aria-invalid]")) node.removeAttribute("aria-invalid");
  for (const node of form.querySelectorAll(".error")) node.hidden = true;
  const last = form.querySelector(".error.all");
  if (!error) return;
  const named = /^([a-z_]+)(?:\[\d+\])?[.:]/.exec(error.message)?.[1];
  const control = named && form.querySelector(`[name="${named}"], fieldset[data-name="${named}"]`);
  const spot = control && document.getElementById(`${control.id}-error`);
  if (spot) control.setAttribute("aria-invalid", "true");
  const shown = spot ?? last;
  shown.textContent = spot ? capital(error.message.replace(/^[a-z_]+: /, "")) : capital(error.message);
  shown.hidden = false;
}

/// Says what will be done before it is. `choices` are the ways to go on; `act` gets the word of the one that was
/// chosen and the form, and what it throws is shown in the dialog, which then stays.
export function ask({ title, says, fields = [], choices, act }) {
  const form = h("form", {},
    h("h2", { id: "dialog-title" }, title),
    [says].flat().map((sentence) => h("p", {}, sentence)),
    fields,
    h("p", { class: "error all", role: "alert", hidden: true }),
    h("div", { class: "row end" },
      h("button", { type: "button", class: "quiet", value: "", onclick: () => dialog.close() }, "Keep as it is"),
      choices.map(({ word, label, kind }) => h("button", { type: "submit", class: kind ?? "", value: word }, label))));
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  form.onsubmit = async (event) => {
    event.preventDefault();
    complain(form, null);
    const buttons = [...form.querySelectorAll("button")];
    for (const button of buttons) button.disabled = true;
    try {
      await act(event.submitter?.value || choices[0].word, form);
      dialog.close();
    } catch (error) {
      if (dialog.open) complain(form, error);
      else announce(error.message);
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  };
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
