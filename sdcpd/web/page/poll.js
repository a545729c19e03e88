// One long poll for everything: started once, it never ends and never gives up.
// One idea: whatever goes wrong, it says so at once, waits 1, 2, 4 ... 30 s, and goes on where it was; a page that
// nobody sees asks nothing, and one that wakes up trusts nothing that it shows before it has an answer.

import { ask, Refused } from "./api.js";
import { store } from "./store.js";

const HOLD = 15; // seconds that the daemon holds a question
const GRACE = 6; // seconds after which a held question counts as lost
const LONGEST = 30;
const client = `page-${Math.random().toString(36).slice(2, 10)}`;

const AGAIN = "again"; // why a question was cut off, when nothing is wrong
let wake = () => {};
let cut = () => {};

/** Ask again now. */
export function retry() {
  wake();
}

/** Begin from nothing: with another key there may be other printers. */
export function restart() {
  store.cursor = "";
  cut();
  wake();
}

const pause = (seconds) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });

async function question() {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), (HOLD + GRACE) * 1000);
  cut = () => control.abort(AGAIN);
  try {
    const timeout = store.live ? HOLD : 0; // whoever was away is told at once that all is well
    const parameters = new URLSearchParams({ since: store.cursor, timeout, client });
    return await ask("GET", `/v1/updates?${parameters}`, undefined, { signal: control.signal });
  } finally {
    clearTimeout(timer);
    cut = () => {};
  }
}

export async function poll() {
  let tries = 0;
  for (;;) {
    if (document.hidden) {
      store.connect("asleep");
      await pause(1e6); // until somebody looks
      continue;
    }
    let wait = 0;
    try {
      const update = await question();
      store.apply(update);
      tries = 0;
      wait = update.retry_after;
      if (wait) away(wait); // it is about to stop, or has no room to let us wait: nothing comes by itself
    } catch (error) {
      if (error === AGAIN) continue;
      wait = trouble(error, tries);
      tries += 1;
    }
    if (wait) await pause(wait);
  }
}

function trouble(error, tries) {
  if (error instanceof Refused && error.wantsKey) {
    store.printers.clear();
    store.connect("denied", error);
    store.tell("change");
    return 60;
  }
  const wait = Math.min(LONGEST, 2 ** tries) * (0.8 + 0.4 * Math.random());
  const seconds = Math.max(wait, error.after || 0);
  away(seconds, error);
  return seconds;
}

function away(seconds, error = null) {
  store.retryAt = Date.now() + seconds * 1000;
  store.connect("lost", error);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  if (Date.now() - store.answered > 3000 && store.live) store.connect("asleep");
  cut(); // a question from before the sleep may never be answered
  wake();
});
addEventListener("online", () => wake());
addEventListener("pageshow", (event) => {
  if (event.persisted) {
    cut();
    wake();
  }
});
addEventListener("offline", () => cut());
