/**
 * PNG files of 16-bit greys, which a browser would round to 8 (https://www.w3.org/TR/png-3/).
 */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const BYTES = 2; // a pixel
const MOST = 40_000_000; // pixels that the page unpacks

/**
 * @param {ArrayBuffer} buffer at least the beginning of a file
 * @returns {{width: number, height: number, depth: number, type: number, interlaced: boolean} |
 *   null}
 *   `depth` in bits a sample, `type` 0 for greys; null: it is no PNG
 */
export function pngHeader(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 33 || SIGNATURE.some((byte, i) => view.getUint8(i) !== byte)) return null;
  return {
    width: view.getUint32(16),
    height: view.getUint32(20),
    depth: view.getUint8(24),
    type: view.getUint8(25),
    interlaced: view.getUint8(28) !== 0,
  };
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {Promise<import("./npy.js").Numbers | null>} `(height, width)`; null: it is no such file
 */
export async function readPng16(buffer) {
  const found = pngHeader(buffer);
  if (!found || found.depth !== 16 || found.type !== 0 || found.interlaced) return null;
  const { width, height } = found;
  if (width * height > MOST) return null;
  const rows = await inflate(packed(buffer));
  const stride = width * BYTES;
  if (rows.length < (stride + 1) * height) return null;
  const data = new Float64Array(width * height);
  /** @type {Uint8Array} */
  let above = new Uint8Array(stride);
  for (let y = 0; y < height; y += 1) {
    const at = y * (stride + 1);
    const row = rows.subarray(at + 1, at + 1 + stride);
    unfilter(rows[at], row, above);
    for (let x = 0; x < width; x += 1) data[y * width + x] = (row[2 * x] << 8) | row[2 * x + 1];
    above = row;
  }
  return { shape: [height, width], data };
}

/** The compressed pixels: all IDAT chunks. @param {ArrayBuffer} buffer @returns {Blob} */
function packed(buffer) {
  const view = new DataView(buffer);
  const chunks = [];
  for (let at = 8; at + 12 <= buffer.byteLength;) {
    const length = view.getUint32(at);
    if (view.getUint32(at + 4) === 0x49444154) chunks.push(new Uint8Array(buffer, at + 8, length));
    at += length + 12;
  }
  return new Blob(chunks);
}

/** @param {Blob} blob @returns {Promise<Uint8Array>} */
async function inflate(blob) {
  const stream = blob.stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Undo a row's filter in place.
 * @param {number} kind
 * @param {Uint8Array} row
 * @param {Uint8Array} above
 */
function unfilter(kind, row, above) {
  for (let i = 0; i < row.length; i += 1) {
    const left = i < BYTES ? 0 : row[i - BYTES];
    const corner = i < BYTES ? 0 : above[i - BYTES];
    if (kind === 1) row[i] += left;
    else if (kind === 2) row[i] += above[i];
    else if (kind === 3) row[i] += (left + above[i]) >> 1;
    else if (kind === 4) row[i] += nearest(left, above[i], corner);
  }
}

/** Paeth's predictor. @param {number} a @param {number} b @param {number} c */
function nearest(a, b, c) {
  const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  if (pa <= pb && pa <= pc) return a;
  return pb <= pc ? b : c;
}
