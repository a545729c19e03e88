// The files (to come).
import { h } from "./dom.js";
export function files() { return { element: h("h1", {}, "Files"), title: () => "Files", update() {}, tick() {}, leave() {} }; }
