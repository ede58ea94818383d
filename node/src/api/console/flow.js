// From the nodes of jobs to a map: who reads, who writes, and what goes between them.

import { place, rate } from "./format.js";
import { isOpen } from "./words.js";

/** The map of what `jobs`, all in full, do now. */
export function flow(jobs) {
  const known = collect(jobs);
  const level = (role) => [...known.nodes.values()].filter((one) => roleOf(one) === role).map(box);
  const levels = [known.sources, level("source"), level("both"), level("target"), known.targets];
  const between = [...known.links.values()].map((link) => describe(link, known));
  const ends = [...known.ends.values()].map((end) => ({
    ...end,
    weight: end.rate,
    note: "",
    isBusy: end.rate > 0,
  }));
  const links = [...ends, ...between];
  return { levels: untangled(levels, links), links, label: sentence(known) };
}

/** Each level in the order of what leads to it, so that fewer links cross. */
function untangled(levels, links) {
  const places = new Map();
  const place = ({ id }) => {
    const before = links.filter((link) => link.to === id && places.has(link.from));
    return before.reduce((sum, link) => sum + places.get(link.from), 0) / Math.max(1, before.length);
  };
  return levels.map((level) => {
    const ordered = level.map((item) => [place(item), item]).sort((a, b) => a[0] - b[0]);
    for (const [index, [, item]] of ordered.entries()) places.set(item.id, index);
    return ordered.map(([, item]) => item);
  });
}

function collect(jobs) {
  const known = { nodes: new Map(), links: new Map(), ends: new Map(), sources: [], targets: [] };
  for (const job of jobs.filter(isOpen)) {
    const [source, target] = [`source:${place(job.source)}`, `target:${place(job.target)}`];
    addPlace(known.sources, source, place(job.source), "source");
    addPlace(known.targets, target, place(job.target), "target");
    for (const node of job.nodes) {
      const one = known.nodes.get(node.id) ?? { id: node.id, name: node.name, read: 0, write: 0, reads: false, writes: false };
      one.read += node.read_bytes_per_second;
      one.write += node.write_bytes_per_second;
      one.reads ||= node.role !== "target";
      one.writes ||= node.role !== "source";
      known.nodes.set(node.id, one);
      if (node.role !== "target") addEnd(known.ends, source, node.id, node.read_bytes_per_second);
      if (node.role !== "source") addEnd(known.ends, node.id, target, node.write_bytes_per_second);
    }
    for (const link of job.links ?? []) {
      const key = `${link.source} ${link.target}`;
      const one = known.links.get(key) ?? { from: link.source, to: link.target, orders: 0 };
      one.orders += link.assignments;
      known.links.set(key, one);
    }
  }
  return known;
}

function addPlace(places, id, name, note) {
  if (!places.some((one) => one.id === id)) places.push({ id, name, note, kind: "place" });
}

function addEnd(ends, from, to, added) {
  const key = `${from} ${to}`;
  const end = ends.get(key) ?? { from, to, rate: 0 };
  end.rate += added;
  ends.set(key, end);
}

function roleOf(one) {
  if (one.reads && one.writes) return "both";
  return one.reads ? "source" : "target";
}

function box(one) {
  const role = roleOf(one);
  const notes = { source: `reads ${rate(one.read)}`, target: `writes ${rate(one.write)}`, both: `↓ ${rate(one.read)} ↑ ${rate(one.write)}` };
  return { id: one.id, name: one.name, note: notes[role], kind: "node", tone: one.read + one.write > 0 ? "busy" : "" };
}

/**
 * The API has rates of nodes, not of links. Where an end of a link has no other one the node's rate is
 * the link's; everywhere else the orders that share the way are what can be said.
 */
function describe(link, known) {
  const [reader, writer] = [known.nodes.get(link.from), known.nodes.get(link.to)];
  const all = [...known.links.values()];
  const isOnly = (side, node) => all.filter((other) => other[side] === node).length === 1;
  let crossed = null;
  if (writer && roleOf(writer) === "target" && isOnly("to", link.to)) crossed = writer.write;
  else if (reader && roleOf(reader) === "source" && isOnly("from", link.from)) crossed = reader.read;
  const orders = `${link.orders} ${link.orders === 1 ? "order" : "orders"}`;
  return {
    from: link.from,
    to: link.to,
    weight: crossed ?? ((writer?.write ?? 0) * link.orders) / Math.max(1, ordersTo(all, link.to)),
    note: crossed === null ? orders : crossed > 0 ? rate(crossed) : "",
    isBusy: (reader?.read ?? 0) > 0 || (writer?.write ?? 0) > 0,
  };
}

function ordersTo(links, node) {
  return links.filter((link) => link.to === node).reduce((sum, link) => sum + link.orders, 0);
}

function sentence(known) {
  if (known.nodes.size === 0) return "No node moves data now.";
  const nodes = [...known.nodes.values()].map((one) => {
    const parts = [one.reads ? `reads ${rate(one.read)}` : null, one.writes ? `writes ${rate(one.write)}` : null];
    return `${one.name} ${parts.filter((part) => part !== null).join(" and ")}`;
  });
  return `Map of the data's way: ${nodes.join("; ")}.`;
}
