// The cluster: its nodes, who leads, what goes between them, and its limit.

import { api } from "./api.js";
import { note } from "./dialog.js";
import { el, fact, fill, keyed, mark, say } from "./dom.js";
import { flow } from "./flow.js";
import { bytes, count, duration, rate } from "./format.js";
import { limitNow, limitRequest } from "./limit.js";
import { now, subscribe } from "./live.js";
import { map } from "./map.js";
import { isOpen } from "./words.js";

const LOOK_MS = 2000;
const JOBS_MAX = 6;

/** Shows the cluster; gives back what ends that. */
export function showCluster(main) {
  const problem = el("p", { class: "error banner", role: "alert" });
  const parts = [summary(), way(), members(), limit(), self()];
  const [waiting, body] = [el("p", { class: "empty" }, "Loading the cluster…"), el("div", { hidden: true }, parts.map((part) => part.node))];
  fill(main, el("h1", {}, "Cluster"), problem, waiting, body);
  const looked = { jobs: [], left: 0, figures: null };

  function update() {
    const failure = now.problems.cluster;
    say(problem, failure ? failure.message : "");
    waiting.hidden = Boolean(now.cluster) || Boolean(failure);
    body.hidden = !now.cluster;
    if (!now.cluster) return;
    for (const part of parts) part.update(now.cluster, looked);
  }

  let timer = null;
  let [isOver, isRefused] = [false, false];
  async function look() {
    const open = (now.jobs?.jobs ?? []).filter((job) => isOpen(job) && job.state !== "paused");
    const wanted = open.slice(0, JOBS_MAX);
    const answers = await Promise.allSettled([isRefused ? null : api.node(), ...wanted.map((job) => api.job(job.id))]);
    if (isOver) return;
    // What a submitter's token does not open now it does not open later.
    isRefused ||= answers[0].reason?.status === 403;
    const [figures, ...jobs] = answers.map((answer) => answer.value ?? null);
    // What could not be told now is shown as it was; the stream of events says what is wrong.
    looked.figures = figures ?? looked.figures;
    looked.jobs = jobs.filter((job) => job !== null);
    looked.left = open.length - wanted.length;
    update();
    timer = setTimeout(look, LOOK_MS);
  }

  update();
  look();
  const leave = subscribe(update);
  return () => {
    isOver = true;
    clearTimeout(timer);
    leave();
  };
}

function section(title, id, ...children) {
  return el("section", { class: "card", "aria-labelledby": id }, el("h2", { id }, title), ...children);
}

function summary() {
  const list = el("dl", { class: "tiles" });
  const [leader, nodes, quorum, speed] = ["Leader", "Nodes alive", "Voters alive", "Throughput"].map((name) => {
    const value = el("dd");
    list.append(el("div", { class: "tile" }, el("dt", {}, name), value));
    return value;
  });
  const warning = el("p", { class: "remark is-warn", role: "status" });
  return {
    node: el("div", {}, list, warning),
    update(cluster) {
      const alive = cluster.nodes.filter((node) => node.state === "alive");
      const voters = cluster.nodes.filter((node) => node.role === "voter");
      const jobs = now.jobs?.jobs ?? [];
      say(leader, cluster.leader ?? "none");
      say(nodes, `${count(alive.length)} of ${count(cluster.nodes.length)}`);
      say(quorum, `${count(voters.filter((node) => node.state === "alive").length)} of ${count(voters.length)}`);
      say(speed, rate(jobs.reduce((sum, job) => sum + job.rate_bytes_per_second, 0)));
      say(warning, warningOf(cluster));
      warning.hidden = warning.textContent === "";
    },
  };
}

function warningOf(cluster) {
  if (!cluster.has_quorum) return "Too few voters are alive to decide: nothing new begins until one is back. What runs goes on as far as it can.";
  if (!cluster.is_current) return "No leader has confirmed this: it is what the node that was asked knew last.";
  return "";
}

function way() {
  const [drawing, text] = [map(), el("p", { class: "hint" })];
  return {
    node: section("Data now", "way-title", drawing.node, text),
    update(cluster, looked) {
      const flowing = flow(looked.jobs);
      const isEmpty = flowing.levels.every((level) => level.length === 0);
      drawing.update(isEmpty ? resting(cluster) : flowing);
      if (isEmpty) say(text, "No job moves data now. Nodes that work appear between their source and their target.");
      else say(text, looked.left > 0 ? `The newest ${count(JOBS_MAX)} active jobs are drawn, ${count(looked.left)} more are not.` : "Read on the side of the source, written on the side of the target; lines are as thick as they are fast.");
    },
  };
}

function resting(cluster) {
  const box = (node) => ({ id: node.id, name: node.name, note: node.is_leader ? "leads" : node.role, kind: "node", tone: node.state === "alive" ? "" : "silent" });
  return { levels: [cluster.nodes.map(box)], links: [], label: `${count(cluster.nodes.length)} nodes, none of which moves data now.` };
}

function members() {
  const rows = el("tbody");
  const columns = ["Node", "Role", "State", "Heard", "Behind", "May use", "Version", "Addresses"];
  const node = section(
    "Nodes",
    "members-title",
    el(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Nodes of the cluster" },
      el("table", {}, el("thead", {}, el("tr", {}, columns.map((text) => el("th", { scope: "col" }, text)))), rows),
    ),
  );
  return { node, update: (cluster) => keyed(rows, cluster.nodes, (one) => one.id, memberRow) };
}

