// What waits for one printer, in its order.
// One idea: each job says why it waits; it is moved and removed by buttons that a finger, a key and a reader all find.

import { attempt, button } from "./actions.js";
import { ask, printerPath } from "./api.js";
import { question } from "./dialogs.js";
import { follow, h, name, set, show, tell } from "./dom.js";
import { startDialog } from "./start.js";
import { store } from "./store.js";

const WAITS = {
  behind_another: "Waits for the job before it",
  printer_offline: "Goes on when the printer is back",
  owned_elsewhere: "Another program uses the printer",
  printer_busy: "Goes on when the printer is idle",
  needs_attention: "Confirm the last print on the printer's screen",
  plate_not_clear: "Starts when the plate is clear",
  waiting_for_start: "Is on the printer, waits for its start",
  file_missing: "Its file is gone: upload it again, or remove this",
  journal_unwritable: "The disk is full",
};
const REFRESH = 15000;

export function queue(slug) {
  const list = h("ol", { class: "rows", role: "list" });
  const empty = h("p", { class: "quiet" }, "Nothing waits.");
  const element = h("div", {}, empty, list);
  let jobs = [];
  let asked = 0;
  let seen = "";

  const load = async () => {
    asked = Date.now();
    try {
      jobs = await ask("GET", `${printerPath(slug)}/queue`);
    } catch {
      return; // the banner says it
    }
    paint();
  };
  const done = (promise) => promise.then(load, (error) => load().then(() => Promise.reject(error)));
  const at = (job) => jobs.findIndex((found) => found.id === job.id);
  const move = (job, by) => {
    const place = at(job);
    const before = by < 0 ? jobs[place - 1]?.id : jobs[place + 2]?.id;
    return done(ask("POST", `/v1/jobs/${job.id}/move`, { before: before ?? null }));
  };

  const make = (job) => {
    const own = (label, drawing, run, more = {}) => button("", { scope: "queue", slug, kind: "bare", drawing, title: `${label} ${job.file}`, run, ...more });
    const row = h("li", { class: "line" });
    const parts = (row.parts = { title: name(job.file, { class: "name" }), words: h("span", { class: "quiet small", dir: "auto" }) });
    parts.go = button("Start", { scope: "control", slug, drawing: "play", run: () => done(ask("POST", `/v1/jobs/${job.id}/start`)) });
    parts.higher = own("Earlier:", "up", () => move(job, -1));
    parts.lower = own("Later:", "down", () => move(job, 1));
    const remove = own("Remove", "cross", async () => {
      const words = [name(job.file), " is taken out of the queue. The file stays stored."];
      if (await question("Remove it from the queue?", words, "Remove", { danger: true })) await attempt(() => done(ask("DELETE", `/v1/jobs/${job.id}`)));
    });
    row.append(h("div", { class: "grow" }, parts.title, parts.words), h("div", { class: "tools" }, parts.go, parts.higher, parts.lower, remove));
    return row;
  };
  const update = ({ parts }, job) => {
    const place = at(job);
    tell(parts.title, job.file);
    tell(parts.words, job.state === "held" ? job.message : `${WAITS[job.reason] || job.message || "Waits"}${job.start ? "" : "; is delivered, not started"}`);
    show(parts.go, job.reason === "waiting_for_start" || (!job.start && job.reason !== "file_missing"));
    set(parts.higher, "hidden", place === 0);
    set(parts.lower, "hidden", place === jobs.length - 1);
  };
  const paint = () => {
    follow(list, jobs, (job) => job.id, make, update);
    show(empty, !jobs.length);
  };

  return {
    element,
    add: button("Add a file", { scope: "queue", slug, drawing: "plus", run: () => startDialog({ slug, wait: true }).then(load) }),
    update(printer) {
      const { job } = printer;
      const now = [printer.phase, printer.plate.revision, job?.id, job?.state, job?.reason].join();
      if (now !== seen && store.live) {
        seen = now;
        load();
      }
    },
    tick() {
      if (store.live && Date.now() - asked > REFRESH) load();
    },
  };
}
