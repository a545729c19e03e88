// The page, composed: what stands where, who hears of what.
// One idea: the address after # says what is shown, so the back button works and a view can be kept as a bookmark;
// everything that moves on the page moves because the store or the clock did.

import { hasKey, keep } from "./api.js";
import { askKey, refresh } from "./dialogs.js";
import { h, icon, set, show, tell } from "./dom.js";
import { files } from "./files.js";
import { overview } from "./overview.js";
import { poll, retry } from "./poll.js";
import { printerView } from "./printer.js";
import { store } from "./store.js";
import { ago, clock, duration } from "./words.js";

const main = document.getElementById("main");
const said = document.getElementById("said");
const banner = document.getElementById("banner");
const site = document.getElementById("site").textContent;
const ROUTES = [
  [/^#\/printers\/([^/]+)$/, (slug) => printerView(decodeURIComponent(slug))],
  [/^#\/files$/, files],
  [/^/, overview],
];
let view = null;

const { me, updates } = JSON.parse(document.getElementById("present").textContent);
store.me = me;
if (updates) {
  store.apply(updates);
  if (hasKey()) store.cursor = ""; // the key may see more, or less
}

function route(event) {
  if (location.hash === "#main") return main.focus();
  const [pattern, make] = ROUTES.find(([pattern]) => pattern.test(location.hash));
  view?.leave();
  view = make(...pattern.exec(location.hash).slice(1));
  main.replaceChildren(view.element);
  view.update();
  for (const link of document.querySelectorAll("nav a")) {
    const own = link.getAttribute("href");
    const here = own === "#/files" ? location.hash === own : !location.hash.startsWith("#/files");
    set(link, "aria-current", here ? (location.hash === own || own === "#/" && !location.hash ? "page" : "true") : null);
  }
  if (event) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  headline();
  return undefined;
}

function headline() {
  const needing = [...store.printers.values()].filter((printer) => printer.needs).length;
  document.title = `${needing ? `(${needing}) ` : ""}${view.title()} - ${site}`;
}

// -- files that are dropped anywhere -------------------------------------------------------------------------

addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  set(document.documentElement, "data-drop", true);
});
for (const type of ["dragleave", "drop"])
  addEventListener(type, (event) => {
    if (type === "drop" || !event.relatedTarget) set(document.documentElement, "data-drop", false);
  });
addEventListener("drop", (event) => {
  const dropped = [...event.dataTransfer.files];
  if (!dropped.length) return;
  event.preventDefault();
  if (!view.drop) {
    location.hash = "#/files";
    route();
  }
  view.drop(dropped);
});

// -- the tools in the bar ------------------------------------------------------------------------------------

const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
const theme = h("button", { type: "button", class: "bare", onclick: swap });
const key = h("button", { type: "button", class: "bare", onclick: () => askKey() }, icon("key"), h("span"));
document.getElementById("tools").append(key, theme);

function swap() {
  const wanted = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = wanted;
  keep("sdcpd.theme", wanted === (dark.matches ? "dark" : "light") ? "" : wanted);
  tools();
}

function tools() {
  theme.replaceChildren(icon(isDark() ? "sun" : "moon"));
  set(theme, "aria-label", isDark() ? "Use light colours" : "Use dark colours");
  tell(key.lastChild, store.me.key ? store.me.name : "");
  set(key, "aria-label", store.me.key ? `Key: ${store.me.name}` : "Enter a key");
  set(key, "data-used", store.me.key);
}

// -- the connection ------------------------------------------------------------------------------------------

const words = h("p");
const again = h("button", { type: "button", onclick: retry }, "Try now");
const enter = h("button", { type: "button", onclick: () => askKey(store.trouble?.message) }, "Enter a key");
banner.append(words, again, enter);
show(banner, false);
let since = 0;

function link() {
  if (store.link === "lost" && store.answered && !since) tell(said, "The connection to sdcpd is lost. What is shown is old.");
  if (store.live && since && Date.now() - since > 1500) tell(said, "The connection to sdcpd is back.");
  document.documentElement.dataset.link = store.link;
  show(again, store.link === "lost");
  show(enter, store.link === "denied");
  if (store.live) since = 0;
  else if (!since) since = Date.now();
  connection();
}

function connection() {
  if (store.live || (store.link === "asleep" && Date.now() - since < 1500)) return show(banner, false);
  show(banner, true);
  if (store.link === "denied") return tell(words, store.trouble?.message || "This needs a key.");
  const old = (Date.now() - store.answered) / 1000;
  const shown = store.answered ? ` What you see is from ${clock(store.answered / 1000)}, ${ago(old)}.` : "";
  if (store.link === "asleep") return tell(words, `Asking for the present state.${shown}`);
  const wait = Math.max(0, (store.retryAt - Date.now()) / 1000);
  return tell(words, `No connection to sdcpd.${shown} ${wait > 1 ? `Trying again in ${duration(wait)}.` : "Trying again."}`);
}

// -- happenings, told to who cannot see them -----------------------------------------------------------------

const TOLD = {
  print_started: "has started to print",
  print_paused: "is paused",
  print_resumed: "goes on printing",
  print_finished: "has finished its print",
  print_stopped: "was stopped",
  print_failed: "has failed",
  print_lost: "has lost its print",
  print_unverified: "needs somebody to look at it",
  print_stalled: "has not printed a new layer for too long",
  needs_plate: "needs its plate cleared",
  job_held: "has a queued file that needs a decision",
  offline: "is out of reach",
  online: "is here again",
};

store.addEventListener("event", ({ detail }) => {
  const printer = store.printers.get(detail.printer);
  if (printer && TOLD[detail.type]) tell(said, `${printer.name} ${TOLD[detail.type]}.`);
});
store.addEventListener("change", () => {
  view.update();
  headline();
});
store.addEventListener("link", () => {
  link();
  view.tick();
});
store.addEventListener("me", tools);
store.addEventListener("resync", refresh);
setInterval(() => {
  if (document.hidden) return;
  connection();
  view.tick();
}, 1000);
addEventListener("hashchange", route);
dark.addEventListener("change", tools);

route();
tools();
link();
if (hasKey()) refresh();
poll();
