/**
 * What a file may be. Nothing is guessed silently: where several modalities read a kind of file,
 * the most likely comes first and the others are offered.
 */

import { header } from "./media/npy.js";
import { pngHeader } from "./media/png16.js";

/** What people call a modality. */
export const NAMES = {
  image: "picture",
  text: "text",
  audio: "sound",
  video: "video",
  points: "point cloud",
  depth: "depth map",
  thermal: "heat image",
  imu: "motion",
  id: "from the index",
};

const BY_SUFFIX = {
  jpg: ["image", "thermal"],
  jpeg: ["image", "thermal"],
  webp: ["image", "thermal"],
  bmp: ["image", "thermal"],
  ppm: ["image"],
  png: ["image", "thermal"],
  gif: ["image", "video"],
  tif: ["image", "depth", "thermal"],
  tiff: ["image", "depth", "thermal"],
  exr: ["depth"],
  wav: ["audio"],
  flac: ["audio"],
  ogg: ["audio"],
  oga: ["audio"],
  opus: ["audio"],
  mp3: ["audio"],
  m4a: ["audio"],
  aac: ["audio"],
  mka: ["audio"],
  mp4: ["video", "audio"],
  mov: ["video", "audio"],
  webm: ["video", "audio"],
  mkv: ["video", "audio"],
  avi: ["video", "audio"],
  ts: ["video", "audio"],
  m4v: ["video", "audio"],
  ply: ["points"],
  obj: ["points"],
  off: ["points"],
  stl: ["points"],
  pcd: ["points"],
  pts: ["points"],
  xyz: ["points"],
  txt: ["points"],
  npz: ["points", "depth", "imu"],
  pt: ["points", "depth", "imu"],
  csv: ["imu"],
};
const BY_TYPE = { image: ["image", "thermal"], audio: ["audio"], video: ["video", "audio"] };
const GREY = 0; // colour type of a PNG

/**
 * @param {File} file
 * @returns {Promise<string[]>} modalities that read it, the most likely first; none where it is
 *   unknown
 */
export async function modalitiesOf(file) {
  const suffix = file.name.toLowerCase().split(".").pop() ?? "";
  if (suffix === "npy") return ofArray(file);
  if (suffix === "png" || file.type === "image/png") return ofPng(file);
  const kind = file.type.split("/")[0];
  if (suffix === "webm" && kind === "audio") return BY_TYPE.audio;
  return BY_SUFFIX[suffix] ?? BY_TYPE[kind] ?? [];
}

/**
 * A PNG of 16-bit greys is a depth map, one of 8-bit greys a photo or a heat image.
 * @param {File} file
 */
async function ofPng(file) {
  const found = pngHeader(await file.slice(0, 64).arrayBuffer());
  if (found?.depth === 16 && found.type === GREY) return ["depth", "image"];
  const hot = found?.type === GREY && /therm|heat|infra|(^|[^a-z])ir[^a-z]/i.test(file.name);
  return hot ? ["thermal", "image"] : ["image", "thermal"];
}

/** The shape of an array tells most. @param {File} file */
async function ofArray(file) {
  const found = header(await file.slice(0, 4096).arrayBuffer());
  const [rows = 0, columns = 0] = found?.shape ?? [];
  if (found?.shape.length !== 2) return ["points", "depth", "imu"];
  if (rows === 6 || columns === 6) return columns === 6 ? ["imu", "points"] : ["imu", "depth"];
  return columns >= 3 && columns <= 12 ? ["points", "depth"] : ["depth", "points"];
}
