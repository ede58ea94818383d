// What the words of the API mean to people.

/** Modes, as headings and the form have them. */
export const MODES = { cp: "Copy", sync: "Sync", verify: "Verify" };

/** The label and the tone of each state that a job may be in. */
const STATES = {
  listing: ["Listing", "run"],
  moving: ["Moving", "run"],
  listing_target: ["Listing target", "run"],
  comparing: ["Comparing", "run"],
  deleting: ["Deleting", "run"],
  cleaning: ["Cleaning up", "run"],
  paused: ["Paused", "wait"],
  completed: ["Completed", "good"],
  stopped: ["Stopped", "bad"],
  cancelled: ["Cancelled", "off"],
};

const OUTCOMES = {
  done: ["Done", "good"],
  incomplete: ["Incomplete", "warn"],
  stopped: ["Stopped", "bad"],
  cancelled: ["Cancelled", "off"],
};

/** Label and tone of a job: how it ended, or where it stands. */
export function standing(job) {
  const known = job.outcome ? OUTCOMES[job.outcome] : STATES[job.state];
  const [label, tone] = known ?? [job.outcome ?? job.state, "off"];
  return { label, tone };
}

/** Whether the job may still do something. */
export function isOpen(job) {
  return job.outcome === null || job.outcome === undefined;
}

/** Whether the job rests because its budget is used up: it can go on only with a higher one. */
export function isOverBudget(job) {
  return job.state === "paused" && job.failure?.code === "over_budget";
}

/** The phases that a job of this mode goes through, and their labels. */
export function phases(mode) {
  const moving = mode === "verify" ? "Comparing content" : "Moving";
  const all = {
    listing: "Listing source",
    moving,
    listing_target: "Listing target",
    comparing: "Comparing listings",
    deleting: "Deleting",
    cleaning: "Cleaning up",
  };
  const names = {
    cp: ["listing", "moving", "cleaning"],
    sync: ["listing", "moving", "listing_target", "comparing", "deleting", "cleaning"],
    verify: ["listing", "moving", "listing_target", "comparing", "cleaning"],
  };
  return (names[mode] ?? names.cp).map((name) => [name, all[name]]);
}

/** What holds a job up, and what helps. */
const BOTTLENECKS = {
  source: ["Source", "The source is read more slowly than the rest could go. A faster disk or store there helps, or more nodes near a bucket."],
  link: ["Network", "The network between two nodes takes the time. A faster one helps, or more nodes at both ends."],
  target: ["Target", "The target writes more slowly than bytes arrive. A faster disk or store there helps, or more nodes near a bucket."],
  cpu: ["CPU", "Hashing, compressing and verifying take the time. More or faster cores help, or more nodes near a bucket."],
  limit: ["Bandwidth limit", "The job keeps to a bandwidth limit: its own, or that of the cluster."],
  throttled: ["Store throttles", "A store has asked for fewer requests and gets as many as it grants."],
  listing: ["Listing", "An end is being listed and there is nothing to move yet. Narrower prefixes or filters help."],
  consensus: ["Consensus", "Nodes wait for their next orders. A faster disk or network for the voters helps, or several jobs at once."],
};

/** The label of a bottleneck; `null` when nothing stands out. */
export function bottleneck(name) {
  return BOTTLENECKS[name]?.[0] ?? null;
}

/** What helps against it. */
export function advice(name) {
  return BOTTLENECKS[name]?.[1] ?? "Nothing stands out.";
}

/** Counts of objects that a job may have, in their order, with the tone of those that tell of trouble. */
export const COUNTS = [
  ["done", "Done", "good"],
  ["equal", "Equal", "good"],
  ["unchanged", "Unchanged", ""],
  ["deleted", "Deleted", ""],
  ["skipped", "Skipped", "warn"],
  ["missing", "Missing at target", "bad"],
  ["extra", "Only at target", "warn"],
  ["differs", "Differ", "bad"],
  ["failed", "Failed", "bad"],
];

/** The same, as they are called when nothing is changed. */
export const DRY_COUNTS = { done: "Would be moved", deleted: "Would be deleted" };

/** Objects that have come to their end. */
export function settled(objects) {
  const { done, equal, unchanged, skipped, missing, differs, failed } = objects;
  return done + equal + unchanged + skipped + missing + differs + failed;
}

/** A code of an error as words. */
export function cause(code) {
  const text = (code ?? "other").replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
