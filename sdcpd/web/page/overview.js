// All printers at a glance.
// One idea: who needs somebody stands first and says what for, in words that the daemon chose; then who works, then
// who is ready, then who is away.

import { ask, printerPath } from "./api.js";
import { button } from "./actions.js";
import { follow, h, name, set, show, tell } from "./dom.js";
import { discard, picture, width } from "./pictures.js";
import { store } from "./store.js";
import { ago, clock, count, duration, sentence } from "./words.js";

const NEEDS = ["contact", "failed", "stalled", "confirm", "plate", "paused", "held", "start", "connection"];
const ADVICE = {
  contact: "It was printing when it went out of reach. Look at the printer and at its network.",
  failed: "Look at the printer.",
  stalled: "No new layer has come for far too long. Look at the printer.",
  confirm: "Confirm the end of the print on its screen, then clear the plate.",
  plate: "Take the print off, look at the plate, then say that it is clear.",
  paused: "The print is paused.",
  held: "A queued file waits for a decision.",
  start: "The file is on the printer and waits for its start.",
  connection: "It was found, but it cannot connect to this machine.",
};
const AT_WORK = new Set(["TRANSFER", "CHECKING", "PREPARING", "PRINTING", "PAUSING", "PAUSED", "STOPPING", "BUSY"]);
export const PRINTING = new Set(["CHECKING", "PREPARING", "PRINTING", "PAUSING", "PAUSED", "STOPPING"]);

/** Where a printer belongs: needs, work, ready or away. */
export function mood(printer) {
  if (printer.needs) return "needs";
  if (AT_WORK.has(printer.phase)) return "work";
  return printer.online ? "ready" : "away";
}

const GROUPS = [
  ["needs", "Needs you"],
  ["work", "At work"],
  ["ready", "Ready"],
  ["away", "Away"],
];

/** The sentence that says what to do; empty if nobody is needed. */
export function advice(printer) {
  if (!printer.needs) return printer.message || "";
  return printer.needs === "plate" || printer.needs === "paused" ? ADVICE[printer.needs] : printer.message || ADVICE[printer.needs];
}

/** How far the print or the delivery is: { value, text } or null. */
export function progress(printer) {
  const { job } = printer;
  if (job && job.state === "delivering" && job.size) {
    const value = (100 * job.sent) / job.size;
    return { value, text: `${Math.floor(value)} % sent` };
  }
  if (!printer.total_layers || printer.progress === null) return null;
  return { value: printer.progress, text: `Layer ${printer.layer} of ${printer.total_layers}` };
}

/** A button that says that the plate is clear, for the revision that is shown. */
export function plateButton(slug, kind = "primary") {
  return button("Plate is clear", {
    scope: "plate",
    slug,
    kind,
    drawing: "check",
    run: () => {
      const { plate } = store.printers.get(slug);
      return ask("POST", `${printerPath(slug)}/plate`, { clear: true, revision: plate.revision });
    },
  });
}

function card(printer) {
  const slug = printer.id;
  const at = `#/printers/${encodeURIComponent(slug)}`;
  const parts = {
    image: h("img", { alt: "", class: "layer" }),
    title: name(""),
    model: h("span", { class: "model", dir: "auto" }),
    state: h("p", { class: "state" }),
    file: name("", { class: "file" }),
    bar: h("progress", { max: 100 }),
    layers: h("span"),
    left: h("strong"),
    end: h("span"),
    age: h("span", { class: "age" }),
    need: h("div", { class: "need" }, h("p", { dir: "auto" })),
    clear: plateButton(slug),
  };
  parts.need.append(parts.clear);
  const element = h(
    "li",
    { class: "card" },
    h("div", { class: "pane" }, parts.image),
    h(
      "div",
      { class: "body" },
      h("h3", {}, h("a", { href: at }, parts.title)),
      h("p", { class: "who" }, parts.model, parts.age),
      parts.state,
      h("div", { class: "job" }, h("p", { class: "name" }, parts.file), parts.bar, h("p", { class: "figures" }, parts.left, parts.end, parts.layers)),
    ),
    parts.need,
  );
  element.parts = parts;
  return element;
}

