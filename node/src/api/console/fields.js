// Fields of forms: each input with its label, and a hint where one helps.

import { el } from "./dom.js";

/** An input under its label, with a hint that screen readers tell too. */
export function field(id, label, input, hint) {
  const text = hint ? el("p", { class: "hint", id: `${id}-hint` }, hint) : null;
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return el("div", { class: "field" }, el("label", { for: id }, label), input, text);
}

/** A box to tick, and what it means. */
export function check(id, label) {
  const input = el("input", { type: "checkbox", id });
  return { input, node: el("div", { class: "check" }, input, el("label", { for: id }, label)) };
}

/** One of some choices, each a value and its label. */
export function select(id, choices) {
  return el("select", { id }, choices.map(([value, label]) => el("option", { value }, label)));
}

/** A number. */
export function number(id, properties) {
  return el("input", { id, type: "number", inputmode: "decimal", step: "any", ...properties });
}

/** A line of text that is no prose: nobody corrects or remembers it. */
export function word(id, properties) {
  return el("input", { id, type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false", ...properties });
}

/** Several lines of such text. */
export function area(id) {
  return el("textarea", { id, rows: "2", spellcheck: "false", autocapitalize: "off" });
}

/** The lines of an area that say something. */
export function linesOf(input) {
  return input.value.split("\n").map((line) => line.trim()).filter((line) => line !== "");
}
