/**
 * Light and dark: as the system has it, until the button says otherwise.
 */

import { byId, icon } from "./dom.js";

const CHOSEN = "anybind-theme"; // in the browser's storage

/** @param {() => void} changed called after the colours changed */
export function startTheme(changed) {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () =>
    (localStorage.getItem(CHOSEN) ?? (system.matches ? "dark" : "light")) === "dark";
  const show = () => {
    const chosen = localStorage.getItem(CHOSEN);
    if (chosen) document.documentElement.dataset.theme = chosen;
    button.replaceChildren(icon(isDark() ? "sun" : "moon"));
    button.setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
    changed();
  };
  button.addEventListener("click", () => {
    localStorage.setItem(CHOSEN, isDark() ? "light" : "dark");
    show();
  });
  system.addEventListener("change", show);
  show();
}
