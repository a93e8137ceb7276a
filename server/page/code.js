/**
 * The panel with the same query as code: a tab for each language, and a button that copies.
 */

import { byId, el } from "./dom.js";
import { SNIPPETS } from "./snippets.js";

const COPIED = 1600; // milliseconds for which the button says so

/** @param {() => void} changed called when another language was chosen */
export function startCode(changed) {
  const tabs = Object.keys(SNIPPETS).map((name, i) =>
    el("button", {
      type: "button",
      role: "tab",
      id: `tab-${name}`,
      "aria-selected": i === 0,
      "aria-controls": "snippet-panel",
      tabindex: i ? -1 : 0,
      text: name,
    }),
  );
  const choose = (/** @type {HTMLElement} */ chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    byId("snippet-panel").setAttribute("aria-labelledby", chosen.id);
    changed();
  };
  for (const [i, tab] of tabs.entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs.at((i + step) % tabs.length);
      choose(next);
      next.focus();
    });
  }
  byId("tabs").replaceChildren(...tabs);
  const copy = byId("copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(byId("snippet").textContent ?? "");
      copy.textContent = "Copied";
    } catch {
      getSelection()?.selectAllChildren(byId("snippet")); // where the clipboard is not lent
    }
    setTimeout(() => (copy.textContent = "Copy"), COPIED);
  });
}

/** @param {import("./snippets.js").Query} query */
export function showCode(query) {
  const chosen = byId("tabs").querySelector('[aria-selected="true"]').textContent;
  byId("snippet").textContent = SNIPPETS[chosen](query);
}
