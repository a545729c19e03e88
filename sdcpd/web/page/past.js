// What a printer has printed: how each print ended, and how long the layers of the present one take.
// One idea: the daemon remembers; this page only draws what it is told, and asks again when something has ended.

import { ask, printerPath } from "./api.js";
import { h, name, show, svg, tell } from "./dom.js";
import { store } from "./store.js";
import { clock, duration, seconds } from "./words.js";

const WIDE = 640;
const HIGH = 160;
const RESULTS = {
  printing: "Prints now",
  finished: "Finished",
  stopped: "Stopped",
  failed: "Failed",
  lost: "Lost",
  unverified: "Nobody knows how it ended",
};
const PAGE = 6;
const EVERY = 5000; // ms between two questions for layer times

function line(print) {
  const words = [
    clock(print.started),
    print.printed_s ? duration(print.printed_s) : "",
    print.total_layers && print.result !== "printing" ? (print.result === "finished" ? `${print.layers} layers` : `${print.layers} of ${print.total_layers} layers`) : "",
    print.volume_ml ? `${Number(print.volume_ml.toFixed(1))} ml` : "",
    print.job ? "" : "from its screen",
  ].filter(Boolean);
  return h(
    "li",
    { class: "line" },
    h("div", { class: "grow" }, name(print.file || "A file without a name", { class: "name" }), h("span", { class: "quiet small" }, words.join(", ")),
      print.message && print.result !== "finished" && h("span", { class: "quiet small", dir: "auto" }, print.message)),
    h("span", { class: "result", "data-result": print.result }, RESULTS[print.result] || print.result),
  );
}

/** A drawing of [layer, seconds] up to `total` layers. */
export function drawing(points, total) {
  const high = Math.max(...points.map(([, took]) => took)) * 1.1 || 1;
  const end = Math.max(total, points.at(-1)[0]);
  const x = (layer) => ((layer / end) * WIDE).toFixed(1);
  const y = (took) => (HIGH - (took / high) * HIGH).toFixed(1);
  let path = "";
  points.forEach(([layer, took], place) => {
    const from = place ? points[place - 1][0] : Math.max(0, layer - 1);
    path += `${place ? "L" : "M"}${x(from)} ${y(took)}L${x(layer)} ${y(took)}`;
  });
  const usual = [...points].map(([, took]) => took).sort((a, b) => a - b)[points.length >> 1];
  const slowest = points.reduce((one, other) => (other[1] > one[1] ? other : one));
  const text = `Usually ${seconds(usual)}, at most ${seconds(slowest[1])} (layer ${slowest[0]}).`;
  const picture = svg("svg", { viewBox: `0 -4 ${WIDE} ${HIGH + 6}`, class: "chart", role: "img", "aria-label": `Seconds for each layer. ${text}`, preserveAspectRatio: "none" });
  for (const part of [0, 0.5, 1]) picture.append(svg("path", { d: `M0 ${HIGH * part}H${WIDE}`, class: "grid" }));
  picture.append(svg("path", { d: path, class: "curve" }));
  return { picture, text, high, end };
}

export function past(slug) {
  const list = h("ul", { class: "rows", role: "list" });
  const empty = h("p", { class: "quiet" }, "No print yet.");
  const more = h("button", { type: "button", hidden: true, onclick: () => load(next) }, "Show more");
  const element = h("div", {}, empty, list, more);
  const hint = h("p", { class: "quiet" }, "It is drawn while something is printed.");
  const chart = h("div", {}, hint);
  let next = null;
  let seen = "";
  let asked = 0;
  let layer = -1;

  const load = async (cursor = null) => {
    const parameters = new URLSearchParams({ printer: slug, limit: PAGE, ...(cursor && { cursor }) });
    const page = await ask("GET", `/v1/history?${parameters}`).catch(() => null); // the banner says it
    if (!page) return;
    const lines = page.prints.map(line);
    if (cursor) list.append(...lines);
    else list.replaceChildren(...lines);
    next = page.next;
    show(more, next);
    show(empty, !list.children.length);
  };
  const draw = async (printer) => {
    asked = Date.now();
    const pace = await ask("GET", `${printerPath(slug)}/pace`).catch(() => null);
    if (!pace || pace.points.length < 2) return;
    const { picture, text, high, end } = drawing(pace.points, printer.total_layers);
    const ends = h("span", { class: "ends" }, h("span", {}, "Layer 1"), h("span", {}, `${end}`));
    chart.replaceChildren(h("div", { class: "axes" }, h("span", {}, seconds(high)), picture, h("span", {}, "0"), ends), tell(hint, text));
  };
  return {
    element,
    chart,
    update(printer) {
      if (!store.live) return;
      const now = `${printer.print}/${printer.job?.state}/${printer.plate.revision}`;
      if (now !== seen) {
        seen = now;
        load();
      }
      if (printer.layer !== layer && Date.now() - asked > EVERY) {
        layer = printer.layer;
        draw(printer);
      }
    },
  };
}
