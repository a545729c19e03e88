// The stored files: send, look, print, delete.
// One idea: a file is known by its picture and by what it takes (layers, time, resin), not by its name alone.

import { attempt, button, complain } from "./actions.js";
import { ask, filePath } from "./api.js";
import { question } from "./dialogs.js";
import { follow, h, icon, name, tell } from "./dom.js";
import { discard, picture } from "./pictures.js";
import { startDialog } from "./start.js";
import { store } from "./store.js";
import { list as uploads, upload } from "./upload.js";
import { metadata } from "./viewer.js";
import { clock, count, duration, seconds, sentence, size } from "./words.js";

const told = (sliced) => [
  ["Machine", sliced.machine],
  ["Screen", sliced.resolution ? `${sliced.resolution.join(" × ")} pixels` : ""],
  ["Height", sliced.height ? `${Number(sliced.height.toFixed(2))} mm, layers of ${Math.round(sliced.layer_height * 1000)} µm` : ""],
  ["Light", sliced.exposure_s ? `${seconds(sliced.exposure_s)}, ${sliced.bottom_layers || 0} first layers ${seconds(sliced.bottom_exposure_s)}` : ""],
  ["Slicer", [sliced.slicer, sliced.slicer_version].filter(Boolean).join(" ")],
  ["Encrypted", sliced.encrypted ? "yes" : ""],
];

const seeing = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seeing.unobserve(target);
    target.learn();
  }
}, { rootMargin: "200px" });

function make(file) {
  const image = h("img", { alt: "" });
  const facts = h("p", { class: "quiet small" });
  const list = h("dl", { class: "facts" });
  const element = h(
    "li",
    { class: "card file-card" },
    h("div", { class: "pane" }, image),
    h(
      "div",
      { class: "body" },
      h("h2", {}, name(file.name)),
      facts,
      h("p", { class: "quiet small" }, `${size(file.size)}, ${file.format} ${file.version}, stored ${clock(file.uploaded_at)}`),
      h("details", {}, h("summary", {}, "Details"), list, h("a", { href: `.${filePath(file.name)}`, download: "" }, "Download")),
      h(
        "div",
        { class: "row" },
        button("Print on ...", { scope: "control", title: `Print on ... ${file.name}`, run: () => startDialog({ file: file.name }) }),
        button("", { scope: "queue", kind: "bare", drawing: "plus", title: `Queue ${file.name}`, run: () => startDialog({ file: file.name, wait: true }) }),
        button("", {
          scope: "upload",
          kind: "bare",
          drawing: "trash",
          title: `Delete ${file.name}`,
          why: () => (store.me.printers ? "This key is for some printers only, and files are for all." : null),
          run: async () => {
            if (await question("Delete this file?", [name(file.name), ` (${size(file.size)}) is deleted from this machine.`], "Delete the file", { danger: true }))
              await attempt(() => ask("DELETE", filePath(file.name)));
          },
        }),
      ),
    ),
  );
  element.learn = async () => {
    const found = await metadata(file.md5);
    const sliced = found?.sliced;
    if (sliced?.thumbnails.length) picture(image, `/v1/files/${file.md5}/thumbnail.png?size=290`);
    if (!sliced) return tell(facts, found?.problem || "");
    const words = [`${sliced.layer_count} layers`, sliced.print_time_s && duration(sliced.print_time_s), sliced.volume_ml && `${Number(sliced.volume_ml.toFixed(1))} ml`];
    tell(facts, words.filter(Boolean).join(", "));
    return list.replaceChildren(...told(sliced).filter(([, text]) => text).map(([label, text]) => h("div", {}, h("dt", {}, label), h("dd", {}, name(text)))));
  };
  seeing.observe(element);
  return element;
}

/** The view: { element, title, update, tick, leave }. */
export function files() {
  const input = h("input", { type: "file", multiple: true, accept: ".goo,.ctb", hidden: true });
  const printers = h("select", { id: "for" });
  const choose = button("Choose files", { scope: "upload", kind: "primary", drawing: "upload", run: () => input.click() });
  const lead = h("p", { class: "lead" });
  const list = h("ul", { class: "cards", role: "list" });
  const box = h("div", { class: "drop" }, h("p", {}, icon("upload"), " Drop .goo or .ctb files anywhere on this page."), h("div", { class: "row" }, h("label", { for: "for" }, "For"), printers, choose, input));
  const element = h("div", { class: "files" }, h("div", { class: "headline" }, h("h1", {}, "Files"), lead), box, uploads, list);
  input.addEventListener("change", () => {
    upload(input.files, printers.value).catch(complain);
    input.value = "";
  });
  const load = async () => {
    const found = (await ask("GET", "/v1/files").catch(() => null))?.reverse();
    if (!found) return; // the banner says it
    const before = [...list.children];
    follow(list, found, (file) => `${file.md5}/${file.name}`, make, () => {});
    for (const gone of before) if (!gone.isConnected) discard(gone);
    tell(lead, found.length ? `${sentence(count(found.length, "file", "files"))}, ${size(found.reduce((sum, file) => sum + file.size, 0))}` : "No file is stored yet.");
  };
  const changed = () => load();
  store.addEventListener("files", changed);
  load();
  return {
    element,
    title: () => "Files",
    update() {
      const options = [["", "any printer"], ...[...store.printers.values()].map((printer) => [printer.id, printer.name])];
      if (printers.dataset.known === String(options)) return;
      printers.dataset.known = String(options);
      const chosen = printers.value;
      printers.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
      printers.value = chosen;
    },
    tick() {},
    leave() {
      store.removeEventListener("files", changed);
      discard(element);
    },
    drop: (dropped) => upload(dropped, printers.value),
  };
}
