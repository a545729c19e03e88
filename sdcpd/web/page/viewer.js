// The layers of the file on a printer, as pictures: the one that is printed now, or any other by the slider.
// One idea: it follows the print until somebody moves the slider, and says which of the two it does.

import { ask, filePath } from "./api.js";
import { h, icon, name, set, show, tell } from "./dom.js";
import { PRINTING } from "./overview.js";
import { picture, width } from "./pictures.js";
import { duration, seconds } from "./words.js";

const known = new Map(); // what files hold, by their MD5 or name

/** What a stored file tells of itself; null if it is not stored here. */
export async function metadata(file) {
  if (!known.has(file)) {
    const asked = ask("GET", `${filePath(file)}/metadata`).catch(() => {
      known.delete(file);
      return null;
    });
    known.set(file, asked);
    if (known.size > 300) known.delete(known.keys().next().value);
  }
  return known.get(file);
}

const round = (value, digits) => Number(value.toFixed(digits));

/** How long a layer is lit: [text] for one of the first layers, those between, or the others. */
function exposure(sliced, number) {
  const bottom = sliced.bottom_layers || 0;
  if (number <= bottom && sliced.bottom_exposure_s) return seconds(sliced.bottom_exposure_s);
  if (number <= bottom + (sliced.transition_layers || 0)) return `${seconds(sliced.exposure_s)} to ${seconds(sliced.bottom_exposure_s)}`;
  return seconds(sliced.exposure_s);
}

export function viewer() {
  const image = h("img", { alt: "" });
  const slider = h("input", { type: "range", min: 1, value: 1, "aria-label": "Layer" });
  const step = (by, label, drawing) => h("button", { type: "button", class: "bare", "aria-label": label, onclick: () => go(Number(slider.value) + by) }, icon(drawing));
  const less = step(-1, "One layer down", "down");
  const more = step(1, "One layer up", "up");
  const follow = h("button", { type: "button", onclick: () => go(0) }, "Follow the print");
  const where = h("p", { class: "where" });
  const thumb = h("img", { alt: "The slicer's picture of the file" });
  const thumbnail = h("div", { class: "pane thumb" }, thumb);
  const facts = h("dl", { class: "facts" });
  const slide = h("div", { class: "slide" }, less, slider, more);
  const none = h("p", { class: "quiet" }, "Nothing is printed now.");
  const pane = h("div", { class: "pane large" }, image, none);
  const aside = h("div", { class: "about" }, thumbnail, facts);
  const element = h("section", { class: "panel viewer", "aria-label": "Layers" }, pane, h("div", { class: "row between" }, where, follow), slide);
  let chosen = 0; // a layer, or 0 to follow
  let shown = { printer: null, file: null, sliced: null };

  const go = (number) => {
    chosen = number ? Math.max(1, Math.min(Number(slider.max), number)) : 0;
    paint();
  };
  slider.addEventListener("input", () => go(Number(slider.value)));

  const paint = () => {
    const { printer, file, sliced } = shown;
    const printing = PRINTING.has(printer.phase);
    const total = sliced?.layer_count || 0;
    const layer = chosen || (printing ? Math.max(1, printer.layer) : 0);
    const pictures = Boolean(sliced?.pictures && total);
    show(slide, pictures);
    show(follow, pictures && chosen && printing);
    const still = sliced?.thumbnails.length;
    const hidden = !printer.md5 ? "The file is not stored here, so there is no picture." : sliced && !pictures ? "Its layers cannot be shown." : "";
    tell(none, printing ? hidden : "Nothing is printed now.");
    show(none, printing ? hidden : !chosen && !still);
    show(aside, sliced);
    set(image, "data-kind", chosen || printing ? "layer" : "thumbnail");
    // Pixels of a picture are counted in whole ones of the screen, which may not be square: the bed's shape is the true one.
    const shape = sliced?.bed ? sliced.bed[0] / sliced.bed[1] : 0;
    pane.style.aspectRatio = shape >= 1 ? String(shape) : "";
    set(image, "data-fill", shape >= 1 && layer > 0);
    const pixels = width(pane.clientWidth || 480);
    if (chosen) picture(image, `${filePath(file)}/layers/${chosen}.png?width=${pixels}`);
    else if (printing) picture(image, hidden ? null : `${printer.urls.layer}?width=${pixels}`, `${printer.urls.layer}#${printer.file}/${printer.layer}`);
    else picture(image, still ? `${filePath(file)}/thumbnail.png` : null);
    picture(thumb, (chosen || printing) && still ? `${filePath(file)}/thumbnail.png?size=290` : null);
    show(thumbnail, (chosen || printing) && still);
    image.alt = layer ? `Layer ${layer}` : file ? "The slicer's picture of the file" : "";
    if (pictures) {
      slider.max = total;
      slider.value = layer || 1;
      set(slider, "aria-valuetext", `Layer ${layer || 1} of ${total}`);
    }
    tell(where, layer ? `Layer ${layer}${total ? ` of ${total}` : ""}${chosen ? "" : ", printed now"}` : file ? "The file of the last print" : "");
    if (sliced) tellFacts(sliced, layer, total, printing ? printer.layer : 0);
  };

  const tellFacts = (sliced, layer, total, done) => {
    const volume = sliced.volume_ml;
    const used = volume && total && done ? `${round((volume * done) / total, 1)} of ${round(volume, 1)} ml` : volume ? `${round(volume, 1)} ml` : "";
    const even = sliced.layer_height && total && Math.abs(sliced.layer_height * total - sliced.height) < 0.02 * sliced.height + 0.1;
    const rows = [
      ["This layer's height", layer && even ? `${round(layer * sliced.layer_height, 2)} mm` : ""],
      ["This layer's light", layer && sliced.exposure_s ? exposure(sliced, layer) : ""],
      ["Layer height", sliced.layer_height ? `${round(sliced.layer_height * 1000, 0)} µm` : ""],
      ["Height", sliced.height ? `${round(sliced.height, 2)} mm` : ""],
      ["Resin", used],
      ["Print time", sliced.print_time_s ? duration(sliced.print_time_s) : ""],
    ].filter(([, text]) => text);
    const wanted = rows.flat().join("|");
    if (facts.dataset.rows === wanted) return;
    facts.dataset.rows = wanted;
    facts.replaceChildren(...rows.map(([label, text]) => h("div", {}, h("dt", {}, label), h("dd", {}, name(text)))));
  };

  return {
    element,
    about: aside,
    update(printer) {
      const own = printer.job && printer.job.file === printer.file ? printer.job.md5 : null;
      const file = printer.md5 || own || printer.file;
      if (file !== shown.file) {
        chosen = 0;
        shown = { printer, file, sliced: null };
        if (file)
          metadata(file).then((found) => {
            if (shown.file !== file) return;
            shown.sliced = found?.sliced ?? null;
            if (!found) shown.file = printer.file === file ? file : null;
            paint();
          });
      }
      shown.printer = printer;
      paint();
    },
  };
}
