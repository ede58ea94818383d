// The form for a new job. A dry run comes first: it shows what would be done, and changes nothing.

import { api } from "./api.js";
import { confirm, note } from "./dialog.js";
import { el, fill, say } from "./dom.js";
import { area, check, field, linesOf, number, select, word } from "./fields.js";
import { SIZE_HINT, limitRequest, sizeRequest } from "./limit.js";

const REQUESTS_MAX = 50;

const requests = new Map();

/** The request by which this tab has submitted a job; the API does not tell its options. */
export function requestOf(id) {
  return requests.get(id);
}

/** Submits a job, and remembers how. */
export async function submit(request) {
  const { id } = await api.submit(request);
  requests.delete(id);
  if (requests.size >= REQUESTS_MAX) requests.delete(requests.keys().next().value);
  requests.set(id, request);
  return id;
}

const MODES = [
  ["cp", "Copy", "Copies what is new or changed. Deletes nothing."],
  ["sync", "Sync", "Makes the target like the source: deletes what the source does not have."],
  ["verify", "Verify", "Compares both ends by content. Changes nothing."],
];

const DELETES = {
  title: "Start without a dry run?",
  text: "A sync deletes what the target has and the source does not. A dry run shows beforehand what that would be.",
  yes: "Start sync",
  no: "Not yet",
};

/** Shows the form, filled from `query`; gives back what ends that. */
export function showSubmit(main, query) {
  const modes = MODES.map(([name, label, text]) => modeChoice(name, label, text, (query.get("mode") ?? "cp") === name));
  const source = placeField("source", "Source", query.get("source"));
  const target = placeField("target", "Target", query.get("target"));
  const options = optionFields();
  const error = el("p", { class: "error banner", id: "submit-error", role: "alert" });
  const dry = el("button", { type: "submit", class: "primary", id: "dry-run", value: "dry" }, "Dry run");
  const real = el("button", { type: "submit", id: "submit", value: "real" }, "Start job");
  const hint = el("p", { class: "hint" }, "A dry run lists and compares as the job would, and reports what would be moved and deleted.");
  const form = el(
    "form",
    { class: "card submit", novalidate: true, "aria-labelledby": "submit-title" },
    el("fieldset", { class: "modes" }, el("legend", {}, "What is to be done"), modes),
    source.node,
    target.node,
    options.node,
    error,
    el("div", { class: "actions" }, dry, real),
    hint,
  );
  fill(main, el("h1", { id: "submit-title" }, "New job"), form);

  const mode = () => new FormData(form).get("mode");
  const adapt = () => {
    const isVerify = mode() === "verify";
    dry.hidden = isVerify;
    hint.hidden = isVerify;
    real.classList.toggle("primary", isVerify);
    options.adapt(mode());
  };
  form.addEventListener("change", adapt);
  adapt();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    // Enter in a field counts as the first button that can be pressed: the dry run.
    const isDry = event.submitter?.value === "dry" && mode() !== "verify";
    say(error, "");
    const missing = [source, target].find((field) => field.input.value.trim() === "");
    if (missing) {
      say(error, `The ${missing.name} is missing: write NODE:/path or a bucket such as s3://BUCKET/PREFIX.`);
      return missing.input.focus();
    }
    const wrong = [...form.elements].find((input) => !input.validity.valid && !input.closest("[hidden]"));
    if (wrong) {
      say(error, `${wrong.labels[0].textContent}: ${wrong.validationMessage}`);
      options.node.open ||= options.node.contains(wrong);
      return wrong.focus();
    }
    if (mode() === "sync" && !isDry && !(await confirm(DELETES))) return;
    const focused = document.activeElement;
    for (const button of [dry, real]) button.disabled = true;
    try {
      const request = { mode: mode(), source: source.input.value.trim(), target: target.input.value.trim(), dry_run: isDry, ...options.request(mode()) };
      const id = await submit(request);
      note(isDry ? "The dry run has begun." : "The job has begun.");
      location.hash = `#/jobs/${id}`;
    } catch (problem) {
      say(error, problem.message);
      for (const button of [dry, real]) button.disabled = false;
      focused.focus();
      error.scrollIntoView({ block: "nearest" });
    }
  });
  return () => {};
}

function modeChoice(name, label, text, isChosen) {
  const input = el("input", { type: "radio", name: "mode", value: name, id: `mode-${name}`, "aria-describedby": `mode-${name}-text` });
  input.checked = isChosen;
  return el(
    "div",
    { class: "mode-choice" },
    input,
    el("label", { for: `mode-${name}` }, el("strong", {}, label), el("span", { id: `mode-${name}-text` }, text)),
  );
}

