"""Drawing any medium as a small picture, so that people see what was asked and what was found.

An item is whatever the loaders of its modality take: a path, bytes, an array, a text. All drawings
but those of images are squares on paper with a line of facts below, and all colours grow steadily
lighter or darker, so that they read in grey and to the colour-blind as well.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps

from .encoders.audio import FRAME_SHIFT, RATE, WINDOW, filter_bank, load_sound, resample
from .encoders.clouds import load_cloud
from .encoders.images import open_image
from .encoders.imu import load_motion
from .encoders.maps import MILLIMETRES, load_depth
from .encoders.media import Floats, Frames, Pixels, as_array, label
from .encoders.modality import Modality
from .encoders.video import read_frames, read_timeline
from .errors import MediaError
from .lettering import MAX_LETTERS, default_font, lettering, wrap
from .sheet import FRAME, INK, PAPER

RGB = tuple[int, int, int]
Doubles = npt.NDArray[np.float64]

SIZE = 256  # px a side, unless asked otherwise
FAINT: RGB = (122, 122, 126)  # captions
# Colours from the first to the last value of a scale, evenly spaced.
HEAT: tuple[RGB, ...] = (
    (10, 7, 26),
    (64, 18, 94),
    (140, 38, 108),
    (206, 68, 74),
    (243, 128, 38),
    (252, 198, 68),
    (252, 252, 204),
)
NEAR_TO_FAR: tuple[RGB, ...] = (
    (252, 236, 150),
    (140, 206, 120),
    (46, 148, 138),
    (44, 92, 136),
    (48, 40, 92),
)
FRONT_TO_BACK: tuple[RGB, ...] = ((12, 62, 110), (50, 122, 160), (122, 178, 196), (186, 214, 220))
UNKNOWN: RGB = (158, 158, 158)  # pixels of a depth map without a reading
WAVE: RGB = (32, 86, 140)
ACCENT: RGB = (214, 84, 24)
AXES: tuple[tuple[str, RGB], ...] = (
    ("x", (213, 94, 0)),
    ("y", (0, 146, 108)),
    ("z", (0, 114, 178)),
)

N_MELS = 96
SPECTRUM_FRAMES = 4  # windows averaged in a column of a spectrogram
SPECTRUM_RANGE = 11.5  # of log energy below the loudest that is shown: 50 dB
GRAVITY = 9.80665  # m/s², the unit accelerations are shown in
N_KEY_FRAMES = 4
MAX_DRAWN_POINTS = 16_384
OVERSAMPLING = 2  # a cloud is drawn larger and reduced, for smooth edges
VIEW_AZIMUTH, VIEW_ELEVATION = math.radians(35), math.radians(24)


def draw(
    modality: Modality, item: object, size: int = SIZE, *, depth_scale: float = MILLIMETRES
) -> Image.Image:
    """Draw one item.

    Args:
        modality: What it is.
        item: As the loader of the modality takes it.
        size: px of the longer side.
        depth_scale: Metres per unit of a depth map of integers.

    Returns:
        An RGB picture: an image fitted into the square, everything else on a square of its own.

    Raises:
        MediaError: The item cannot be read, or has nothing to draw.
    """
    if modality is Modality.DEPTH:
        return _draw_depth(item, size, depth_scale)
    return _DRAWERS[modality](item, size)


# ------------------------------------------------------------------------------------- the card


def _card(size: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty square of paper, and what draws on it."""
    card = Image.new("RGB", (size, size), PAPER)
    return card, ImageDraw.Draw(card)


