// What was seen of jobs while the page was open: the API tells of now, plots need a before.

const SAMPLES_MAX = 900;
const JOBS_MAX = 50;

const histories = new Map();

function of(job) {
  const known = histories.get(job.id);
  if (known && known.run === job.run) return known;
  histories.delete(job.id);
  if (histories.size >= JOBS_MAX) makeRoom();
  const fresh = { run: job.run, samples: [], phases: new Map(), held: new Map(), last: null, present: 0, isOver: false };
  histories.set(job.id, fresh);
  return fresh;
}

/** Forgets the oldest job that has ended, or else the oldest. */
function makeRoom() {
  const over = [...histories].find(([, history]) => history.isOver);
  histories.delete(over ? over[0] : histories.keys().next().value);
}

/** The jobs of a list that are worth a note: those that run, and those that were seen running. */
function noted(jobs) {
  const open = jobs.filter((job) => job.outcome === null).slice(0, JOBS_MAX);
  return [...open, ...jobs.filter((job) => job.outcome !== null && histories.get(job.id)?.run === job.run)];
}

/** Takes note of the jobs of a list. */
export function note(list, now = Date.now()) {
  for (const job of noted(list.jobs)) {
    const history = of(job);
    // What is done beyond what was sent was at the target before.
    history.present = Math.max(history.present, job.bytes.done - job.bytes.sent);
    const before = history.samples.at(-1);
    const isOpen = job.outcome === null;
    history.isOver = !isOpen;
    if (!isOpen && (!before || before.isEnd)) continue;
    if (before && now - before.at < 500 && isOpen) continue;
    history.samples.push({
      at: now,
      rate: job.rate_bytes_per_second,
      isEnd: !isOpen,
    });
    if (history.samples.length > SAMPLES_MAX) thin(history);
    if (job.state !== "paused" && !history.phases.has(job.state)) {
      history.phases.set(job.state, now);
    }
  }
}

/** Forgets every second sample of the older half, so that a long watch stays whole. */
function thin(history) {
  const half = Math.floor(history.samples.length / 2);
  history.samples = history.samples.filter((_, index) => index >= half || index % 2 === 0);
}

/** Takes note of what holds a job up. */
export function noteJob(job, now = Date.now()) {
  const history = of(job);
  const span = history.last === null ? 0 : Math.min(now - history.last, 5000);
  history.last = job.outcome === null ? now : null;
  history.isOver = job.outcome !== null;
  const isActive = job.outcome === null && job.state !== "paused";
  if (!isActive || job.bottleneck === "none") return;
  history.held.set(job.bottleneck, (history.held.get(job.bottleneck) ?? 0) + span);
}

/** Samples of a job, oldest first. */
export function samples(id) {
  return histories.get(id)?.samples ?? [];
}

/** Bytes that were at the target before the job began, as far as it has found out. */
export function presentBytes(id) {
  return histories.get(id)?.present ?? 0;
}

/** When each phase of a job was first seen. */
export function seenPhases(id) {
  return histories.get(id)?.phases ?? new Map();
}

/** Shares of the time watched, by what held the job up, largest first. */
export function heldBy(id) {
  const held = [...(histories.get(id)?.held ?? [])].filter(([, span]) => span > 0);
  const whole = held.reduce((sum, [, span]) => sum + span, 0);
  return held.sort((a, b) => b[1] - a[1]).map(([name, span]) => [name, span / whole]);
}

/** Forgets everything. */
export function forgetHistory() {
  histories.clear();
}
