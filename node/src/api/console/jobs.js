// All jobs.

import { el, fill, keyed, mark, say } from "./dom.js";
import { bytes, count, counted, duration, moment, percent, place, rate, span } from "./format.js";
import { presentBytes } from "./history.js";
import { now, subscribe } from "./live.js";
import { MODES, bottleneck, isOpen, settled, standing } from "./words.js";

const SHOWN_MAX = 200;

const CHOICES = [
  ["all", "All", () => true],
  ["open", "Active", isOpen],
  ["ended", "Ended", (job) => !isOpen(job)],
  ["trouble", "Needs attention", (job) => ["incomplete", "stopped"].includes(job.outcome) || job.objects.failed > 0],
];

let chosen = "all";

/** How far a job is: a bar, and its value for those who do not see it. */
export function progress(label) {
  const [well, ill] = [el("div", { class: "bar-fill" }), el("div", { class: "bar-fill is-bad" })];
  const node = el("div", { class: "progress", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" }, well, ill);
  return {
    node,
    update(job) {
      const share = doneShare(job);
      const { tone } = standing(job);
      mark(node, "class", `progress is-${tone === "warn" ? "good" : tone}${share === null && isOpen(job) ? " is-unknown" : ""}`);
      mark(node, "aria-valuenow", share === null ? null : Math.floor(share * 100));
      mark(node, "aria-valuetext", progressText(job));
      const trouble = share === null ? 0 : troubleShare(job);
      well.style.width = `${(share ?? 0.3) * 100 - trouble * (share ?? 0) * 100}%`;
      ill.style.width = `${trouble * (share ?? 0) * 100}%`;
    },
  };
}

/** The share of a job that has come to its end, by bytes where they tell; `null` when unknown. */
export function doneShare(job) {
  if (job.outcome === "done") return 1;
  if (!job.is_listed) return isOpen(job) ? null : 0;
  const byObjects = job.objects.total > 0 ? Math.min(1, settled(job.objects) / job.objects.total) : null;
  // What does not move counts by objects alone.
  if (!isOpen(job) || job.mode === "verify" || job.dry_run || job.bytes.total === 0) return byObjects;
  return Math.max(settledBytes(job) / job.bytes.total, troubleShare(job) === 0 ? 0 : byObjects);
}

/** Of what has come to its end, the share that is not well; something that can be seen, if any is. */
function troubleShare(job) {
  const { failed, missing, differs } = job.objects;
  const trouble = failed + missing + differs;
  return trouble === 0 ? 0 : Math.max(0.01, trouble / Math.max(1, settled(job.objects)));
}

/** Bytes of which nothing is left to be done: at the target, of large objects under way too, or of objects that do not get there. */
function settledBytes(job) {
  const { total, done, sent } = job.bytes;
  return Math.min(total, Math.max(done, sent + presentBytes(job.id)) + (job.unmoved_bytes ?? 0));
}

/** The same in words. */
export function progressText(job) {
  const { total } = job.bytes;
  const { tone } = standing(job);
  const objects = `${count(settled(job.objects))} of ${counted(job.objects.total, "object")}`;
  if (!isOpen(job)) return `${counted(job.objects.total, "object")}, ${bytes(total)}`;
  if (!job.is_listed) return `${counted(job.objects.total, "object")} listed so far, ${bytes(total)}`;
  if (job.mode === "verify" || job.dry_run) return objects;
  const share = percent(settledBytes(job), total);
  return total > 0 ? `${share}${tone === "wait" ? ", paused" : ""} of ${bytes(total)} · ${objects}` : objects;
}

function title(job) {
  return `${MODES[job.mode] ?? job.mode} ${place(job.source)} to ${place(job.target)}`;
}

function item(first) {
  const state = el("span", { class: "pill" });
  const mode = el("span", { class: "mode" });
  const [source, target] = [el("span", { class: "place" }), el("span", { class: "place" })];
  const link = el("a", { class: "job-link", href: `#/jobs/${first.id}` }, source, el("span", { class: "arrow", "aria-label": "to" }, "→"), target);
  const bar = progress(`Progress of ${title(first)}`);
  const done = el("span", { class: "job-done" });
  const facts = el("span", { class: "job-facts" });
  const trouble = el("span", { class: "job-trouble" });
  const node = el(
    "li",
    { class: "job-item", "data-job": first.id },
    el("div", { class: "job-head" }, mode, link, state),
    bar.node,
    el("div", { class: "job-foot" }, done, trouble, facts),
  );
  return {
    node,
    update(job) {
      const { label, tone } = standing(job);
      mark(node, "data-state", job.outcome ?? job.state);
      mark(state, "class", `pill is-${tone}`);
      say(state, label);
      say(mode, `${MODES[job.mode] ?? job.mode}${job.dry_run ? ", dry run" : ""}`);
      say(source, place(job.source));
      say(target, place(job.target));
      bar.update(job);
      say(done, progressText(job));
      say(facts, factsText(job));
      say(trouble, troubleText(job));
    },
  };
}

function factsText(job) {
  if (!isOpen(job)) {
    return [`took ${span(job.elapsed_ms)}`, `ended ${moment(job.ended_at)}`].join(" · ");
  }
  const held = bottleneck(job.bottleneck);
  const parts = [
    job.rate_bytes_per_second > 0 ? rate(job.rate_bytes_per_second) : null,
    job.eta_seconds === null ? null : `${duration(job.eta_seconds)} left`,
    held ? `held up by ${held.toLowerCase()}` : null,
  ];
  return parts.filter((part) => part !== null).join(" · ") || `running for ${duration(job.elapsed_ms / 1000)}`;
}

function troubleText(job) {
  const { failed, skipped, differs, missing, extra } = job.objects;
  const parts = [[failed, "failed"], [differs, "differ"], [missing, "missing"], [extra, "extra"], [skipped, "skipped"]];
  return parts.filter(([value]) => value > 0).map(([value, word]) => `${count(value)} ${word}`).join(", ");
}

/** Shows the list; gives back what ends that. */
export function showJobs(main) {
  const tiles = el("dl", { class: "tiles" });
  const facts = ["Active jobs", "Throughput", "Moved by active jobs", "Need attention"].map((name) => {
    const value = el("dd");
    tiles.append(el("div", { class: "tile" }, el("dt", {}, name), value));
    return value;
  });
  const buttons = CHOICES.map(([name, label]) => {
    const number = el("span", { class: "chip-count" });
    const button = el("button", { type: "button", class: "chip", onclick: () => choose(name) }, label, number);
    return { name, button, number };
  });
  const list = el("ul", { class: "job-list" });
  const empty = el("div", { class: "empty" });
  const problem = el("p", { class: "error banner", role: "alert" });
  fill(
    main,
    el("h1", {}, "Jobs"),
    problem,
    tiles,
    el("div", { class: "chips", role: "group", "aria-label": "Which jobs" }, buttons.map(({ button }) => button)),
    list,
    empty,
  );

  function choose(name) {
    chosen = name;
    update();
  }

  function update() {
    const failure = now.problems.jobs;
    say(problem, failure ? failure.message : "");
    if (!now.jobs) return say(empty, failure ? "" : "Loading jobs…");
    const jobs = now.jobs.jobs;
    const open = jobs.filter(isOpen);
    const sum = (values) => values.reduce((total, value) => total + value, 0);
    say(facts[0], count(open.length));
    say(facts[1], rate(sum(open.map((job) => job.rate_bytes_per_second))));
    say(facts[2], bytes(sum(open.map((job) => job.bytes.sent))));
    say(facts[3], count(jobs.filter(CHOICES[3][2]).length));
    for (const { name, button, number } of buttons) {
      const choice = CHOICES.find(([other]) => other === name);
      say(number, count(jobs.filter(choice[2]).length));
      mark(button, "aria-pressed", name === chosen ? "true" : "false");
    }
    const wanted = jobs.filter(CHOICES.find(([name]) => name === chosen)[2]);
    keyed(list, wanted.slice(0, SHOWN_MAX), (job) => job.id, item);
    tell(wanted.length, jobs.length);
  }

  function tell(wanted, all) {
    if (wanted > SHOWN_MAX) return say(empty, `The newest ${count(SHOWN_MAX)} of ${count(wanted)} are shown.`);
    if (wanted > 0) return say(empty, "");
    if (all > 0) return say(empty, "No job is like that.");
    if (empty.querySelector("a")) return undefined;
    return fill(
      empty,
      el("p", { class: "lead" }, "No jobs yet"),
      el("p", {}, "A job copies, mirrors or compares two locations."),
      el("a", { class: "button primary", href: "#/submit" }, "New job"),
    );
  }

  update();
  return subscribe(update);
}
