/**
 * NumPy's .npy files (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html):
 * numbers alone, no objects.
 *
 * @typedef {{shape: number[], data: ArrayLike<number>}} Numbers rows after one another
 */

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
const READERS = {
  f4: "getFloat32",
  f8: "getFloat64",
  u1: "getUint8",
  i1: "getInt8",
  u2: "getUint16",
  i2: "getInt16",
  u4: "getUint32",
  i4: "getInt32",
};
const MOST = 30_000_000; // numbers that the page unpacks

/**
 * @param {ArrayBuffer} buffer at least the beginning of a file
 * @returns {{shape: number[], type: string, columns: boolean, start: number} | null} null: it is
 *   none
 */
export function header(buffer) {
  const bytes = new Uint8Array(buffer);
  if (bytes.length < 12 || MAGIC.some((byte, i) => bytes[i] !== byte)) return null;
  const view = new DataView(buffer);
  const start = bytes[6] === 1 ? 10 : 12;
  const length = bytes[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const text = new TextDecoder("latin1").decode(bytes.subarray(start, start + length));
  const type = /'descr':\s*'([<>|=]?[a-z]\d+)'/.exec(text)?.[1];
  const shape = /'shape':\s*\(([^)]*)\)/.exec(text)?.[1];
  if (!type || shape === undefined) return null;
  const sizes = shape
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean)
    .map(Number);
  return {
    shape: sizes,
    type,
    columns: /'fortran_order':\s*True/.test(text),
    start: start + length,
  };
}

/**
 * @param {ArrayBuffer} buffer a whole file
 * @returns {Numbers | null} null: it holds no plain numbers
 */
export function readNpy(buffer) {
  const found = header(buffer);
  if (!found) return null;
  const read = READERS[found.type.slice(-2)];
  const bytes = Number(found.type.slice(-1));
  const count = found.shape.reduce((product, size) => product * size, 1);
  if (!read || count > MOST || buffer.byteLength < found.start + count * bytes) return null;
  const view = new DataView(buffer, found.start);
  const little = !found.type.startsWith(">");
  const data = new Float64Array(count);
  for (let i = 0; i < count; i += 1) data[i] = view[read](i * bytes, little);
  if (!found.columns || found.shape.length !== 2) return { shape: found.shape, data };
  const [rows, width] = found.shape;
  const turned = new Float64Array(count);
  for (let r = 0; r < rows; r += 1)
    for (let c = 0; c < width; c += 1) turned[r * width + c] = data[c * rows + r];
  return { shape: found.shape, data: turned };
}
