"""Which preparation stands in front of which tower.

A preprocessor turns one item of media into one array of fixed meaning, needs no torch, and pickles,
so that decode workers start fast. Sound and video yield ``(clips, ...)``; the rest one array,
of one shape but for clouds, which have up to as many points as the encoder was trained on.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .audio import AudioPreprocessor
from .clouds import PointsPreprocessor
from .config import ImageBindConfig
from .images import ImagePreprocessor
from .imu import IMUPreprocessor
from .maps import MILLIMETRES, DepthPreprocessor, ThermalPreprocessor
from .modality import Modality
from .text import TextPreprocessor
from .video import VideoPreprocessor

Prepared = npt.NDArray[np.generic]  # one item as its preprocessor leaves it
Preprocessor = Callable[[object], Prepared]

CLIPPED = frozenset({Modality.AUDIO, Modality.VIDEO})  # prepared as (clips, ...)


def preprocessor_of(
    config: ImageBindConfig,
    modality: Modality,
    *,
    reference: bool,
    depth_scale: float = MILLIMETRES,
) -> Preprocessor:
    """The preparation of one item for a modality of an encoder.

    Args:
        config: The encoder's sizes.
        modality: One that the encoder has a tower for.
        reference: The published behaviour to the bit, instead of the default.
        depth_scale: Metres per unit of depth maps that hold integers.

    Raises:
        ValueError: The encoder has no tower for ``modality``.
    """
    vision, text, audio, points = config.vision, config.text, config.audio, config.points
    match modality:
        case Modality.IMAGE if vision is not None:
            return ImagePreprocessor(size=vision.size, reference=reference)
        case Modality.VIDEO if vision is not None:
            return VideoPreprocessor(
                size=vision.size, n_frames=vision.n_frames, reference=reference
            )
        case Modality.TEXT if text is not None:
            return TextPreprocessor(n_tokens=text.n_tokens, kept=text.kept, reference=reference)
        case Modality.AUDIO if audio is not None:
            return AudioPreprocessor(
                n_mels=audio.n_mels,
                n_frames=audio.n_frames,
                mean=audio.mean,
                std=audio.std,
                reference=reference,
            )
        case Modality.POINTS if points is not None:
            return PointsPreprocessor(
                n_points=points.n_points, min_points=points.group, reference=reference
            )
        case Modality.DEPTH if config.depth is not None:
            return DepthPreprocessor(
                size=config.depth.size, depth_scale=depth_scale, reference=reference
            )
        case Modality.THERMAL if config.thermal is not None:
            return ThermalPreprocessor(size=config.thermal.size, reference=reference)
        case Modality.IMU if config.imu is not None:
            return IMUPreprocessor(n_samples=config.imu.n_samples, reference=reference)
    raise ValueError(f"no tower for {modality}; there are {', '.join(config.towers)}")
