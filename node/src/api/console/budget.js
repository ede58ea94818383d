// More budget for a job that rests because it has used up what it had.

import { api } from "./api.js";
import { note } from "./dialog.js";
import { el, say } from "./dom.js";
import { field, number, word } from "./fields.js";
import { SIZE_HINT, budgetText, sizeRequest } from "./limit.js";
import { now, take } from "./live.js";
import { isOverBudget } from "./words.js";

/** A part of the budget: its field, and what is asked for by it; null for what it cannot be. */
function part(name, label, input, hint, read) {
  const node = field(input.id, label, input, hint);
  return { name, label, input, hint, node, read: () => read(input.value.trim()) };
}

function parts() {
  const whole = (text) => (/^[1-9]\d*$/.test(text) ? Number(text) : null);
  return [
    part("bytes", "Bytes", word("raise-bytes"), SIZE_HINT, sizeRequest),
    part("requests", "Requests", number("raise-requests", { min: "1", step: "1" }), "Write a whole number above 0.", whole),
    // What is an amount of money the API says itself.
    part("money", "Money", word("raise-money"), "An amount, by the prices that the job has.", (text) => text),
  ];
}

/** The limits that a budget has: what is not asked for again is lifted. */
function limits(budget) {
  const given = Object.entries(budget ?? {}).filter(([, one]) => one);
  return Object.fromEntries(given.map(([name, one]) => [name, one.limit]));
}

/** The form that raises the budget of job `id`: its element, and `update(job)`. */
export function raise(id) {
  const used = el("p");
  const fields = parts();
  const error = el("p", { class: "error", id: "raise-error", role: "alert" });
  const button = el("button", { type: "submit", class: "primary", id: "raise" }, "Raise budget");
  const node = el(
    "form",
    { class: "card submit", novalidate: true, hidden: true, "aria-labelledby": "raise-title" },
    el("h2", { id: "raise-title" }, "The budget is used up"),
    used,
    el("div", { class: "grid" }, fields.map((one) => one.node)),
    error,
    el("div", { class: "actions" }, button),
  );
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    const open = fields.filter((one) => !one.node.hidden);
    const typed = open.filter(({ input }) => input.value.trim() !== "" || !input.validity.valid);
    const wrong = typed.find(({ input, read }) => !input.validity.valid || read() === null);
    say(error, wrong ? `${wrong.label}: ${wrong.hint}` : typed.length === 0 ? "Type a higher limit first." : "");
    if (error.textContent !== "") return (wrong ?? open[0])?.input.focus();
    button.disabled = true;
    try {
      const wanted = Object.fromEntries(typed.map(({ name, read }) => [name, read()]));
      const job = await api.budget(id, { ...limits(now.job?.budget), ...wanted });
      for (const { input } of typed) input.value = "";
      take("job", job);
      if (isOverBudget(job)) say(error, "The job has used that much already: it rests until there is more.");
      else note("The job has more budget, and goes on.");
    } catch (problem) {
      say(error, problem.message);
    }
    button.disabled = false;
    // Who uses the keyboard goes on here, or at the page's beginning when the form is gone.
    if (node.isConnected) (node.hidden ? document.getElementById("main") : typed[0].input).focus();
  });
  return {
    node,
    update(job) {
      node.hidden = !isOverBudget(job);
      if (node.hidden) return;
      say(used, `Used: ${budgetText(job.budget)}. The job goes on where it rests once it may use more. What stays empty keeps its limit.`);
      for (const { name, node: one } of fields) one.hidden = !job.budget?.[name];
    },
  };
}
