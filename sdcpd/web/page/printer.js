// One printer: what it prints, what can be done, what waits, what was, and why not.
// One idea: the picture and the time left are the largest things; a control that makes no sense now is not there.

import { attempt, button } from "./actions.js";
import { ask, printerPath } from "./api.js";
import { question } from "./dialogs.js";
import { h, icon, name, set, show, tell } from "./dom.js";
import { advice, mood, plateButton, PRINTING, progress } from "./overview.js";
import { past } from "./past.js";
import { discard } from "./pictures.js";
import { queue } from "./queue.js";
import { startDialog } from "./start.js";
import { store } from "./store.js";
import { viewer } from "./viewer.js";
import { ago, clock, duration } from "./words.js";

const MOVING = new Set(["delivering", "starting", "printing", "paused"]);
const PLATES = {
  unknown: "Nobody has said anything about it",
  clear: "Clear",
  occupied: "A print may be on it",
  suspect: "Look at it: something may be on it",
};

function stopDialog(printer) {
  const sending = printer.job?.state === "delivering" && !PRINTING.has(printer.phase);
  const file = printer.file || "a file that it does not name";
  return question(
    sending ? "Cancel the delivery?" : "Stop this print?",
    sending
      ? [name(printer.name), " is fetching ", name(file), "."]
      : [name(printer.name), " is printing ", name(file), `, layer ${printer.layer} of ${printer.total_layers}. A print that was stopped cannot go on.`],
    sending ? "Cancel the delivery" : "Stop the print",
    { danger: true },
  );
}

function controls(slug) {
  const post = (what, body) => () => ask("POST", `${printerPath(slug)}/${what}`, body);
  const one = (label, drawing, run, more = {}) => button(label, { scope: "control", slug, drawing, run, ...more });
  const printer = () => store.printers.get(slug);
  const all = {
    pause: one("Pause", "pause", post("pause")),
    resume: one("Go on", "play", post("resume"), { kind: "primary" }),
    stop: one("Stop", "stop", async () => {
      if (await stopDialog(printer())) await attempt(post("stop"));
    }),
    clear: plateButton(slug),
    occupy: one("Something is on the plate", null, post("plate", { clear: false }), { scope: "plate" }),
    print: one("Print a file", "plus", () => startDialog({ slug }), { kind: "primary" }),
    adopt: one("Take it over", null, async () => {
      const words = [name(printer().name), " is used by another program. It is invited to come here; a print on it goes on."];
      if (await question("Take the printer over?", words, "Take it over")) await attempt(post("adopt"));
    }),
  };
  const wanted = (p) => ({
    pause: ["PREPARING", "PRINTING"].includes(p.phase),
    resume: p.phase === "PAUSED",
    stop: PRINTING.has(p.phase) && p.phase !== "STOPPING" ? true : MOVING.has(p.job?.state) && p.phase !== "OFFLINE",
    clear: !PRINTING.has(p.phase) && (p.needs === "plate" || p.needs === "failed" || ["occupied", "suspect"].includes(p.plate.state)),
    occupy: !PRINTING.has(p.phase) && p.plate.state === "clear",
    print: p.phase === "IDLE" && !MOVING.has(p.job?.state),
    adopt: p.reachability === "owned elsewhere",
  });
  return {
    element: h("div", { class: "row controls" }, Object.values(all)),
    update(p) {
      for (const [which, wish] of Object.entries(wanted(p))) show(all[which], wish);
    },
  };
}

function facts() {
  const list = h("dl", { class: "facts" });
  const rows = new Map();
  return {
    element: list,
    update(entries) {
      for (const [label, text] of entries) {
        if (!rows.has(label)) {
          const value = h("dd", { dir: "auto" });
          rows.set(label, h("div", {}, h("dt", {}, label), value));
          list.append(rows.get(label));
        }
        const row = rows.get(label);
        show(row, text !== null && text !== "");
        tell(row.lastChild, text);
      }
    },
  };
}

