/**
 * A sound from the microphone, as a wav file that every reader knows.
 */

import { sized } from "../dom.js";
import { decodeSound } from "./waveform.js";

const LONGEST = 60; // seconds

/** A recording that runs. */
export class Recording {
  /** @param {MediaStream} stream */
  constructor(stream) {
    this.stream = stream;
    this.chunks = /** @type {Blob[]} */ ([]);
    this.began = performance.now();
    this.recorder = new MediaRecorder(stream);
    this.recorder.addEventListener("dataavailable", (event) => this.chunks.push(event.data));
    this.ended = new Promise((resolve) => this.recorder.addEventListener("stop", resolve));
    this.recorder.start();
    this.context = new AudioContext();
    this.analyser = this.context.createAnalyser();
    this.context.createMediaStreamSource(stream).connect(this.analyser);
    this.levels = /** @type {number[]} */ ([]);
  }

  /**
   * @returns {Promise<Recording>}
   * @throws {Error} where there is no microphone or it may not be used, in words
   */
  static async begin() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error(
        "the browser lends the microphone only to pages of https:// and of this machine",
      );
    }
    try {
      return new Recording(await navigator.mediaDevices.getUserMedia({ audio: true }));
    } catch (error) {
      const refused = error instanceof DOMException && error.name === "NotAllowedError";
      throw new Error(
        refused
          ? "the microphone was not allowed; the browser's address bar can change that"
          : "no microphone was found",
      );
    }
  }

  get seconds() {
    return (performance.now() - this.began) / 1000;
  }

  get tooLong() {
    return this.seconds > LONGEST;
  }

  /** Draw how loud it was, the newest at the right. @param {HTMLCanvasElement} canvas */
  draw(canvas) {
    const samples = new Float32Array(this.analyser.fftSize);
    this.analyser.getFloatTimeDomainData(samples);
    this.levels.push(samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0));
    const { context, width, height, color } = sized(canvas);
    const bar = Math.max(2, Math.round(height / 16));
    context.clearRect(0, 0, width, height);
    context.fillStyle = color;
    const shown = this.levels.slice(-Math.floor(width / (bar * 1.8)));
    shown.forEach((level, i) => {
      const high = Math.max(bar, Math.min(1, Math.sqrt(level)) * height);
      context.fillRect(width - (shown.length - i) * bar * 1.8, (height - high) / 2, bar, high);
    });
  }

  /** @returns {Promise<File>} what was heard */
  async finish() {
    this.recorder.stop();
    await this.ended;
    this.release();
    const sound = await decodeSound(new Blob(this.chunks, { type: this.recorder.mimeType }));
    return new File([wav(sound.getChannelData(0), sound.sampleRate)], "recording.wav", {
      type: "audio/wav",
    });
  }

  /** Let the microphone go. */
  release() {
    if (this.recorder.state !== "inactive") this.recorder.stop();
    for (const track of this.stream.getTracks()) track.stop();
    this.context.close();
  }
}

/**
 * A wav file: 44 bytes of header, then 16-bit samples of one channel.
 * @param {Float32Array} samples from -1 to 1
 * @param {number} rate samples a second
 * @returns {ArrayBuffer}
 */
export function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const word = (at, text) =>
    [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format
  view.setUint16(20, 1, true); // plain samples
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a sample
  view.setUint16(34, 16, true); // bits a sample
  word(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, i) =>
    view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, sample)) * 32767, true),
  );
  return view.buffer;
}
