"""Every metric of confidence on many resamples at once, from counts instead of copied rows.

`gather` puts rows into cells, `resample` says how often each cell is drawn, `measure` computes all
metrics from such counts. Nothing here knows the metrics of the data themselves, or intervals.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from thermometer.metrics import nll_of_rows
from thermometer.metrics.calibration_error import bin_index, debiased
from thermometer.metrics.risk_coverage import area
from thermometer.metrics.smooth_calibration import residual_matrix, smooth_ece_of

Vector = NDArray[np.float64]
Index = NDArray[np.int64]

_EXACT = 1 << 12  # different confidences up to which each is a cell of its own
_FINE = 1 << 10  # steps of confidence, and of rank, that no larger cell spans
_ODDS = 8  # steps per unit of log-odds, likewise
_HELD = 1 << 18  # counts held at a time


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

    Args:
        confidence: (N,) checked.
        correct: (N,) zeros and ones.
        n_bins: Number of bins of equal width; no cell spans two.
        groups: (N,) numbers of groups in [0, T).
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
    that of `smooth_ece_of`, within about 1e-4.

    Args:
        cells: The rows.
        counts: (R, 2U) how often each cell is drawn.

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
    density = counts @ residual_matrix(cells.means[:, 0], np.repeat([1.0, 0.0], n_cells))
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
        "auroc": _wins(right, wrong),
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


def _wins(right: Vector, wrong: Vector) -> Vector:
    """AUROC: pairs in which the right answer has more confidence, ties counting half."""
    below = np.cumsum(wrong, axis=1) - wrong / 2
    pairs = right.sum(axis=1) * wrong.sum(axis=1)
    wins: Vector = np.einsum("ru,ru->r", right, below) / np.where(pairs, pairs, np.nan)
    return wins
