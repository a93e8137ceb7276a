/**
 * What can be done with a picture: a small menu beside it, and a closer look.
 */

import { byId, el, icon } from "./dom.js";

const EDGE = 10; // pixels between the menu and the window's edge
const SHOWN = ["id", "key", "url", "image_path", "path", "width", "height", "duration", "n_points"];

/** @typedef {{label: string, icon: string, act: () => void}} Choice */

/**
 * Open the menu at an element; it takes the focus and gives it back.
 * @param {HTMLElement} anchor
 * @param {Choice[]} choices
 */
export function openMenu(anchor, choices) {
  const menu = byId("menu");
  const buttons = choices.map(({ label, icon: name, act }) => {
    const button = el(
      "button",
      { type: "button", role: "menuitem", tabindex: -1 },
      icon(name),
      label,
    );
    button.addEventListener("click", () => {
      close();
      act();
    });
    return button;
  });
  const gone = new AbortController();
  const close = () => {
    gone.abort();
    menu.hidden = true;
    anchor.setAttribute("aria-expanded", "false");
    if (menu.contains(document.activeElement) || document.activeElement === document.body)
      anchor.focus({ preventScroll: true });
  };
  menu.replaceChildren(...buttons);
  menu.hidden = false;
  anchor.setAttribute("aria-expanded", "true");
  const at = anchor.getBoundingClientRect();
  const limit = (
    /** @type {number} */ place,
    /** @type {number} */ size,
    /** @type {number} */ room,
  ) => Math.max(EDGE, Math.min(place, room - size - EDGE));
  menu.style.left = `${limit(at.left + 12, menu.offsetWidth, innerWidth)}px`;
  const below = at.top + Math.min(at.height, at.width) * 0.7;
  menu.style.top = `${limit(below, menu.offsetHeight, innerHeight)}px`;
  buttons[0].focus({ preventScroll: true });

  const { signal } = gone;
  menu.addEventListener(
    "keydown",
    (/** @type {KeyboardEvent} */ event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape" || event.key === "Tab") close();
      else if (step)
        buttons.at((buttons.indexOf(document.activeElement) + step) % buttons.length).focus();
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
    { signal },
  );
  addEventListener(
    "pointerdown",
    (event) => event.target instanceof Node && !menu.contains(event.target) && close(),
    { signal, capture: true },
  );
  const top = scrollY;
  addEventListener("scroll", () => Math.abs(scrollY - top) > EDGE && close(), { signal });
  addEventListener("resize", close, { signal });
}

/**
 * Show an item as large as the window has room.
 * @param {object} options
 * @param {() => Promise<string>} options.picture its address
 * @param {() => Promise<Record<string, unknown>>} options.item what the index knows of it
 * @param {string} options.caption
 * @param {string} options.modality of the index
 * @param {Choice[]} options.choices
 */
export async function openViewer({ picture, item, caption, modality, choices }) {
  const dialog = byId("viewer");
  const frame = el("div", { class: "frame" }, icon(modality));
  const facts = el("dl", {});
  const buttons = choices.map(({ label, act }) => {
    const button = el("button", { type: "button", class: "pill", text: label });
    button.addEventListener("click", () => {
      dialog.close();
      act();
    });
    return button;
  });
  const away = el(
    "button",
    { type: "button", class: "round close", "aria-label": "Close", onclick: () => dialog.close() },
    icon("close"),
  );
  const about = el(
    "div",
    { class: "about-item" },
    el("h2", { text: caption }),
    facts,
    el("div", { class: "actions" }, ...buttons),
  );
  dialog.replaceChildren(el("div", { class: "view" }, frame, about), away);
  dialog.onclick = (/** @type {MouseEvent} */ event) => event.target === dialog && dialog.close();
  dialog.showModal();
  const image = el("img", { alt: caption });
  image.addEventListener("load", () => frame.replaceChildren(image));
  const [address, known] = await Promise.allSettled([picture(), item()]);
  if (address.status === "fulfilled") image.src = address.value;
  if (known.status === "rejected")
    facts.replaceWith(el("p", { text: String(known.reason.message) }));
  else facts.append(...SHOWN.flatMap((name) => row(name, known.value[name])));
}

/** @param {string} name @param {unknown} value @returns {Node[]} */
function row(name, value) {
  if (value === null || value === undefined) return [];
  const link = name === "url" && /^https?:\/\//i.test(String(value));
  const shown = link
    ? el("a", { href: value, rel: "noreferrer noopener", target: "_blank", text: value })
    : String(value);
  return [el("dt", { text: name.replace("_", " ") }), el("dd", {}, shown)];
}
