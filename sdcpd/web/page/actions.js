// Buttons that do something on the daemon.
// One idea: a button that cannot work stays where it is and says why; one that only lacks a key asks for it, then goes on.

import { Refused } from "./api.js";
import { askKey, note } from "./dialogs.js";
import { h, icon, set } from "./dom.js";
import { hindrance, store } from "./store.js";

const buttons = new Set();

/**
 * A button. `scope` is what it needs, `slug` the printer that it is about, `run` what it does; what `run` throws is
 * told. `why` may give a sentence that forbids it for another reason.
 */
export function button(label, { run, scope, slug = null, kind = "", drawing = null, title = null, why = () => null }) {
  const element = h("button", { type: "button", class: kind, "aria-label": title }, drawing && icon(drawing), h("span", {}, label));
  element.judge = () => hindrance(scope, slug) || (why() ? { why: why() } : null);
  element.addEventListener("click", () => press(element, run));
  buttons.add(new WeakRef(element));
  judge(element);
  return element;
}

function judge(element) {
  const against = element.judge();
  set(element, "aria-disabled", against && !against.key ? "true" : null);
  set(element, "title", against ? against.why : null);
}

function judgeAll() {
  for (const reference of buttons) {
    const element = reference.deref();
    if (element) judge(element);
    else buttons.delete(reference);
  }
}

async function press(element, run) {
  if (element.getAttribute("aria-busy")) return;
  const against = element.judge();
  if (against?.key) {
    if (!(await askKey(against.why))) return;
    const still = element.judge();
    if (still) return note(still.why, { bad: true });
  } else if (against) {
    return note(against.why, { bad: true });
  }
  set(element, "aria-busy", "true");
  await attempt(run);
  set(element, "aria-busy", null);
}

/** Do something; a refusal is told, and one that another key could lift asks for it and tries once more. */
export async function attempt(run) {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof Refused && error.wantsKey)) return complain(error);
    if (!(await askKey(error.message))) return undefined;
  }
  try {
    return await run();
  } catch (error) {
    return complain(error);
  }
}

/** Say what went wrong, as the daemon said it. */
export function complain(error) {
  if (error instanceof Refused) note(error.message, { bad: true, hint: error.hint });
  else if (error instanceof TypeError) note("sdcpd did not answer. It may or may not have been done; look before you try again.", { bad: true });
  else throw error;
  return undefined;
}

store.addEventListener("change", judgeAll);
store.addEventListener("link", judgeAll);
