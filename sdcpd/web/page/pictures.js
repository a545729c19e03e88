// Pictures from the daemon, in <img> elements.
// One idea: a picture is asked for only when it is another one than the one shown and somebody can see it; it is
// fetched with the key in a header, never two at a time for one place, and its memory is given back.

import { at, headers } from "./api.js";

const LEAST = 300; // ms between two pictures of one place
const LATER = 3000; // ms until one that could not be had is asked for again
const places = new WeakMap();

const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const place = places.get(entry.target);
      place.seen = entry.isIntersecting;
      place.look();
    }
  },
  { rootMargin: "120px" },
);
const living = new Set();
document.addEventListener("visibilitychange", () => {
  for (const place of living) place.look();
});

class Place {
  constructor(image) {
    this.image = image;
    this.seen = false;
    this.wanted = null; // { path, key }
    this.shown = "";
    this.etag = "";
    this.path = "";
    this.busy = false;
    this.url = "";
    this.wait = LEAST;
  }

  look() {
    if (!this.wanted || this.busy || !this.seen || document.hidden || this.wanted.key === this.shown) return;
    this.busy = true;
    this.fetch(this.wanted).finally(() => {
      setTimeout(() => {
        this.busy = false;
        this.look();
      }, this.wait);
    });
  }

  async fetch(wanted) {
    this.wait = LEAST;
    const more = this.etag && this.path === wanted.path ? { "If-None-Match": this.etag } : {};
    try {
      const answer = await fetch(at(wanted.path), { headers: headers(more), cache: "default" });
      if (this.wanted?.path !== wanted.path) return; // another file meanwhile
      if (answer.ok) {
        this.etag = answer.headers.get("ETag") || "";
        this.path = wanted.path;
        await this.put(await answer.blob());
      } else if (answer.status !== 304) {
        this.empty();
        if (answer.status === 503) return void (this.wait = LATER); // too many at once
      }
      this.shown = wanted.key;
    } catch {
      this.wait = LATER; // no connection: what is shown stays, and the banner says how old it is
    }
  }

  async put(blob) {
    const old = this.url;
    this.url = URL.createObjectURL(blob);
    this.image.src = this.url;
    await this.image.decode().catch(() => {});
    this.image.classList.add("loaded");
    if (old) URL.revokeObjectURL(old);
  }

  empty() {
    this.image.classList.remove("loaded");
    this.image.removeAttribute("src");
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = this.etag = this.path = "";
  }
}

/** Show the picture at `path` in an <img>; `key` changes when it may have become another one. Null shows none. */
export function picture(image, path, key = path) {
  let place = places.get(image);
  if (!place) {
    place = new Place(image);
    places.set(image, place);
    living.add(place);
    watcher.observe(image);
  }
  if (path === null) {
    place.wanted = null;
    place.shown = "";
    place.empty();
    return;
  }
  place.wanted = { path, key };
  place.look();
}

/** Give back what pictures inside this element hold; it will not be shown again. */
export function discard(element) {
  for (const image of element.querySelectorAll("img")) {
    const place = places.get(image);
    if (!place) continue;
    place.wanted = null;
    place.empty();
    living.delete(place);
    watcher.unobserve(image);
    places.delete(image);
  }
}

/** A width for a picture of so many CSS pixels: few different ones, so that they are made once for all who look. */
export function width(pixels) {
  const real = pixels * Math.min(devicePixelRatio || 1, 2);
  return [240, 480, 960, 1440].find((step) => step >= real) || 1440;
}