def _margin(size: int) -> int:
    """px between the edge of a card and what is drawn on it."""
    return max(2, size // 32)


def _text_size(size: int) -> int:
    """px of the letters of a caption."""
    return max(8, size // 20)


def _floor(size: int) -> int:
    """The y at which a card's caption begins; the drawing ends above it."""
    return size - _margin(size) - round(1.35 * _text_size(size))


def _caption(card: ImageDraw.ImageDraw, size: int, left: str, right: str = "") -> None:
    """Facts on the last line of a card."""
    font = default_font(_text_size(size))
    y = size - _margin(size)
    card.text((_margin(size), y), left, font=font, fill=FAINT, anchor="ls")
    card.text((size - _margin(size), y), right, font=font, fill=FAINT, anchor="rs")


def colours(anchors: Sequence[RGB], shares: npt.NDArray[np.floating]) -> Pixels:
    """Colours of a scale, for shares of any shape from 0 (the first anchor) to 1 (the last)."""
    places = np.linspace(0, 255, len(anchors))
    table = np.stack(
        [np.interp(np.arange(256), places, [rgb[c] for rgb in anchors]) for c in range(3)], axis=1
    )
    rows = np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)
    scale: Pixels = np.rint(table).astype(np.uint8)[rows]
    return scale


def _scale_bar(card: Image.Image, size: int, anchors: Sequence[RGB], first: str, last: str) -> None:
    """A scale of colours on the last line of a card, its ends named."""
    draw = ImageDraw.Draw(card)
    _caption(draw, size, first, last)
    font = default_font(_text_size(size))
    gap = _margin(size)
    x0 = math.ceil(gap + font.getlength(first) + gap)
    x1 = math.floor(size - gap - font.getlength(last) - gap)
    if x1 - x0 > 2:
        bar = colours(anchors, np.linspace(0, 1, x1 - x0))
        height = max(3, _text_size(size) // 2)
        y = size - gap - round(0.36 * _text_size(size)) - height // 2
        card.paste(Image.fromarray(np.tile(bar, (height, 1, 1))), (x0, y))


def _paste_fitted(
    card: Image.Image, picture: Image.Image, box: tuple[int, int, int, int]
) -> tuple[int, int]:
    """Paste a picture as large as it fits into ``(x0, y0, x1, y1)``; its upper left corner."""
    x0, y0, x1, y1 = box
    fitted = ImageOps.contain(picture, (x1 - x0, y1 - y0), Image.Resampling.LANCZOS)
    corner = (x0 + (x1 - x0 - fitted.width) // 2, y0 + (y1 - y0 - fitted.height) // 2)
    card.paste(fitted, corner)
    return corner


# ------------------------------------------------------------------------------- images and maps


def _draw_image(item: object, size: int) -> Image.Image:
    """The image itself."""
    return ImageOps.contain(open_image(item, min_side=size), (size, size))


def _draw_depth(item: object, size: int, depth_scale: float) -> Image.Image:
    """Depths on a logarithmic scale from the nearest (light) to the farthest (dark)."""
    metres = load_depth(item, depth_scale=depth_scale)
    step = max(1, min(metres.shape) // (2 * size))
    metres = metres[::step, ::step]
    seen = metres > 0
    readings = metres[seen] if seen.any() else np.ones(1, np.float32)
    near, far = np.percentile(readings, [1, 99])
    span = math.log(far / near) or 1.0
    shares = np.log(np.where(seen, metres, near) / near) / span
    pixels = colours(NEAR_TO_FAR, shares)
    pixels[~seen] = UNKNOWN
    card, _ = _card(size)
    _paste_fitted(card, Image.fromarray(pixels), (0, 0, size, _floor(size)))
    _scale_bar(card, size, NEAR_TO_FAR, f"{near:.3g} m", f"{far:.3g} m")
    return card


def _draw_thermal(item: object, size: int) -> Image.Image:
    """Greys as heat: dark is cold, light is warm."""
    grey = ImageOps.grayscale(open_image(item, min_side=size))
    grey.thumbnail((2 * size, 2 * size))
    pixels = colours(HEAT, np.asarray(grey, np.float32) / 255)
    card, _ = _card(size)
    _paste_fitted(card, Image.fromarray(pixels), (0, 0, size, _floor(size)))
    _scale_bar(card, size, HEAT, "cold", "warm")
    return card


def _draw_video(item: object, size: int) -> Image.Image:
    """Four frames from the first to the last, in reading order."""
    frames, seconds = _key_frames(item, size)
    card, write = _card(size)
    gap, floor = max(1, size // 128), _floor(size)
    for i, frame in enumerate(frames):
        x0, x1 = ((0, size // 2 - gap), (size // 2 + gap, size))[i % 2]
        y0, y1 = ((0, floor // 2 - gap), (floor // 2 + gap, floor))[i // 2]
        if len(frames) == 1:
            x0, x1, y0, y1 = 0, size, 0, floor
        _paste_fitted(card, frame, (x0, y0, x1, y1))
    shown = f"{len(frames)} frames" if len(frames) > 1 else "1 frame"
    _caption(write, size, f"{seconds:.3g} s", shown)
    return card


def _key_frames(item: object, size: int) -> tuple[list[Image.Image], float]:
    """Up to four frames, evenly from the first to the last, and the seconds of the whole video."""

    def prepare(frame: Pixels) -> Image.Image:
        return ImageOps.contain(Image.fromarray(frame), (size, size))

    if isinstance(item, Frames):
        given = as_array(item.frames)
        n = 0 if given is None else len(given)
        if given is None or not n or not item.fps > 0:
            raise MediaError(f"{label(item)} has no frames")
        return [open_image(given[i]) for i in _places(n)], n / item.fps
    timeline = read_timeline(item)
    wanted = _places(len(timeline.stamps))
    return read_frames(item, timeline, wanted, prepare, upright=True), timeline.duration


def _places(n: int) -> list[int]:
    """Up to four places out of ``n``, evenly from the first to the last."""
    return sorted({round(i) for i in np.linspace(0, n - 1, N_KEY_FRAMES).tolist()})


# ----------------------------------------------------------------------------------------- text


def _draw_text(item: object, size: int) -> Image.Image:
    """The words, as large as they fit."""
    if not isinstance(item, str):
        raise MediaError(f"{label(item)} is no text; give a string")
    card, write = _card(size)
    margin = 2 * _margin(size)
    bar = max(2, size // 64)
    x, width = margin + 3 * bar, size - 2 * margin - 3 * bar
    for divisor in (7, 9, 11, 13, 16, 20):
        font, text = lettering(item, max(8, size // divisor))
        line = round(1.35 * max(8, size // divisor))
        room = max(1, (size - 2 * margin) // line)
        lines = wrap(text, font, width, room + 1)
        if len(lines) <= room:
            break
    else:
        lines = wrap(text, font, width, room)
    height = line * len(lines)
    top = (size - height) // 2
    write.rectangle((margin, top, margin + bar - 1, top + height - 1), ACCENT)
    for n, words in enumerate(lines):
        write.text((x, top + n * line + line // 2), words, font=font, fill=INK, anchor="lm")
    if text != item[:MAX_LETTERS]:
        _caption(write, size, "no font here has all its letters")
    return card


# ---------------------------------------------------------------------------------------- sound


def _draw_audio(item: object, size: int) -> Image.Image:
    """The waveform, its loudest sample filling the height, above the mel spectrogram."""
    sound = load_sound(item, mono=True)
    samples = sound.samples[0]
    card, write = _card(size)
    margin, floor = _margin(size), _floor(size)
    split = round(0.34 * floor)
    peak = float(np.abs(samples).max())
    middle, half = split // 2, split // 2 - margin // 2
    lows, highs = _envelope(samples, size)
    y0 = np.rint(middle - half * highs / (peak or 1.0)).astype(int)
    y1 = np.rint(middle - half * lows / (peak or 1.0)).astype(int)
    for x in range(size):
        write.line((x, int(y0[x]), x, int(y1[x])), WAVE)
    spectrum = Image.fromarray(colours(HEAT, _spectrogram(samples, sound.rate, size)[::-1]))
    card.paste(spectrum.resize((size, floor - split), Image.Resampling.BICUBIC), (0, split))
    loudness = f"peak {20 * math.log10(peak):.0f} dB" if peak > 1e-5 else "silent"
    seconds = len(samples) / sound.rate
    _caption(write, size, f"{seconds:.3g} s", f"{sound.rate / 1000:.3g} kHz, {loudness}")
    return card


def _envelope(samples: Floats, columns: int) -> tuple[Floats, Floats]:
    """The lowest and the highest sample under each of ``columns`` equal stretches of time."""
    starts = np.linspace(0, len(samples), columns + 1).astype(np.int64)[:-1]
    starts = np.minimum(starts, len(samples) - 1)
    return np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)


def _spectrogram(samples: Floats, rate: int, columns: int) -> Floats:
    """Log-mel energies at ``columns`` moments, ``(N_MELS, columns)``, from 0 (quiet) to 1.

    Each moment hears a few windows of 25 ms, so that hours cost as much as seconds do.
    """
    heard = WINDOW + (SPECTRUM_FRAMES - 1) * FRAME_SHIFT  # at 16 kHz
    n = math.ceil(heard * rate / RATE) + 1
    if len(samples) < n:
        samples = np.pad(samples, (0, n - len(samples)))
    starts = np.linspace(0, len(samples) - n, columns).astype(np.int64)
    pieces = resample(samples[starts[:, None] + np.arange(n)], rate)[:, :heard]
    energies = filter_bank(pieces, N_MELS).mean(axis=2).T  # (N_MELS, columns)
    loudest = float(energies.max())
    if np.ptp(energies) == 0:
        return np.zeros_like(energies)
    shares: Floats = (energies - (loudest - SPECTRUM_RANGE)) / SPECTRUM_RANGE
    return shares.clip(0, 1)


# --------------------------------------------------------------------------------------- clouds


def _draw_points(item: object, size: int) -> Image.Image:
    """The cloud twice, upright if z is up and upright if y is up; what is near is dark."""
    points = load_cloud(item)
    n_points = len(points)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        raise MediaError(f"{label(item)} has no point whose coordinates are finite")
    if len(points) > MAX_DRAWN_POINTS:
        points = points[np.linspace(0, len(points) - 1, MAX_DRAWN_POINTS).astype(np.int64)]
    views = [project(points), project(points[:, [0, 2, 1]] * (1, -1, 1))]
    card, write = _card(size)
    margin, floor = _margin(size), _floor(size)
    half = (size - 3 * margin) // 2
    beside = [
        (margin, margin, margin + half, floor),
        (size - margin - half, margin, size - margin, floor),
    ]
    half = (floor - 2 * margin) // 2
    above = [
        (margin, margin, size - margin, margin + half),
        (margin, floor - half, size - margin, floor),
    ]
    radius = 0.008 * size * min(3.0, max(1.0, math.sqrt(4096 / len(points))))
    layout = max((beside, above), key=lambda boxes: _scale_of(views, boxes, radius))
    scale = _scale_of(views, layout, radius)
    font = default_font(_text_size(size))
    for view, box, name in zip(views, layout, ("z up", "y up"), strict=True):
        x0, y0, x1, y1 = box
        card.paste(_splat(scale * view, (x1 - x0, y1 - y0), radius), (x0, y0))
        write.text((x0, y1), name, font=font, fill=FAINT, anchor="ls")
    _caption(write, size, "", f"{n_points:,} points")
    return card


def project(points: Doubles) -> Doubles:
    """A cloud whose z is up as seen from its right and a little above, by parallel rays.

    Returns:
        ``(N, 3)``: rightwards, upwards and away from the eye, in the cloud's own unit, about the
        middle of their extents.
    """
    centred = points - (points.min(axis=0) + points.max(axis=0)) / 2
    sin_a, cos_a = math.sin(VIEW_AZIMUTH), math.cos(VIEW_AZIMUTH)
    sin_e, cos_e = math.sin(VIEW_ELEVATION), math.cos(VIEW_ELEVATION)
    right = np.array([cos_a, sin_a, 0.0])
    away = np.array([-sin_a * cos_e, cos_a * cos_e, -sin_e])
    up = np.array([-sin_a * sin_e, cos_a * sin_e, cos_e])
    seen: Doubles = centred @ np.stack([right, up, away], axis=1)
    seen -= (seen.min(axis=0) + seen.max(axis=0)) / 2
    return seen


def _scale_of(
    views: Sequence[Doubles], boxes: Sequence[tuple[int, int, int, int]], radius: float
) -> float:
    """px a unit at which every view fits its box, points ``radius`` px large; 0 for one place."""
    scales = [
        (side - 2 * radius - 2) / extent
        for view, (x0, y0, x1, y1) in zip(views, boxes, strict=True)
        for side, extent in ((x1 - x0, np.ptp(view[:, 0])), (y1 - y0, np.ptp(view[:, 1])))
        if extent > 0
    ]
    return float(min(scales, default=0.0))


def _splat(view: Doubles, box: tuple[int, int], radius: float) -> Image.Image:
    """A view in px as discs that hide what is behind them, on a picture of ``box`` px.

    Where depth jumps, the farther side is darkened as if the nearer one cast a shadow on it, which
    makes shapes stand out without knowing any surface.
    """
    width, height = OVERSAMPLING * box[0], OVERSAMPLING * box[1]
    view = view[np.argsort(-view[:, 2], kind="stable")]  # the nearest last: it stays
    x = np.rint((width - 1) / 2 + OVERSAMPLING * view[:, 0]).astype(np.int32)
    y = np.rint((height - 1) / 2 - OVERSAMPLING * view[:, 1]).astype(np.int32)
    shares = (view[:, 2] - view[-1, 2]) / (np.ptp(view[:, 2]) or 1.0)  # 0 nearest, 1 farthest
    reach = math.ceil(OVERSAMPLING * radius)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.int32)
    disc = dx**2 + dy**2 <= (OVERSAMPLING * radius) ** 2
    padded = (height + 2 * reach, width + 2 * reach)  # discs at the edge need no clipping
    columns, rows = x[:, None] + (dx[disc] + reach), y[:, None] + (dy[disc] + reach)
    whole = np.full(padded, np.inf, np.float32)
    whole[rows, columns] = np.broadcast_to(shares[:, None], rows.shape)
    depth = whole[reach : reach + height, reach : reach + width]
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = PAPER
    hit = np.isfinite(depth)
    shade = _shade(np.where(hit, depth, 2.0), 2 * OVERSAMPLING)[hit, None]
    pixels[hit] = np.rint(colours(FRONT_TO_BACK, depth[hit]) * shade).astype(np.uint8)
    return Image.fromarray(pixels).resize(box, Image.Resampling.LANCZOS)


def _shade(depth: Floats, reach: int) -> Floats:
    """Light on each pixel, 1 where nothing around it is nearer."""
    padded = np.pad(depth, reach, constant_values=2.0)
    height, width = depth.shape
    hidden = np.zeros_like(depth)
    for dy, dx in ((0, reach), (0, -reach), (reach, 0), (-reach, 0)):
        there = padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
        hidden += np.clip(depth - there, 0, 0.25)
    light: Floats = np.exp(-1.6 * hidden)
    return light


# --------------------------------------------------------------------------------------- motion


def _draw_imu(item: object, size: int) -> Image.Image:
    """Accelerations in g above rotations in rad/s, three axes each."""
    motion = load_motion(item)
    card, write = _card(size)
    margin, floor = _margin(size), _floor(size)
    gap = round(1.5 * _text_size(size))
    height = (floor - 2 * gap) // 2
    font = default_font(_text_size(size))
    panels = (
        ("acceleration", "g", motion.samples[:3] / GRAVITY),
        ("rotation", "rad/s", motion.samples[3:]),
    )
    for n, (name, unit, curves) in enumerate(panels):
        top = gap + n * (height + gap)
        reach = float(np.abs(curves).max())
        write.text((margin, top - 2), name, font=font, fill=INK, anchor="ls")
        write.text(
            (size - margin, top - 2), f"±{reach:.2g} {unit}", font=font, fill=FAINT, anchor="rs"
        )
        write.rectangle((margin, top, size - margin - 1, top + height - 1), "white", FRAME)
        middle = top + (height - 1) / 2
        write.line((margin, middle, size - margin - 1, middle), FRAME)
        for (_, rgb), curve in zip(AXES, curves, strict=True):
            line = _curve(curve / (reach or 1.0), size - 2 * margin - 2)
            xs = margin + 1 + np.arange(line.shape[1])
            ys = middle - line * (height / 2 - 3)
            points = [(float(x), float(y)) for x, pair in zip(xs, ys.T, strict=True) for y in pair]
            write.line(points, rgb, max(1, size // 200))
    _caption(write, size, f"{motion.samples.shape[1] / motion.rate:.3g} s")
    x = float(size - margin)
    for name, rgb in reversed(AXES):
        write.text((x, size - margin), name, font=font, fill=rgb, anchor="rs")
        x -= font.getlength(name) + margin
    return card


def _curve(samples: Floats, columns: int) -> Floats:
    """A curve in px columns, ``(2, columns)``: where there are many samples, their extremes."""
    if len(samples) >= columns:
        return np.stack(_envelope(samples, columns))
    at = np.linspace(0, len(samples) - 1, columns)
    values = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)
    return np.stack([values, values])


_DRAWERS: dict[Modality, Callable[[object, int], Image.Image]] = {
    Modality.IMAGE: _draw_image,
    Modality.TEXT: _draw_text,
    Modality.AUDIO: _draw_audio,
    Modality.VIDEO: _draw_video,
    Modality.POINTS: _draw_points,
    Modality.THERMAL: _draw_thermal,
    Modality.IMU: _draw_imu,
}
