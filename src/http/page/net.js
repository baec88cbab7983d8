// What the page asks of the daemon, and whether it answers at all.

/// The daemon's own word on why not.
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `status ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/// No answer.
export class Lost extends Error {}

/// Any other error is a fault of the page itself.
export const expected = (error) => error instanceof Refused || error instanceof Lost;

/// `since`: the first try without an answer; `signedOut`: it answers, but not to us.
export const line = new EventTarget();
export const state = { since: null, signedOut: false, may: null };

function now(change) {
  const before = JSON.stringify(state);
  Object.assign(state, change);
  if (JSON.stringify(state) !== before) line.dispatchEvent(new Event("change"));
}

export const maySteer = () => state.may === "all";
export const knowCaller = (caller) => now({ may: caller.may });

/// Long enough for a busy daemon; a count over millions of items may take as long as it likes.
const PATIENCE = 8000;

async function reach(path, options, patient) {
  const signals = [options.signal, !patient && AbortSignal.timeout(PATIENCE)].filter(Boolean);
  try {
    const answer = await fetch(path, { ...options, signal: signals.length ? AbortSignal.any(signals) : undefined });
    now({ since: null, signedOut: answer.status === 401 });
    return answer;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    now({ since: state.since ?? new Date().toLocaleTimeString() });
    throw new Lost("the daemon does not answer");
  }
}

async function refusal(answer) {
  const problem = await answer.json().catch(() => ({ title: answer.statusText }));
  return new Refused(answer.status, problem);
}

/// The JSON of an answer; null where it has none.
export async function get(path, signal) {
  const answer = await reach(path, { headers: { Accept: "application/json" }, signal }, false);
  if (!answer.ok) throw await refusal(answer);
  return answer.json();
}

/// What is no text is sent as JSON.
export async function send(method, path, body, signal, more) {
  const headers = { Accept: "application/json", "Content-Type": "application/json", ...more };
  const text = typeof body === "string" ? body : JSON.stringify(body ?? {});
  const answer = await reach(path, { method, headers, body: text, signal }, true);
  if (!answer.ok) throw await refusal(answer);
  return answer.status === 204 ? null : answer.json();
}

/// The rows of an NDJSON stream as they come; whoever stops early ends the download.
export async function* rows(path, signal) {
  const answer = await reach(path, { signal }, true);
  if (!answer.ok) throw await refusal(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const text of lines) yield JSON.parse(text);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/// Looks now and every `period` milliseconds while the page is seen, never twice at a time.
export function poll(signal, period, look) {
  let timer;
  let busy = false;
  const turn = async () => {
    clearTimeout(timer);
    if (busy || signal.aborted || document.hidden) return;
    busy = true;
    try {
      await look();
    } catch (error) {
      // The banner says what is wrong with the line; what was refused once may be granted next time.
      if (!(error instanceof Lost || error instanceof Refused || signal.aborted)) throw error;
    } finally {
      busy = false;
      if (!signal.aborted && !document.hidden) timer = setTimeout(turn, period);
    }
  };
  document.addEventListener("visibilitychange", turn, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  turn();
}

/// Waits until typing rests; the question before is given up.
export function rested(signal, ask, wait = 250) {
  let timer;
  let under;
  return () => {
    clearTimeout(timer);
    under?.abort();
    timer = setTimeout(() => {
      if (signal.aborted) return;
      under = new AbortController();
      ask(AbortSignal.any([signal, under.signal]));
    }, wait);
  };
}

export const path = (...parts) => `/${parts.map(encodeURIComponent).join("/")}`;
export const jobPath = (id, ...more) => path("api", "v1", "jobs", id, ...more);
