// Questions before something that cannot be taken back, and short words about what was done.

import { el } from "./dom.js";

const NOTE_MS = 6000;

/** Asks; true when the user says yes. Escape and the other button say no. */
export function confirm({ title, text, yes, no, tone = "danger" }) {
  return new Promise((resolve) => {
    const refuse = el("button", { type: "button" }, no);
    const accept = el("button", { type: "button", class: tone, id: "confirm" }, yes);
    const dialog = el(
      "dialog",
      { "aria-labelledby": "dialog-title", "aria-describedby": "dialog-text" },
      el("h2", { id: "dialog-title" }, title),
      el("p", { id: "dialog-text" }, text),
      el("div", { class: "actions end" }, refuse, accept),
    );
    let answer = false;
    refuse.addEventListener("click", () => dialog.close());
    accept.addEventListener("click", () => {
      answer = true;
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    refuse.focus();
  });
}

/** Says something in a corner for a while. */
export function note(text, tone = "good") {
  const line = el("p", { class: `note is-${tone}` }, text);
  document.getElementById("notes").append(line);
  setTimeout(() => line.remove(), NOTE_MS);
}
