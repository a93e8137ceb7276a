/**
 * Elements without markup: what comes from files or the server is only ever set as text.
 */

const SVG = "http://www.w3.org/2000/svg";

/** Paths on a grid of 24, drawn with a round pen. */
const ICONS = {
  add: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  clip: "M20 11.5 12.3 19.2a5 5 0 0 1-7.1-7.1l8-8a3.3 3.3 0 0 1 4.7 4.7l-8 8a1.7 1.7 0 0 1-2.4-2.4l7.3-7.3",
  record:
    "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21M9 21h6",
  search: "M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM16.2 16.2 20.5 20.5",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  close: "M6 6l12 12M18 6 6 18",
  open: "M9 4H5a1 1 0 0 0-1 1v4M15 4h4a1 1 0 0 1 1 1v4M9 20H5a1 1 0 0 1-1-1v-4M15 20h4a1 1 0 0 0 1-1v-4",
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8.5 6v12M15.5 6v12",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  moon: "M20 14.2A8.2 8.2 0 0 1 9.8 4 8.2 8.2 0 1 0 20 14.2z",
  image:
    "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM4 16l5-5 5 5 2.5-2.5L20 17M15 8.5h.01",
  text: "M5 6h14M12 6v13M9 19h6",
  audio: "M4 10v4M8 6.5v11M12 4v16M16 8v8M20 10.5v3",
  video:
    "M4 6h11a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1zM16 10.5l5-3v9l-5-3",
  points: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM12 12l8-4.5M12 12v9M12 12 4 7.5",
  depth: "M4 18 12 21l8-3M4 12l8 3 8-3M12 3 4 6l8 3 8-3z",
  thermal: "M14 14.5V5a2 2 0 0 0-4 0v9.5a4 4 0 1 0 4 0zM12 9v8",
  imu: "M2.5 12h4l3-7 5 14 3-7h4",
};

/**
 * @typedef {Record<string, unknown>} Props attributes; `class`, `text`, `on*` and `hidden` are
 *   what they say
 * @param {string} tag
 * @param {Props} [props]
 * @param {...(Node | string | null)} children
 * @returns {any} the element
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "text") node.textContent = String(value ?? "");
    else if (name === "hidden") node.hidden = Boolean(value);
    else if (name.startsWith("on"))
      node.addEventListener(name.slice(2), /** @type {any} */ (value));
    else if (value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/**
 * @param {string} name of ICONS; an unknown one is drawn as a picture
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name] ?? ICONS.image);
  svg.append(path);
  return svg;
}

/**
 * @param {string} id of an element that the page has
 * @returns {any}
 */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`the page has no element ${id}`);
  return node;
}

/** Whether the person asked for less motion. */
export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/**
 * A canvas as large as it is shown, in the pixels of the screen.
 * @param {HTMLCanvasElement} canvas
 * @returns {{context: CanvasRenderingContext2D, width: number, height: number, color: string}}
 */
export function sized(canvas) {
  const scale = Math.min(devicePixelRatio || 1, 2);
  const width = Math.max(1, Math.round(canvas.clientWidth * scale));
  const height = Math.max(1, Math.round(canvas.clientHeight * scale));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  return { context, width, height, color: getComputedStyle(canvas).color };
}

/** Draw on a canvas now and whenever its size on the page changes.
 * @param {HTMLCanvasElement} canvas
 * @param {() => void} draw
 */
export function drawn(canvas, draw) {
  new ResizeObserver(() => {
    if (canvas.isConnected && canvas.clientWidth) draw();
  }).observe(canvas);
}

/** Fill of a slider's track, from its zero to its thumb.
 * @param {HTMLInputElement} range
 */
export function fill(range) {
  const [low, high, value] = [range.min, range.max, range.value].map(Number);
  const place = (x) => ((x - low) / (high - low)) * 100;
  const ends = [place(Math.max(low, Math.min(high, 0))), place(value)].sort((a, b) => a - b);
  range.style.setProperty("--from", `${ends[0]}%`);
  range.style.setProperty("--to", `${ends[1]}%`);
}

/** @param {number} value @returns {string} with its sign and two decimals */
export function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}
