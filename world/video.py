"""Scenes in motion: frames, and mp4 files with the sound of what is seen.

The camera stands still, so a scene is framed and its place painted once a clip.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from ..files import atomic_path
from .assembly import Stream
from .motion import VIDEO_SECONDS as VIDEO_SECONDS
from .motion import moved
from .render import set_stage, show
from .scene import Scene
from .sound import sound
from .synthesis import SOUND_RATE

if TYPE_CHECKING:
    from av.container import OutputContainer

VIDEO_FPS = 12
CRF = 20  # of H.264: a little better than its default of 23, as noise and small things matter
SOUND_BITS = 64_000  # a second of AAC, plenty for one channel at 16 kHz


def frames(of: Scene, size: int, times: Sequence[float]) -> npt.NDArray[np.uint8]:
    """Render moments of a scene's video.

    A frame at 0 s is what `render` shows, but for the sensor's noise, which every frame has anew.

    Args:
        of: The scene.
        size: px a side.
        times: Seconds into the video, from 0 to `VIDEO_SECONDS`.

    Returns:
        ``(n, size, size, 3)`` sRGB.

    Raises:
        UsageError: A size or a time out of range.
    """
    stage = set_stage(of, size)
    sensor = Stream(of.id, "video").generator
    shown = np.empty((len(times), size, size, 3), np.uint8)
    for frame, t in zip(shown, times, strict=True):
        frame[:] = show(stage, moved(of, t), sensor).image
    return shown


def write_video(of: Scene, path: Path, size: int = 256, fps: int = VIDEO_FPS) -> None:
    """Write a scene's video with its sound: mp4, H.264 and AAC.

    Args:
        of: The scene.
        path: Appears complete or not at all.
        size: px a side, even.
        fps: Frames a second.

    Raises:
        UsageError: A size or a rate that no such video has.
        WriteError: The disk is full, or the folder cannot be written.
    """
    import av

    if size % 2:
        raise UsageError(f"asked for a video of {size} px a side; H.264 wants an even number")
    if not 1 <= fps <= 60:
        raise UsageError(f"asked for {fps} frames a second; a video has 1 to 60")
    pictures = frames(of, size, [i / fps for i in range(round(VIDEO_SECONDS * fps))])
    with atomic_path(path) as aside, av.open(str(aside), "w", format="mp4") as container:
        _add(container, pictures, fps, sound(of, VIDEO_SECONDS))


def _add(
    container: "OutputContainer",
    pictures: npt.NDArray[np.uint8],
    fps: int,
    samples: npt.NDArray[np.int16],
) -> None:
    """Encode pictures and sound into an open container, the same way every time."""
    import av

    size = pictures.shape[1]
    # x264's macroblock tree gave 2 of 100 files other bytes where it uses AVX-512 (PyAV 18.1).
    options = {"crf": str(CRF), "threads": "1", "mbtree": "0"}
    video = container.add_stream("libx264", rate=fps, options=options)
    video.width, video.height, video.pix_fmt = size, size, "yuv420p"
    audio = container.add_stream("aac", rate=SOUND_RATE, layout="mono", bit_rate=SOUND_BITS)
    for picture in pictures:
        container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(video.encode())
    heard = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    heard.sample_rate, heard.time_base, heard.pts = SOUND_RATE, Fraction(1, SOUND_RATE), 0
    container.mux(audio.encode(heard))
    container.mux(audio.encode())
