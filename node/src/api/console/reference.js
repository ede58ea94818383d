// What can be asked of the API, as the node that serves this page describes it.

import { el, fill } from "./dom.js";

const DESCRIPTION = new URL("../api/v1/openapi.json", document.baseURI);
const DEPTH_MAX = 4;
const TAGS = [["jobs", "Jobs"], ["cluster", "Cluster"], ["node", "The node"]];

const main = document.getElementById("main");

/** The schema behind a reference, with its name. */
function resolve(whole, schema) {
  const name = schema?.$ref?.split("/").at(-1);
  return name ? [whole.components.schemas[name], name] : [schema ?? {}, null];
}

/** What kind of value a schema describes, in a few words. */
function kind(whole, schema) {
  const [is, name] = resolve(whole, schema);
  if (is.enum) return is.enum.map((value) => JSON.stringify(value)).join(" | ");
  const choices = is.anyOf ?? is.oneOf;
  if (choices) return [...new Set(choices.map((one) => (one.const === undefined ? kind(whole, one) : JSON.stringify(one.const))))].join(" | ");
  if (is.type === "array") return `list of ${kind(whole, is.items)}`;
  const types = [is.type ?? "any"].flat().join(" | ");
  const range = [is.minimum > 0 ? `from ${is.minimum}` : null, is.maximum < 2 ** 53 ? `to ${is.maximum}` : null];
  return [name && is.type === "object" ? name : types, ...range.filter((part) => part !== null)].join(" ");
}

/** The schema whose fields are worth a table: an object's, or that of a list of objects. */
function fields(whole, schema) {
  const [is] = resolve(whole, schema);
  if (is.type === "array") return fields(whole, is.items);
  if (is.properties) return is;
  const choice = (is.anyOf ?? is.oneOf ?? []).map((one) => fields(whole, one)).find((one) => one !== null);
  return choice ?? null;
}

function row(whole, name, schema, isRequired, depth) {
  const [is] = resolve(whole, schema);
  const inner = depth < DEPTH_MAX ? fields(whole, schema) : null;
  const cell = el("td", { class: "reason" }, schema.description ?? is.description ?? "");
  if (inner) cell.append(el("details", {}, el("summary", {}, "Fields"), table(whole, inner, depth + 1)));
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, el("code", {}, name), isRequired ? "" : " ?"),
    el("td", {}, kind(whole, schema)),
    cell,
  );
}

function table(whole, schema, depth = 0) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, one]) => row(whole, name, one, required.has(name), depth));
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Fields" },
    el("table", {}, el("tbody", {}, rows)),
  );
}

function body(whole, title, content) {
  if (!content) return null;
  const [type, { schema, "x-airlift-line": line }] = Object.entries(content)[0];
  const shown = fields(whole, line ?? schema);
  const text = line ? `${type}: lines, each of which is` : type;
  return el("div", {}, el("h3", {}, title), el("p", { class: "hint" }, text), shown ? table(whole, shown) : null);
}

function parameters(list) {
  if (!list) return null;
  const rows = list.map((one) =>
    el("tr", {}, el("th", { scope: "row" }, el("code", {}, one.name)), el("td", {}, one.in), el("td", { class: "reason" }, one.description)));
  return el("div", {}, el("h3", {}, "Parameters"), el("table", {}, el("tbody", {}, rows)));
}

function answers(whole, responses) {
  const rows = Object.entries(responses).map(([status, response]) => {
    const name = response.$ref?.split("/").at(-1);
    const text = (name ? whole.components.responses[name] : response).description;
    return el("tr", {}, el("th", { scope: "row" }, status), el("td", { class: "reason" }, text.replaceAll("`", "")));
  });
  return el("details", {}, el("summary", {}, "Statuses"), el("table", {}, el("tbody", {}, rows)));
}

function operation(whole, method, path, about) {
  const needs = about["x-airlift-needs"];
  return el(
    "section",
    { class: "card operation", id: about.operationId, "aria-labelledby": `${about.operationId}-title` },
    el("h2", { id: `${about.operationId}-title` }, el("code", {}, `${method.toUpperCase()} ${path}`)),
    el("p", {}, `${about.summary}. ${needs ? `Needs a token that allows to ${needs}.` : "Needs no token."}`),
    parameters(about.parameters),
    body(whole, "Request", about.requestBody?.content),
    body(whole, "Answer", about.responses["200"].content),
    answers(whole, about.responses),
  );
}

function show(whole) {
  const all = Object.entries(whole.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, about]) => [method, path, about]));
  const parts = TAGS.map(([tag, title]) => [title, all.filter(([, , about]) => about.tags.includes(tag))]);
  const contents = parts.map(([title, list]) =>
    el(
      "div",
      {},
      el("h2", {}, title),
      el("ul", { class: "contents" }, list.map(([method, path, about]) => el("li", {}, el("a", { href: `#${about.operationId}` }, `${method.toUpperCase()} ${path}`), ` ${about.summary}`))),
    ));
  fill(
    main,
    el("h1", {}, `API of ${whole.info.title} ${whole.info.version}`),
    el("p", {}, whole.info.description.replaceAll("`", "")),
    el("p", {}, "For programs: ", el("a", { href: DESCRIPTION.href }, "openapi.json"), ` (OpenAPI ${whole.openapi}).`),
    el("section", { class: "card" }, contents),
    parts.flatMap(([, list]) => list.map(([method, path, about]) => operation(whole, method, path, about))),
  );
}

async function load() {
  try {
    const answer = await fetch(DESCRIPTION, { credentials: "omit", referrerPolicy: "no-referrer" });
    if (!answer.ok) throw new Error(`the node answers ${answer.status}`);
    show(await answer.json());
    document.getElementById(location.hash.slice(1))?.scrollIntoView();
  } catch (error) {
    fill(main, el("p", { class: "error banner", role: "alert" }, `The description cannot be read: ${error.message}`));
  }
}

await load();
