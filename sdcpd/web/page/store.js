// The present, as far as this page knows it, and how old that is.
// One idea: what was heard is never newer than the answer that told it; views ask for ages and get them from the clock.

import { hasKey } from "./api.js";

const FRESH = 15; // seconds: a printer that is online was heard of within them

class Store extends EventTarget {
  printers = new Map();
  me = { name: "", key: false, scopes: [], printers: null };
  cursor = "";
  /** "live", "lost" (no answer), "denied" (no right to look) or "asleep". */
  link = "lost";
  /** When the last answer came, by this browser's clock, in ms. */
  answered = 0;
  trouble = null;
  retryAt = 0;

  get live() {
    return this.link === "live";
  }

  /** Take over an answer of the long poll. */
  apply(update) {
    this.answered = Date.now();
    if (update.resync) this.printers.clear();
    for (const [slug, printer] of Object.entries(update.printers)) {
      printer.got = this.answered;
      this.printers.set(slug, printer);
    }
    for (const slug of update.removed) this.printers.delete(slug);
    this.cursor = update.cursor;
    const first = update.resync;
    this.connect("live");
    this.tell("change");
    if (!first) for (const event of update.events) this.dispatchEvent(new CustomEvent("event", { detail: event }));
    if (first || update.events.some((event) => event.type.startsWith("file_"))) this.tell("files");
    if (first) this.tell("resync");
  }

  connect(link, trouble = null) {
    const changed = link !== this.link;
    this.link = link;
    this.trouble = trouble;
    if (changed || trouble) this.tell("link");
  }

  become(me) {
    this.me = me;
    this.tell("me");
    this.tell("change");
  }

  tell(type) {
    this.dispatchEvent(new Event(type));
  }

  /** Seconds since this printer was surely heard of; null if never. */
  age(printer) {
    if (printer.last_update === null) return null;
    const since = (Date.now() - printer.got) / 1000;
    const own = (printer.age_s ?? 0) + since;
    if (!printer.online) return own;
    // Silence would have been told: at the last answer it was not older than FRESH.
    return Math.min(own, FRESH + (Date.now() - this.answered) / 1000);
  }

  /** When its print ends, in seconds since 1970 by this browser's clock; null if nobody knows. */
  end(printer) {
    return printer.eta_s === null ? null : printer.got / 1000 + printer.eta_s;
  }

  /** Seconds left, counted down since the printer told. */
  left(printer) {
    const end = this.end(printer);
    if (end === null) return null;
    return printer.phase === "PAUSED" ? printer.eta_s : Math.max(0, end - Date.now() / 1000);
  }
}

export const store = new Store();

/** What keeps a person from doing something: null, or a sentence; "key" asks for one. */
export function hindrance(scope, slug = null) {
  if (!store.live) return { why: "There is no connection to sdcpd just now." };
  const { me } = store;
  if (!me.scopes.includes(scope)) {
    if (!me.key && hasKey()) return null; // the page has just begun, and the daemon has not said yet whose key it is
    if (!me.key) return { why: `This needs a key with the scope ${scope}.`, key: true };
    return { why: `The key ${me.name} may not do this: it lacks the scope ${scope}.` };
  }
  if (me.printers && slug && !me.printers.includes(slug)) return { why: `The key ${me.name} is for other printers.` };
  return null;
}
