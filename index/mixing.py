"""Arithmetic on embeddings: several vectors into one, with signed weights.

A mixture is ``Σ wᵢ·eᵢ`` over unit vectors, at unit length again. Each modality has a region of the
space to itself (the modality gap), and where that lies says nothing about an item; centring takes
it out of a mixture, by subtracting from each vector the mean of its modality.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from ..encoders.modality import Modality, Vectors
from ..errors import UsageError

Floats = npt.NDArray[np.float64]
Centres = Mapping[Modality, Vectors]  # the mean of a modality's unit vectors, (dim,)

# A sum shorter than this share of Σ|wᵢ| points nowhere: stored vectors are float16, whose rounding
# (2⁻¹¹ of each number) leaves about 3e-4 of a vector subtracted from itself.
CANCELLED = 1e-3
SHARE_EPSILON = 1e-6  # added to the sum of weights by the published code
PARALLEL = 1e-6  # radians; below, an arc is a straight line


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """How several vectors become one."""

    shares: bool  # weights are divided by their sum, so that only their ratio counts
    normalise: bool  # the result has unit length


MIXINGS: Mapping[str, Mixing] = MappingProxyType(
    {
        "anybind": Mixing(shares=False, normalise=True),
        # OpenGVLab/LLaMA-Adapter, imagebind_LLM: unit vectors, weights w / (Σw + 1e-6), and a
        # result as short as the vectors disagree; what the published adapter was tuned with.
        "imagebind-llm": Mixing(shares=True, normalise=False),
    }
)


def mixing_of(name: str) -> Mixing:
    """A way of mixing by its name.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in MIXINGS:
        raise UsageError(f"no way of mixing is called {name!r}; there are {', '.join(MIXINGS)}")
    return MIXINGS[name]


def mix(
    vectors: Vectors, weights: Sequence[float] | Floats | None = None, *, normalise: bool = True
) -> Vectors:
    """The weighted sum of vectors, each taken at unit length.

    Args:
        vectors: ``(n, dim)``, of any length but zero.
        weights: ``(n,)``, of either sign; all 1 if not given.
        normalise: Bring the sum to unit length.

    Returns:
        float32 ``(dim,)``.

    Raises:
        UsageError: There is no vector, one is zero or not finite, the weights are not as many
            finite numbers or all zero, or the vectors cancel each other.
    """
    total, _ = weighted_sum(vectors, weights)
    if normalise:
        total = total / np.linalg.norm(total)
    return total.astype(np.float32)


def weighted_sum(
    vectors: Vectors, weights: Sequence[float] | Floats | None = None
) -> tuple[Floats, float]:
    """What :func:`mix` brings to unit length, float64 ``(dim,)``, and its length.

    Raises:
        UsageError: As :func:`mix`.
    """
    rows = unit_rows(vectors)
    factors = _weights(weights, len(rows))
    total = factors @ rows
    length = float(np.linalg.norm(total))
    if length <= CANCELLED * float(np.abs(factors).sum()):
        raise UsageError(
            "the inputs cancel each other, so their mixture points nowhere; change a weight or "
            "leave one of them out"
        )
    return total, length


def mean(vectors: Vectors) -> Vectors:
    """The middle of vectors, at unit length, float32 ``(dim,)``: their mixture in equal parts.

    Raises:
        UsageError: As :func:`mix`.
    """
    return mix(vectors)


