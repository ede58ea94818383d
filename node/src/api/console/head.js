// The head of a job's page: what the job is, and what may be ordered.

import { api } from "./api.js";
import { confirm, note } from "./dialog.js";
import { el, mark, say } from "./dom.js";
import { counted, place } from "./format.js";
import { now, take } from "./live.js";
import { requestOf, submit } from "./submit.js";
import { MODES, isOpen, isOverBudget, standing } from "./words.js";

/** The head of job `id`: its element, and `update(job)`. */
export function head(id) {
  const title = el("h1");
  const state = el("span", { class: "pill", id: "job-state", role: "status" });
  const [source, target] = [el("dd", { class: "place" }), el("dd", { class: "place" })];
  const buttons = {
    pause: el("button", { type: "button", id: "pause" }, "Pause"),
    resume: el("button", { type: "button", id: "resume", class: "primary" }, "Resume"),
    cancel: el("button", { type: "button", id: "cancel", class: "danger-text" }, "Cancel"),
    real: el("button", { type: "button", id: "for-real", class: "primary" }, "Start for real"),
    again: el("a", { class: "button", id: "again", href: "#/submit" }, "New job with these ends"),
  };
  const refused = el("p", { class: "error", role: "alert" });
  const carryOut = async (action, done) => {
    for (const button of Object.values(buttons)) mark(button, "disabled", true);
    say(refused, "");
    try {
      await action();
      note(done);
    } catch (problem) {
      say(refused, problem.message);
    }
    for (const button of Object.values(buttons)) mark(button, "disabled", null);
    // The button that was pressed may be gone: who uses the keyboard goes on at the one in its place.
    if (node.isConnected) Object.values(buttons).find((button) => !button.hidden)?.focus();
  };
  const order = (name, done) => carryOut(async () => take("job", await api.order(id, name)), done);
  buttons.pause.addEventListener("click", () => order("pause", "The job is paused. What is under way ends."));
  buttons.resume.addEventListener("click", () => order("resume", "The job goes on."));
  buttons.cancel.addEventListener("click", async () => {
    const text = "It ends where it is. What has arrived at the target stays there, and the same job can be submitted again later: it goes on with what is missing.";
    if (await confirm({ title: "Cancel this job?", text, yes: "Cancel job", no: "Let it run" })) await order("cancel", "The job is cancelled.");
  });
  buttons.real.addEventListener("click", async () => {
    const { objects, mode } = now.job;
    const moved = `${counted(objects.done, "object")} to move`;
    const text = `As the dry run found it: ${moved}${mode === "sync" ? `, ${counted(objects.deleted, "object")} to delete at the target` : ""}. The same options are used.`;
    const tone = objects.deleted > 0 ? "danger" : "primary";
    if (!(await confirm({ title: "Start this job for real?", text, yes: "Start job", no: "Not yet", tone }))) return;
    // A dry run is a job of its own.
    await carryOut(async () => {
      location.hash = `#/jobs/${await submit({ ...requestOf(id), dry_run: false })}`;
    }, "The job has begun.");
  });
  const node = el(
    "header",
    { class: "job-top" },
    el("div", { class: "job-title" }, title, state),
    el("dl", { class: "ends" }, el("div", {}, el("dt", {}, "From"), source), el("div", {}, el("dt", {}, "To"), target)),
    el("div", { class: "actions" }, Object.values(buttons)),
    refused,
  );
  return { node, update: (job) => updateHead({ title, state, source, target, buttons }, job) };
}

function updateHead({ title, state, source, target, buttons }, job) {
  const { label, tone } = standing(job);
  say(title, `${MODES[job.mode] ?? job.mode}${job.dry_run ? " (dry run)" : ""}`);
  mark(state, "class", `pill is-${tone}`);
  mark(state, "data-state", job.outcome ?? job.state);
  say(state, label);
  const [from, to] = job.single ? [job.single.source_key, job.single.target_key].map(place) : ["", ""];
  say(source, place(job.source) + from);
  say(target, place(job.target) + to);
  buttons.pause.hidden = !isOpen(job) || job.state === "paused";
  buttons.resume.hidden = job.state !== "paused" || isOverBudget(job);
  buttons.cancel.hidden = !isOpen(job);
  buttons.real.hidden = isOpen(job) || !job.dry_run || !requestOf(job.id);
  // Ends that are not text cannot be typed either.
  const isText = [job.source, job.target].every((end) => typeof end === "string");
  buttons.again.hidden = isOpen(job) || !buttons.real.hidden || job.single !== null || !isText;
  const query = new URLSearchParams({ mode: job.mode, source: job.source, target: job.target });
  mark(buttons.again, "href", `#/submit?${query}`);
}
