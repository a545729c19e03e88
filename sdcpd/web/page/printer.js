// One printer (to come).
import { h } from "./dom.js";
export function printerView(slug) { return { element: h("h1", {}, slug), title: () => slug, update() {}, tick() {}, leave() {} }; }
