/**
 * Points out of ply, obj, off, stl, xyz, pts, txt, pcd and npy files, as far as a preview needs
 * them: of a mesh its corners.
 */

import { readNpy } from "./npy.js";

const PLY = {
  char: ["getInt8", 1],
  uchar: ["getUint8", 1],
  short: ["getInt16", 2],
  ushort: ["getUint16", 2],
  int: ["getInt32", 4],
  uint: ["getUint32", 4],
  float: ["getFloat32", 4],
  double: ["getFloat64", 8],
  int8: ["getInt8", 1],
  uint8: ["getUint8", 1],
  int16: ["getInt16", 2],
  uint16: ["getUint16", 2],
  int32: ["getInt32", 4],
  uint32: ["getUint32", 4],
  float32: ["getFloat32", 4],
  float64: ["getFloat64", 8],
};
const STL_HEADER = 84; // bytes, the number of faces in the last four
const STL_FACE = 50;

/**
 * @param {File} file
 * @returns {Promise<number[][] | null>} x y z each; null: the page cannot read this kind of file
 */
export async function readCloud(file) {
  const buffer = await file.arrayBuffer();
  const array = readNpy(buffer);
  if (array) return rowsOf(array);
  const head = new TextDecoder("latin1").decode(buffer.slice(0, 4096));
  if (head.startsWith("ply")) return readPly(buffer);
  const faces = buffer.byteLength >= STL_HEADER ? new DataView(buffer).getUint32(80, true) : 0;
  if (faces && buffer.byteLength === STL_HEADER + faces * STL_FACE) return readStl(buffer, faces);
  if (head.includes("\0")) return null;
  return found(readText(new TextDecoder().decode(buffer)));
}

/** @param {number[][]} points @returns {number[][] | null} */
function found(points) {
  const kept = points.filter((point) => point.length === 3 && point.every(Number.isFinite));
  return kept.length ? kept : null;
}

/** @param {import("./npy.js").Numbers} array */
function rowsOf({ shape, data }) {
  if (shape.length !== 2 || shape[1] < 3) return null;
  const points = [];
  for (let row = 0; row < shape[0]; row += 1)
    points.push([0, 1, 2].map((i) => data[row * shape[1] + i]));
  return found(points);
}

/** Lines of numbers; in an obj and a text stl behind a word. @param {string} text */
function readText(text) {
  const lines = text.split("\n").map((line) => line.trim());
  const points = [];
  for (const line of coordinates(lines)) {
    const words = line.split(/[\s,;]+/);
    const named = words[0] === "v" || words[0] === "vertex";
    if (words.length >= (named ? 4 : 3))
      points.push(words.slice(named ? 1 : 0, named ? 4 : 3).map(Number));
  }
  return points;
}

/**
 * The lines behind the header of a pcd, between counts and faces of an off; else all.
 * @param {string[]} lines
 */
function coordinates(lines) {
  const data = lines.indexOf("DATA ascii");
  if (data >= 0) return lines.slice(data + 1);
  if (!/^[STCN]*OFF\b/.test(lines[0])) return lines;
  const counts = lines.findIndex((line) => /^\d+\s+\d+/.test(line.replace(/^\S*OFF\s*/, "")));
  const count = parseInt(lines[counts]?.replace(/^\S*OFF\s*/, ""), 10);
  return lines
    .slice(counts + 1)
    .filter((line) => line && !line.startsWith("#"))
    .slice(0, count);
}

/** @param {ArrayBuffer} buffer @param {number} faces */
function readStl(buffer, faces) {
  const view = new DataView(buffer);
  const points = [];
  for (let face = 0; face < faces; face += 1) {
    const at = STL_HEADER + face * STL_FACE + 12; // behind the normal
    points.push([0, 4, 8].map((step) => view.getFloat32(at + step, true)));
  }
  return found(points);
}

/** @param {ArrayBuffer} buffer */
function readPly(buffer) {
  const head = new TextDecoder("latin1").decode(buffer.slice(0, 65536));
  const end = /end_header\r?\n/.exec(head);
  if (!end) return null;
  const start = end.index + end[0].length;
  const [first = "", ...others] = head
    .slice(0, end.index)
    .split(/^element /m)
    .slice(1);
  if (!first.startsWith("vertex") || (!others.length && /^property list/m.test(first))) return null;
  const count = Number(/^vertex (\d+)/.exec(first)?.[1]);
  const columns = [...first.matchAll(/^property (\w+) (\w+)/gm)].map(([, type, name]) => ({
    type,
    name,
  }));
  const places = ["x", "y", "z"].map((axis) => columns.findIndex(({ name }) => name === axis));
  if (places.includes(-1) || columns.some(({ type }) => !(type in PLY))) return null;
  const points = [];
  if (/^format ascii/m.test(head)) {
    const lines = new TextDecoder().decode(buffer.slice(start)).split("\n", count);
    for (const line of lines) {
      const words = line.trim().split(/\s+/);
      points.push(places.map((place) => Number(words[place])));
    }
    return found(points);
  }
  const little = /^format binary_little/m.test(head);
  const offsets = [0];
  for (const { type } of columns)
    offsets.push(/** @type {number} */ (offsets.at(-1)) + PLY[type][1]);
  const stride = /** @type {number} */ (offsets.pop());
  if (buffer.byteLength < start + count * stride) return null;
  const view = new DataView(buffer, start);
  for (let row = 0; row < count; row += 1) {
    points.push(
      places.map((place) =>
        view[PLY[columns[place].type][0]](row * stride + offsets[place], little),
      ),
    );
  }
  return found(points);
}
