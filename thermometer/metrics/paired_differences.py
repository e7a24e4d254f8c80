"""How much a second set of confidences changes the errors of a first, on the same answers.

Both are resampled together, so that what they share does not blur the difference. Nothing here
knows how the second was made from the first.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks, metrics
from thermometer.metrics.intervals import Interval, percentile_interval

Vector = NDArray[np.float64]
PAIRED = ("gap", "ece", "nll", "brier")

_MANY = 20_000  # rows from which sums are drawn from their normal limit
_CELLS = 1 << 22  # counts held at a time


def paired_differences(
    first: ArrayLike,
    second: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 10,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Second minus first: size of the signed gap, ECE, NLL and Brier score of "it is right".

    All four are functions of sums over rows, which are resampled with paired rows (percentile
    intervals, Efron 1979). From 20,000 rows on the sums are drawn from their normal limit, which
    has the same means and covariances.

    Args:
        first: (N,) probabilities of the answers, in [0, 1].
        second: (N,) other ones of the same answers.
        correct: (N,) booleans, or zeros and ones.
        n_bins: Bins of equal width of the ECE.
        n_resamples: Number of resamples.
        seed: Equal seeds give equal results.
        level: Coverage aimed at, in (0, 1).

    Returns:
        By the names in `PAIRED`: below zero the second is better. ``gap`` is the difference of the
        absolute gaps. Bounds are NaN for one row.

    Raises:
        ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.

    Example:
        >>> changes = paired_differences([0.95] * 400, [0.75] * 400, [1, 1, 1, 0] * 100)
        >>> {name: change.high < 0 for name, change in changes.items()}
        {'gap': True, 'ece': True, 'nll': True, 'brier': True}
    """
    before, outcome = _checks.outcomes(first, correct)
    after = _checks.unit_interval("second", second, len(before))
    level = _checks.number("level", level, maximum=1 - 1e-9, strict=True)
    n_resamples = _checks.integer("n_resamples", n_resamples)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    n, n_bins = len(outcome), _checks.integer("n_bins", n_bins)
    table = np.zeros((n, 2 * (n_bins + 2)))
    for start, confidence in ((0, before), (n_bins + 2, after)):
        table[np.arange(n), start + metrics.bin_index(confidence, n_bins)] = confidence - outcome
        table[:, start + n_bins] = metrics.nll_of_rows(confidence, outcome)
        table[:, start + n_bins + 1] = (confidence - outcome) ** 2
    estimates = _differences(table.sum(axis=0, keepdims=True) / n, n_bins)
    if n == 1:
        return {key: Interval(float(v[0]), np.nan, np.nan) for key, v in estimates.items()}
    drawn = _differences(_resampled(table, n_resamples, rng) / n, n_bins)
    return {key: percentile_interval(float(estimates[key][0]), drawn[key], level) for key in PAIRED}


def _resampled(table: Vector, n_resamples: int, rng: np.random.Generator) -> Vector:
    """(R, Q) sums of the rows of an (N, Q) table, drawn with replacement."""
    n = len(table)
    total: Vector = table.sum(axis=0)
    if n >= _MANY:
        covariance = table.T @ table - np.outer(total, total) / n
        return rng.multivariate_normal(total, covariance, n_resamples, method="eigh")
    sums = []
    at_once = max(1, _CELLS // n)
    for start in range(0, n_resamples, at_once):
        size = min(at_once, n_resamples - start)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        sums.append(counts @ table)
    return np.concatenate(sums)


def _differences(means: Vector, n_bins: int) -> dict[str, Vector]:
    """(R,) differences from (R, Q) means over rows."""
    first, second = np.split(means, 2, axis=1)

    def errors(part: Vector) -> dict[str, Vector]:
        gaps = part[:, :n_bins]
        values = (np.abs(gaps.sum(axis=1)), np.abs(gaps).sum(axis=1), *part[:, n_bins:].T)
        return dict(zip(PAIRED, values, strict=True))

    before, after = errors(first), errors(second)
    return {key: after[key] - before[key] for key in PAIRED}
