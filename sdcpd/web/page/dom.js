// Elements made from values.
// One idea: what comes from outside is only ever set as text or as a property, so no name can become markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. Attributes whose name begins with "on" are listeners; true, false and null are as in HTML. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else set(element, name, value);
  }
  add(element, children);
  return element;
}

/** The same for drawings. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(3)) if (child !== null && child !== undefined && child !== false) element.append(child);
}

/** Set, change or take away an attribute; touches nothing that is so already. */
export function set(element, name, value) {
  if (value === false || value === null || value === undefined) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** Change a text, if it is another one: screen readers and selections notice every change. */
export function tell(element, text) {
  const wanted = text === null || text === undefined ? "" : String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
  return element;
}

/** A name from outside, in the direction of its own letters and without power over what stands around it. */
export function name(text, attributes = {}) {
  return h("bdi", attributes, text ?? "");
}

/** Show what is wanted and hide the rest. */
export function show(element, wanted) {
  set(element, "hidden", !wanted);
  return element;
}

/** Make a parent's children follow a list: each key keeps its element, and the focus stays where it is. */
export function follow(parent, items, keyOf, make, update) {
  const known = new Map([...parent.children].map((child) => [child.key, child]));
  const focused = document.activeElement;
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let element = known.get(key);
    if (element) known.delete(key);
    else {
      element = make(item);
      element.key = key;
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
    update(element, item);
  }
  for (const gone of known.values()) gone.remove();
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

const ICONS = {
  key: "M8 11a4 4 0 1 0 0 8 4 4 0 0 0 0-8z M11 12l9-9 M16 7l3 3",
  sun: "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10z M12 2v2 M12 20v2 M2 12h2 M20 12h2 M5 5l1.4 1.4 M17.6 17.6 19 19 M5 19l1.4-1.4 M17.6 6.4 19 5",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  pause: "M8 5v14 M16 5v14",
  play: "M7 4.5v15l12-7.5z",
  stop: "M6 6h12v12H6z",
  check: "M4 12.5 9.5 18 20 6.5",
  up: "M12 19V5 M6 11l6-6 6 6",
  down: "M12 5v14 M6 13l6 6 6-6",
  cross: "M6 6l12 12 M18 6 6 18",
  upload: "M12 16V4 M6.5 9.5 12 4l5.5 5.5 M4 20h16",
  plus: "M12 5v14 M5 12h14",
  trash: "M4 7h16 M9 7V4h6v3 M6 7l1 13h10l1-13",
  back: "M19 12H5 M11 6l-6 6 6 6",
};

/** A line drawing, for the eye only: the words beside it say the same. */
export function icon(which) {
  const drawing = svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" });
  drawing.append(svg("path", { d: ICONS[which] }));
  return drawing;
}
