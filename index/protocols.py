"""What an index asks of an encoder: any object with these names will do.

``anybind.encoders.encoder.Encoder`` is one; a test makes another from a numpy projection.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..encoders.modality import Modality, Vectors


class EncoderFacts(Protocol):
    """What identifies an encoder; an index is searched with the one that built it."""

    @property
    def name(self) -> str:
        """The preset, or the path of the weight file."""
        ...

    @property
    def fingerprint(self) -> str:
        """``sha256:...`` over weights, configuration and preparation."""
        ...

    @property
    def dim(self) -> int:
        """Floats a vector."""
        ...

    @property
    def reference(self) -> bool:
        """Whether media are prepared exactly as the published code does."""
        ...


class Encoder(EncoderFacts, Protocol):
    """Media to unit vectors, in two steps, so that the first can run in other processes."""

    @property
    def modalities(self) -> Sequence[Modality]:
        """What it can embed."""
        ...

    @property
    def centres(self) -> Mapping[Modality, Vectors]:
        """The mean vector ``(dim,)`` of some modalities over the data it was trained on."""
        ...

    def preprocessor(self, modality: Modality) -> Callable[[object], npt.NDArray[np.generic]]:
        """The preparation of one item: picklable and free of torch."""
        ...

    def encode_prepared(
        self,
        modality: Modality,
        items: Sequence[npt.NDArray[np.generic]],
        *,
        batch_size: int | None = ...,
    ) -> Vectors:
        """Prepared items to float32 unit rows, ``(n, dim)``."""
        ...
