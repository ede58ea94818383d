// The first page: the token, typed once for this tab.

import { api, forgetToken, keepToken } from "./api.js";
import { el, fill, say } from "./dom.js";

/** Shows the form; calls `done` when the token was accepted. */
export function signIn(main, reason, done) {
  const input = el("input", {
    id: "token",
    type: "password",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    required: true,
    "aria-describedby": "token-help token-error",
  });
  const error = el("p", { class: "error", id: "token-error", role: "alert" }, reason ?? "");
  const button = el("button", { type: "submit", class: "primary wide" }, "Sign in");
  const form = el(
    "form",
    { class: "card signin", novalidate: true },
    el("img", { src: "icon.svg", alt: "", width: "44", height: "44" }),
    el("h1", {}, "Airlift"),
    el("p", { class: "lead" }, "Sign in to this cluster."),
    el("label", { for: "token" }, "API token"),
    input,
    el("p", { class: "hint", id: "token-help" }, "The founding node keeps it in the file admin.token of its data directory. This tab remembers it until you sign out or close it."),
    error,
    button,
    el("p", { class: "hint" }, el("a", { href: "reference.html" }, "What the API can be asked")),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (text === "" || /[^\x21-\x7e]/.test(text)) {
      say(error, text === "" ? "Type the token first." : "A token is letters and digits, without blanks.");
      return input.focus();
    }
    button.disabled = true;
    keepToken(text);
    try {
      // Any question shows whether the token is known; this one needs no leader.
      await api.node();
      done();
    } catch (problem) {
      // A submitter's token is known too, and sees its jobs though no node's figures.
      if (problem.status === 403) return done();
      forgetToken();
      say(error, problem.message);
      button.disabled = false;
      input.focus();
      input.select();
    }
  });
  fill(main, form);
  input.focus();
}
