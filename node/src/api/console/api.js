// Requests to the API of the node that served this page. The token stays in this tab's session.

const BASE = new URL("../api/v1/", document.baseURI);
const KEY = "airlift-token";
const REPORT_LINE_MAX = 1 << 20;

/** An answer that is an error, in the API's own words. */
export class Problem extends Error {
  constructor(status, code, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter ?? null;
  }
}

/** The token, while somebody is signed in. */
export function token() {
  return sessionStorage.getItem(KEY);
}

/** The id within that token, which is no secret; undefined of the one that the cluster was founded with. */
export function tokenId() {
  return token()?.split(".")[1];
}

/** Keeps the token until the tab is closed. */
export function keepToken(text) {
  sessionStorage.setItem(KEY, text);
}

/** Forgets the token. */
export function forgetToken() {
  sessionStorage.removeItem(KEY);
}

async function send(method, path, { body, signal, accept } = {}) {
  const headers = { Authorization: `Bearer ${token() ?? ""}` };
  if (accept) headers.Accept = accept;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const request = {
    method,
    headers,
    signal,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    referrerPolicy: "no-referrer",
  };
  let answer;
  try {
    answer = await fetch(new URL(path, BASE), request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "the node does not answer: is it running, and is the way to it open?");
  }
  if (!answer.ok) throw await problem(answer);
  return answer;
}

async function problem(answer) {
  try {
    const said = await answer.json();
    return new Problem(answer.status, said.code, said.detail ?? said.title, said.retry_after_seconds);
  } catch {
    // Not the API's own words: something stands between it and this page.
    return new Problem(answer.status, "internal", `the node answers ${answer.status} ${answer.statusText}`);
  }
}

async function ask(method, path, body) {
  const answer = await send(method, path, { body });
  return answer.json();
}

/** Everything that the page asks for. */
export const api = {
  jobs: () => ask("GET", "jobs"),
  job: (id) => ask("GET", `jobs/${encodeURIComponent(id)}`),
  cluster: () => ask("GET", "cluster"),
  node: () => ask("GET", "node"),
  submit: (request) => ask("POST", "jobs", request),
  order: (id, order) => ask("POST", `jobs/${encodeURIComponent(id)}/${order}`),
  budget: (id, budget) => ask("POST", `jobs/${encodeURIComponent(id)}/budget`, budget),
  limit: (limit) => ask("POST", "cluster/limit", limit),
  tokens: () => ask("GET", "tokens"),
  createToken: (request) => ask("POST", "tokens", request),
  revokeToken: (id) => ask("DELETE", `tokens/${encodeURIComponent(id)}`),
  events: (job, signal) => {
    const query = job ? `?job=${encodeURIComponent(job)}` : "";
    return send("GET", `events${query}`, { signal, accept: "text/event-stream" });
  },
};

/** Lines of text from an answer, as they arrive; none may be longer than `most` characters. */
export async function* lines(answer, most = Infinity) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) break;
      rest += value;
      const whole = rest.split("\n");
      rest = whole.pop();
      if (rest.length > most) throw new Problem(0, "internal", "the node sends a line without end");
      yield* whole;
    }
    if (rest !== "") yield rest;
  } finally {
    // Whoever stops reading early does not want the rest.
    reader.cancel().catch(() => {});
  }
}

/** Lines of a job's report, one after the other, from the first. */
export async function* report(id, signal) {
  const answer = await send("GET", `jobs/${encodeURIComponent(id)}/report`, { signal });
  for await (const line of lines(answer, REPORT_LINE_MAX)) {
    if (line !== "") yield JSON.parse(line);
  }
}
