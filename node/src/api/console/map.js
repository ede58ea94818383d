// A map of who reads for whom: places and nodes in levels from source to target, with links between.

import { el, fill, mark, svg } from "./dom.js";
import { short } from "./format.js";

const NARROW = 620;
const BOX = { width: 196, height: 52, gap: 16 };
const LEVEL_MOST = 8;

/**
 * A map: its element, and `update({ levels, links, label })`. Levels are lists of
 * `{ id, name, note, kind }` with kind `place` or `node`; links are `{ from, to, weight, note, isBusy }`.
 */
export function map() {
  const drawing = svg("svg", { role: "img", class: "map" });
  const node = el("div", { class: "map-frame" }, drawing);
  let shown = { levels: [], links: [], label: "" };
  const draw = () => {
    const width = Math.max(Math.floor(node.clientWidth), 260);
    const levels = shown.levels.map(bounded).filter((level) => level.length > 0);
    const isRow = width < NARROW || levels.length < 2;
    const plan = isRow ? upright(levels, width) : across(levels, width);
    mark(drawing, "width", width);
    mark(drawing, "height", plan.height);
    mark(drawing, "viewBox", `0 0 ${width} ${plan.height}`);
    mark(drawing, "aria-label", shown.label);
    const [lines, labels] = links(shown.links, plan);
    fill(drawing, lines, [...plan.boxes.values()].map(box), labels);
  };
  new ResizeObserver(draw).observe(node);
  return {
    node,
    update(next) {
      const text = JSON.stringify(next);
      if (text === shown.text) return;
      shown = { ...next, text };
      draw();
    },
  };
}

/** No more of a level than can be read. */
function bounded(level) {
  if (level.length <= LEVEL_MOST) return level;
  const rest = level.length - LEVEL_MOST + 1;
  const more = { id: `more-${level[0].id}`, name: `${rest} more`, note: "", kind: "more" };
  return [...level.slice(0, LEVEL_MOST - 1), more];
}

/** Levels as columns, source on the left. */
function across(levels, width) {
  const tallest = Math.max(1, ...levels.map((level) => level.length));
  const height = tallest * (BOX.height + BOX.gap) + BOX.gap;
  const boxWidth = Math.min(BOX.width, (width - 40 * (levels.length - 1)) / levels.length);
  const step = levels.length > 1 ? (width - boxWidth - 2) / (levels.length - 1) : 0;
  const boxes = new Map();
  for (const [column, level] of levels.entries()) {
    const first = (height - level.length * (BOX.height + BOX.gap) + BOX.gap) / 2;
    for (const [row, item] of level.entries()) {
      const x = levels.length > 1 ? 1 + column * step : (width - boxWidth) / 2;
      const y = first + row * (BOX.height + BOX.gap);
      boxes.set(item.id, { item, x, y, width: boxWidth, height: BOX.height, level: column });
    }
  }
  return { boxes, height, isUpright: false };
}

/** Levels below each other, source on top; long ones take several rows. For phones, and what is one level. */
function upright(levels, width) {
  const inRow = Math.max(1, Math.floor(width / (width < NARROW ? 116 : BOX.width + 8)));
  const boxes = new Map();
  let y = 4;
  for (const [index, level] of levels.entries()) {
    for (let start = 0; start < level.length; start += inRow) {
      const row = level.slice(start, start + inRow);
      const room = (width - 2 - 8 * (row.length - 1)) / row.length;
      const boxWidth = Math.min(room, 220);
      const first = (width - row.length * boxWidth - 8 * (row.length - 1)) / 2;
      for (const [place, item] of row.entries()) {
        const x = first + place * (boxWidth + 8);
        boxes.set(item.id, { item, x, y, width: boxWidth, height: BOX.height, level: index });
      }
      y += BOX.height + 8;
    }
    y += 36;
  }
  return { boxes, height: Math.max(BOX.height, y - 40), isUpright: true };
}

function box({ item, x, y, width, height }) {
  const fits = Math.max(6, Math.floor((width - 20) / 7.4));
  const lines = [svg("text", { x: x + width / 2, y: y + (item.note ? 22 : 31), class: "map-name" }, short(item.name, item.kind === "place" ? fits + 1 : fits))];
  if (item.note) {
    lines.push(svg("text", { x: x + width / 2, y: y + 40, class: "map-note" }, short(item.note, fits + 3)));
  }
  return svg(
    "g",
    { class: `map-${item.kind}${item.tone ? ` is-${item.tone}` : ""}` },
    svg("title", {}, item.note ? `${item.name}: ${item.note}` : item.name),
    svg("rect", { x, y, width, height, rx: 8 }),
    lines,
  );
}

function links(all, plan) {
  const [lines, labels] = [[], []];
  const known = all.filter((link) => plan.boxes.has(link.from) && plan.boxes.has(link.to));
  const most = Math.max(1, ...known.map((link) => link.weight));
  for (const link of known) {
    const [from, to] = [plan.boxes.get(link.from), plan.boxes.get(link.to)];
    // A rate stands where no other link is: beside the end that has only this one.
    const isOnly = (side) => known.filter((other) => other[side] === link[side]).length === 1;
    const share = isOnly("from") ? (isOnly("to") ? 0.5 : 0.3) : 0.7;
    const way = curve(from, to, plan.isUpright, share);
    const thickness = 1.5 + 4.5 * Math.sqrt(Math.max(0, link.weight) / most);
    const style = { d: way.path, "stroke-width": thickness.toFixed(1) };
    lines.push(svg("path", { ...style, class: link.isBusy ? "map-link" : "map-link is-idle" }));
    if (link.isBusy) lines.push(svg("path", { d: way.path, class: "map-flow" }));
    if (link.note) {
      labels.push(svg("text", { x: way.x, y: way.y, class: "map-rate" }, link.note));
    }
  }
  return [lines, labels];
}

function curve(from, to, isUpright, share) {
  // How far a point at this share of the curve has come, along it and across.
  const [along, across] = [1.5 * share * (1 - share) + share ** 3, 3 * share ** 2 - 2 * share ** 3];
  if (isUpright) {
    const [x1, y1, x2, y2] = [from.x + from.width / 2, from.y + from.height, to.x + to.width / 2, to.y];
    const mid = (y1 + y2) / 2;
    return { path: `M${x1},${y1}C${x1},${mid} ${x2},${mid} ${x2},${y2}`, x: x1 + (x2 - x1) * across, y: y1 + (y2 - y1) * along + 4 };
  }
  const isBack = to.level <= from.level;
  const x1 = from.x + (isBack ? from.width / 2 : from.width);
  const [y1, x2, y2] = [from.y + from.height / 2, isBack ? to.x + to.width / 2 : to.x, to.y + to.height / 2];
  const mid = (x1 + x2) / 2;
  return { path: `M${x1},${y1}C${mid},${y1} ${mid},${y2} ${x2},${y2}`, x: x1 + (x2 - x1) * along, y: y1 + (y2 - y1) * across - 6 };
}
