"""How sure a measured share is: 95 % intervals, for one way of answering and between two.

Answers are marks, ``(scenes, columns)``: 1 right, 0 wrong, NaN not asked; the mean of several
answers lies between. A measure is a weight for each column, so that an average over kinds of
questions is a measure like the share of one kind.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NORMAL = 1.959964  # the standard normal distribution is within ± this with a chance of 95 %
TAILS = (0.025, 0.975)
DRAWS = (
    2000  # of the bootstrap; the ends of an interval are then good to about a tenth of its width
)


class Estimate(NamedTuple):
    """A measured value and the interval that holds the true one in 95 of 100 repetitions."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    @property
    def half_width(self) -> float:
        """From the value to the farther end."""
        return max(self.high - self.value, self.value - self.low)


class Difference(NamedTuple):
    """How much more one way has of a measure than another, with the interval of that."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def measure(marks: Floats, weights: Floats) -> float:
    """The weighted sum of the columns' shares; NaN where a column with a weight was never asked."""
    kept = marks[:, weights != 0]
    asked = (~np.isnan(kept)).astype(np.float64)
    shares = _shares(np.nan_to_num(kept).sum(axis=0), asked.sum(axis=0))
    return float(shares @ weights[weights != 0])


def estimate(marks: Floats, weights: Floats, *, seed: int) -> Estimate:
    """A measure with its interval: Wilson's for a share of right answers, else the bootstrap's."""
    if np.count_nonzero(weights) == 1:
        column = marks[:, int(np.flatnonzero(weights)[0])]
        asked = column[~np.isnan(column)]
        if np.isin(asked, (0, 1)).all():
            return wilson(int(asked.sum()), len(asked))
    low, high = np.nanquantile(resampled(marks, weights, seed=seed), TAILS)
    return Estimate(measure(marks, weights), float(low), float(high))


def difference(after: Floats, before: Floats, weights: Floats, *, seed: int) -> Difference:
    """How much more one way of answering has of a measure than another, on the same scenes.

    The bootstrap is paired: both are measured on each draw of scenes, so what makes a scene hard
    for both does not widen the interval.
    """
    draws = resampled(after, weights, seed=seed) - resampled(before, weights, seed=seed)
    low, high = np.nanquantile(draws, TAILS)
    return Difference(measure(after, weights) - measure(before, weights), float(low), float(high))


def resampled(marks: Floats, weights: Floats, *, seed: int) -> Floats:
    """A measure on ``DRAWS`` draws of as many scenes, with replacement.

    Equal seeds draw equal scenes for marks of equally many. A draw in which a column was never
    asked is NaN.
    """
    n = len(marks)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float64)
    kept = marks[:, weights != 0]
    asked = (~np.isnan(kept)).astype(np.float64)
    shares = _shares(times @ np.nan_to_num(kept), times @ asked)  # (draws, columns)
    out: Floats = shares @ weights[weights != 0]
    return out


def wilson(right: int, n: int) -> Estimate:
    """The share of ``right`` among ``n``, and the interval of Wilson's score test.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    if n == 0:
        return Estimate(float("nan"), 0.0, 1.0)
    share, z = right / n, NORMAL**2 / n
    middle = (share + z / 2) / (1 + z)
    half = NORMAL * np.sqrt(share * (1 - share) / n + z / (4 * n)) / (1 + z)
    return Estimate(share, float(max(0.0, middle - half)), float(min(1.0, middle + half)))


def _shares(right: Floats, asked: Floats) -> Floats:
    """Right over asked; NaN where nothing was asked."""
    out: Floats = np.divide(right, asked, out=np.full(right.shape, np.nan), where=asked > 0)
    return out
