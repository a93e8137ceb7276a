/**
 * A recording of motion as curves: the accelerometer's three axes above, the gyroscope's below.
 */

import { drawn, sized } from "../dom.js";
import { readNpy } from "./npy.js";

const CHANNELS = 6; // accelerometer x y z, gyroscope x y z
// Columns that are no channel
const CLOCKS = /^(t|time|timestamp|seconds|seconds_elapsed|elapsed|rate|hz|fs)\b/i;

/**
 * @param {File} file a csv or npy
 * @returns {Promise<HTMLCanvasElement | null>} null: the page cannot draw it
 */
export async function motionView(file) {
  const channels = await channelsOf(file);
  if (!channels) return null;
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Motion");
  drawn(canvas, () => paint(canvas, channels));
  return canvas;
}

/** @param {File} file @returns {Promise<number[][] | null>} six rows */
async function channelsOf(file) {
  const array = readNpy(await file.arrayBuffer());
  if (array) {
    const [rows, columns] = array.shape;
    if (array.shape.length !== 2 || (rows !== CHANNELS && columns !== CHANNELS)) return null;
    const at = rows === CHANNELS ? (c, i) => c * columns + i : (c, i) => i * CHANNELS + c;
    return six((c) =>
      Array.from({ length: rows === CHANNELS ? columns : rows }, (_, i) => array.data[at(c, i)]),
    );
  }
  const lines = (await file.text()).split(/\r?\n/).filter((line) => line && !line.startsWith("#"));
  const cells = lines.map((line) => line.split(/[,;\t]/).map((cell) => cell.trim()));
  const kept = (cells[0] ?? []).map((_, i) => i).filter((i) => !CLOCKS.test(cells[0][i]));
  if (kept.length < CHANNELS || cells.length < 3) return null;
  const named = (axis) => kept.find((i) => cells[0][i].toLowerCase() === axis);
  const order = ["ax", "ay", "az", "gx", "gy", "gz"].map((axis, c) => named(axis) ?? kept[c]);
  return six((c) =>
    cells
      .slice(1)
      .map((row) => Number(row[order[c]]))
      .filter(Number.isFinite),
  );
}

/** @param {(channel: number) => number[]} row */
function six(row) {
  const channels = Array.from({ length: CHANNELS }, (_, c) => row(c));
  return channels.every((channel) => channel.length > 1) ? channels : null;
}

/** @param {HTMLCanvasElement} canvas @param {number[][]} channels */
function paint(canvas, channels) {
  const { context, width, height, color } = sized(canvas);
  context.clearRect(0, 0, width, height);
  context.strokeStyle = color;
  context.lineWidth = Math.max(1, height / 50);
  for (const [half, group] of [channels.slice(0, 3), channels.slice(3)].entries()) {
    const all = group.flat();
    const low = all.reduce((a, b) => Math.min(a, b), Infinity);
    const span = all.reduce((a, b) => Math.max(a, b), -Infinity) - low || 1;
    for (const [i, channel] of group.entries()) {
      context.globalAlpha = 1 - 0.3 * i;
      context.beginPath();
      for (let x = 0; x < width; x += 2) {
        const value = channel[Math.floor((x / width) * channel.length)];
        const y = (half + 0.94 - (0.88 * (value - low)) / span) * (height / 2);
        if (x) context.lineTo(x, y);
        else context.moveTo(x, y);
      }
      context.stroke();
    }
  }
  context.globalAlpha = 1;
}
