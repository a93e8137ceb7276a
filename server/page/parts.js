/**
 * The parts of a query, and the cards that show each as what it is.
 */

import { aborted } from "./api.js";
import { el, fill, icon, signed } from "./dom.js";
import { NAMES } from "./kinds.js";
import { cloudView } from "./media/cloud.js";
import { readCloud } from "./media/cloudfile.js";
import { depthView, heatView } from "./media/maps.js";
import { motionView } from "./media/motion.js";
import { soundView } from "./media/waveform.js";

const PICTURES = new Set(["image", "video"]); // that the cache leaves alone
const THUMBNAIL = 256; // pixels
const BROAD = new Set(["audio", "video", "imu"]); // that need a card's whole width

/**
 * @typedef {{text?: string, id?: number, file?: File, modality?: string, options?: string[],
 *   weight?: number}} Given
 */
export class Part {
  /**
   * @param {Given} given a text, an item's id, or a file with the modalities that it may have
   */
  constructor({ text, id, file, modality, options = [], weight = 1 }) {
    this.text = text;
    this.id = id;
    this.file = file;
    this.options = options;
    this.modality =
      modality ?? (text !== undefined ? "text" : id !== undefined ? "id" : options[0]);
    this.weight = weight;
    this.error = "";
    /** @type {Map<string, Promise<number[]>>} by encoder and modality */
    this.vectors = new Map();
    this.url = file ? URL.createObjectURL(file) : ""; // for as long as Back may bring it back
  }

  /**
   * What a request says of this part. A file is embedded once, so that a slider moves nothing but
   * numbers.
   * @param {import("./api.js").Api} api
   * @param {import("./api.js").Index} index
   * @returns {Promise<import("./api.js").Input>}
   */
  async input(api, index) {
    const { text, id, file, weight, modality } = this;
    if (text !== undefined) return { text, weight };
    if (id !== undefined) return { id, weight };
    if (!file) throw new Error("a part has neither text, id nor file");
    const place = `${index.encoder} ${modality}`;
    let vector = this.vectors.get(place);
    if (!vector) {
      vector = api.embed({ index: index.name, modality, file });
      vector.catch(() => this.vectors.delete(place));
      this.vectors.set(place, vector);
    }
    return { embedding: await vector, weight };
  }

  /** Whether the cache pulls it. @param {import("./api.js").Index} index */
  isPulled(index) {
    return !PICTURES.has(this.modality === "id" ? index.modality : this.modality);
  }
}

/**
 * @typedef {{changed: (part: Part) => void, removed: (part: Part) => void,
 *   picture: (id: number, size: number) => Promise<string>}} Hooks
 */
export class PartList {
  /** @param {HTMLElement} list @param {Hooks} hooks */
  constructor(list, hooks) {
    this.list = list;
    this.hooks = hooks;
    /** @type {Map<Part, Card>} */
    this.cards = new Map();
  }

  /** @param {Part[]} parts */
  show(parts) {
    for (const [part, card] of this.cards) {
      if (parts.includes(part)) continue;
      card.node.remove();
      this.cards.delete(part);
    }
    parts.forEach((part, i) => {
      let card = this.cards.get(part);
      if (!card) this.cards.set(part, (card = new Card(part, this.hooks)));
      if (this.list.children[i] !== card.node)
        this.list.insertBefore(card.node, this.list.children[i] ?? null);
      card.update();
    });
  }
}