def slerp(a: Vectors, b: Vectors, t: float) -> Vectors:
    """The unit vector at a share ``t`` of the way from ``a`` to ``b`` on the sphere.

    In a mixture of ``1 - t`` and ``t`` the angle moves fastest in the middle; here it moves evenly.

    Args:
        a: ``(dim,)``, of any length but zero.
        b: The same.
        t: 0 gives ``a``, 1 gives ``b``.

    Returns:
        float32 ``(dim,)``.

    Raises:
        UsageError: ``t`` is not a share, the vectors differ in size, one is zero or not finite, or
            they are opposite, so that no way is the shortest.

    Source: Shoemake 1985, Animating rotation with quaternion curves, section 3.3.
    """
    if not 0 <= t <= 1:
        raise UsageError(f"t is {t}; a share of the way lies between 0 and 1")
    if np.shape(a) != np.shape(b):
        raise UsageError(
            f"vectors of shapes {np.shape(a)} and {np.shape(b)} lie in different spaces; give two "
            "of one encoder"
        )
    rows = unit_rows(np.stack([a, b]))
    angle = 2 * math.atan2(*(float(np.linalg.norm(rows[0] + s * rows[1])) for s in (-1, 1)))
    if angle < PARALLEL:
        factors = np.array([1 - t, t])
    elif math.pi - angle < PARALLEL:
        raise UsageError("the vectors are opposite, so no way between them is the shortest")
    else:
        factors = np.sin([(1 - t) * angle, t * angle]) / math.sin(angle)
    total = factors @ rows
    return (total / np.linalg.norm(total)).astype(np.float32)


def centred(vectors: Vectors, modality: Modality, centres: Centres) -> Vectors:
    """Vectors less the mean of their modality, at unit length again.

    Args:
        vectors: ``(n, dim)`` unit rows of one modality.
        modality: What they are of.
        centres: The means that are known.

    Returns:
        float32 unit rows ``(n, dim)``.

    Raises:
        UsageError: The mean of ``modality`` is not known or of another dimension, or a vector is
            the mean itself.
    """
    if modality not in centres:
        known = ", ".join(centres) or "none"
        raise UsageError(
            f"the mean of {modality} vectors is not known, so they cannot be centred (known: "
            f"{known}); mix without centring"
        )
    rows = unit_rows(vectors)
    centre = np.asarray(centres[modality], np.float64)
    if centre.shape != rows.shape[1:]:
        raise UsageError(
            f"the mean of {modality} has shape {centre.shape}, the vectors {rows.shape[1:]}; they "
            "are of different encoders"
        )
    rows -= centre
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if (lengths < CANCELLED).any():
        raise UsageError(
            f"a vector is the mean of {modality} itself and has nothing of its own; mix without "
            "centring"
        )
    out: Vectors = (rows / lengths).astype(np.float32)
    return out


def shares(weights: Sequence[float]) -> Floats:
    """Weights as shares of their sum, as the published ImageBind-LLM takes them.

    Raises:
        UsageError: They sum to zero.
    """
    factors = _weights(weights, len(weights))
    total = float(factors.sum())
    if abs(total) <= CANCELLED * float(np.abs(factors).sum()):
        raise UsageError(
            f"weights {', '.join(f'{w:g}' for w in factors)} sum to zero, so none is a share of "
            "their sum; change one, or mix without shares"
        )
    return factors / (total + SHARE_EPSILON)


def unit_rows(vectors: npt.ArrayLike) -> Floats:
    """Rows at unit length, float64 ``(n, dim)``.

    Raises:
        UsageError: They are no such array, there are none, or one is zero or not finite.
    """
    try:
        rows = np.array(vectors, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError("the vectors are no array of numbers; give rows (n, dim)") from None
    if rows.ndim != 2 or not rows.size:
        raise UsageError(f"the vectors have shape {rows.shape}; give rows (n, dim), at least one")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    wrong = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))
    if len(wrong):
        raise UsageError(
            f"vector {wrong[0]} is zero or not finite; it has no direction, leave it out"
        )
    rows /= lengths
    return rows


def _weights(weights: Sequence[float] | Floats | None, n: int) -> Floats:
    """The weights of ``n`` vectors, checked."""
    if weights is None:
        return np.ones(n)
    factors = np.asarray(weights, np.float64)
    if factors.shape != (n,):
        raise UsageError(
            f"{n} vectors were given weights of shape {factors.shape}; give one number for each"
        )
    if not np.isfinite(factors).all():
        raise UsageError("a weight is not finite; give numbers like 0.6 or -1")
    if not factors.any():
        raise UsageError("all weights are zero, so nothing is left to mix; give one that is not")
    return factors
