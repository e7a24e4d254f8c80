"""Bootstrap intervals: of metrics, of curves, and of paired differences over tasks."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import ndtri

from thermometer import _checks, metrics
from thermometer.metrics.basic import area, nll_of_rows
from thermometer.metrics.calibration_error import bin_index, debiased, grid_shares, smooth_ece_of

Vector = NDArray[np.float64]
Index = NDArray[np.int64]
PAIRED = ("gap", "ece", "nll", "brier")
"""What `paired_differences` compares."""

_EXACT = 1 << 12  # different confidences up to which each is a cell of its own
_FINE = 1 << 10  # steps of confidence, and of rank, that no larger cell spans
_ODDS = 8  # steps per unit of log-odds, likewise
_HELD = 1 << 18  # counts of cells held at a time
_MANY = 20_000  # rows from which sums over rows are drawn from their normal limit
_DRAWN = 1 << 22  # counts of rows held at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic of the data and the bounds that its resamples give."""

    estimate: float
    low: float
    high: float


def wilson(right: float, n: float, coverage: float = 0.95) -> Interval:
    """Share of right answers with the interval of Wilson (1927), which suits few of them.

    With p the share and z = 1.96 for a coverage of 0.95, the bounds are
    (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n): they stay in [0, 1] and keep a
    distance where all answers are right.

    Example:
        >>> interval = wilson(20, 20)
        >>> interval.estimate, round(interval.low, 3), interval.high
        (1.0, 0.839, 1.0)
    """
    p, z2 = float(right / n), float(ndtri((1 + _coverage(coverage)) / 2) ** 2 / n)
    middle, half = p + z2 / 2, math.sqrt(z2 * (p * (1 - p) + z2 / 4))
    low, high = (middle - half) / (1 + z2), (middle + half) / (1 + z2)
    return Interval(p, low if right > 0 else 0.0, high if right < n else 1.0)


