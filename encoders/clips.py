"""Which two seconds of a sound or a video the towers look at.

The towers read clips of two seconds. The first starts with the recording, the last ends with it,
the others lie evenly between; a recording shorter than a clip is one.
"""

import math
from fractions import Fraction

CLIP_SECONDS = 2
SLACK_SECONDS = 0.05  # what encoders pad; a recording this much too long needs no clip more


def clip_starts(duration: float, n_clips: int) -> list[Fraction]:
    """When each clip starts, in seconds; exact, so that no frame is lost to rounding.

    The rule of pytorchvideo's constant clips sampler (6cdc929), its one float subtraction included.
    """
    room = Fraction(max(duration - CLIP_SECONDS, 0))
    return [room * i / max(n_clips - 1, 1) for i in range(n_clips)]


def clips_to_cover(duration: float, max_clips: int) -> int:
    """How many clips hear or see all of a recording, at least one and at most ``max_clips``."""
    return min(max(math.ceil((duration - SLACK_SECONDS) / CLIP_SECONDS), 1), max_clips)
