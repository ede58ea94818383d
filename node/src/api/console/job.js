// One job.

import { raise } from "./budget.js";
import { chart } from "./chart.js";
import { el, fact, fill, keyed, mark, say } from "./dom.js";
import { flow } from "./flow.js";
import { bytes, count, counted, duration, moment, percent, rate, span } from "./format.js";
import { head } from "./head.js";
import { heldBy, samples, seenPhases } from "./history.js";
import { doneShare, progress, progressText } from "./jobs.js";
import { budgetText, limitNow } from "./limit.js";
import { now, subscribe, watch } from "./live.js";
import { map } from "./map.js";
import { reportSection } from "./report.js";
import { COUNTS, DRY_COUNTS, advice, bottleneck, cause, isOpen, phases, standing } from "./words.js";

/** Shows the job; gives back what ends that. */
export function showJob(main, id) {
  watch(id);
  const parts = [head(id), raise(id), figures(), timeline(), throughput(id), explain(id), nodes(), troubles()];
  const report = reportSection(id);
  const problem = el("p", { class: "error banner", role: "alert" });
  const body = el("div", { class: "job-page", hidden: true }, parts.map((part) => part.node), report.node);
  const waiting = el("p", { class: "empty" }, "Loading the job…");
  fill(main, el("p", { class: "crumb" }, el("a", { href: "#/jobs" }, "← All jobs")), problem, waiting, body);

  function update() {
    const failure = now.problems.job;
    say(problem, failure ? failure.message : "");
    waiting.hidden = Boolean(now.job) || Boolean(failure);
    body.hidden = !now.job;
    if (!now.job) return;
    for (const part of parts) part.update(now.job);
  }

  update();
  const leave = subscribe(update);
  return () => {
    leave();
    report.end();
    watch(null);
  };
}

function section(title, id, ...children) {
  return el("section", { class: "card", "aria-labelledby": id }, el("h2", { id }, title), ...children);
}

function figures() {
  const bar = progress("Progress of the job");
  const line = el("p", { class: "job-line" });
  const tiles = el("dl", { class: "tiles" });
  const tile = (name) => {
    const [term, value] = [el("dt", {}, name), el("dd")];
    const node = el("div", { class: "tile" }, term, value);
    tiles.append(node);
    return { term, value, node };
  };
  const [speed, left, moved, elapsed] = ["Rate", "Left", "Moved", "Running for"].map(tile);
  const counts = el("dl", { class: "counts" });
  const notes = el("div");
  const node = el("section", { class: "card", "aria-label": "Progress" }, bar.node, line, tiles, counts, notes);
  return {
    node,
    update(job) {
      const share = doneShare(job);
      bar.update(job);
      say(line, progressText(job));
      mark(line, "data-share", share === null ? null : share.toFixed(3));
      const seconds = job.elapsed_ms / 1000;
      say(speed.term, isOpen(job) ? "Rate" : "Mean rate");
      say(speed.value, rate(isOpen(job) ? job.rate_bytes_per_second : Math.round(job.bytes.sent / Math.max(seconds, 0.001))));
      left.node.hidden = !isOpen(job);
      say(left.value, job.eta_seconds === null ? "–" : duration(job.eta_seconds));
      const isVerify = job.mode === "verify";
      speed.node.hidden = isVerify || job.dry_run;
      moved.node.hidden = job.dry_run;
      say(moved.term, isVerify ? "Compared" : "Moved");
      say(moved.value, bytes(isVerify ? job.bytes.done : job.bytes.sent));
      say(elapsed.term, isOpen(job) ? "Running for" : "Took");
      say(elapsed.value, isOpen(job) ? duration(seconds) : span(job.elapsed_ms));
      updateCounts(counts, job);
      fill(notes, noteLines(job).map(([tone, text]) => el("p", { class: `remark is-${tone}` }, text)));
    },
  };
}

function updateCounts(list, job) {
  const rows = [["total", "Listed", ""], ...COUNTS].filter(([name]) => name === "total" || job.objects[name] > 0);
  keyed(list, rows, ([name]) => name, ([name, label, tone]) => {
    const [term, value] = [el("dt"), el("dd", { "data-count": name })];
    return {
      node: el("div", { class: `count is-${tone || "plain"}` }, term, value),
      update: () => {
        say(term, (now.job?.dry_run && DRY_COUNTS[name]) || label);
        say(value, count(now.job?.objects[name] ?? 0));
      },
    };
  });
}

