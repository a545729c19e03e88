// Files on their way to the daemon.
// One idea: an upload goes on while another view is shown, one at a time, and its end is the daemon's own verdict.

import { at, filePath, headers, Refused } from "./api.js";
import { askKey } from "./dialogs.js";
import { h, icon, name, tell } from "./dom.js";
import { startDialog, verdict } from "./start.js";
import { hindrance } from "./store.js";
import { duration, size } from "./words.js";

export const list = h("ul", { class: "rows uploads", role: "list", "aria-label": "Uploads" });
const waiting = [];
let running = null;

addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault();
});

/** Send these files, after those that are on their way; for one printer, if it is named. */
export async function upload(files, slug = "") {
  const chosen = [...files]; // The browser empties its list while the key is asked for.
  const against = hindrance("upload");
  if (against?.key && !(await askKey(against.why))) return;
  for (const file of chosen) waiting.push(line(file, slug));
  if (!running) next();
}

function line(file, slug) {
  const row = h("li", { class: "line upload" });
  const words = h("p", { class: "quiet small", role: "status" }, "Waits");
  const bar = h("progress", { max: 100, value: 0, "aria-label": `Upload of ${file.name}` });
  const rest = h("div", { class: "verdict" });
  const cancel = h("button", { type: "button", class: "bare", "aria-label": `Cancel the upload of ${file.name}`, onclick: () => one.stop() }, icon("cross"));
  row.append(h("div", { class: "grow" }, name(file.name, { class: "name" }), words, bar, rest), cancel);
  const one = {
    file,
    slug,
    stopped: false,
    say: (text) => tell(words, text),
    bar,
    stop() {
      one.stopped = true;
      one.request?.abort();
      if (one.over || !one.request) row.remove();
    },
    end(text, ...more) {
      one.over = true;
      tell(words, text);
      bar.remove();
      rest.append(...more);
      cancel.setAttribute("aria-label", `Close the line about ${file.name}`);
    },
  };
  list.prepend(row);
  return one;
}

async function next() {
  running = waiting.shift() || null;
  if (!running) return;
  if (!running.stopped) await send(running);
  next();
}

/** The body goes out by XMLHttpRequest, the only one that tells how far it is. */
function transfer(one) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    one.request = request;
    const began = performance.now();
    request.open("PUT", at(`${filePath(one.file.name)}${one.slug ? `?printer=${encodeURIComponent(one.slug)}` : ""}`));
    for (const [header, value] of Object.entries(headers({ "Content-Type": "application/octet-stream" }))) request.setRequestHeader(header, value);
    request.upload.onprogress = ({ loaded, total }) => {
      const speed = loaded / Math.max(0.2, (performance.now() - began) / 1000);
      one.bar.value = (100 * loaded) / total;
      one.say(loaded === total ? "Sent; it is looked at." : `${size(loaded)} of ${size(total)}, ${size(speed)}/s, ${duration((total - loaded) / speed)} left`);
    };
    request.onload = () => {
      let answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch { /* not the daemon's words */ }
      if (request.status === 201) resolve(answer);
      else reject(new Refused(request.status, answer?.error || {}));
    };
    request.onerror = () => reject(new TypeError("no answer"));
    request.onabort = () => resolve(null);
    request.send(one.file);
  });
}

async function send(one, again = true) {
  try {
    const answer = await transfer(one);
    if (!answer) return one.end("Cancelled.");
    const { file, sliced, warnings } = answer;
    const facts = [sliced?.machine, sliced?.layer_count && `${sliced.layer_count} layers`, sliced?.print_time_s && duration(sliced.print_time_s)].filter(Boolean);
    return one.end(
      `Stored, ${size(file.size)}. ${facts.join(", ")}`,
      ...warnings.map((text) => h("p", { class: "warning", dir: "auto" }, text)),
      h("button", { type: "button", onclick: () => startDialog({ file: file.name, slug: one.slug || null }) }, "Print on ..."),
    );
  } catch (error) {
    if (!(error instanceof Refused)) return one.end("The connection broke. What had arrived is not kept; send it again.");
    if (again && error.wantsKey && (await askKey(error.message))) return send(one, false);
    return one.end("Refused.", ...verdict(error));
  }
}
