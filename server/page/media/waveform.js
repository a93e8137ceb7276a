/**
 * A sound as its waveform, with a button that plays it; a click on the waveform goes there.
 */

import { drawn, el, icon, sized } from "../dom.js";

const RATE = 16_000; // samples a second that are drawn; what the encoder hears

/**
 * @param {Blob} blob a sound in any format that the browser reads
 * @returns {Promise<AudioBuffer>} at 16 kHz
 */
export async function decodeSound(blob) {
  return new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());
}

/**
 * @param {Blob} blob
 * @param {string} url of the same, for the player
 * @returns {HTMLElement}
 */
export function soundView(blob, url) {
  const audio = new Audio(url);
  const canvas = el("canvas", { role: "img", "aria-label": "Waveform" });
  const button = el(
    "button",
    { type: "button", class: "round small strong", "aria-label": "Play" },
    icon("play"),
  );
  /** @type {Float32Array | null} */
  let samples = null;
  const draw = () =>
    paint(canvas, samples, audio.duration ? audio.currentTime / audio.duration : 0);
  const follow = () => {
    draw();
    if (!audio.paused && canvas.isConnected) requestAnimationFrame(follow);
    else if (!canvas.isConnected) audio.pause();
  };
  const show = () => {
    button.replaceChildren(icon(audio.paused ? "play" : "pause"));
    button.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
    follow();
  };
  button.addEventListener("click", () =>
    audio.paused ? audio.play().catch(() => {}) : audio.pause(),
  );
  for (const event of ["play", "pause", "ended", "seeked"]) audio.addEventListener(event, show);
  canvas.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    if (audio.duration) audio.currentTime = (event.offsetX / canvas.clientWidth) * audio.duration;
  });
  audio.addEventListener("error", () => (button.hidden = true));
  drawn(canvas, draw);
  decodeSound(blob).then(
    (sound) => {
      samples = sound.getChannelData(0);
      draw();
    },
    () => canvas.replaceWith(icon("audio")),
  );
  return el("div", { class: "player" }, button, canvas);
}

/** Bars as high as the loudest sample in them. @param {HTMLCanvasElement} canvas
 * @param {Float32Array | null} samples @param {number} played share */
function paint(canvas, samples, played) {
  if (!canvas.clientWidth) return;
  const { context, width, height, color } = sized(canvas);
  const bar = Math.max(2, Math.round(height / 24));
  const count = Math.floor(width / (bar * 1.8));
  context.clearRect(0, 0, width, height);
  context.fillStyle = color;
  const peaks = peaksOf(samples, count);
  const loudest = Math.max(...peaks, 1e-4);
  peaks.forEach((peak, i) => {
    const high = Math.max(bar, (peak / loudest) * (height - bar));
    context.globalAlpha = i / count < played ? 1 : played ? 0.4 : 0.75;
    context.beginPath();
    context.roundRect(i * bar * 1.8, (height - high) / 2, bar, high, bar / 2);
    context.fill();
  });
  context.globalAlpha = 1;
}

/** @param {Float32Array | null} samples @param {number} count @returns {number[]} */
function peaksOf(samples, count) {
  const peaks = new Array(Math.max(count, 1)).fill(0);
  if (!samples) return peaks;
  const step = samples.length / peaks.length;
  const stride = Math.max(1, Math.floor(step / 400));
  return peaks.map((_, i) => {
    let peak = 0;
    for (let at = Math.floor(i * step); at < (i + 1) * step; at += stride)
      peak = Math.max(peak, Math.abs(samples[at] ?? 0));
    return peak;
  });
}