function placeField(name, label, value) {
  const hints = {
    source: "A directory of a node, NODE:/path, or a bucket: s3://, gs://, az:// and so on.",
    target: "Where it goes, written the same way.",
  };
  const input = el("input", { id: name, name, type: "text", required: true, autocomplete: "off", autocapitalize: "off", spellcheck: "false", "aria-describedby": `${name}-hint submit-error`, placeholder: name === "source" ? "paris:/data/photos" : "s3://archive/photos/" });
  input.value = value ?? "";
  const node = el("div", { class: "field" }, el("label", { for: name }, label), input, el("p", { class: "hint", id: `${name}-hint` }, hints[name]));
  return { node, input, name };
}

function optionFields() {
  const [include, exclude] = [area("include"), area("exclude")];
  const content = check("content", "Compare by content, not by size and time");
  const empty = check("allow-empty", "Delete even if the source is empty");
  const [most, unit] = [number("max-delete", { min: "0", step: "1" }), select("max-delete-unit", [["percent", "percent"], ["count", "objects"]])];
  unit.setAttribute("aria-label", "Unit of the most that may be deleted");
  const readBack = number("read-back", { min: "0", max: "100", step: "1", placeholder: "0" });
  const bandwidth = word("bandwidth", { placeholder: "no limit" });
  const budget = budgetFields();
  const priority = number("priority", { min: "1", max: "100", step: "1", placeholder: "10" });
  const links = select("links", [["skip", "Leave out"], ["copy", "Copy the link"], ["follow", "Copy what they point to"]]);
  const mostField = el("div", { class: "field" }, el("label", { for: "max-delete" }, "Delete at most"), el("div", { class: "pair" }, most, unit));
  const readBackField = field("read-back", "Read back, %", readBack, "Share of the moved objects that is read at the target and hashed again.");
  const node = el(
    "details",
    { class: "options" },
    el("summary", {}, "Options"),
    el(
      "div",
      { class: "grid" },
      field("include", "Only keys like", include, "One glob a line, such as 2026/**; all keys when empty."),
      field("exclude", "No keys like", exclude, "One glob a line, such as **/*.tmp."),
      field("bandwidth", "Bandwidth, MiB a second", bandwidth, "Or a schedule, such as 08:00-18:00 200M, 18:00-08:00 off; Europe/Berlin."),
      field("priority", "Priority, 1 to 100", priority, "The share of the cluster beside other jobs."),
      readBackField,
      field("links", "Symbolic links", links),
      mostField,
      budget.nodes,
    ),
    content.node,
    empty.node,
  );
  return {
    node,
    adapt(mode) {
      mostField.hidden = mode !== "sync";
      empty.node.hidden = mode !== "sync";
      readBackField.hidden = mode === "verify";
      content.node.hidden = mode === "verify";
    },
    request(mode) {
      const whole = (input) => (input.value === "" ? null : Number(input.value));
      const wanted = { include: linesOf(include), exclude: linesOf(exclude), links: links.value, ...budget.request() };
      if (bandwidth.value.trim() !== "") Object.assign(wanted, limitRequest(bandwidth.value) ?? { bandwidth_schedule: bandwidth.value });
      if (priority.value !== "") wanted.priority = whole(priority);
      if (mode !== "verify") {
        wanted.read_back_percent = whole(readBack) ?? 0;
        wanted.comparison = content.input.checked ? "content" : "attributes";
      }
      if (mode === "sync") {
        wanted.allow_empty_source = empty.input.checked;
        if (most.value !== "") wanted.max_delete = { [unit.value]: whole(most) };
      }
      return wanted;
    },
  };
}

/** What the job may use: empty fields bound nothing. */
function budgetFields() {
  const most = word("budget-bytes", { placeholder: "no limit" });
  const requests = number("budget-requests", { min: "1", step: "1", placeholder: "no limit" });
  const isEmpty = (input) => input.value.trim() === "";
  // The form looks at the validity of its fields before it asks for anything.
  most.addEventListener("input", () => {
    most.setCustomValidity(isEmpty(most) || sizeRequest(most.value) !== null ? "" : SIZE_HINT);
  });
  return {
    nodes: [
      field("budget-bytes", "Budget of bytes", most, "What the job may read, such as 500G or 2T. It rests when that is used up."),
      field("budget-requests", "Budget of requests", requests, "Requests that it may make to stores."),
    ],
    request() {
      const budget = {};
      if (!isEmpty(most)) budget.bytes = sizeRequest(most.value);
      if (!isEmpty(requests)) budget.requests = Number(requests.value);
      return Object.keys(budget).length === 0 ? {} : { budget };
    },
  };
}