def bootstrap(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    n_resamples: int = 1000,
    seed: int = 0,
    coverage: float = 0.95,
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
        coverage: Coverage aimed at, in (0, 1).
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
    coverage = _coverage(coverage)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    members = None
    if groups is not None:
        codes = group_codes(groups, n)
        members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
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
    return percentile_interval(estimate, values, coverage)


def group_codes(groups: ArrayLike, n: int) -> Index:
    """(N,) groups of any type that sorts, as numbers from 0."""
    array = np.asarray(groups)
    if array.shape != (n,):
        raise _checks.fail("groups", f"a vector of length {n}", f"shape {array.shape}")
    return np.unique(array, return_inverse=True)[1]


def _coverage(value: float) -> float:
    return _checks.number("coverage", value, maximum=1 - 1e-9, strict=True)


def task_counts(n_tasks: int, n_resamples: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """How often each task stands in each resample of whole tasks; every row sums to `n_tasks`.

    With v the (T,) means of the tasks and c the result, ``c @ v / T`` are the resampled means. The
    rows of a drawn task all come along: what varies between the observed tasks already contains the
    chance within them, so that drawing rows as well would count it twice (Davison and Hinkley 1997,
    "Bootstrap Methods and their Application", section 3.8).

    The counts are whole numbers, (R, T) float64 for R resamples of T tasks.

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
    estimate: float, resampled: NDArray[np.float64], coverage: float = 0.95
) -> Interval:
    """The interval between two percentiles of resampled values; NaN among them is left out.

    Bounds are NaN if the estimate is, or if no value remains.

    Example:
        >>> percentile_interval(2.0, np.arange(5.0), coverage=0.5)
        Interval(estimate=2.0, low=1.0, high=3.0)
    """
    values = resampled[~np.isnan(resampled)]
    if np.isnan(estimate) or not len(values):
        return Interval(estimate, float("nan"), float("nan"))
    low, high = np.quantile(values, [(1 - coverage) / 2, (1 + coverage) / 2])
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

    def interval(self, coverage: float = 0.95) -> Interval:
        """The estimate and the bounds that the resamples give."""
        return percentile_interval(self.estimate, self.draws, coverage)


@dataclass(frozen=True, eq=False)
class Cells:
    """Right and wrong rows of U rising confidences; a wrong cell stands U places after its twin.

    Args:
        count: (2U,) int64 rows in the right cells, then in the wrong ones; 0 where there is none.
        means: (2U, 3) float64 mean confidence, `binary_nll` and `binary_brier` of each.
        bin: (U,) int64 bin of `calibration_error.bin_index`, of equal width.
        n_bins: Number of these bins.
        groups: (T, 2U) sparse count of the rows of each of T groups, or nothing.
    """

    count: Index
    means: Vector
    bin: Index
    n_bins: int
    groups: Any = None


def gather(confidence: Vector, correct: Vector, n_bins: int, groups: Index | None = None) -> Cells:
    """Rows in cells: exact up to 4,096 different confidences, so fine that it cannot matter beyond.

    Beyond, confidences are in one cell if they agree in the bin and in steps: of 1/1024 of
    confidence, 1/1024 of first and of last rank, and 1/8 of log-odds. How many rows of a cell are
    right and wrong in a resample stays as it is; lost is only how the means of those rows would
    vary besides. For the mean confidence that is a standard deviation of 1/2048 a row at most,
    against the 1/2 or so of right and wrong: less than a millionth of the variance. NLL varies in
    a cell by 1/8 nat at most. For AUROC and AURC the rows of a cell count as ties.

    Rows are checked (N,) confidences and zeros and ones, `groups` numbers in [0, T). No cell spans
    two of the `n_bins` bins of equal width.
    """
    order = np.argsort(confidence)
    ordered = confidence[order]
    starts = _starts(ordered, n_bins)
    n_cells = len(starts)
    cell = np.empty(len(order), np.int64)
    cell[order] = np.repeat(np.arange(n_cells), np.diff(starts, append=len(order)))
    cell += n_cells * (correct == 0)
    count = np.bincount(cell, minlength=2 * n_cells)
    filled = np.maximum(count, 1)
    values = np.stack([confidence, nll_of_rows(confidence, correct), (confidence - correct) ** 2])
    means = np.stack([np.bincount(cell, v, 2 * n_cells) / filled for v in values], axis=1)
    members = None
    if groups is not None:
        shape = (int(groups.max()) + 1, 2 * n_cells)
        members = csr_array((np.ones(len(cell)), (groups, cell)), shape=shape)
    return Cells(count, means, bin_index(ordered[starts], n_bins), n_bins, members)


def _starts(ordered: Vector, n_bins: int) -> Index:
    """Where the cells of (N,) rising confidences begin."""
    starts = np.flatnonzero(np.diff(ordered, prepend=-1.0))
    if len(starts) <= _EXACT:
        return starts
    n, ranks = len(ordered), max(_FINE, 32 * n_bins)
    values = ordered[starts]
    inner = np.clip(values, 1e-300, 1 - 2**-53)
    step = np.floor(_ODDS * (np.log(inner) - np.log1p(-inner))).astype(np.int64)
    step += bin_index(values, _FINE) + bin_index(values, n_bins)
    step += ranks * starts // n + ranks * np.append(starts[1:], n) // n
    rises: Index = starts[np.diff(step, prepend=step[0] - 1) > 0]  # each part does: the sum tells
    return rises


def resample(cells: Cells, n_resamples: int, seed: int) -> Iterator[Vector]:
    """How often each cell is drawn, (r, 2U) float64 at a time, r summing to `n_resamples`.

    Drawing N rows with replacement draws a multinomial number from each cell; with groups, whole
    groups are drawn. Equal seeds give equal counts.
    """
    rng = np.random.default_rng(seed)
    weights = cells.count if cells.groups is None else np.ones(cells.groups.shape[0], np.int64)
    at_once = max(1, _HELD // max(len(weights), len(cells.count)))
    n = int(weights.sum())
    for start in range(0, n_resamples, at_once):
        drawn = rng.multinomial(n, weights / n, min(at_once, n_resamples - start))
        counts = drawn.astype(np.float64)
        yield counts if cells.groups is None else counts @ cells.groups


def measure(cells: Cells, counts: Vector) -> dict[str, Vector]:
    """Metrics of R resamples by their names in `summary.Summary`, each (R,) float64.

    Each is that of `metrics` on the drawn rows; NaN where it is undefined there. The smooth ECE is
    that of `smooth_ece_of`, within about 1e-4. `counts` are (R, 2U), as `resample` gives.

    Example:
        >>> cells = gather(np.array([0.9, 0.9, 0.6]), np.array([1.0, 0.0, 1.0]), n_bins=10)
        >>> measure(cells, np.array([[1.0, 1.0, 1.0, 0.0]]))["accuracy"].round(4).tolist()
        [0.6667]
    """
    n_cells = len(cells.bin)
    right, wrong = counts[:, :n_cells], counts[:, n_cells:]
    both = right + wrong
    n = both.sum(axis=1)
    confidence, nll, brier = (counts @ cells.means / n[:, None]).T
    accuracy = right.sum(axis=1) / n
    claimed = right * cells.means[:n_cells, 0] + wrong * cells.means[n_cells:, 0]
    into = np.zeros((n_cells, cells.n_bins))
    into[np.arange(n_cells), cells.bin] = 1
    of_bins = both @ into, claimed @ into, right @ into
    residual = cells.means[:, 0] - np.repeat([1.0, 0.0], n_cells)
    below = np.cumsum(wrong, axis=1) - wrong / 2  # pairs with a surer right answer, ties half
    pairs = right.sum(axis=1) * wrong.sum(axis=1)
    density = (counts * residual) @ grid_shares(cells.means[:, 0])
    return {
        "accuracy": accuracy,
        "confidence": confidence,
        "gap": confidence - accuracy,
        "ece": np.abs(of_bins[1] - of_bins[2]).sum(axis=1) / n,
        "ece_mass": _mass_error(both, claimed - right, cells.n_bins),
        "debiased_ece": debiased(*of_bins),
        "smooth_ece": smooth_ece_of(density / n[:, None]),
        "nll": nll,
        "brier": brier,
        "auroc": np.einsum("ru,ru->r", right, below) / np.where(pairs, pairs, np.nan),
        "aurc": area(both[:, ::-1], wrong[:, ::-1]),
    }


def _mass_error(both: Vector, gap: Vector, n_bins: int) -> Vector:
    """ECE over the equal-mass bins that every resample has of its own."""
    up_to = np.cumsum(both, axis=1)
    place = (n_bins * (2 * up_to - both) / (2 * up_to[:, -1:])).astype(np.int64)
    place = np.minimum(place, n_bins - 1)  # only a cell without rows can lie above
    place += n_bins * np.arange(len(both))[:, None]
    of_bins = np.bincount(place.ravel(), gap.ravel(), n_bins * len(both))
    error: Vector = np.abs(of_bins).reshape(len(both), n_bins).sum(axis=1) / up_to[:, -1]
    return error


def paired_differences(
    first: ArrayLike,
    second: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 10,
    n_resamples: int = 1000,
    seed: int = 0,
    coverage: float = 0.95,
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
        n_resamples: As for `bootstrap`, like `seed` and `coverage`.
        seed: Equal seeds give equal results.
        coverage: Coverage aimed at, in (0, 1).

    Returns:
        By the names in `PAIRED`: below zero the second is better. ``gap`` is the difference of the
        absolute gaps. Bounds are NaN for one row.

    Example:
        >>> changes = paired_differences([0.95] * 400, [0.75] * 400, [1, 1, 1, 0] * 100)
        >>> {name: change.high < 0 for name, change in changes.items()}
        {'gap': True, 'ece': True, 'nll': True, 'brier': True}
    """
    before, outcome = _checks.outcomes(first, correct)
    after = _checks.unit_interval("second", second, len(before))
    coverage = _coverage(coverage)
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
    return {
        key: percentile_interval(float(estimates[key][0]), drawn[key], coverage) for key in PAIRED
    }


def ece_interval(
    confidence: ArrayLike,
    correct: ArrayLike,
    n_bins: int = 10,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    coverage: float = 0.95,
) -> Interval:
    """ECE and its percentile interval from resampled rows, as `bootstrap` gives, only faster.

    As ECE is biased upwards on few rows and once more on their resamples, the interval sits high
    and may miss the estimate: compare with `ece_floor`. Arguments, errors and the limit for many
    rows are those of `paired_differences`.

    Example:
        >>> interval = ece_interval([0.9, 0.8] * 50, [1, 0] * 50)
        >>> interval.low < interval.estimate < interval.high
        True
    """
    confidence, correct = _checks.outcomes(confidence, correct)
    coverage = _coverage(coverage)
    n_resamples = _checks.integer("n_resamples", n_resamples)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    n = len(confidence)
    table = np.zeros((n, _checks.integer("n_bins", n_bins)))
    table[np.arange(n), bin_index(confidence, n_bins)] = confidence - correct
    estimate = float(np.abs(table.sum(axis=0)).sum() / n)
    if n == 1:
        return Interval(estimate, float("nan"), float("nan"))
    drawn = np.abs(_resampled(table, n_resamples, rng)).sum(axis=1) / n
    return percentile_interval(estimate, drawn, coverage)


def _resampled(table: Vector, n_resamples: int, rng: np.random.Generator) -> Vector:
    """(R, Q) sums of the rows of an (N, Q) table, drawn with replacement."""
    n = len(table)
    total: Vector = table.sum(axis=0)
    if n >= _MANY:
        covariance = table.T @ table - np.outer(total, total) / n
        return rng.multivariate_normal(total, covariance, n_resamples, method="eigh")
    sums = []
    at_once = max(1, _DRAWN // n)
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