function update(element, printer) {
  const { parts } = element;
  const here = mood(printer);
  set(element, "data-mood", here);
  set(element, "data-need", printer.needs);
  tell(parts.title, printer.name);
  tell(parts.model, printer.model && printer.model !== printer.name ? printer.model : "");
  tell(parts.state, printer.state_text);
  const printing = PRINTING.has(printer.phase);
  const far = progress(printer);
  const file = printer.needs === "failed" && printer.job ? printer.job.file : printer.file;
  tell(parts.file, file || "");
  show(parts.bar.parentElement, file && here !== "ready" && here !== "away");
  show(parts.bar, far && printer.needs !== "failed");
  set(parts.bar, "aria-label", `Progress of ${printer.name}`);
  if (far) parts.bar.value = far.value;
  tell(parts.layers, far && printer.needs !== "failed" ? far.text : "");
  parts.image.alt = printing && printer.md5 ? `Layer ${printer.layer} as it is printed` : "";
  const pixels = parts.image.clientWidth || 320;
  const path = printing && printer.md5 ? `${printer.urls.layer}?width=${width(pixels)}` : null;
  const still = !printing && printer.job?.md5 ? `/v1/files/${printer.job.md5}/thumbnail.png?size=290` : null;
  set(parts.image, "data-kind", path ? "layer" : "thumbnail");
  if (path) picture(parts.image, path, `${path}#${printer.file}/${printer.layer}`);
  else picture(parts.image, still);
  show(parts.image.parentElement, path || still);
  const words = advice(printer);
  show(parts.need, Boolean(printer.needs || words));
  tell(parts.need.firstChild, words);
  show(parts.clear, printer.needs === "plate" || printer.needs === "failed");
  tick(element, printer);
}

/** What changes with the clock alone. */
function tick(element, printer) {
  const { parts } = element;
  const left = PRINTING.has(printer.phase) ? store.left(printer) : null;
  tell(parts.left, left === null ? "" : `${duration(left)} left`);
  tell(parts.end, left === null || printer.phase === "PAUSED" ? "" : `ends ${clock(store.end(printer))}`);
  const age = store.age(printer);
  tell(parts.age, store.live && printer.online ? "live" : age === null ? "never heard" : `as of ${ago(age)}`);
  set(parts.age, "data-old", !(store.live && printer.online));
}

function headline(printers) {
  if (!store.printers.size) return store.link === "denied" ? "This needs a key" : "No printer yet";
  const needing = printers.filter((printer) => printer.needs).length;
  if (needing) return needing === 1 ? "One printer needs you" : `${needing} printers need you`;
  const working = printers.filter((printer) => mood(printer) === "work").length;
  return working ? sentence(`${count(working, "printer", "printers")} at work`) : "All is quiet";
}

function subline(printers) {
  if (!store.printers.size) {
    if (store.link === "denied") return store.trouble?.hint || "";
    return "Switch one on that is in this network; it is found by itself. One in another network (a guest Wi-Fi, a VLAN) is found where its address stands under [discovery] targets.";
  }
  const working = printers.filter((printer) => PRINTING.has(printer.phase));
  const ends = working.map((printer) => store.end(printer)).filter((end) => end !== null);
  const words = [];
  if (working.length) words.push(`${working.length} printing`);
  const ready = printers.filter((printer) => mood(printer) === "ready").length;
  if (ready) words.push(`${ready} ready`);
  const away = printers.filter((printer) => mood(printer) === "away").length;
  if (away) words.push(`${away} away`);
  if (ends.length) words.push(`next ends at ${clock(Math.min(...ends))}`);
  return words.join(", ");
}

/** The view: { element, title, update, tick, leave }. */
export function overview() {
  const title = h("h1");
  const sub = h("p", { class: "lead" });
  const element = h("div", { class: "overview" }, h("div", { class: "headline" }, title, sub));
  const groups = GROUPS.map(([key, label]) => {
    const list = h("ul", { class: "cards", role: "list" });
    const section = h("section", { class: `group ${key}`, "aria-labelledby": `group-${key}` }, h("h2", { id: `group-${key}` }, label), list);
    element.append(section);
    return { key, section, list };
  });
  const all = () => [...store.printers.values()];

  const refresh = () => {
    const printers = all();
    for (const { key, section, list } of groups) {
      const members = printers.filter((printer) => mood(printer) === key);
      if (key === "needs") members.sort((a, b) => NEEDS.indexOf(a.needs) - NEEDS.indexOf(b.needs));
      const before = [...list.children];
      follow(list, members, (printer) => printer.id, card, update);
      for (const gone of before) if (!gone.isConnected) discard(gone);
      show(section, members.length > 0);
    }
    heads(printers);
  };
  const heads = (printers) => {
    tell(title, headline(printers));
    tell(sub, subline(printers));
  };
  const onTick = () => {
    heads(all());
    for (const { list } of groups) for (const child of list.children) {
      const printer = store.printers.get(child.key);
      if (printer) tick(child, printer);
    }
  };
  return { element, title: () => "Printers", update: refresh, tick: onTick, leave: () => discard(element) };
}
