"""The modality gap: how far apart the modalities lie in the shared space, in figures and a picture.

What belongs together lies nearer than what does not, and yet each modality keeps to a region of its
own. The distance between the regions' centroids is the gap.

Source: the gap and its measure are those of Liang et al., https://arxiv.org/abs/2203.02053.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..encoders.modality import Modality, Vectors
from ..errors import UsageError
from ..files import atomic_path
from .search import Index
from .shards import iter_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Pairs = tuple[Vectors, Vectors]  # rows that belong together, (n, dim) each

MAX_SAMPLE = 1000  # vectors of a modality that are looked at; pairs are compared each with each
BINS = 60  # of a histogram
INCHES_WIDE, DPI = 12.0, 150  # 1800 px, to be read at 1200
ROW_INCHES = 1.05  # of one histogram
LEAST_INCHES = 6.4  # of the whole height
INK, FAINT, UNMATCHED = "#202024", "#7a7a7e", "#9a9a9e"
# Okabe and Ito's palette, which the colour-blind tell apart, and a marker each for print.
STYLE: Mapping[Modality, tuple[str, str]] = {
    Modality.IMAGE: ("#0072B2", "o"),
    Modality.TEXT: ("#D55E00", "s"),
    Modality.AUDIO: ("#009E73", "^"),
    Modality.POINTS: ("#CC79A7", "D"),
    Modality.VIDEO: ("#000000", "v"),
    Modality.DEPTH: ("#56B4E9", "P"),
    Modality.THERMAL: ("#E69F00", "X"),
    Modality.IMU: ("#6B5B3E", "*"),
}


@dataclass(frozen=True, kw_only=True)
class Gap:
    """How one modality lies to another, the reference."""

    vectors: int  # seen of the modality
    distance: float  # between the centroids of the two, 0 to 2
    pairs: int  # of vectors that belong together
    matched: float | None  # mean cosine of such pairs
    unmatched: float | None  # mean cosine of all other pairs of the same vectors
    told_apart: float | None  # chance that a pair is nearer than another: 0.5 is blind, 1 perfect


def sampled(index: Index) -> Ids:
    """The ids of at most ``MAX_SAMPLE`` items, spread evenly over an index."""
    n = min(MAX_SAMPLE, len(index))
    return np.linspace(0, len(index) - 1, n).round().astype(np.int64)


def pairs_by_key(one: Index, reference: Index) -> Pairs | None:
    """The vectors of two indices whose items have the same key, at most ``MAX_SAMPLE`` pairs.

    Returns:
        Rows of ``one`` and of ``reference``; None when fewer than two keys are in both.
    """
    place = {row.key: row.id for row in one.rows(sampled(one))}
    found = {
        row.key: row.id
        for rows in iter_rows(reference.folder, reference.manifest.shards)
        for row in rows
        if row.key in place
    }
    if len(found) < 2:
        return None
    return one.vectors([place[key] for key in found]), reference.vectors(list(found.values()))


def measure_gap(
    vectors: Mapping[Modality, Vectors], pairs: Mapping[Modality, Pairs]
) -> dict[Modality, Gap]:
    """The figures of every modality but the first, which is the reference.

    Args:
        vectors: ``(n, dim)`` unit rows by modality.
        pairs: By modality, rows and the rows of the reference that belong to them.

    Raises:
        UsageError: There are no two modalities to compare.
    """
    if len(vectors) < 2:
        raise UsageError(
            f"there are vectors of {' and '.join(vectors) or 'nothing'} alone; a gap lies between "
            "two modalities: name an index of another with --plot-with"
        )
    (_, reference), *others = vectors.items()
    centroid = reference.mean(axis=0)
    figures: dict[Modality, Gap] = {}
    for modality, rows in others:
        matched = unmatched = np.empty(0)
        if modality in pairs:
            matched, unmatched = similarities(pairs[modality])
        figures[modality] = Gap(
            vectors=len(rows),
            distance=float(np.linalg.norm(rows.mean(axis=0) - centroid)),
            pairs=len(matched),
            matched=float(matched.mean()) if matched.size else None,
            unmatched=float(unmatched.mean()) if unmatched.size else None,
            told_apart=told_apart(matched, unmatched) if unmatched.size else None,
        )
    return figures


def similarities(pairs: Pairs) -> tuple[Floats, Floats]:
    """Cosines of ``n`` pairs that belong together, and of the ``n² - n`` that do not."""
    cosines = pairs[0].astype(np.float64) @ pairs[1].T.astype(np.float64)
    own = np.eye(len(cosines), dtype=bool)
    return cosines[own], cosines[~own]


def told_apart(matched: Floats, unmatched: Floats) -> float:
    """The chance that one of ``matched`` is above one of ``unmatched``; a tie counts half."""
    order = np.sort(unmatched)
    below = np.searchsorted(order, matched, side="left")
    not_above = np.searchsorted(order, matched, side="right")
    return float((below + not_above).mean() / (2 * len(order)))


def principal_plane(rows: Vectors) -> tuple[Floats, Floats, Floats]:
    """The plane in which rows differ most.

    Args:
        rows: ``(n, dim)``.

    Returns:
        Their mean ``(dim,)``; two orthonormal axes ``(2, dim)``, the first the one of the largest
        variance, each with its largest number positive; and the shares of the variance, ``(2,)``.
    """
    centre = rows.mean(axis=0, dtype=np.float64)
    spread = rows - centre
    values, columns = np.linalg.eigh(spread.T @ spread)  # ascending
    axes = columns[:, :-3:-1].T
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    shares: Floats = values[:-3:-1] / max(float(values.sum()), 1e-300)
    return centre, axes * signs[:, None], shares


def plot_gap(
    vectors: Mapping[Modality, Vectors],
    pairs: Mapping[Modality, Pairs],
    out: Path,
    *,
    title: str = "",
) -> dict[Modality, Gap]:
    """Draw all vectors on their principal plane, and cosines of what belongs together and not.

    Args:
        vectors: As :func:`measure_gap`.
        pairs: As :func:`measure_gap`; a histogram each.
        out: A png, jpg, svg, pdf or webp file.
        title: Above all.

    Returns:
        The figures, which the drawing shows as well.

    Raises:
        UsageError: As :func:`measure_gap`; or ``out`` has another ending.
        WriteError: It cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figures = measure_gap(vectors, pairs)
    shown = [modality for modality in figures if modality in pairs]
    height = max(LEAST_INCHES, 1.9 + ROW_INCHES * len(shown))
    figure = Figure(figsize=(INCHES_WIDE, height), dpi=DPI, facecolor="white", layout="constrained")
    known = FigureCanvasAgg(figure).get_supported_filetypes()
    if out.suffix.lower().lstrip(".") not in known:
        raise UsageError(f"cannot draw {out}: its name should end in .{', .'.join(sorted(known))}")
    grid = figure.add_gridspec(max(1, len(shown)), 2, width_ratios=(1.35, 1))
    _scatter(figure.add_subplot(grid[:, 0]), vectors, figures)
    first: Axes | None = None
    for n, modality in enumerate(shown):
        axes = figure.add_subplot(grid[n, 1], sharex=first)
        _histogram(axes, modality, next(iter(vectors)), pairs[modality], figures[modality])
        if n < len(shown) - 1:
            axes.tick_params(labelbottom=False)
        else:
            axes.set_xlabel("cosine similarity", color=FAINT)
        first = first or axes
    if title:
        figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=14)
    with atomic_path(out) as part:
        figure.savefig(part, format=out.suffix.lower().lstrip("."))
    return figures


