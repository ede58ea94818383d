// A plot of bytes a second over time, drawn by hand.

import { el, fill, mark, say, svg } from "./dom.js";
import { duration, rate } from "./format.js";

const HEIGHT = 190;
const EDGE = { top: 12, right: 12, bottom: 24, left: 76 };
const GAP_MS = 15000;
const SPAN_MS_MIN = 30000;
const RATE_MIN = 1024;

/** The least of 1, 2, 5, 10, … 500 of a binary unit that `value` fits below. */
function roof(value) {
  let unit = 1;
  while (value / unit >= 1000) unit *= 1024;
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
  return unit * (steps.find((step) => value <= step * unit) ?? 1024);
}

/** Runs of samples without a gap between two of them. */
function runs(samples) {
  const all = [];
  for (const sample of samples) {
    const last = all.at(-1);
    if (last && sample.at - last.at(-1).at <= GAP_MS) last.push(sample);
    else all.push([sample]);
  }
  return all;
}

function summary(samples) {
  const rates = samples.map((sample) => sample.rate);
  const span = samples.at(-1).at - samples[0].at;
  const mean = rates.reduce((sum, value) => sum + value, 0) / rates.length;
  return { now: rates.at(-1), mean: Math.round(mean), peak: Math.max(...rates), span };
}

/** A plot: its element, and `update(samples)`. */
export function chart() {
  const drawing = svg("svg", { role: "img", class: "chart", height: HEIGHT });
  const caption = el("figcaption", {});
  const node = el("figure", { class: "plot" }, drawing, caption);
  let samples = [];
  let pointed = null;

  const draw = () => {
    const width = Math.max(node.clientWidth, 240);
    mark(drawing, "width", width);
    mark(drawing, "viewBox", `0 0 ${width} ${HEIGHT}`);
    if (samples.length < 2) {
      mark(drawing, "aria-label", "Throughput: nothing to show yet");
      const place = { x: width / 2, y: HEIGHT / 2, class: "chart-none", "text-anchor": "middle" };
      fill(drawing, svg("text", place, "Samples are taken while this page is open"));
      return say(caption, "");
    }
    const { now, mean, peak, span } = summary(samples);
    const text = `now ${rate(now)}, mean ${rate(mean)}, peak ${rate(peak)} in the ${duration(span / 1000)} watched`;
    mark(drawing, "aria-label", `Throughput: ${text}`);
    say(caption, text.charAt(0).toUpperCase() + text.slice(1));
    fill(drawing, ...parts(samples, width, roof(Math.max(peak, RATE_MIN)), pointed));
  };

  drawing.addEventListener("pointermove", (event) => {
    pointed = event.clientX - drawing.getBoundingClientRect().left;
    draw();
  });
  drawing.addEventListener("pointerleave", () => {
    pointed = null;
    draw();
  });
  new ResizeObserver(draw).observe(node);
  return {
    node,
    update(next) {
      samples = next;
      draw();
    },
  };
}

function parts(samples, width, top, pointed) {
  const end = samples.at(-1).at;
  const start = Math.min(samples[0].at, end - SPAN_MS_MIN);
  const [left, right, low] = [EDGE.left, width - EDGE.right, HEIGHT - EDGE.bottom];
  const x = (at) => left + ((at - start) / (end - start)) * (right - left);
  const y = (value) => low - (value / top) * (low - EDGE.top);
  const drawn = [0, 0.5, 1].flatMap((share) => {
    const height = y(top * share);
    return [
      svg("line", { x1: left, x2: right, y1: height, y2: height, class: "chart-grid" }),
      svg("text", { x: left - 8, y: height + 4, "text-anchor": "end", class: "chart-label" }, rate(top * share)),
    ];
  });
  const ago = [[left, "start", `${duration((end - start) / 1000)} ago`], [right, "end", "now"]];
  for (const [place, anchor, text] of ago) {
    drawn.push(svg("text", { x: place, y: HEIGHT - 6, "text-anchor": anchor, class: "chart-label" }, text));
  }
  for (const run of runs(samples)) {
    const points = run.map((sample) => `${x(sample.at).toFixed(1)},${y(sample.rate).toFixed(1)}`);
    const [from, to] = [x(run[0].at).toFixed(1), x(run.at(-1).at).toFixed(1)];
    drawn.push(svg("path", { d: `M${from},${low}L${points.join("L")}L${to},${low}Z`, class: "chart-area" }));
    drawn.push(svg("path", { d: `M${points.join("L")}`, class: "chart-line" }));
  }
  if (pointed !== null) drawn.push(...pointer(samples, x, y, pointed, [left, right, low]));
  return drawn;
}

function pointer(samples, x, y, pointed, [left, right, low]) {
  const far = (sample) => Math.abs(x(sample.at) - pointed);
  const near = samples.reduce((best, sample) => (far(sample) < far(best) ? sample : best));
  const [cx, cy] = [x(near.at), y(near.rate)];
  const isRight = cx > (left + right) / 2;
  const seconds = (samples.at(-1).at - near.at) / 1000;
  const when = seconds < 1 ? "now" : `${duration(seconds)} ago`;
  return [
    svg("line", { x1: cx, x2: cx, y1: EDGE.top, y2: low, class: "chart-pointer" }),
    svg("circle", { cx, cy, r: 4, class: "chart-dot" }),
    svg("text", { x: cx + (isRight ? -10 : 10), y: EDGE.top + 12, "text-anchor": isRight ? "end" : "start", class: "chart-value" }, `${rate(near.rate)} · ${when}`),
  ];
}
