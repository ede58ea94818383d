// The page as a whole: who is signed in, and what is shown.

import { forgetToken, token } from "./api.js";
import { showCluster } from "./cluster.js";
import { fill, mark, say } from "./dom.js";
import { forgetHistory } from "./history.js";
import { showJob } from "./job.js";
import { showJobs } from "./jobs.js";
import { end, now, start, subscribe } from "./live.js";
import { signIn } from "./signin.js";
import { showSubmit } from "./submit.js";
import { showTokens } from "./tokens.js";

const main = document.getElementById("main");
const bar = document.getElementById("bar");
const link = document.getElementById("link-state");

const LINKS = {
  starting: "Connecting…",
  live: "Live",
  polling: "Every 2 s",
  lost: "Connection lost, trying again",
};

/** The titles of the pages that each item of the navigation stands for. */
const HERE = { "#/jobs": ["Jobs", "Job"], "#/cluster": ["Cluster"], "#/tokens": ["Tokens"] };

let leave = null;

/** What is shown at an address, and its title. */
function route() {
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const [, first, second] = path.split("/");
  if (first === "cluster") return ["Cluster", () => showCluster(main)];
  if (first === "tokens") return ["Tokens", () => showTokens(main)];
  if (first === "submit") return ["New job", () => showSubmit(main, new URLSearchParams(query))];
  if (first === "jobs" && /^[0-9a-f]{32}$/.test(second ?? "")) return ["Job", () => showJob(main, second)];
  return ["Jobs", () => showJobs(main)];
}

function show() {
  if (token() === null) return ask("");
  leave?.();
  const [title, open] = route();
  document.title = `${title} · Airlift`;
  bar.hidden = false;
  for (const item of document.querySelectorAll("#nav a")) {
    mark(item, "aria-current", HERE[item.hash].includes(title) ? "page" : null);
  }
  leave = open();
  window.scrollTo(0, 0);
  return undefined;
}

function ask(reason) {
  leave?.();
  leave = null;
  end();
  forgetToken();
  forgetHistory();
  bar.hidden = true;
  document.title = "Sign in · Airlift";
  fill(document.getElementById("notes"));
  signIn(main, reason, begin);
}

function begin() {
  start();
  show();
  main.focus();
}

subscribe(() => {
  say(link, LINKS[now.link]);
  mark(link, "data-link", now.link);
  const ended = now.problems.session;
  if (ended) ask(ended.message);
});

window.addEventListener("hashchange", () => {
  show();
  // Who uses the keyboard or a screen reader goes on at the new page's beginning.
  if (token() !== null) main.focus();
});
document.getElementById("skip").addEventListener("click", (event) => {
  // The address says which page is shown: it is not to be changed.
  event.preventDefault();
  main.focus();
});
document.getElementById("sign-out").addEventListener("click", () => ask(""));

if (token() === null) ask("");
else begin();
