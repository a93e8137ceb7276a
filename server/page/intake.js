/**
 * The ways into a query: words, chosen, dropped and pasted files, and the microphone.
 */

import { byId, icon } from "./dom.js";
import { Recording } from "./media/record.js";

/**
 * @typedef {{files: (files: Iterable<File>) => Promise<void>, text: (text: string) => void,
 *   notice: (words: string) => void}} Hooks what becomes of files, of words, and of what went wrong
 * @param {Hooks} hooks
 */
export function startIntake(hooks) {
  startRecorder(hooks);
  byId("composer").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const field = byId("text");
    const text = field.value.trim();
    field.value = "";
    if (text) hooks.text(text);
  });
  const files = byId("files");
  byId("pick").append(icon("clip"));
  byId("pick").addEventListener("click", () => files.click());
  files.addEventListener("change", async () => {
    const chosen = [...files.files];
    files.value = "";
    await hooks.files(chosen);
  });
  addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])];
    if (pasted.length) {
      event.preventDefault();
      hooks.files(pasted);
    } else if (!writes(event.target)) {
      const text = event.clipboardData?.getData("text").trim();
      if (text) hooks.text(text);
    }
  });
  let depth = 0; // elements that a dragged thing is over, one in another
  const over = (/** @type {number} */ step) => {
    depth = Math.max(0, depth + step);
    document.body.classList.toggle("dragged", depth > 0);
  };
  const draggable = (/** @type {DragEvent} */ event) =>
    event.dataTransfer?.types.some((type) => type === "Files" || type === "text/plain");
  addEventListener("dragenter", (event) => draggable(event) && over(1));
  addEventListener("dragleave", (event) => draggable(event) && over(-1));
  addEventListener("dragover", (event) => draggable(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    over(-depth);
    if (writes(event.target) && !event.dataTransfer?.files.length) return;
    event.preventDefault();
    const text = event.dataTransfer?.getData("text/plain").trim();
    if (event.dataTransfer?.files.length) hooks.files([...event.dataTransfer.files]);
    else if (text) hooks.text(text);
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || writes(event.target)) return;
    event.preventDefault();
    byId("text").focus();
  });
}

/** @param {EventTarget | null} target @returns {boolean} whether keys write there */
function writes(target) {
  return target instanceof HTMLInputElement && !["range", "checkbox"].includes(target.type);
}

/** @param {Hooks} hooks */
function startRecorder(hooks) {
  const button = byId("record");
  const panel = byId("recording");
  button.append(icon("record"));
  /** @type {Recording | null} */
  let recording = null;
  const end = async (/** @type {boolean} */ keep) => {
    const ended = recording;
    recording = null;
    panel.hidden = true;
    button.focus();
    if (!ended) return;
    if (!keep) ended.release();
    else
      await ended.finish().then(
        (file) => hooks.files([file]),
        () => hooks.notice("nothing was heard; record a little longer"),
      );
  };
  const draw = () => {
    if (!recording) return;
    byId("seconds").textContent = `${recording.seconds.toFixed(1)} s`;
    recording.draw(byId("level"));
    if (recording.tooLong) end(true);
    else requestAnimationFrame(draw);
  };
  button.addEventListener("click", async () => {
    if (recording) return end(true);
    try {
      recording = await Recording.begin();
    } catch (error) {
      return hooks.notice(String(/** @type {Error} */ (error).message));
    }
    hooks.notice("");
    panel.hidden = false;
    byId("recorded").focus();
    draw();
  });
  byId("recorded").addEventListener("click", () => end(true));
  byId("unrecorded").addEventListener("click", () => end(false));
  panel.addEventListener(
    "keydown",
    (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && end(false),
  );
}
