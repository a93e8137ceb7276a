"""Video to the pairs of frames that the vision tower reads.

A video is cut into clips of two seconds (:mod:`clips`), and of each clip the first and the last
frame are shown. ``reference=True`` is the published way: five clips, frames counted at the average
rate, resized without antialiasing, three crops along the longer side. By default clips cover the
whole video (up to ``max_clips``), frames are found by their time stamps and turned upright, and
resized and cropped as still images are, so that a video lies near the images it consists of.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import MediaError
from .clips import CLIP_SECONDS, clip_starts, clips_to_cover
from .images import MAX_ASPECT, MAX_IMAGE_PIXELS, MEAN, STD, normalise_images, resize_and_crop
from .media import Array, Floats, Frames, Pixels, as_array, is_source, label, open_container

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

T = TypeVar("T")
Indices = npt.NDArray[np.int64]

REFERENCE_CLIPS = 5
MAX_VIDEO_SECONDS = 4 * 3600
MAX_VIDEO_FRAMES = 1_000_000
TRUNCATED = (
    0.9  # of the frames or seconds that the header promises; fewer means that the file was cut
)


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """When each frame of a video is shown."""

    stamps: Sequence[int]  # of the frames, ascending, in the stream's own unit
    jumps: Sequence[int]  # the stamps at which decoding can start; none if stamps are mere counts
    unit: Fraction  # seconds
    fps: float  # the average rate

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last, by time stamp."""
        return float((self.stamps[-1] - self.stamps[0]) * self.unit) + 1 / self.fps

    @property
    def counted_duration(self) -> float:
        """Seconds that so many frames last at the average rate."""
        return len(self.stamps) / self.fps

    def between(self, start: Fraction) -> tuple[int, int]:
        """The first and the last frame of the clip at ``start`` seconds; by time stamp.

        If no frame begins within the clip, the one that is still showing.
        """
        origin = self.stamps[0]
        first = bisect_right(self.stamps, math.ceil(start / self.unit) + origin - 1)
        end = math.ceil((start + CLIP_SECONDS) / self.unit) + origin
        last = bisect_right(self.stamps, end - 1) - 1
        return (first, last) if first <= last else (last, last)

    def counted(self, start: Fraction) -> tuple[int, int]:
        """As :meth:`between`, but counting frames at the average rate: the published way."""
        first = math.ceil(self.fps * start)
        last = min(math.ceil(self.fps * (start + CLIP_SECONDS)), len(self.stamps)) - 1
        return min(first, last), last


def _video_stream(container: "InputContainer", name: str) -> "VideoStream":
    """The first video track, ready to decode."""
    if not container.streams.video:
        raise MediaError(f"{name} has no picture")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise MediaError(f"{name} has a picture in a code that FFmpeg does not know")
    _check_size(stream.width, stream.height, name)
    stream.codec_context.options = {"max_pixels": str(MAX_IMAGE_PIXELS)}
    stream.thread_type = "AUTO"
    return stream


def _check_size(width: int, height: int, name: str) -> None:
    """Refuse pictures that are too large or too narrow."""
    if not 0 < width * height <= MAX_IMAGE_PIXELS:
        raise MediaError(f"{name} has {width}x{height} pixels; at most {MAX_IMAGE_PIXELS:,}")
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise MediaError(f"{name} has {width}x{height} pixels, which is too narrow; crop it")


def read_timeline(source: object) -> Timeline:
    """When each frame is shown, from the packets alone: nothing is decoded.

    Raises:
        MediaError: It is no video, has no frames, is cut off, or is longer than four hours.
    """
    name = label(source)
    stamps: list[int | None] = []
    jumps: list[int] = []
    with open_container(source) as container:
        stream = _video_stream(container, name)
        n_promised, rate = stream.frames, stream.average_rate
        unit = stream.time_base
        # Matroska tells no number of frames, but the length of its longest track.
        seconds_promised = 0.0
        if container.format.name.startswith("matroska"):
            seconds_promised = (container.duration or 0) / 1e6
        seconds_found = 0.0
        for packet in container.demux():
            if packet.pts is not None and packet.time_base:
                seconds_found = max(seconds_found, float(packet.pts * packet.time_base))
            if packet.stream != stream or not packet.size or packet.is_discard:
                continue
            stamps.append(packet.pts)
            if packet.is_keyframe and packet.pts is not None:
                jumps.append(packet.pts)
            if len(stamps) > MAX_VIDEO_FRAMES:
                raise MediaError(f"{name} has more than {MAX_VIDEO_FRAMES:,} frames; cut it")
    if not stamps:
        raise MediaError(f"{name} has no frames")
    if len(stamps) < TRUNCATED * n_promised:
        raise MediaError(f"{name} is truncated: {len(stamps)} of {n_promised} frames")
    if seconds_found + 1 < TRUNCATED * seconds_promised:
        raise MediaError(
            f"{name} is truncated: {seconds_found:.1f} of {seconds_promised:.1f} seconds"
        )
    timeline = _timeline(stamps, jumps, _fraction(unit), _fraction(rate), name)
    if timeline.duration > MAX_VIDEO_SECONDS:
        raise MediaError(
            f"{name} lasts {timeline.duration:.0f} s; at most {MAX_VIDEO_SECONDS} s, cut it"
        )
    return timeline


