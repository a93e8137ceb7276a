/**
 * A point cloud that turns, and that can be turned by hand. The third axis points up.
 */

import { drawn, sized, still } from "../dom.js";

const MOST = 2200; // points drawn
const TURN = 9000; // milliseconds a round
const TILT = 0.42; // radians from which it is looked down upon

/**
 * @param {number[][]} points x y z each, in any unit
 * @returns {HTMLCanvasElement}
 */
export function cloudView(points) {
  const canvas = document.createElement("canvas");
  canvas.className = "turns";
  const shown = fitted(points);
  let angle = 0.7;
  let tilt = TILT;
  let held = /** @type {{x: number, y: number} | null} */ (null);
  let last = 0;
  const draw = () => paint(canvas, shown, angle, tilt);
  const step = (/** @type {number} */ now) => {
    if (!canvas.isConnected && last) return;
    if (!held && last) angle += ((now - last) / TURN) * 2 * Math.PI;
    last = now;
    if (canvas.clientWidth) draw();
    requestAnimationFrame(step);
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held = { x: event.clientX, y: event.clientY };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    angle += (event.clientX - held.x) * 0.012;
    tilt = Math.max(-1.5, Math.min(1.5, tilt + (event.clientY - held.y) * 0.012));
    held = { x: event.clientX, y: event.clientY };
    draw();
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, () => (held = null));
  drawn(canvas, draw);
  if (!still()) requestAnimationFrame(step);
  return canvas;
}

/** Evenly chosen, moved to the middle and scaled into the unit ball. @param {number[][]} points */
function fitted(points) {
  const step = Math.max(1, points.length / MOST);
  const chosen = [];
  for (let i = 0; i < points.length; i += step) chosen.push(points[Math.floor(i)]);
  const middle = [0, 1, 2].map(
    (axis) => chosen.reduce((sum, point) => sum + point[axis], 0) / chosen.length,
  );
  const moved = chosen.map((point) => point.map((x, axis) => x - middle[axis]));
  const radii = moved.map((point) => Math.hypot(...point)).sort((a, b) => a - b);
  const radius = radii[Math.floor(radii.length * 0.98)] || 1; // stray points may lie outside
  return moved.map((point) => point.map((x) => x / radius));
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number[][]} points
 * @param {number} angle
 * @param {number} tilt
 */
function paint(canvas, points, angle, tilt) {
  const { context, width, height, color } = sized(canvas);
  const scale = Math.min(width, height) * 0.46;
  const [c, s, ct, st] = [Math.cos(angle), Math.sin(angle), Math.cos(tilt), Math.sin(tilt)];
  context.clearRect(0, 0, width, height);
  context.fillStyle = color;
  const dot = Math.max(1.1, Math.min(width, height) / 75);
  for (const [x, y, z] of points) {
    const across = x * c - y * s;
    const away = x * s + y * c;
    const near = -(away * ct - z * st); // toward the eye
    const size = dot * (1 + 0.35 * near);
    context.globalAlpha = Math.max(0.12, Math.min(1, 0.55 + 0.45 * near));
    context.fillRect(
      width / 2 + across * scale,
      height / 2 - (z * ct + away * st) * scale,
      size,
      size,
    );
  }
  context.globalAlpha = 1;
}
