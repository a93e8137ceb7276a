"""Scenes as the loaders and encoders take them: nothing is written, nothing is compressed."""

import numpy as np

from ..encoders.clips import CLIP_SECONDS
from ..encoders.media import Frames, Motion, Waveform
from ..encoders.modality import Modality
from .captions import caption
from .render import render
from .scene import Scene


def medium(modality: Modality, of: Scene, size: int) -> object:
    """A scene as an item that an encoder takes.

    Args:
        modality: Text is the primary English caption; a cloud is of the first object.
        of: The scene.
        size: Pixels a side, of what has pixels.
    """
    match modality:
        case Modality.IMAGE:
            return render(of, size).image
        case Modality.TEXT:
            return caption(of)
        case Modality.AUDIO:
            from .sound import sound
            from .synthesis import SOUND_RATE

            samples = sound(of).astype(np.float32)[None] / np.float32(32768)
            return Waveform(samples=samples, rate=SOUND_RATE)
        case Modality.VIDEO:
            from .motion import VIDEO_SECONDS
            from .video import VIDEO_FPS, frames

            # Of each clip the preprocessor looks at the first and the last frame; only those are
            # rendered, and at one frame a second they are again the ends of clips of two seconds.
            starts = range(0, int(VIDEO_SECONDS), CLIP_SECONDS)
            times = [t for s in starts for t in (float(s), s + CLIP_SECONDS - 1 / VIDEO_FPS)]
            return Frames(frames=frames(of, size, times), fps=2 / CLIP_SECONDS)
        case Modality.POINTS:
            from .cloud import cloud

            return cloud(of)
        case Modality.DEPTH:
            return render(of, size).depth
        case Modality.THERMAL:
            from .heat import thermal

            return thermal(of, size)
        case Modality.IMU:
            from .motion import IMU_RATE, imu

            return Motion(samples=imu(of), rate=IMU_RATE)
