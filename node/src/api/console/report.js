// The report of a job, read line by line and only as far as somebody wants to see.

import { report } from "./api.js";
import { el, fill, say } from "./dom.js";
import { bytes, count, counted } from "./format.js";
import { cause } from "./words.js";

const SHOWN_MAX = 200;
const READ_MAX = 200000;
const SAY_EVERY = 500;

const WELL = new Set(["done", "unchanged", "equal", "deleted"]);

const CHOICES = {
  trouble: ["Not well", (line) => !WELL.has(line.status)],
  failed: ["Failed", (line) => ["failed", "unreadable", "left_over"].includes(line.status)],
  skipped: ["Skipped", (line) => line.status === "skipped"],
  differs: ["Differ, missing or extra", (line) => ["differs", "missing", "extra"].includes(line.status)],
  all: ["All objects", () => true],
};

/** The section about the report of job `id`. */
export function reportSection(id) {
  const choice = el("select", { id: "report-choice" }, Object.entries(CHOICES).map(([name, [label]]) => el("option", { value: name }, label)));
  const button = el("button", { type: "submit" }, "Read report");
  const state = el("p", { class: "hint", role: "status", "aria-live": "polite" });
  const body = el("tbody");
  const table = el(
    "div",
    { class: "scroll long", tabindex: "0", role: "region", "aria-label": "Objects of the report", hidden: true },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ["Object", "Became", "Size", "Reason"].map((text) => el("th", { scope: "col" }, text)))),
      body,
    ),
  );
  const form = el("form", { class: "inline" }, el("label", { for: "report-choice" }, "Show"), choice, button);
  let reading = null;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (reading) return reading.abort();
    reading = new AbortController();
    say(button, "Stop");
    fill(body);
    table.hidden = true;
    try {
      say(state, await read(id, CHOICES[choice.value][1], reading.signal, body, state, table));
    } catch (problem) {
      say(state, problem.name === "AbortError" ? "Stopped." : problem.message);
    } finally {
      reading = null;
      say(button, "Read report");
    }
  });
  const command = el("p", { class: "hint" }, "All of it, as JSON lines: ", el("code", {}, `airlift job report ${id}`));
  const node = el("section", { class: "card", "aria-labelledby": "report-title" }, el("h2", { id: "report-title" }, "Report"), form, state, table, command);
  return { node, end: () => reading?.abort() };
}

async function read(id, isWanted, signal, body, state, table) {
  const leave = new AbortController();
  signal.addEventListener("abort", () => leave.abort());
  let [looked, shown] = [0, 0];
  for await (const line of report(id, leave.signal)) {
    looked += 1;
    if (looked % SAY_EVERY === 0) say(state, `${counted(looked, "line")} read, ${count(shown)} shown…`);
    if (isWanted(line)) {
      body.append(row(line));
      table.hidden = false;
      shown += 1;
    }
    if (shown >= SHOWN_MAX || looked >= READ_MAX) {
      leave.abort();
      return `The first ${count(shown)} are shown, after ${counted(looked, "line")}. There may be more.`;
    }
  }
  if (shown === 0) return looked === 0 ? "The report has no lines yet." : `None among ${counted(looked, "line")}.`;
  return `${count(shown)} of ${counted(looked, "line")}.`;
}

function row(line) {
  const reason = [line.reason ?? "", line.end ? `(at the ${line.end})` : ""].join(" ").trim();
  return el(
    "tr",
    {},
    el("th", { scope: "row", class: "key" }, line.key),
    el("td", {}, cause(line.status)),
    el("td", { class: "number" }, bytes(line.bytes)),
    el("td", { class: "reason" }, reason || "–"),
  );
}
