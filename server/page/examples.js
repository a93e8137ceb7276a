/**
 * What an empty page offers to try.
 */

import { siren } from "./media/siren.js";

const OF_THE_WORLD = "imagebind-mini"; // the encoder that was trained on the simulated world
const WORLD = ["a red train on snow", "a yellow cactus on the moon", "a pink elephant in the city"];
const PHOTOS = ["a dog on the beach", "rain at night", "something to eat"];

/**
 * @param {import("./api.js").Index} index
 * @returns {{label: string, given: () => import("./parts.js").Given}[]}
 */
export function examplesOf({ encoder, items, modality }) {
  const world = encoder === OF_THE_WORLD;
  const sound = () => ({ file: siren(), options: ["audio"] });
  const item = () => ({ id: Math.floor(Math.random() * items) });
  return [
    ...(world ? [{ label: "a fire engine’s siren", given: sound }] : []),
    ...(world ? WORLD : PHOTOS).map((text) => ({ label: text, given: () => ({ text }) })),
    ...(modality === "image" ? [{ label: "surprise me", given: item }] : []),
  ];
}
