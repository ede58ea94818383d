// What the cluster is now: pushed by the server where that works, asked for again and again where not.

import { Problem, api, lines } from "./api.js";
import { note, noteJob } from "./history.js";

const POLL_MS = 2000;
const AGAIN_MS = 1000;
const UNREACHED_MS = 5000;
const UNPUSHED_MS = 120000;
const FIRST_MS = 12000;
const SILENCE_MS = 25000;
const EVENT_CHARS_MAX = 64 << 20;

/** What is known: views by name, and what stands in the way of each. */
export const now = { jobs: null, cluster: null, job: null, problems: {}, link: "starting" };

const listeners = new Set();
let watched = null;
let session = null;

/** Calls `listener` whenever something is new; gives back what ends that. */
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell() {
  for (const listener of [...listeners]) listener();
}

/** Takes in one view. */
export function take(name, view) {
  if (name === "job" && view.id !== watched) return;
  now[name] = view;
  delete now.problems[name];
  if (name === "jobs") note(view);
  if (name === "job") noteJob(view);
  tell();
}

function fail(name, problem) {
  now.problems[name] = problem;
  tell();
}

function link(state) {
  if (now.link === state) return;
  now.link = state;
  tell();
}

/** Looks at this job in full too; at none with `null`. */
export function watch(id) {
  if (watched === id) return;
  watched = id;
  now.job = null;
  delete now.problems.job;
  if (session) start();
}

/** Begins to look, or begins anew. */
export function start() {
  stop();
  session = new AbortController();
  run(session.signal).catch((error) => {
    if (error.name !== "AbortError") throw error;
  });
}

document.addEventListener("visibilitychange", () => {
  if (session) start();
});

/** Looks no more, and forgets what was seen. */
export function end() {
  stop();
  Object.assign(now, { jobs: null, cluster: null, job: null, problems: {}, link: "starting" });
}

function stop() {
  session?.abort();
  session = null;
}

async function run(signal) {
  while (!signal.aborted) {
    // A browser has few connections to one node for all its tabs: who is not seen does not hold one.
    if (document.hidden) {
      await poll(signal, Infinity);
      continue;
    }
    try {
      await listen(signal);
      // The server ends each stream after a while.
      await sleep(AGAIN_MS, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401) return fail("session", error);
      // No events here, too many who look on, or something on the way that holds them back: asking may
      // work nevertheless, and shows it if nothing does.
      const isHeldBack = error.status > 0 || error.name === "AbortError";
      await poll(signal, Date.now() + (isHeldBack ? UNPUSHED_MS : UNREACHED_MS));
    }
  }
}

/** Reads events until they end. */
async function listen(signal) {
  const inner = new AbortController();
  const abort = () => inner.abort();
  signal.addEventListener("abort", abort);
  // A way that is cut without a word looks like silence; heartbeats come more often than this.
  let silence = setTimeout(abort, FIRST_MS);
  try {
    const answer = await api.events(watched, inner.signal);
    link("live");
    let [name, data] = ["", ""];
    for await (const line of lines(answer, EVENT_CHARS_MAX)) {
      clearTimeout(silence);
      silence = setTimeout(abort, SILENCE_MS);
      if (signal.aborted) return;
      if (line === "") {
        if (data !== "") dispatch(name, JSON.parse(data));
        [name, data] = ["", ""];
      } else if (line.startsWith("event:")) name = line.slice(6).trim();
      else if (line.startsWith("data:")) data += line.slice(5).trim();
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", abort);
  }
}

function dispatch(name, value) {
  if (name !== "problem") return take(name, value);
  const problem = new Problem(value.status, value.code, value.detail);
  fail(problem.status === 401 ? "session" : value.of, problem);
}

/** Asks for everything every other second, until `end`. */
async function poll(signal, end) {
  while (!signal.aborted && Date.now() < end) {
    const names = watched ? ["jobs", "cluster", "job"] : ["jobs", "cluster"];
    const answers = await Promise.allSettled(names.map((name) => (name === "job" ? api.job(watched) : api[name]())));
    if (signal.aborted) return;
    let isReached = false;
    for (const [index, { value, reason }] of answers.entries()) {
      if (reason?.status === 401) return fail("session", reason);
      isReached ||= !reason || reason.status > 0;
      if (value) take(names[index], value);
      else if (reason.status > 0) fail(names[index], reason);
    }
    link(isReached ? "polling" : "lost");
    await sleep(document.hidden ? POLL_MS * 5 : POLL_MS, signal);
  }
}

function sleep(ms, signal) {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, ms);
    signal.addEventListener("abort", over);
  });
}
