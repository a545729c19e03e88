// What the page asks and says: questions, the key, short notes.
// One idea: a question is a <dialog>, so the browser keeps the focus in it and gives it back; its words name what is at stake.

import { ask, hasKey, Refused, useKey } from "./api.js";
import { h, icon, name, tell } from "./dom.js";
import { restart } from "./poll.js";
import { store } from "./store.js";

let numbers = 0;

/** Open a dialog; gives what `close` is called with, undefined if it was dismissed. */
export function open(title, build, className = "") {
  return new Promise((resolve) => {
    let result;
    const id = `dialog-${(numbers += 1)}`;
    const dialog = h("dialog", { class: className, "aria-labelledby": id }, h("h2", { id }, title));
    const close = (value) => {
      result = value;
      dialog.close();
    };
    dialog.append(...build(close, dialog));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A question with one way to do it and one to leave it. `body` is text or elements. */
export function question(title, body, verb, { danger = false } = {}) {
  return open(title, (close) => [
    h("p", {}, body),
    h(
      "div",
      { class: "row end" },
      h("button", { type: "button", autofocus: true, onclick: () => close(false) }, "Cancel"),
      h("button", { type: "button", class: danger ? "danger" : "primary", onclick: () => close(true) }, verb),
    ),
  ]);
}

/** Ask for a key, show the one that is used, or forget it; gives whether the rights have changed. */
export function askKey(why = "") {
  return open("Key", (close) => {
    const field = h("input", { id: "key-field", type: "password", autocomplete: "off", spellcheck: "false", required: true });
    const fault = h("p", { class: "fault", role: "alert" });
    const form = h(
      "form",
      {},
      h("label", { for: "key-field" }, hasKey() ? "Another key" : "Your key"),
      field,
      fault,
      h(
        "div",
        { class: "row end" },
        hasKey() && h("button", { type: "button", onclick: () => forget(close) }, "Forget the key"),
        h("button", { type: "button", onclick: () => close(false) }, "Cancel"),
        h("button", { class: "primary" }, "Use this key"),
      ),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        const text = field.value.trim();
        const me = await ask("GET", "/v1/me", undefined, { trial: text });
        if (!me.key) throw new Refused(401, { message: "Type a key first." });
        useKey(text);
        restart();
        store.become(me);
        close(true);
      } catch (error) {
        tell(fault, "");
        tell(fault, error instanceof Refused ? error.message : "sdcpd does not answer just now; try again in a moment.");
        field.select();
      }
    });
    return [
      why && h("p", {}, why),
      h("p", { class: "quiet" }, ...rights()),
      form,
      h("p", { class: "quiet" }, "The key is kept in this browser only. An administrator makes one with ", h("code", {}, "sdcp-key add"), "."),
    ].filter(Boolean);
  });
}

async function forget(close) {
  useKey("");
  restart();
  await refresh();
  close(true);
}

function rights() {
  const { me } = store;
  const words = me.scopes.join(", ") || "nothing";
  if (!me.key) return ["You are here without a key, and may do: ", h("strong", {}, words), "."];
  const limits = me.printers ? `, with ${me.printers.join(", ") || "no printer"} only` : "";
  return ["Used now: ", name(me.name), ", which may do: ", h("strong", {}, words), `${limits}.`];
}

/** Ask the daemon again what we may do. */
export async function refresh() {
  try {
    store.become(await ask("GET", "/v1/me"));
  } catch { /* the poll says what is wrong */ }
}

/** A short note at the edge; faults stay until they are closed. */
export function note(text, { bad = false, hint = "" } = {}) {
  const box = h("div", { class: bad ? "note bad" : "note", role: bad ? "alert" : "status" });
  const gone = () => box.remove();
  document.getElementById("notes").append(box);
  box.append(
    h("p", { dir: "auto" }, hint ? text.replace(/\.*$/, ". ") : text, hint && h("span", { class: "quiet" }, hint)),
    h("button", { type: "button", class: "bare", "aria-label": "Close this note", onclick: gone }, icon("cross")),
  );
  setTimeout(gone, bad ? 20000 : 5000);
}
