"""Intervals of shares and differences against published values and against simulation."""

import numpy as np
import numpy.typing as npt
import pytest

from .scripts import script

intervals = script("intervals")
Floats = npt.NDArray[np.float64]
NAN = float("nan")


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (0, 20, 0.0, 0.1611),
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_has_the_published_limits(right: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, Two-sided confidence intervals for the single proportion, table I (3)."""
    found = intervals.wilson(right, n)
    assert found.value == right / n
    np.testing.assert_allclose((found.low, found.high), (low, high), atol=1e-4)


def test_a_measure_averages_what_was_asked_of_each_column() -> None:
    """By hand: the first column has 2 of 3 right, the second 1 of 2; weights 0.25 and 0.75."""
    marks = np.array([[1, NAN, NAN], [0, 1, NAN], [1, 0, NAN]])
    found = intervals.measure(marks, np.array([0.25, 0.75, 0.0]))
    assert found == pytest.approx(0.25 * 2 / 3 + 0.75 / 2)


def test_the_share_of_one_column_has_wilsons_interval() -> None:
    """Scenes that were not asked do not count."""
    marks = np.array([[1, NAN], [0, NAN], [NAN, 1], [1, 0]])
    assert intervals.estimate(marks, np.array([1.0, 0.0]), seed=0) == intervals.wilson(2, 3)


def test_the_bootstrap_is_as_wide_as_the_mean_varies() -> None:
    """The standard error of the mean of two independent shares p of n scenes is √(p(1-p)/2n)."""
    rng = np.random.default_rng(0)
    marks = (rng.random((2000, 2)) < 0.7).astype(np.float64)
    found = intervals.estimate(marks, np.array([0.5, 0.5]), seed=1)
    wide = 2 * 1.96 * np.sqrt(0.7 * 0.3 / (2 * 2000))
    assert found.low < marks.mean() < found.high
    assert found.high - found.low == pytest.approx(wide, rel=0.1)


def test_what_is_hard_for_both_ways_does_not_widen_their_difference() -> None:
    """Both ways agree but on 20 of 1,000 scenes, which the second gains: by the binomial's
    deviation √(20) scenes, the interval of 0.02 is about ±0.0088."""
    rng = np.random.default_rng(2)
    before: Floats = (rng.random((1000, 1)) < 0.5).astype(np.float64)
    after = before.copy()
    after[np.flatnonzero(before[:, 0] == 0)[:20]] = 1
    found = intervals.difference(after, before, np.ones(1), seed=3)
    assert found.value == pytest.approx(0.02)
    np.testing.assert_allclose((found.low, found.high), (0.0112, 0.0288), atol=0.0025)


def test_equal_ways_differ_by_nothing() -> None:
    """The draws of both are the same, so every one of them has a difference of zero."""
    marks = np.random.default_rng(4).random((50, 3))
    found = intervals.difference(marks, marks, np.full(3, 1 / 3), seed=5)
    assert found == (0, 0, 0)
