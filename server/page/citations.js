/**
 * The pictures that a query was blended with, each with what it counted.
 */

import { el, icon } from "./dom.js";

const THUMBNAIL = 128; // pixels

/**
 * @param {HTMLElement} list
 * @param {import("./api.js").Result[]} citations best first
 * @param {(id: number, size: number) => Promise<string>} picture
 * @param {(citation: import("./api.js").Result, button: HTMLElement) => void} chosen
 */
export function showCitations(list, citations, picture, chosen) {
  const most = Math.max(...citations.map(({ weight }) => weight ?? 0), 1e-9);
  list.replaceChildren(
    ...citations.map((citation) => {
      const weight = citation.weight ?? 0;
      const name = citation.caption || citation.key;
      const frame = el("span", { class: "frame" }, icon("image"));
      const bar = el("span", { class: "bar" });
      bar.style.width = `${(100 * Math.max(weight, 0)) / most}%`;
      const label = `${name}, weight ${weight.toFixed(2)}`;
      const button = el(
        "button",
        {
          type: "button",
          class: "citation",
          title: name,
          "aria-label": label,
          "aria-haspopup": "menu",
        },
        frame,
        bar,
        weight.toFixed(2),
      );
      button.addEventListener("click", () => chosen(citation, button));
      picture(citation.id, THUMBNAIL).then(
        (address) => frame.replaceChildren(el("img", { src: address, alt: "", loading: "lazy" })),
        () => {}, // the icon stays
      );
      return el("li", {}, button);
    }),
  );
}