def _fraction(number: Fraction | None) -> Fraction:
    """A rational of PyAV, 0 if unknown; its versions differ in the type and in what unset is."""
    return Fraction(number.numerator, number.denominator) if number else Fraction(0)


def _timeline(
    stamps: Sequence[int | None], jumps: Sequence[int], unit: Fraction, rate: Fraction, name: str
) -> Timeline:
    """A timeline from the packets' stamps, or from the rate alone where stamps are missing."""
    known = sorted({stamp for stamp in stamps if stamp is not None})
    if unit and len(known) == len(stamps):
        span = (known[-1] - known[0]) * unit
        if not rate:
            rate = (len(known) - 1) / span if span else Fraction(1)
        return Timeline(stamps=known, jumps=sorted({known[0], *jumps}), unit=unit, fps=float(rate))
    if rate:
        return Timeline(stamps=range(len(stamps)), jumps=(), unit=1 / rate, fps=float(rate))
    raise MediaError(f"{name} tells neither the times of its frames nor their rate")


def read_frames(
    source: object,
    timeline: Timeline,
    wanted: Sequence[int],
    prepare: Callable[[Pixels], T],
    *,
    upright: bool,
) -> list[T]:
    """Decode some frames and prepare each at once, so that only what is prepared is kept.

    Stretches without a wanted frame are skipped where the file allows it. A frame that cannot be
    decoded is replaced by the next one.

    Args:
        source: As :func:`read_timeline`.
        timeline: What that returned.
        wanted: The places of the frames in the timeline, in any order.
        prepare: Gets each frame as ``(H, W, 3)`` RGB.
        upright: Turn the frames as the file asks for; phones store them lying on their side.
    """
    name = label(source)
    found: dict[int, T] = {}
    targets = sorted({timeline.stamps[i] for i in wanted})
    exact = True
    with open_container(source) as container:
        stream = _video_stream(container, name)
        counter = count()
        frames = container.decode(stream)
        position = timeline.stamps[0] - 1
        for target in targets:
            before = bisect_right(timeline.jumps, target)
            if before > 1 and timeline.jumps[before - 1] > position:
                container.seek(timeline.jumps[before - 1], stream=stream)
                frames = container.decode(stream)
            for frame in frames:
                stamp = frame.pts if timeline.jumps else next(counter)
                if stamp is None:
                    continue
                position = stamp
                if stamp >= target:
                    exact = exact and stamp == target
                    rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                    found[target] = prepare(np.rot90(rgb, frame.rotation // 90 * upright))
                    break
    if not exact and timeline.jumps[1:]:  # the file jumps badly: read it from end to end
        patient = Timeline(
            stamps=timeline.stamps, jumps=timeline.jumps[:1], unit=timeline.unit, fps=timeline.fps
        )
        return read_frames(source, patient, wanted, prepare, upright=upright)
    if not found:
        raise MediaError(f"{name} has no frame that can be decoded")
    last = found[max(found)]
    return [found.get(timeline.stamps[i], last) for i in wanted]


@dataclass(frozen=True, kw_only=True)
class VideoPreprocessor:
    """A video to ``(clips * crops, 3, n_frames, size, size)`` float32, CLIP's mean removed.

    With ``reference`` 5 clips times 3 crops, clip-major; by default one crop a clip.
    """

    size: int  # pixels a side
    n_frames: int = 2  # of a clip, evenly from its first to its last
    max_clips: int = 15  # half a minute without a gap, at the cost of the published 15 passes
    reference: bool = False

    def __call__(self, item: object) -> Floats:
        """Prepare one video: a path, bytes, a file object, or :class:`Frames`.

        Raises:
            MediaError: It cannot be read, has no picture, is damaged, too large or too long.
        """
        name = label(item)
        prepare = self._resize if self.reference else self._square
        if isinstance(item, Frames):
            given = _checked(item)
            timeline = Timeline(
                stamps=range(len(given)), jumps=(), unit=1 / Fraction(item.fps), fps=item.fps
            )
            frames = np.stack([prepare(given[i]) for i in self._wanted(timeline)])
        elif as_array(item) is not None:
            raise MediaError(f"{name} does not tell its rate; wrap it: Frames(frames=..., fps=...)")
        elif is_source(item):
            timeline = read_timeline(item)
            wanted = self._wanted(timeline)
            frames = np.stack(
                read_frames(item, timeline, wanted, prepare, upright=not self.reference)
            )
        else:
            raise MediaError(f"{name} is no video; give a path, bytes, a file object or Frames")
        pixels = self._normalise(frames)  # (clips * n_frames, 3, H, W)
        clips = pixels.reshape(-1, self.n_frames, *pixels.shape[1:]).swapaxes(1, 2)
        return self._crops(clips) if self.reference else np.ascontiguousarray(clips)

    def _wanted(self, timeline: Timeline) -> list[int]:
        """The places of the frames shown, clip after clip."""
        if self.reference:
            duration, n_clips = timeline.counted_duration, REFERENCE_CLIPS
            ends = timeline.counted
        else:
            duration = timeline.duration
            n_clips = clips_to_cover(duration, self.max_clips)
            ends = timeline.between
        wanted: list[int] = []
        for start in clip_starts(duration, n_clips):
            first, last = ends(start)
            wanted += [int(i) for i in np.linspace(first, last, self.n_frames)]
        return wanted

    def _square(self, frame: Pixels) -> Array:
        """A frame as a still image is prepared, ``(size, size, 3)`` bytes."""
        return np.asarray(resize_and_crop(Image.fromarray(frame), self.size))

    def _resize(self, frame: Pixels) -> Array:
        """A frame as the published code prepares it, ``(H, W, 3)`` floats from 0 to 1."""
        return resize_bilinear(frame, self.size)

    def _normalise(self, frames: Array) -> Floats:
        """Take out the mean, ``(n, H, W, 3)`` bytes or floats to ``(n, 3, H, W)``."""
        if frames.dtype == np.uint8:
            return normalise_images(frames)
        pixels = frames.astype(np.float32)
        pixels -= np.array(MEAN, np.float32)
        pixels /= np.array(STD, np.float32)
        return pixels.transpose(0, 3, 1, 2)

    def _crops(self, clips: Floats) -> Floats:
        """Three crops of each clip along its longer side: the start, the centre, the end."""
        rest_y, rest_x = clips.shape[3] - self.size, clips.shape[4] - self.size
        crops: list[Floats] = []
        for share in (0, 1, 2):
            y, x = -(-rest_y * share // 2), -(-rest_x * share // 2)  # halves go up
            crops.append(clips[..., y : y + self.size, x : x + self.size])
        return np.stack(crops, axis=1).reshape(-1, *crops[0].shape[1:])


def _checked(item: Frames) -> Pixels:
    """The frames of an array, if that is what they are."""
    frames = as_array(item.frames)
    if frames is None or frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        found = "no array" if frames is None else f"{frames.dtype} {frames.shape}"
        raise MediaError(f"video frames are {found}; expected uint8 (T, H, W, 3)")
    if not frames.size:
        raise MediaError(f"video frames of shape {frames.shape} hold nothing")
    if not 0 < item.fps < math.inf:
        raise MediaError(f"video frames at {item.fps} frames a second; give the true rate")
    _check_size(frames.shape[2], frames.shape[1], "video array")
    return frames.astype(np.uint8, copy=False)


def resize_bilinear(frame: Pixels, size: int) -> Floats:
    """``(H, W, 3)`` bytes to floats from 0 to 1 whose shorter side is ``size``.

    Source: torch's ``interpolate(mode="bilinear", align_corners=False)`` to the size that
    pytorchvideo's ``ShortSideScale`` asks for.
    """
    height, width = frame.shape[:2]
    if width < height:
        new_height, new_width = math.floor(height / width * size), size
    else:
        new_height, new_width = size, math.floor(width / height * size)
    y0, y1, dy = _taps(height, new_height)
    x0, x1, dx = _taps(width, new_width)
    dy, dx = dy[:, None, None], dx[:, None]

    def corner(y: Indices, x: Indices) -> Floats:
        pixels: Floats = frame[y][:, x].astype(np.float32) / np.float32(255)
        return pixels

    one = np.float32(1)
    top = corner(y0, x0) * (one - dx) + corner(y0, x1) * dx
    bottom = corner(y1, x0) * (one - dx) + corner(y1, x1) * dx
    resized: Floats = (top * (one - dy) + bottom * dy).astype(np.float32, copy=False)
    return resized


def _taps(old: int, new: int) -> tuple[Indices, Indices, Floats]:
    """For each new pixel its two old neighbours and the share of the second."""
    scale = np.float32(old) / np.float32(new)
    centre = np.maximum(scale * (np.arange(new, dtype=np.float32) + 0.5) - np.float32(0.5), 0)
    first = centre.astype(np.int64)
    return first, np.minimum(first + 1, old - 1), (centre - first).astype(np.float32)