function noteLines(job) {
  const lines = job.deletes_refused.map((text) => ["warn", text]);
  if (job.failure) lines.unshift(["bad", `${cause(job.failure.code)}: ${job.failure.reason}`]);
  if (job.retry_seconds != null) lines.push(["plain", `The job is tried again in ${duration(job.retry_seconds)}, or at once when it is resumed.`]);
  if (job.dry_run && !isOpen(job)) lines.push(["plain", "A dry run: this is what would be done. Nothing was changed."]);
  if (job.dropped.objects > 0) {
    const what = job.dropped.attributes.map(String).join(", ") || "attributes";
    lines.push(["warn", `${counted(job.dropped.objects, "object")} lost something that the target cannot hold: ${what}.`]);
  }
  return lines;
}

function timeline() {
  const list = el("ol", { class: "steps" });
  const ends = el("dl", { class: "facts in-line" });
  const [submitted, ended, run] = ["Submitted", "Ended", "Run"].map((term) => fact(ends, term));
  const node = section("Phases", "phases-title", list, ends);
  return {
    node,
    update(job) {
      const steps = [...phases(job.mode), ["end", isOpen(job) ? "End" : standing(job).label]];
      const seen = seenPhases(job.id);
      const here = standsAt(job, steps, seen);
      keyed(list, steps, ([name]) => name, step);
      for (const [index, child] of [...list.children].entries()) {
        const isPast = index < here || !isOpen(job) && job.outcome === "done";
        const isHere = index === here;
        mark(child, "class", isHere ? `step is-here is-${standing(job).tone}` : isPast ? "step is-past" : "step");
        mark(child, "aria-current", isHere && isOpen(job) ? "step" : null);
        const at = seen.get(steps[index][0]);
        say(child.lastChild, at ? `seen ${moment(at)}` : "");
      }
      submitted.set(moment(job.submitted_at));
      ended.set(job.ended_at ? moment(job.ended_at) : null);
      run.set(job.run > 1 ? count(job.run) : null);
    },
  };
}

/** Where the job stands among its steps; a paused one where it was seen last. */
function standsAt(job, steps, seen) {
  if (!isOpen(job)) return steps.length - 1;
  const names = steps.map(([name]) => name);
  if (job.state !== "paused") return names.indexOf(job.state);
  const last = Math.max(-1, ...[...seen.keys()].map((name) => names.indexOf(name)));
  return last < 0 ? (job.objects.total > 0 ? 1 : 0) : last;
}

function step() {
  const label = el("span", { class: "step-name" });
  return {
    node: el("li", { class: "step" }, label, el("span", { class: "step-time" })),
    update: ([, text]) => say(label, text),
  };
}

function throughput(id) {
  const plot = chart();
  const node = section("Throughput", "plot-title", plot.node);
  return {
    node,
    update(job) {
      // Of a job that ended before anybody looked there is nothing to plot.
      node.hidden = !isOpen(job) && samples(id).length < 2;
      plot.update(samples(id));
    },
  };
}

function explain(id) {
  const [name, text] = [el("p", { class: "held" }), el("p", { class: "hint" })];
  const shares = el("ul", { class: "shares" });
  const throttles = el("ul", { class: "hint" });
  const facts = el("dl", { class: "facts" });
  const [limit, budget, priority, wire, resent] = ["Limit of the job", "Budget", "Priority", "Crossed the network", "Sent before"].map((term) => fact(facts, term));
  const node = section("Bottleneck and limits", "explain-title", name, text, shares, throttles, facts);
  return {
    node,
    update(job) {
      const held = isOpen(job) && job.state !== "paused" ? job.bottleneck : "none";
      say(name, bottleneck(held) ?? (job.state === "paused" ? (job.failure ? "Paused for its failure" : "Paused by a user") : isOpen(job) ? "Nothing stands out" : ""));
      name.hidden = name.textContent === "";
      say(text, bottleneck(held) ? advice(held) : "");
      keyed(shares, heldBy(id), ([key]) => key, share);
      fill(throttles, (job.throttles ?? []).map((it) => el("li", {}, throttleText(it))));
      throttles.hidden = throttles.childElementCount === 0;
      limit.set(limitNow(job));
      budget.set(budgetText(job.budget));
      priority.set(`${job.priority} of 100`);
      const { wire: crossed, sent } = job.bytes;
      wire.set(crossed > 0 ? `${bytes(crossed)}${sent > crossed ? ` for ${bytes(sent)} of data` : ""}` : null);
      resent.set(job.bytes.resent > 0 ? `at most ${bytes(job.bytes.resent)} by an interrupted run` : null);
    },
  };
}

