"""Intervals by resampling: of any statistic of rows, and of many statistics of tasks at once.

`bootstrap` calls a function on resampled rows. `task_counts` draws whole tasks as counts, with
which sums over tasks are resampled by one matrix product. Nothing here knows what is measured.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic of the data and the bounds that its resamples give."""

    estimate: float
    low: float
    high: float


def wilson(right: float, n: float, level: float = 0.95) -> Interval:
    """Share of right answers with the interval of Wilson (1927), which suits few of them.

    Example:
        >>> interval = wilson(20, 20)
        >>> interval.estimate, round(interval.low, 3), interval.high
        (1.0, 0.839, 1.0)
    """
    from scipy.stats import binomtest  # heavy

    level = _checks.number("level", level, maximum=1 - 1e-9, strict=True)
    low, high = binomtest(int(right), int(n)).proportion_ci(level, method="wilson")
    return Interval(right / n, float(low), float(high))


def bootstrap(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    groups: ArrayLike | None = None,
) -> Interval:
    """Percentile interval of a statistic, from resampled rows (Efron 1979).

    Rows of all `arrays` are drawn together, so that a difference of two methods is paired:
    ``bootstrap(lambda p, q, y: nll(p, y) - nll(q, y), probs_a, probs_b, labels)``. For a mean of
    per-task numbers pass those numbers, one row per task; for a pooled statistic whose rows belong
    to tasks pass `groups`, and whole tasks are drawn. For the metrics of one set of confidences,
    `summary.summarise` gives the same intervals without copying rows.

    The interval describes what resampling gives. An ECE is larger on resamples than on the data,
    its bias being positive, so its interval sits high and may miss the estimate.

    Args:
        statistic: Called with one array per item of `arrays`, returns a number.
        *arrays: At least one array, all with N rows.
        n_resamples: Number of resamples. Those on which the statistic is NaN are left out.
        seed: Equal seeds give equal intervals.
        level: Coverage aimed at, in (0, 1).
        groups: (N,) group of every row, of any type that sorts.

    Returns:
        The statistic on the data, and the bounds. These are NaN if the estimate is, or if there is
        only one row or group, which says nothing about the spread.

    Raises:
        ValueError: If N is 0 or the lengths differ, or a number is out of range.

    Example:
        >>> interval = bootstrap(np.mean, [0.9, 0.8, 0.7, 0.6], seed=1)
        >>> interval.low <= interval.estimate <= interval.high
        True
    """
    columns = [_checks.array("arrays", array) for array in arrays]
    if not columns or any(column.ndim == 0 for column in columns) or not len(columns[0]):
        raise _checks.fail("arrays", "at least one array of at least one row", "none")
    n = len(columns[0])
    if any(len(column) != n for column in columns):
        raise _checks.fail("arrays", f"all of length {n}", f"{[len(c) for c in columns]}")
    n_resamples = _checks.integer("n_resamples", n_resamples)
    level = _checks.number("level", level, maximum=1 - 1e-9, strict=True)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    members = None if groups is None else _rows_of_groups(groups, n)
    n_units = n if members is None else len(members)
    estimate = float(statistic(*columns))
    if np.isnan(estimate) or n_units == 1:
        return Interval(estimate, float("nan"), float("nan"))
    values = np.empty(n_resamples)
    for i in range(n_resamples):
        rows = rng.integers(n_units, size=n_units)
        if members is not None:
            rows = np.concatenate([members[unit] for unit in rows])
        values[i] = statistic(*(column[rows] for column in columns))
    return percentile_interval(estimate, values, level)


def _rows_of_groups(groups: ArrayLike, n: int) -> list[NDArray[np.int64]]:
    """Row numbers of every group."""
    array = np.asarray(groups)
    if array.shape != (n,):
        raise _checks.fail("groups", f"a vector of length {n}", f"shape {array.shape}")
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    return np.split(np.argsort(inverse, kind="stable"), np.cumsum(counts)[:-1])


def task_counts(n_tasks: int, n_resamples: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """How often each task stands in each resample of whole tasks; every row sums to `n_tasks`.

    With v the (T,) means of the tasks and c the result, ``c @ v / T`` are the resampled means. The
    rows of a drawn task all come along: what varies between the observed tasks already contains the
    chance within them, so that drawing rows as well would count it twice (Davison and Hinkley 1997,
    "Bootstrap Methods and their Application", section 3.8).

    Args:
        n_tasks: Number T of tasks.
        n_resamples: Number R of resamples.
        seed: Equal seeds give equal counts.

    Returns:
        (R, T) float64 whole numbers.

    Example:
        >>> counts = task_counts(3, n_resamples=2)
        >>> counts.shape, counts.sum(axis=1).tolist()
        ((2, 3), [3.0, 3.0])
    """
    n_tasks = _checks.integer("n_tasks", n_tasks)
    n_resamples = _checks.integer("n_resamples", n_resamples)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    drawn = rng.integers(n_tasks, size=(n_resamples, n_tasks))
    drawn += n_tasks * np.arange(n_resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_resamples * n_tasks)
    return counts.reshape(n_resamples, n_tasks).astype(np.float64)


def percentile_interval(
    estimate: float, resampled: NDArray[np.float64], level: float = 0.95
) -> Interval:
    """The interval between two percentiles of resampled values; NaN among them is left out.

    Bounds are NaN if the estimate is, or if no value remains.

    Example:
        >>> percentile_interval(2.0, np.arange(5.0), level=0.5)
        Interval(estimate=2.0, low=1.0, high=3.0)
    """
    values = resampled[~np.isnan(resampled)]
    if np.isnan(estimate) or not len(values):
        return Interval(estimate, float("nan"), float("nan"))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high))


@dataclass(frozen=True, eq=False)
class Resampled:
    """A statistic of the data, and the same statistic of R resamples.

    Differences of two that were drawn together are paired.

    Example:
        >>> difference = Resampled(3.0, np.array([2.0, 4.0])) - Resampled(1.0, np.array([0.0, 2.0]))
        >>> difference.interval()
        Interval(estimate=2.0, low=2.0, high=2.0)
    """

    estimate: float
    draws: NDArray[np.float64]

    def __sub__(self, other: "Resampled") -> "Resampled":
        return Resampled(self.estimate - other.estimate, self.draws - other.draws)

    def interval(self, level: float = 0.95) -> Interval:
        """The estimate and the bounds that the resamples give."""
        return percentile_interval(self.estimate, self.draws, level)
