// Bandwidths and budgets: what people write, and what the API says of them.

import { bytes, count, rate } from "./format.js";

const MIB = 1 << 20;

/** What is said to somebody who wrote something else than a size. */
export const SIZE_HINT = "Write a size, such as 500G or 2T.";

/** What the API is asked for: MiB a second, or a schedule; null for what cannot be either. */
export function limitRequest(text) {
  const written = text.trim();
  if (written.includes(":")) return { bandwidth_schedule: written };
  const value = Math.round(Number(written) * MIB);
  return value >= 1 ? { bandwidth_bytes_per_second: value } : null;
}

/** Bytes of a size, written as on the command line, such as 500G or 2T; null for what cannot be one. */
export function sizeRequest(text) {
  const parts = /^(\d+)([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  if (parts === null) return null;
  const value = Number(parts[1]) * 1024 ** " kmgtp".indexOf(parts[2].toLowerCase() || " ");
  // Of petabytes a few bytes are rounded, which no budget is about.
  return value >= 1 && value < 2 ** 63 ? value : null;
}

/** The limit of a job or of the cluster; null when there is none. */
export function limitNow({ bandwidth_bytes_per_second: value, bandwidth_schedule: schedule }) {
  const now = value === null ? null : rate(value);
  return schedule === null ? now : `${now ?? "no limit"} now, by ${schedule}`;
}

/** What a job has used of its budget; null when it has none. */
export function budgetText(budget) {
  if (!budget) return null;
  const parts = [];
  if (budget.bytes) parts.push(`${bytes(budget.bytes.used)} of ${bytes(budget.bytes.limit)}`);
  if (budget.requests) parts.push(`${count(budget.requests.used)} of ${count(budget.requests.limit)} requests`);
  if (budget.money) parts.push(`${budget.money.used} of ${budget.money.limit} spent`);
  return parts.join(", ");
}