function throttleText({ store, kind, requests_per_second: asked, answered_per_second: answered, nodes }) {
  const who = nodes === 1 ? "one node" : `${count(nodes)} nodes together`;
  return `${store} has asked for fewer ${kind}: ${who} may ask for ${count(asked)} a second, and ${count(answered)} were lately answered.`;
}

function share() {
  const [label, value, bar] = [el("span"), el("span", { class: "number" }), el("div", { class: "bar-fill" })];
  return {
    node: el("li", {}, label, el("div", { class: "progress is-plain", "aria-hidden": "true" }, bar), value),
    update([name, part]) {
      say(label, bottleneck(name) ?? name);
      say(value, `${percent(part, 1)} of the time watched`);
      bar.style.width = `${part * 100}%`;
    },
  };
}

function nodes() {
  const drawing = map();
  const rows = el("tbody");
  const columns = ["Node", "Part", "Orders", "Reads", "Writes", "Busiest with"];
  const table = el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Nodes at work" },
    el("table", {}, el("thead", {}, el("tr", {}, columns.map((text) => el("th", { scope: "col" }, text)))), rows),
  );
  const node = section("Nodes at work", "nodes-title", drawing.node, table);
  return {
    node,
    update(job) {
      node.hidden = job.nodes.length === 0;
      if (node.hidden) return;
      drawing.update(flow([job]));
      keyed(rows, job.nodes, (one) => one.id, nodeRow);
    },
  };
}

function nodeRow() {
  const cells = Array.from({ length: 5 }, (_, index) => el("td", { class: index >= 1 && index <= 3 ? "number" : "" }));
  const name = el("th", { scope: "row" });
  const roles = { source: "reads", target: "writes", both: "reads and writes" };
  return {
    node: el("tr", {}, name, cells),
    update(one) {
      say(name, one.name);
      const held = bottleneck(one.busiest) ?? "–";
      const texts = [roles[one.role] ?? one.role, count(one.assignments), rate(one.read_bytes_per_second), rate(one.write_bytes_per_second), held];
      for (const [index, text] of texts.entries()) say(cells[index], text);
    },
  };
}

function troubles() {
  const causes = el("ul", { class: "causes" });
  const list = el("tbody");
  const more = el("p", { class: "hint" });
  const columns = ["What", "Cause", "What happened"];
  const table = el(
    "div",
    { class: "scroll long", tabindex: "0", role: "region", "aria-label": "List of failures" },
    el("table", {}, el("thead", {}, el("tr", {}, columns.map((text) => el("th", { scope: "col" }, text)))), list),
  );
  const node = section("Failures", "failures-title", causes, table, more);
  return {
    node,
    update(job) {
      // What was skipped or differs is counted above, and named in the report only.
      node.hidden = job.errors.length === 0;
      if (node.hidden) return;
      const byCause = new Map();
      for (const error of job.errors) byCause.set(error.code, (byCause.get(error.code) ?? 0) + 1);
      const ranked = [...byCause].sort((a, b) => b[1] - a[1]);
      keyed(causes, ranked, ([code]) => code, () => {
        const text = el("li", { class: "pill is-bad" });
        return { node: text, update: ([code, number]) => say(text, `${cause(code)} · ${count(number)}`) };
      });
      keyed(list, [...job.errors.entries()], ([index]) => index, failureRow);
      const shown = job.errors.length;
      say(more, job.error_count > shown ? `The first ${count(shown)} of ${count(job.error_count)}. The report has them all.` : "");
    },
  };
}

function failureRow() {
  const [what, code, reason] = [el("th", { scope: "row" }), el("td"), el("td", { class: "reason" })];
  return {
    node: el("tr", {}, what, code, reason),
    update([, error]) {
      // Objects have their place in the text; only what could not be listed or removed has a key.
      mark(what, "class", error.key === "" ? null : "key");
      say(what, error.key || cause(error.status));
      say(code, cause(error.code));
      say(reason, error.reason);
    },
  };
}
