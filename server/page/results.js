/**
 * The wall of results: pictures in columns, best first from left to right. Tiles are kept between
 * searches, so that pictures glide to their new places when a weight changes.
 */

import { el, icon } from "./dom.js";

const GAP = 16; // pixels
const NARROW = 420; // pixels: below, two columns
const COLUMN = 164; // pixels: least width of a column above that
const LEGEND = 43; // pixels, as the style sheet has it
const TALLEST = 1.8; // height over width of a tile, at most
const FLATTEST = 0.5; // and at least
const THUMBNAIL = 256; // pixels
const WITH_PICTURES = new Set(["image", "video", "depth", "thermal"]);

/**
 * @typedef {import("./api.js").Result} Result
 * @typedef {{picture: (id: number, size: number) => Promise<string>, chosen: (result: Result,
 *   tile: HTMLElement) => void}} Hooks
 */
export class Wall {
  /** @param {HTMLElement} list @param {Hooks} hooks */
  constructor(list, hooks) {
    this.list = list;
    this.hooks = hooks;
    this.modality = "image";
    /** @type {Result[]} */
    this.results = [];
    /** @type {Map<number, Tile>} by id */
    this.tiles = new Map();
    new ResizeObserver(() => this.arrange()).observe(list);
    list.addEventListener("keydown", (event) => this.move(event));
  }

  /** @param {Result[]} results @param {string} modality of the index */
  show(results, modality) {
    if (modality !== this.modality) this.clear();
    this.modality = modality;
    const focused = document.activeElement;
    const held = focused instanceof HTMLElement && this.list.contains(focused);
    const kept = new Set(results.map(({ id }) => id));
    for (const [id, tile] of this.tiles) {
      if (kept.has(id)) continue;
      tile.node.remove();
      this.tiles.delete(id);
    }
    this.results = results;
    results.forEach((result, i) => {
      let tile = this.tiles.get(result.id);
      if (!tile) this.tiles.set(result.id, (tile = new Tile(result, modality, this.hooks)));
      tile.update(result, i);
      if (this.list.children[i] !== tile.node)
        this.list.insertBefore(tile.node, this.list.children[i] ?? null);
    });
    this.arrange();
    if (!held) return;
    if (focused.isConnected) focused.focus({ preventScroll: true });
    else this.tiles.get(results[0]?.id)?.button.focus();
  }

  clear() {
    for (const tile of this.tiles.values()) tile.node.remove();
    this.tiles.clear();
    this.results = [];
    this.list.style.height = "0";
  }

  /** Each tile goes to the column that is shortest so far. */
  arrange() {
    const width = this.list.clientWidth;
    if (!width) return;
    const count = width < NARROW ? 2 : Math.floor((width + GAP) / (COLUMN + GAP));
    const side = (width - GAP * (count - 1)) / count;
    const ends = new Array(count).fill(0);
    for (const { id } of this.results) {
      const tile = this.tiles.get(id);
      const column = ends.indexOf(Math.min(...ends));
      tile?.place(column * (side + GAP), ends[column], side);
      ends[column] += side * (tile?.ratio ?? 1) + LEGEND + GAP;
    }
    this.list.style.height = `${Math.max(...ends)}px`;
  }

  /** Arrow keys go to the nearest tile in their direction. @param {KeyboardEvent} event */
  move(event) {
    const from = [...this.tiles.values()].find(({ button }) => button === document.activeElement);
    const places = this.results.map(({ id }) => /** @type {Tile} */ (this.tiles.get(id)));
    const next = from && neighbour(from, places, event.key);
    if (!next) return;
    event.preventDefault();
    from.button.tabIndex = -1;
    next.button.tabIndex = 0;
    next.button.focus();
  }
}

/**
 * @param {Tile} from
 * @param {Tile[]} tiles in their order
 * @param {string} key
 * @returns {Tile | undefined}
 */
function neighbour(from, tiles, key) {
  const at = tiles.indexOf(from);
  if (key === "Home") return tiles[0];
  if (key === "End") return tiles.at(-1);
  if (key === "ArrowLeft") return tiles[at - 1];
  if (key === "ArrowRight") return tiles[at + 1];
  const down = { ArrowDown: 1, ArrowUp: -1 }[key];
  if (!down) return undefined;
  const column = tiles.filter(({ x }) => Math.abs(x - from.x) < 1);
  return column[column.indexOf(from) + down];
}

class Tile {
  /** @param {Result} result @param {string} modality @param {Hooks} hooks */
  constructor(result, modality, hooks) {
    this.result = result;
    this.x = 0;
    const shape = (result.height ?? 1) / (result.width ?? 1);
    this.ratio = WITH_PICTURES.has(modality) ? Math.min(TALLEST, Math.max(FLATTEST, shape)) : 0.75;
    this.frame = el("span", { class: "frame" }, icon(modality));
    this.caption = el("span", { class: "caption" });
    this.score = el("span", { class: "score", title: "Cosine similarity" });
    this.button = el(
      "button",
      { type: "button", "aria-haspopup": "menu", "aria-expanded": "false" },
      this.frame,
      el("span", { class: "legend" }, this.caption, this.score),
    );
    this.button.addEventListener("click", () => hooks.chosen(this.result, this.button));
    this.node = el("li", { class: "tile new" }, this.button);
    requestAnimationFrame(() => requestAnimationFrame(() => this.node.classList.remove("new")));
    if (WITH_PICTURES.has(modality)) this.load(hooks);
  }

  /** @param {Hooks} hooks */
  async load(hooks) {
    const image = el("img", { alt: "", loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => image.replaceWith(icon("image")));
    const address = await hooks.picture(this.result.id, THUMBNAIL).catch(() => "");
    if (!address) return;
    image.src = address;
    this.frame.replaceChildren(image);
  }

  /** @param {Result} result @param {number} rank from 0 */
  update(result, rank) {
    this.result = result;
    const name = result.caption || result.key;
    this.caption.textContent = name;
    this.score.textContent = result.score.toFixed(2);
    this.button.setAttribute(
      "aria-label",
      `${rank + 1}. ${name}, similarity ${result.score.toFixed(2)}`,
    );
    this.button.tabIndex = rank ? -1 : 0;
  }

  /** @param {number} x @param {number} y @param {number} width all in pixels */
  place(x, y, width) {
    this.x = x;
    this.node.style.transform = `translate(${x}px, ${y}px)`;
    this.node.style.width = `${width}px`;
    this.frame.style.height = `${width * this.ratio}px`;
  }
}