class Card {
  /** @param {Part} part @param {Hooks} hooks */
  constructor(part, hooks) {
    this.part = part;
    this.hooks = hooks;
    const name = part.file?.name ?? part.text ?? `picture ${part.id}`;
    this.slider = el("input", {
      type: "range",
      min: -1,
      max: 1,
      step: 0.05,
      value: part.weight,
      "aria-label": `Weight of ${name}`,
    });
    this.number = el("output", {});
    this.slider.addEventListener("input", () => this.weigh(Number(this.slider.value)));
    this.slider.addEventListener("dblclick", () => this.weigh(1));
    this.preview = el("div", { class: "preview" });
    this.failure = el("p", { class: "part-error", role: "alert", hidden: true });
    const remove = el(
      "button",
      {
        type: "button",
        class: "round small",
        "aria-label": `Remove ${name}`,
        onclick: () => hooks.removed(part),
      },
      icon("close"),
    );
    const head = el("div", { class: "part-head" }, this.title(name), this.kind(), remove);
    const weight = el(
      "div",
      { class: "weight", title: "How much it counts; double-click for 1" },
      el("span", { class: "signed" }, this.slider),
      this.number,
    );
    this.node = el(
      "li",
      { class: "part", "data-modality": part.modality },
      this.preview,
      head,
      weight,
      this.failure,
    );
    this.draw();
  }

  /** @param {number} weight */
  weigh(weight) {
    this.part.weight = weight;
    this.update();
    this.hooks.changed(this.part);
  }

  /** @param {string} name */
  title(name) {
    if (this.part.text === undefined)
      return el("span", { class: "part-name", title: name, text: name });
    const input = el("input", {
      class: "part-text",
      type: "text",
      value: name,
      maxlength: 2000,
      "aria-label": "Text of this part",
    });
    input.addEventListener("input", () => {
      if (!input.value.trim()) return;
      this.part.text = input.value;
      this.hooks.changed(this.part);
    });
    input.addEventListener("change", () => (input.value ||= this.part.text));
    return input;
  }

  /** What it is; a choice where it could be something else. */
  kind() {
    const { part } = this;
    if (part.modality === "text") return null;
    if (part.options.length < 2)
      return el("span", { class: "part-kind", text: NAMES[part.modality] });
    const options = part.options.map((modality) =>
      el("option", { value: modality, text: NAMES[modality] }),
    );
    const select = el("select", { "aria-label": `What ${part.file?.name} is` }, ...options);
    select.value = part.modality;
    select.addEventListener("change", () => {
      part.modality = select.value;
      this.draw();
      this.hooks.changed(part);
    });
    return select;
  }

  update() {
    const { weight, error } = this.part;
    this.slider.value = String(weight);
    this.slider.setAttribute(
      "aria-valuetext",
      weight < 0 ? `${weight}, taken away` : String(weight),
    );
    fill(this.slider);
    this.number.textContent = signed(weight);
    this.node.dataset.sign = weight < 0 ? "minus" : "plus";
    this.failure.hidden = !error;
    this.failure.textContent = error;
  }

  /** Show the medium; if the browser cannot, an icon. */
  async draw() {
    const { part } = this;
    const asked = part.modality;
    this.node.dataset.modality = asked;
    this.node.classList.toggle("broad", BROAD.has(asked));
    this.preview.replaceChildren(icon(asked === "id" ? "image" : asked));
    const view = await this.view().catch((error) => {
      if (!aborted(error)) return null;
    });
    if (view && part.modality === asked) this.preview.replaceChildren(view);
  }

  /** @returns {Promise<HTMLElement | null>} */
  async view() {
    const { file, url, modality, id } = this.part;
    if (id !== undefined) return loaded(await this.hooks.picture(id, THUMBNAIL));
    if (!file) return null;
    if (modality === "image") return loaded(url);
    if (modality === "audio") return soundView(file, url);
    if (modality === "video") return film(url, file.name);
    if (modality === "depth") return depthView(file);
    if (modality === "thermal") return heatView(file);
    if (modality === "imu") return motionView(file);
    const points = await readCloud(file);
    return points && cloudView(points);
  }
}

/** @param {string} url @returns {Promise<HTMLImageElement>} */
async function loaded(url) {
  const image = el("img", { src: url, alt: "" });
  await image.decode();
  return image;
}

/** @param {string} url @param {string} name */
function film(url, name) {
  const video = el("video", {
    src: url,
    controls: "",
    loop: "",
    playsinline: "",
    preload: "metadata",
    "aria-label": name,
  });
  video.muted = true;
  return video;
}
