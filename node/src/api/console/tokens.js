// API tokens: who may ask the cluster for what. A new one is shown once, and kept nowhere.

import { api, tokenId } from "./api.js";
import { confirm, note } from "./dialog.js";
import { el, fill, keyed, mark, say } from "./dom.js";
import { area, field, linesOf, select, word } from "./fields.js";
import { moment, place } from "./format.js";

const LOOK_MS = 10000;

const ROLES = [
  ["viewer", "Viewer: looks at everything"],
  ["submitter", "Submitter: jobs between given locations"],
  ["operator", "Operator: all jobs"],
  ["admin", "Admin: everything"],
];

/** Lives in seconds; the empty one ends with a word of somebody. */
const LIVES = [
  ["3600", "An hour"],
  ["86400", "A day"],
  ["604800", "A week"],
  ["2592000", "30 days"],
  ["7776000", "90 days"],
  ["31536000", "365 days"],
  ["", "Until it is revoked"],
];

const LIFE_DEFAULT = "7776000";

/** Shows the tokens; gives back what ends that. */
export function showTokens(main) {
  const problem = el("p", { class: "error banner", id: "tokens-problem", role: "alert" });
  const waiting = el("p", { class: "empty" }, "Loading tokens…");
  const [list, form] = [tokenList(revoke), tokenForm(create)];
  const body = el("div", { hidden: true }, list.node, form);
  fill(main, el("h1", {}, "API tokens"), problem, waiting, body);
  let [isOver, timer, shown] = [false, null, null];

  async function look() {
    let failure = null;
    try {
      const { tokens } = await api.tokens();
      list.update(tokens);
      body.hidden = false;
    } catch (caught) {
      failure = caught;
    }
    if (isOver) return;
    waiting.hidden = true;
    say(problem, failure ? refusal(failure) : "");
    clearTimeout(timer);
    // What the token does not allow now it does not allow later.
    if (failure?.status !== 403) timer = setTimeout(look, LOOK_MS);
  }

  async function create(request) {
    try {
      const created = await api.createToken(request);
      if (isOver) return note(`The token ${created.name} was made, and not shown since you left the page: revoke it.`, "warn");
      shown?.remove();
      shown = secret(created, list);
      body.prepend(shown);
      window.scrollTo(0, 0);
      document.getElementById("copy-secret").focus();
    } finally {
      // Without an answer too: it may have been made.
      look();
    }
  }

  async function revoke({ id, name }) {
    const own = id === tokenId() ? " You are signed in with it: this page ends with it." : "";
    const text = `Whoever has it is refused from now on, on every node. That cannot be taken back.${own}`;
    if (!(await confirm({ title: `Revoke ${name}?`, text, yes: "Revoke token", no: "Keep it" }))) return;
    try {
      const { tokens } = await api.revokeToken(id);
      list.update(tokens);
      list.focus();
      note(`The token ${name} is revoked.`);
    } catch (failure) {
      note(failure.message, "bad");
      look();
    }
  }

  look();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

function refusal({ status, message }) {
  return status === 403 ? `Only a token with the role admin lists, makes and revokes tokens: ${message}.` : message;
}

/** A new token, as long as its maker looks at it: nothing but this element has it. */
function secret(created, list) {
  const text = el("code", { class: "secret", id: "secret" }, created.token);
  const state = el("p", { class: "hint", id: "copy-state", role: "status" });
  const copy = el("button", { type: "button", class: "primary", id: "copy-secret", "aria-describedby": "secret-help" }, "Copy");
  const done = el("button", { type: "button", id: "secret-done" }, "Done");
  const node = el(
    "section",
    { class: "card", "aria-labelledby": "secret-title" },
    el("h2", { id: "secret-title" }, `New token ${created.name}`),
    el("p", { id: "secret-help" }, "Copy it now: it is not shown again, and the cluster keeps only a hash of it."),
    text,
    state,
    el("div", { class: "actions" }, copy, done),
  );
  copy.addEventListener("click", async () => {
    getSelection().selectAllChildren(text);
    try {
      await navigator.clipboard.writeText(text.textContent);
      say(state, "Copied.");
    } catch {
      // Browsers lend the clipboard only to pages that came from this machine or by TLS.
      say(state, "The browser does not let this page copy. The token is selected: press Ctrl+C.");
    }
  });
  done.addEventListener("click", () => {
    node.remove();
    list.focus();
  });
  return node;
}

function tokenList(revoke) {
  const rows = el("tbody");
  const columns = ["Name", "Role", "Locations", "Made", "Ends"].map((text) => el("th", { scope: "col" }, text));
  const table = el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "List of tokens" },
    el("table", {}, el("thead", {}, el("tr", {}, columns, el("td"))), rows),
  );
  const empty = el("p", { class: "empty" }, "No tokens yet.");
  const hint = el("p", { class: "hint" }, "The one in the file admin.token of the founding node is not among them: it always allows everything.");
  const node = el("section", { class: "card", "aria-labelledby": "tokens-title" }, el("h2", { id: "tokens-title", tabindex: "-1" }, "Tokens"), table, empty, hint);
  return {
    node,
    update(tokens) {
      table.hidden = tokens.length === 0;
      empty.hidden = !table.hidden;
      keyed(rows, tokens, (one) => one.id, (one) => tokenRow(one, revoke));
    },
    focus: () => node.firstChild.focus(),
  };
}

