/**
 * Maps of one number a pixel in colours: near depths and high temperatures are bright.
 */

import { readNpy } from "./npy.js";
import { readPng16 } from "./png16.js";

const DEPTH = ["#10133a", "#2c3f8f", "#3d8fa8", "#8fd0a0", "#fdf3b0"]; // far to near
const HEAT = ["#07051c", "#4b0f6b", "#b4304f", "#f4842f", "#fdf2b0"]; // cold to warm
const SIDE = 320; // pixels drawn, at most
const OUTLIERS = 0.02; // share of readings at each end that are drawn as the end

/** @param {string[]} colours @param {number} share 0 to 1 @returns {number[]} red, green, blue */
function ramp(colours, share) {
  const place = Math.max(0, Math.min(1, share)) * (colours.length - 1);
  const first = Math.min(Math.floor(place), colours.length - 2);
  const part = (/** @type {string} */ colour, /** @type {number} */ i) =>
    parseInt(colour.slice(1 + 2 * i, 3 + 2 * i), 16);
  return [0, 1, 2].map(
    (i) =>
      part(colours[first], i) * (1 - place + first) + part(colours[first + 1], i) * (place - first),
  );
}

/**
 * @param {File} file a 16-bit png or an npy of depths
 * @returns {Promise<HTMLCanvasElement | null>} null: the page cannot draw this kind of file
 */
export async function depthView(file) {
  const buffer = await file.arrayBuffer();
  const map = (await readPng16(buffer)) ?? readNpy(buffer);
  if (!map || map.shape.length !== 2) return null;
  const [height, width] = map.shape;
  const read = Array.from(map.data)
    .filter((metres) => metres > 0 && Number.isFinite(metres))
    .sort((a, b) => a - b);
  if (!read.length) return null;
  const near = 1 / read[Math.floor(read.length * OUTLIERS)];
  const far = 1 / read[Math.ceil(read.length * (1 - OUTLIERS)) - 1];
  return painted(width, height, (x, y) => {
    const depth = map.data[y * width + x];
    return depth > 0 && Number.isFinite(depth)
      ? ramp(DEPTH, (1 / depth - far) / (near - far || 1))
      : [16, 15, 14];
  });
}

/**
 * @param {File} file a picture whose greys are temperatures
 * @returns {Promise<HTMLCanvasElement | null>} null: the browser cannot read it
 */
export async function heatView(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return null;
  const source = document.createElement("canvas");
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  Object.assign(source, {
    width: Math.max(1, bitmap.width * scale),
    height: Math.max(1, bitmap.height * scale),
  });
  const context = /** @type {CanvasRenderingContext2D} */ (source.getContext("2d"));
  context.drawImage(bitmap, 0, 0, source.width, source.height);
  const { data } = context.getImageData(0, 0, source.width, source.height);
  return painted(source.width, source.height, (x, y) => {
    const at = 4 * (y * source.width + x);
    return ramp(HEAT, (0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]) / 255);
  });
}

/**
 * @param {number} width
 * @param {number} height
 * @param {(x: number, y: number) => number[]} colour
 */
function painted(width, height, colour) {
  const step = Math.max(1, Math.ceil(Math.max(width, height) / SIDE));
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: Math.ceil(width / step), height: Math.ceil(height / step) });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const pixels = context.createImageData(canvas.width, canvas.height);
  for (let y = 0; y < canvas.height; y += 1) {
    for (let x = 0; x < canvas.width; x += 1) {
      pixels.data.set([...colour(x * step, y * step), 255], 4 * (y * canvas.width + x));
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
