"""Gap and ECE of a few rows, with what chance does to them.

The interval of the gap keeps a width where all answers are right; `chance` is the ECE that perfect
calibration would score on as few rows.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.metrics import bin_index
from thermometer.metrics.intervals import Interval, percentile_interval, wilson

Vector = NDArray[np.float64]

_MANY = 10_000  # rows from which sums over bins are drawn from their normal limit
_DRAWS = 1 << 21  # random numbers held at a time


class Chance(NamedTuple):
    """The ECE of perfectly calibrated rows: its mean, and what it seldom exceeds."""

    floor: float
    ceiling: float


def gap_interval(confidence: ArrayLike, correct: ArrayLike, level: float = 0.95) -> Interval:
    """Signed gap, mean confidence minus accuracy, with an interval that suits few rows.

    The interval is the mean confidence minus the interval of Wilson (1927) for the accuracy, as in
    `prepare_reliability`. The confidences are taken as given. Answers of unequal chances vary less
    than Wilson allows for (Hoeffding 1956), so that it is rather too wide than too narrow.

    Args:
        confidence: (N,) probabilities of the answers, in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        level: Coverage aimed at, in (0, 1).

    Raises:
        ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.

    Example:
        >>> interval = gap_interval([0.9] * 20, [1] * 20)
        >>> round(interval.low, 3), round(interval.estimate, 3), round(interval.high, 3)
        (-0.1, -0.1, 0.061)
    """
    confidence, correct = _checks.outcomes(confidence, correct)
    accuracy, claimed = wilson(correct.sum(), len(correct), level), float(confidence.mean())
    return Interval(
        claimed - float(correct.mean()), claimed - accuracy.high, claimed - accuracy.low
    )


def ece_interval(
    confidence: ArrayLike,
    correct: ArrayLike,
    n_bins: int = 10,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """ECE and its percentile interval from resampled rows (Efron 1979), by `n_resamples` at once.

    As ECE is biased upwards on few rows and once more on their resamples, the interval sits high
    and may miss the estimate: compare with `chance`. From 10,000 rows on the resampled sums over
    bins are drawn from their normal limit, which has the same means and covariances.

    Arguments and errors are those of `intervals.bootstrap` and of `expected_calibration_error`,
    which is the statistic. With one row the bounds are NaN.

    Example:
        >>> interval = ece_interval([0.9, 0.8] * 50, [1, 0] * 50)
        >>> interval.low < interval.estimate < interval.high
        True
    """
    confidence, correct = _checks.outcomes(confidence, correct)
    level = _checks.number("level", level, maximum=1 - 1e-9, strict=True)
    n_resamples = _checks.integer("n_resamples", n_resamples)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    n, index, gap = len(confidence), bin_index(confidence, n_bins), confidence - correct
    sums = np.bincount(index, gap, n_bins)
    estimate = float(np.abs(sums).sum() / n)
    if n == 1:
        return Interval(estimate, float("nan"), float("nan"))
    if n >= _MANY:
        covariance = np.diag(np.bincount(index, gap**2, n_bins)) - np.outer(sums, sums) / n
        drawn = rng.multivariate_normal(sums, covariance, n_resamples, method="eigh")
    else:
        drawn = np.empty((n_resamples, n_bins))
        at_once = max(1, _DRAWS // n)
        for start in range(0, n_resamples, at_once):
            size = min(at_once, n_resamples - start)
            rows = rng.integers(n, size=(size, n))
            cell = index[rows] + n_bins * np.arange(size)[:, None]
            flat = np.bincount(cell.ravel(), gap[rows].ravel(), size * n_bins)
            drawn[start : start + size] = flat.reshape(size, n_bins)
    return percentile_interval(estimate, np.abs(drawn).sum(axis=1) / n, level)


def chance(
    confidence: ArrayLike,
    n_bins: int = 10,
    *,
    n_simulations: int = 400,
    seed: int = 0,
    level: float = 0.95,
) -> Chance:
    """ECE that perfect calibration would score with these confidences: mean and upper quantile.

    The mean is `metrics.calibration_floor`; a share `level` of perfectly calibrated samples scores
    no more than the ceiling, so that an ECE below it is no sign of miscalibration. From 10,000
    rows on the sums over bins are drawn from their normal limit.

    Args:
        confidence: (N,) probabilities of the answers, in [0, 1].
        n_bins: Number of bins of the ECE to compare with.
        n_simulations: Number of simulated data sets.
        seed: Equal seeds give equal results.
        level: Of the ceiling, in (0, 1).

    Raises:
        ValueError: If N or a number is 0, or a confidence is NaN or out of range.

    Example:
        >>> few, many = chance([0.7] * 50), chance([0.7] * 5000)
        >>> few.floor < few.ceiling, many.ceiling < few.floor
        (True, True)
    """
    confidence = _checks.unit_interval("confidence", confidence)
    level = _checks.number("level", level, maximum=1 - 1e-9, strict=True)
    n_simulations = _checks.integer("n_simulations", n_simulations)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    n, index = len(confidence), bin_index(confidence, n_bins)
    if n >= _MANY:
        variance = np.bincount(index, confidence * (1 - confidence), n_bins)
        errors = np.abs(rng.normal(size=(n_simulations, n_bins)) * np.sqrt(variance)).sum(axis=1)
    else:
        order = np.argsort(index, kind="stable")
        confidence = confidence[order]
        starts = np.flatnonzero(np.diff(index[order], prepend=-1))
        expected = np.add.reduceat(confidence, starts)
        errors = np.empty(n_simulations)
        at_once = max(1, _DRAWS // n)
        for start in range(0, n_simulations, at_once):
            size = min(at_once, n_simulations - start)
            drawn = rng.random((size, n)) < confidence
            right = np.add.reduceat(drawn, starts, axis=1, dtype=np.int64)
            errors[start : start + size] = np.abs(right - expected).sum(axis=1)
    return Chance(float(errors.mean() / n), float(np.quantile(errors, level) / n))