function tokenRow(first, revoke) {
  const name = el("th", { scope: "row" }, first.name);
  const locations = first.locations.map((location) => el("div", { class: "place" }, place(location)));
  const end = el("span");
  const button = el("button", { type: "button", class: "danger-text", "aria-label": `Revoke ${first.name}`, onclick: () => revoke(first) }, "Revoke");
  const cells = [first.role, locations.length > 0 ? locations : "everywhere", moment(first.created_at), end, button];
  return {
    node: el("tr", { "data-token": first.name }, name, cells.map((content) => el("td", {}, content))),
    update(one) {
      const ends = one.expires_at === null ? "when it is revoked" : moment(one.expires_at);
      say(end, one.has_expired ? "Expired" : ends);
      mark(end, "class", one.has_expired ? "pill is-bad" : null);
    },
  };
}

function tokenForm(create) {
  const name = word("token-name", { required: true });
  const role = select("token-role", ROLES);
  const within = area("token-locations");
  const life = select("token-life", LIVES);
  life.value = LIFE_DEFAULT;
  const error = el("p", { class: "error banner", id: "create-error", role: "alert" });
  const button = el("button", { type: "submit", class: "primary", id: "create-token" }, "Create token");
  const places = field("token-locations", "Locations", within, "One a line, NODE:/path or s3://BUCKET/PREFIX: both ends of a job lie at or below one of them.");
  const fields = [
    field("token-name", "Name", name, "Letters and digits; after the first also the signs - _ and ."),
    field("token-role", "Role", role),
    places,
    field("token-life", "Lasts", life),
  ];
  const form = el(
    "form",
    { class: "card submit", novalidate: true, "aria-labelledby": "create-title" },
    el("h2", { id: "create-title" }, "New token"),
    fields,
    error,
    el("div", { class: "actions" }, button),
  );
  const adapt = () => {
    places.hidden = role.value !== "submitter";
  };
  role.addEventListener("change", adapt);
  adapt();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [called, locations] = [name.value.trim(), places.hidden ? [] : linesOf(within)];
    say(error, called === "" ? "The name is missing." : "");
    if (called === "") return name.focus();
    if (!places.hidden && locations.length === 0) {
      say(error, "A submitter needs the locations that its jobs may touch: write one a line.");
      return within.focus();
    }
    const focused = document.activeElement;
    button.disabled = true;
    try {
      await create({ name: called, role: role.value, locations, ttl_seconds: life.value === "" ? null : Number(life.value) });
      for (const input of [name, within]) input.value = "";
    } catch (problem) {
      const isUnsure = problem.status === 0 || problem.status >= 500;
      say(error, isUnsure ? `${problem.message}. If the list has ${called} now, revoke it: nobody was told its secret.` : problem.message);
    }
    button.disabled = false;
    if (error.textContent === "") return;
    focused.focus();
    error.scrollIntoView({ block: "nearest" });
  });
  return form;
}