function memberRow() {
  const [name, state] = [el("th", { scope: "row" }), el("span", { class: "pill" })];
  const cells = Array.from({ length: 6 }, () => el("td"));
  const [role, ...rest] = cells;
  return {
    node: el("tr", {}, name, role, el("td", {}, state), rest),
    update(node) {
      say(name, node.name);
      mark(name, "title", node.id);
      say(role, node.is_leader ? `${node.role}, leads` : node.is_voting === false ? `${node.role}, catches up` : node.role);
      say(state, node.state === "alive" ? "Alive" : "Silent");
      mark(state, "class", `pill is-${node.state === "alive" ? "good" : "bad"}`);
      const texts = [
        node.last_heard_seconds === null ? "never" : node.last_heard_seconds < 3 ? "now" : `${duration(node.last_heard_seconds)} ago`,
        node.lag === null ? "–" : node.lag === 0 ? "up to date" : `${count(node.lag)} entries`,
        node.share_bytes_per_second === null ? "–" : rate(node.share_bytes_per_second),
        node.version ?? "–",
        [...node.addresses, ...node.data_addresses].join(", "),
      ];
      for (const [index, text] of texts.entries()) say(rest[index], text);
      mark(rest[4], "class", "reason");
    },
  };
}

function isLimited(cluster) {
  return cluster.bandwidth_bytes_per_second !== null || cluster.bandwidth_schedule !== null;
}

function limitText(cluster) {
  const value = limitNow(cluster);
  return value === null ? "All jobs together move as fast as they can." : `All jobs together keep to ${value}.`;
}

function limit() {
  const state = el("p", { id: "limit-state" });
  const input = el("input", { id: "limit", type: "text", spellcheck: "false", autocomplete: "off", "aria-describedby": "limit-help limit-error" });
  const error = el("p", { class: "error", id: "limit-error", role: "alert" });
  const lift = el("button", { type: "button" }, "Lift limit");
  const set = el("button", { type: "submit" }, "Set limit");
  const form = el("form", { class: "inline", novalidate: true }, el("label", { for: "limit" }, "MiB a second"), input, set, lift);
  const order = async (value) => {
    say(error, "");
    const focused = document.activeElement;
    for (const button of [set, lift]) button.disabled = true;
    try {
      const cluster = await api.limit(value);
      show(cluster);
      input.value = "";
      note(limitText(cluster));
    } catch (problem) {
      say(error, problem.message);
    }
    set.disabled = false;
    if (now.cluster) lift.disabled = !isLimited(now.cluster);
    (focused.disabled ? input : focused).focus();
  };
  const show = (cluster) => {
    say(state, limitText(cluster));
    lift.disabled = !isLimited(cluster);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const value = limitRequest(input.value);
    if (value === null) {
      say(error, "Type a number above 0 or a schedule, or lift the limit.");
      return input.focus();
    }
    return order(value);
  });
  lift.addEventListener("click", () => order({}));
  const help = el("p", { class: "hint", id: "limit-help" }, "A number, or a schedule such as 08:00-18:00 200M, 18:00-08:00 off; Europe/Berlin. The leader lends each node its share. Needs a token that administers the cluster.");
  return { node: section("Bandwidth of the cluster", "limit-title", state, form, error, help), update: show };
}

function self() {
  const facts = el("dl", { class: "facts" });
  const names = ["Name", "Version", "Up for", "Memory", "Orders at once", "Control plane", "Data plane", "Log", "Format"];
  const [name, version, up, memory, slots, control, data, log, format] = names.map((term) => fact(facts, term));
  const stores = el("tbody");
  const columns = ["Store", "Reads at once", "Writes at once", "Requests", "Refused as too many"];
  const table = el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Stores of this node" },
    el("table", {}, el("thead", {}, el("tr", {}, columns.map((text) => el("th", { scope: "col" }, text)))), stores),
  );
  const reference = el("p", { class: "hint" }, el("a", { href: "reference.html", id: "reference" }, "What its API can be asked"));
  const node = section("The node that serves this page", "self-title", facts, table, reference);
  const traffic = ({ sent_bytes: sent, received_bytes: received }) => `${bytes(sent)} sent, ${bytes(received)} received`;
  return {
    node,
    update(cluster, { figures }) {
      node.hidden = !figures;
      if (!figures) return;
      name.set(figures.name);
      version.set(figures.version);
      up.set(duration(figures.uptime_seconds));
      memory.set(figures.memory_bytes === null ? null : bytes(figures.memory_bytes));
      slots.set(`up to ${count(figures.slots)}`);
      control.set(traffic(figures.control));
      data.set(traffic(figures.data));
      log.set(figures.log && `${count(figures.log.entries)} entries, ${bytes(figures.log.bytes)} in ${count(figures.log.syncs)} writes`);
      format.set(cluster.format === null ? null : `${cluster.format}; term ${count(cluster.term)}, ${count(cluster.commit_index)} entries committed`);
      table.hidden = figures.stores.length === 0;
      keyed(stores, figures.stores, (store) => store.store, storeRow);
    },
  };
}

function storeRow() {
  const cells = Array.from({ length: 4 }, () => el("td", { class: "number" }));
  const name = el("th", { scope: "row", class: "key" });
  return {
    node: el("tr", {}, name, cells),
    update({ store, reads, writes }) {
      say(name, store);
      const pace = (one) => `${count(one.in_flight)} of ${count(one.limit)}`;
      const texts = [pace(reads), pace(writes), count(reads.requests + writes.requests), count(reads.throttled + writes.throttled)];
      for (const [index, text] of texts.entries()) say(cells[index], text);
    },
  };
}
