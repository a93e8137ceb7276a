"""The modalities anybind speaks, and the towers that encode them.

Every tower maps its input to a unit vector of ``config.dim`` floats, so a dot product between
vectors of any two modalities is their cosine similarity. Images and videos share one tower.
"""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]  # (n, dim), unit rows unless said otherwise


class Modality(StrEnum):
    """A kind of media, as users name it."""

    IMAGE = "image"
    TEXT = "text"
    AUDIO = "audio"
    VIDEO = "video"
    POINTS = "points"
    DEPTH = "depth"
    THERMAL = "thermal"
    IMU = "imu"


class Tower(StrEnum):
    """One network of the encoder."""

    VISION = "vision"
    TEXT = "text"
    AUDIO = "audio"
    DEPTH = "depth"
    THERMAL = "thermal"
    IMU = "imu"
    POINTS = "points"


TOWER_OF: dict[Modality, Tower] = {
    Modality.IMAGE: Tower.VISION,
    Modality.VIDEO: Tower.VISION,
    Modality.TEXT: Tower.TEXT,
    Modality.AUDIO: Tower.AUDIO,
    Modality.POINTS: Tower.POINTS,
    Modality.DEPTH: Tower.DEPTH,
    Modality.THERMAL: Tower.THERMAL,
    Modality.IMU: Tower.IMU,
}
