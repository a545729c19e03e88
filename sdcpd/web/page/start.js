// Which file on which printer: the one dialog in which a print is started or queued.
// One idea: who starts a print says in the same moment that the plate is clear, because only a person has looked.

import { ask, printerPath, Refused } from "./api.js";
import { askKey, note, open } from "./dialogs.js";
import { h, name, show } from "./dom.js";
import { hindrance, store } from "./store.js";

/** Why a file was refused, as elements. */
export function verdict(error) {
  const { expected, found, compatible_printers: suits } = error.error || {};
  const names = (suits || []).map((slug) => store.printers.get(slug)?.name || slug);
  return [
    h("p", { class: "fault", dir: "auto" }, error.message),
    expected && h("p", { dir: "auto" }, `Expected: ${expected}. Found: ${found}.`),
    suits && h("p", {}, names.length ? ["It suits: ", names.map((one, place) => [place ? ", " : "", name(one)]), "."] : "It suits none of the known printers."),
    !expected && error.hint && h("p", { class: "quiet", dir: "auto" }, error.hint),
  ].filter(Boolean);
}

const select = (id, options) => h("select", { id }, options.map(([value, text]) => h("option", { value, dir: "auto" }, text)));

/** Ask what is missing of file and printer, then print or queue. `wait`: the queue is meant. */
export async function startDialog({ slug = null, file = null, wait = false }) {
  const stored = file ? [] : [...(await ask("GET", "/v1/files"))].reverse();
  return open(wait ? "Add to a queue" : "Print", (close) => {
    if (!file && !stored.length) {
      return [h("p", {}, "No file is stored yet. ", h("a", { href: "#/files", onclick: () => close() }, "Upload one first.")), h("div", { class: "row end" }, h("button", { type: "button", onclick: () => close() }, "Close"))];
    }
    const which = file ? null : select("start-file", stored.map((one) => [one.name, one.name]));
    const printers = [...store.printers.values()];
    const where = slug ? null : select("start-printer", [...printers.map((one) => [one.id, `${one.name}: ${one.state_text}`]), ...(store.me.printers ? [] : [["", "The first free one (queue)"]])]);
    const looked = h("input", { type: "checkbox", id: "start-plate" });
    const tick = h("label", { class: "tick", for: "start-plate" }, looked, h("span", {}, "I have looked: the plate is mounted and clear."));
    const fault = h("div", { role: "alert" });
    const target = () => (slug ?? where.value);
    const printer = () => store.printers.get(target());
    const run = async (queued) => {
      const wanted = file ?? which.value;
      const scope = queued ? "queue" : "control";
      const against = hindrance(scope, target()) || (looked.checked && !queued ? hindrance("plate", target()) : null);
      if (against && !(against.key && (await askKey(against.why)))) return fault.replaceChildren(h("p", { class: "fault" }, against.why));
      fault.replaceChildren();
      const base = target() ? printerPath(target()) : "/v1";
      try {
        if (queued) await ask("POST", `${base}/queue`, { file: wanted });
        else await ask("POST", `${base}/print`, { file: wanted, ...(looked.checked && { plate_clear: true }) });
        note(queued ? "It is in the queue." : "The file is on its way to the printer.");
        return close(true);
      } catch (error) {
        if (!(error instanceof Refused)) return fault.replaceChildren(h("p", { class: "fault" }, "sdcpd did not answer; look before you try again."));
        if (error.wantsKey && (await askKey(error.message))) return run(queued);
        return fault.replaceChildren(...verdict(error));
      }
    };
    const now = h("button", { type: "button", class: wait ? "" : "primary", onclick: () => run(false) }, "Print now");
    const later = h("button", { type: "button", class: wait ? "primary" : "", onclick: () => run(true) }, "Add to the queue");
    const about = h("p", { class: "quiet" });
    const judge = () => {
      const one = printer();
      const can = Boolean(one && one.phase === "IDLE");
      show(now, can && !wait);
      show(tick, can && !wait);
      const words = one ? [name(one.name), `: ${one.state_text}.${can ? "" : " The file waits in its queue."}`] : ["It goes to the first free printer that it suits, and waits there for its start."];
      about.replaceChildren(...words);
    };
    where?.addEventListener("change", judge);
    judge();
    return [
      file && h("p", {}, name(file, { class: "name strong" })),
      which && h("div", {}, h("label", { for: "start-file" }, "File"), which),
      where && h("div", {}, h("label", { for: "start-printer" }, "Printer"), where),
      about,
      tick,
      fault,
      h("div", { class: "row end" }, h("button", { type: "button", onclick: () => close() }, "Cancel"), later, now),
    ].filter(Boolean);
  });
}
