"""Drawings for docs/cache.md: the grid, the claim, and mixtures of a picture with a sound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from intervals import Estimate

from anybind.files import atomic_path
from anybind.index.cache import Cache, Weighting
from anybind.index.gap import FAINT, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 130
COLUMNS = 4  # panels in a row
GREY = "#7a7a7e"
# Okabe and Ito's palette, which the colour-blind tell apart.
COLOUR_OF_K = ("#56B4E9", "#0072B2", "#009E73", "#D55E00")  # in the order of k
COLOUR_OF_WAY = (GREY, "#0072B2", "#E69F00", "#CC79A7")  # in the order of the ways
LINE_OF = {Weighting.SOFTMAX: "-", Weighting.LINEAR: "--"}
MARKER_OF = {Weighting.SOFTMAX: "o", Weighting.LINEAR: "s"}
CONCEPTS = {"the picture's": "#0072B2", "the sound's": "#D55E00", "both": "#009E73"}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What the grid found for one medium."""

    naive: Estimate
    cached: Mapping[Cache, Estimate]  # a share right, by setting


def plot_grid(panels: Mapping[str, Panel], out: Path, *, title: str) -> None:
    """A panel a medium: what is right by alpha, a line for each k and weighting.

    A band is the interval of the naive way, a bar that of the best setting of a weighting; those of
    the others are about as long.
    """
    n_rows = -(-(len(panels) + 1) // COLUMNS)  # one more for the legend
    figure = _figure(3.4 * COLUMNS, 3.1 * n_rows)
    axes = figure.subplots(n_rows, COLUMNS, sharex=True, squeeze=False).flatten()
    for panel, (medium, found) in zip(axes, panels.items(), strict=False):
        panel.axhspan(found.naive.low, found.naive.high, color="#9a9a9e", alpha=0.2, linewidth=0)
        panel.axhline(found.naive.value, color=GREY, linewidth=1, label="naive, 95 %")
        ks = sorted({setting.k for setting in found.cached})
        for weighting, line in LINE_OF.items():
            for k, colour in zip(ks, COLOUR_OF_K, strict=False):
                curve = sorted(
                    (setting.alpha, share.value)
                    for setting, share in found.cached.items()
                    if setting.k == k and setting.weighting == weighting
                )
                alphas, shares = zip((0.0, found.naive.value), *curve, strict=True)
                panel.plot(alphas, shares, line, color=colour, label=f"{weighting}, k {k}")
            tried = {s: of for s, of in found.cached.items() if s.weighting == weighting}
            top = max(tried, key=lambda s: (tried[s].value, -s.alpha, -s.k))
            low, high = _arms([tried[top]])
            panel.errorbar(
                [top.alpha],
                [tried[top].value],
                yerr=(low, high),
                fmt=MARKER_OF[weighting],
                color=COLOUR_OF_K[ks.index(top.k)],
                markersize=4,
                capsize=3,
            )
        panel.set_title(medium, loc="left", color=INK, fontsize=11)
        _plain(panel)
    for panel in axes[len(panels) :]:
        panel.set_axis_off()
    lines, labels = axes[0].get_legend_handles_labels()
    spare = axes[len(panels)]
    for weighting, marker in MARKER_OF.items():  # grey: they have the colour of their k
        bar = spare.errorbar([], [], yerr=[], fmt=marker, color=GREY, markersize=4, capsize=3)
        lines.append(bar)
        labels.append(f"best {weighting}, 95 %")
    spare.legend(lines, labels, frameon=False, loc="center left", fontsize=10)
    figure.supxlabel("α, the share taken from the index", color=FAINT, fontsize=10)
    _save(figure, out, title)


def plot_test(
    shares: Mapping[str, Mapping[str, Sequence[Estimate]]], ways: Sequence[str], out: Path
) -> None:
    """A panel a measure: every medium shown in every way, with 95 % intervals.

    Args:
        shares: By measure and medium, one a way.
        ways: Their names.
        out: A PNG file.
    """
    figure = _figure(6.2 * len(shares), 4.6)
    panels = figure.subplots(1, len(shares), squeeze=False)[0]
    for panel, (what, by_medium) in zip(panels, shares.items(), strict=True):
        for n, (way, colour) in enumerate(zip(ways, COLOUR_OF_WAY, strict=True)):
            found = [estimates[n] for estimates in by_medium.values()]
            places = [row + 0.17 * (n - (len(ways) - 1) / 2) for row in range(len(found))]
            panel.errorbar(
                [of.value for of in found],
                places,
                xerr=_arms(found),
                fmt="o",
                color=colour,
                markersize=5,
                capsize=2,
                label=way,
            )
        panel.set_yticks(range(len(by_medium)), list(by_medium))
        panel.invert_yaxis()
        panel.set_title(what, loc="left", color=INK, fontsize=11)
        _plain(panel)
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, frameon=False, loc="outside right upper", fontsize=9)
    _save(figure, out, "Unseen test scenes, with 95 % intervals")


def plot_mixtures(named: Mapping[str, Mapping[float, Estimate]], out: Path) -> None:
    """Which thing is named, by the share of the sound, with 95 % bands; dashed without the cache.

    Args:
        named: Shares of captions, by a name like ``the sound's, cache`` and the sound's share.
        out: A PNG file.
    """
    figure = _figure(7.0, 4.4)
    panel = figure.subplots()
    for concept, colour in CONCEPTS.items():
        for way, line in {"cache": "-", "naive": "--"}.items():
            curve = named[f"{concept}, {way}"]
            values, low, high = zip(*curve.values(), strict=True)
            panel.plot(list(curve), values, line, color=colour, label=f"{concept}, {way}")
            panel.fill_between(list(curve), low, high, color=colour, alpha=0.12, linewidth=0)
    panel.set_xlabel("share of the sound in the mixture", color=FAINT)
    panel.set_ylabel("captions that name it", color=FAINT)
    panel.set_ylim(0, 1)
    panel.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _plain(panel)
    _save(figure, out, "A picture with a sound of something else, with 95 % intervals")


def _arms(found: Sequence[Estimate]) -> tuple[list[float], list[float]]:
    """How far the intervals reach below and above their values."""
    below = [max(0.0, of.value - of.low) for of in found]
    return below, [max(0.0, of.high - of.value) for of in found]


def _figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: "Axes") -> None:
    """Nothing drawn that says nothing."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#c8c8cc")
    axes.tick_params(colors=FAINT, length=3)
    axes.grid(alpha=0.3)


def _save(figure: "Figure", out: Path, title: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=13)
    with atomic_path(out) as part:
        figure.savefig(part, format="png")