def _scatter(
    axes: "Axes", vectors: Mapping[Modality, Vectors], figures: Mapping[Modality, Gap]
) -> None:
    """Every vector as a dot, every centroid as a large mark."""
    centre, plane, shares = principal_plane(np.concatenate(list(vectors.values())))
    for modality, rows in vectors.items():
        colour, marker = STYLE[modality]
        x, y = plane @ (rows - centre).T
        axes.scatter(x, y, s=9, color=colour, alpha=0.35, linewidths=0, rasterized=True)
    for modality, rows in vectors.items():
        colour, marker = STYLE[modality]
        x, y = plane @ (rows.mean(axis=0) - centre)
        gap = f", gap {figures[modality].distance:.2f}" if modality in figures else ""
        axes.scatter(
            *(x, y),
            s=170,
            color=colour,
            marker=marker,
            edgecolors="white",
            linewidths=1.6,
            zorder=3,
            label=f"{modality}: {len(rows):,}{gap}",
        )
    axes.set_title(
        "Where the vectors lie; large marks are centroids", loc="left", color=INK, fontsize=11
    )
    axes.set_xlabel(f"first principal axis ({shares[0]:.0%} of the variance)", color=FAINT)
    axes.set_ylabel(f"second principal axis ({shares[1]:.0%})", color=FAINT)
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize=10, loc="best")
    _plain(axes)


def _histogram(
    axes: "Axes", modality: Modality, reference: Modality, pairs: Pairs, gap: Gap
) -> None:
    """Cosines of pairs that belong together over those of pairs that do not, as densities."""
    matched, unmatched = similarities(pairs)
    every = np.concatenate([matched, unmatched])
    edges = np.linspace(every.min(), every.max() + 1e-9, BINS + 1).tolist()
    colour, _ = STYLE[modality]
    axes.hist(unmatched, edges, density=True, color=UNMATCHED, alpha=0.45, label="others")
    axes.hist(matched, edges, density=True, color=colour, alpha=0.75, label="same thing")
    axes.set_title(f"{modality} and {reference}", loc="left", color=colour, fontsize=11)
    told = "" if gap.told_apart is None else f", told apart {gap.told_apart:.2%}"
    others = "" if gap.unmatched is None else f", others {gap.unmatched:.2f}"
    axes.set_title(
        f"same thing {gap.matched:.2f}{others}{told}", loc="right", color=FAINT, fontsize=9
    )
    axes.set_yticks([])
    _plain(axes)
    axes.spines["left"].set_visible(False)


def _plain(axes: "Axes") -> None:
    """Nothing drawn that says nothing."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#c8c8cc")
    axes.tick_params(colors=FAINT, length=3)