/** The view of one printer: { element, title, update, tick, leave }. */
export function printerView(slug) {
  const title = name("");
  const who = h("p", { class: "who" }, h("span", { class: "model", dir: "auto" }), h("span", { class: "age" }));
  const state = h("p", { class: "state" });
  const need = h("div", { class: "need" }, h("p", { dir: "auto" }));
  const left = h("strong");
  const ends = h("span");
  const bar = h("progress", { max: 100, "aria-label": "Progress of the print" });
  const layers = h("span");
  const file = name("", { class: "file" });
  const source = h("p", { class: "quiet small" });
  const job = h("div", { class: "job" }, h("p", { class: "name" }, file), h("p", { class: "big" }, left, ends), bar, h("p", { class: "figures" }, layers), source);
  const does = controls(slug);
  const layer = viewer();
  const waits = queue(slug);
  const was = past(slug);
  const known = facts();
  const missing = h("p", { class: "lead" }, "No printer of this name is known here. ", h("a", { href: "#/" }, "All printers"));
  const body = h(
    "div",
    {},
    h("div", { class: "stage" }, h("div", { class: "panel main" }, state, need, job, does.element, layer.about), layer.element),
    h("div", { class: "columns" },
      h("section", { class: "panel", "aria-labelledby": "h-queue" }, h("div", { class: "row between" }, h("h2", { id: "h-queue" }, "Queue"), waits.add), waits.element),
      h("section", { class: "panel", "aria-labelledby": "h-pace" }, h("h2", { id: "h-pace" }, "Layer time"), was.chart),
      h("section", { class: "panel", "aria-labelledby": "h-past" }, h("h2", { id: "h-past" }, "History"), was.element),
      h("section", { class: "panel", "aria-labelledby": "h-link" }, h("h2", { id: "h-link" }, "Connection and machine"), known.element)),
  );
  const element = h("div", { class: "one" }, h("a", { class: "press bare back", href: "#/" }, icon("back"), "All printers"), h("div", { class: "headline" }, h("h1", {}, title), who), missing, body);

  const update = () => {
    const printer = store.printers.get(slug);
    show(body, printer);
    show(who, printer);
    show(missing, !printer);
    tell(title, printer?.name ?? slug);
    if (!printer) return;
    set(element, "data-mood", mood(printer));
    set(element, "data-need", printer.needs);
    tell(who.firstChild, printer.model);
    tell(state, printer.state_text);
    const words = advice(printer);
    show(need, words);
    tell(need.firstChild, words);
    const far = progress(printer);
    show(job, printer.file && far);
    tell(file, printer.file || "");
    if (far) bar.value = far.value;
    tell(layers, far ? `${far.text}${printer.progress === null || far.text.endsWith("sent") ? "" : `, ${printer.progress} %`}` : "");
    does.update(printer);
    layer.update(printer);
    waits.update(printer);
    was.update(printer);
    const { plate, wear, raw } = printer;
    known.update([
      ["Connection", { online: "Connected", stale: "Seen, but not connected", offline: "Out of reach", "owned elsewhere": "Used by another program" }[printer.reachability]],
      ["Why not", printer.online ? "" : printer.message],
      ["Build plate", `${PLATES[plate.state]}${plate.by ? `, said ${plate.by.replace(/^key:/, "")} at ${clock(plate.at)}` : ""}`],
      ["Address", printer.address],
      ["Firmware", printer.firmware],
      ["Screen", printer.resolution ? printer.resolution.join(" × ") : ""],
      ["Mainboard", printer.mainboard_id],
      ["So far", `${wear.prints} prints, ${wear.layers} layers, light on for ${duration(wear.exposure_s)}`],
      ["Board's own numbers", raw ? `status ${raw.current_status.join(", ")}, print ${raw.print_status}, transfer ${raw.transfer_status}, error ${raw.error_number}` : ""],
    ]);
    tick();
  };
  const tick = () => {
    const printer = store.printers.get(slug);
    if (!printer) return;
    const seconds = PRINTING.has(printer.phase) ? store.left(printer) : null;
    tell(left, seconds === null ? "" : `${duration(seconds)} left`);
    tell(ends, seconds === null || printer.phase === "PAUSED" ? "" : `ends at ${clock(store.end(printer))}`);
    tell(source, seconds !== null && printer.eta_source === "learned" ? "As this printer's own prints have taught." : "");
    const age = store.age(printer);
    tell(who.lastChild, store.live && printer.online ? "live" : age === null ? "never heard of" : `as of ${ago(age)}`);
    waits.tick();
  };
  return {
    element,
    title: () => store.printers.get(slug)?.name ?? slug,
    update,
    tick,
    leave() {
      discard(element);
    },
  };
}
