// The daemon's API, as this page asks it.
// One idea: the key lives in this browser only, goes out in a header and never into an address.

const PLACE = "sdcpd.key";
let key = read(PLACE);

function read(place) {
  try {
    return localStorage.getItem(place) || "";
  } catch {
    return ""; // storage is switched off: the key is good until the page is left
  }
}

export function keep(place, text) {
  try {
    if (text) localStorage.setItem(place, text);
    else localStorage.removeItem(place);
  } catch { /* as above */ }
}

export const hasKey = () => key !== "";

/** An address of the daemon as seen from this page, which may stand behind a prefix. */
export const at = (path) => `.${path}`;

/** Use this key from now on; an empty one is none. */
export function useKey(text) {
  key = text;
  keep(PLACE, text);
}

/** The headers of a request; the key of a trial is `trial`. */
export function headers(more = {}, trial = key) {
  return trial ? { ...more, "X-Api-Key": trial } : more;
}

/** The daemon said no, in its own words. */
export class Refused extends Error {
  constructor(status, error, headers) {
    super(error.message || `The daemon answered ${status}.`);
    this.status = status;
    this.code = error.code || "";
    this.hint = error.hint || "";
    this.error = error;
    this.after = Number(headers?.get("Retry-After")) || 0;
  }

  /** Whether another key could help. */
  get wantsKey() {
    return this.status === 401 || (this.status === 403 && this.code === "forbidden");
  }
}

/** Ask; gives the decoded JSON, or null without any. Throws Refused, or TypeError when nobody answers. */
export async function ask(method, path, body, { signal, trial } = {}) {
  const options = { method, signal, cache: "no-store", headers: headers({}, trial) };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(at(path), options);
  const json = (answer.headers.get("Content-Type") || "").startsWith("application/json");
  const document = json ? await answer.json() : null;
  if (!answer.ok) throw new Refused(answer.status, document?.error || {}, answer.headers);
  return document;
}

export const printerPath = (slug) => `/v1/printers/${encodeURIComponent(slug)}`;
export const filePath = (file) => `/v1/files/${file.split("/").map(encodeURIComponent).join("/")}`;
