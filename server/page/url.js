/**
 * The state in the address, all but files: `#text=0.6:a+forest&id=-1:12` can be sent to a friend.
 *
 * @typedef {{text?: string, id?: number, weight: number}} Written
 * @typedef {{parts: Written[], index: string, k: number, dedup: boolean, cacheSearch: boolean,
 *   cache: import("./api.js").Cache, question: string}} State
 */

/** What holds where the address says nothing; the cache's are those of the library. */
export const DEFAULTS = Object.freeze({
  index: "",
  k: 30, // results a page
  dedup: false,
  cacheSearch: false,
  cache: Object.freeze({ k: 10, alpha: 0.5, weighting: "softmax" }),
  question: "",
});
const MOST = 200; // results a page
const WEIGHTINGS = ["softmax", "linear"];

/** @param {State} state @returns {string} without `#`; empty for the defaults */
export function write(state) {
  const out = new URLSearchParams();
  for (const { text, id, weight } of state.parts) {
    if (text !== undefined) out.append("text", `${weight}:${text}`);
    else if (id !== undefined) out.append("id", `${weight}:${id}`);
  }
  const { cache } = state;
  if (state.index !== DEFAULTS.index) out.set("index", state.index);
  if (state.k !== DEFAULTS.k) out.set("k", String(state.k));
  if (state.dedup) out.set("dedup", "1");
  if (state.cacheSearch) out.set("cache", "1");
  if (cache.alpha !== DEFAULTS.cache.alpha) out.set("alpha", String(cache.alpha));
  if (cache.k !== DEFAULTS.cache.k) out.set("blend", String(cache.k));
  if (cache.weighting !== DEFAULTS.cache.weighting) out.set("weighting", cache.weighting);
  if (state.question) out.set("question", state.question);
  return out.toString();
}

/**
 * @param {string} hash with or without `#`; what it does not say or says wrongly is the default
 * @returns {State}
 */
export function read(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const parts = [];
  for (const [name, value] of given) {
    if (name !== "text" && name !== "id") continue;
    const [, weight = "1", rest = value] = /^(-?\d*\.?\d+):(.+)$/s.exec(value) ?? [];
    const share = Math.max(-1, Math.min(1, Number(weight)));
    if (name === "text" && rest.trim()) parts.push({ text: rest, weight: share });
    if (name === "id" && /^\d+$/.test(rest)) parts.push({ id: Number(rest), weight: share });
  }
  const weighting = given.get("weighting") ?? "";
  return {
    parts,
    index: given.get("index") ?? DEFAULTS.index,
    k: Math.round(number(given.get("k"), DEFAULTS.k, 1, MOST)),
    dedup: given.get("dedup") === "1",
    cacheSearch: given.get("cache") === "1",
    cache: {
      k: Math.round(number(given.get("blend"), DEFAULTS.cache.k, 1, 50)),
      alpha: number(given.get("alpha"), DEFAULTS.cache.alpha, 0, 1),
      weighting: WEIGHTINGS.includes(weighting) ? weighting : DEFAULTS.cache.weighting,
    },
    question: given.get("question") ?? "",
  };
}

/**
 * @param {string | null} text
 * @param {number} otherwise
 * @param {number} low
 * @param {number} high
 */
function number(text, otherwise, low, high) {
  const value = text === null || text === "" ? NaN : Number(text);
  return Number.isFinite(value) ? Math.max(low, Math.min(high, value)) : otherwise;
}
