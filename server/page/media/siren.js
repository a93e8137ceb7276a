/**
 * A fire engine that passes by, made here: an example that needs no file. It wails as those of the
 * simulated world do.
 */

import { wav } from "./record.js";

const RATE = 16_000; // samples a second
const SECONDS = 4;
const MIDDLE_HZ = 860; // around which it wails, by 0.6 of an octave
const WAIL_SECONDS = 1.45; // up and down once
const SIREN = [1, 0.32, 0.37, 0.17, 0.23]; // how loud each partial is
const ENGINE_HZ = 48;
const ENGINE = [0.3, 0.5, 1, 0.6, 0.3, 0.2, 0.25, 0.3, 0.35, 0.4, 0.35, 0.25];
const LOUDNESS = 0.28; // of full scale

/** @returns {File} */
export function siren() {
  let phase = 0;
  const partials = (/** @type {number[]} */ louds, /** @type {number} */ angle) =>
    louds.reduce((sum, loud, n) => sum + loud * Math.sin((n + 1) * angle), 0);
  const samples = Float32Array.from({ length: RATE * SECONDS }, (_, i) => {
    const seconds = i / RATE;
    phase +=
      (2 * Math.PI * MIDDLE_HZ * 2 ** (0.6 * Math.sin((2 * Math.PI * seconds) / WAIL_SECONDS))) /
      RATE;
    const near = 0.25 + 0.75 * Math.exp(-(((seconds - 0.55 * SECONDS) / 0.9) ** 2));
    const engine = 0.3 * partials(ENGINE, 2 * Math.PI * ENGINE_HZ * seconds);
    return LOUDNESS * near * (partials(SIREN, phase) + engine);
  });
  return new File([wav(samples, RATE)], "siren.wav", { type: "audio/wav" });
}
