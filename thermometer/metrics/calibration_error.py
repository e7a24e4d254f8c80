"""Calibration errors, over bins and smooth, and the finite-sample floor of the binned one.

Rows are read in pieces, so that ten million of them need no copy. Resamples by the thousand use
`residual_density` or `grid_shares` with `smooth_ece_of`, on a coarser grid than `smooth_ece`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct, idct
from scipy.optimize import brentq
from scipy.sparse import csr_array

from thermometer import _checks

Vector = NDArray[np.float64]
Index = NDArray[np.int64]
Binning = Literal["width", "mass"]
Norm = Literal["l1", "l2", "max"]

_DRAWS = 1 << 21  # random numbers held at a time by ece_floor
_MANY = 1 << 16  # rows from which ece_floor gathers them in cells
_CELLS = 1 << 10  # about that many cells
GRID = 1 << 14  # cells of [0, 1] on which smooth_ece convolves
COARSE_GRID = 1 << 10  # the same for resamples
_FEWEST = 64  # cells that are enough for the broadest Gaussians
_HALVINGS = 13  # bisections of [0, 1] for resamples: the result is within 6e-5


class _Bins(NamedTuple):
    """Sums over the rows of every bin, each (B,) float64."""

    rows: Vector
    confidence: Vector
    right: Vector


def bin_index(confidence: ArrayLike, n_bins: int, *, binning: Binning = "width") -> Index:
    """Bin of every confidence; (N,) int64 in [0, n_bins), never falling as confidence rises.

    ``"width"``: among (0, 1/n], (1/n, 2/n], ..., ((n-1)/n, 1]. The first bin also takes 0. A
    confidence that equals the float64 k/n is in the bin it closes.

    ``"mass"``: bins of as equal counts as ties allow. Equal confidences are never split: those that
    are larger than b others and have m equals, themselves included, go to bin
    floor(n (b + m/2) / N), where the middle of their block lies. Without ties the counts differ by
    one at most. A block of more than N/n rows makes its bin larger and may leave the bins beside it
    empty.

    Example:
        >>> bin_index([0.0, 0.1, 0.3, 0.31, 1.0], 10).tolist()
        [0, 0, 2, 3, 9]
        >>> bin_index([0.9, 0.1, 0.9, 0.9, 0.95, 0.2], 3, binning="mass").tolist()
        [1, 0, 1, 1, 2, 0]
    """
    confidence = _checks.unit_interval("confidence", confidence)
    return _placing(confidence, n_bins, binning)(confidence)


def expected_calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    n_bins: int = 15,
    *,
    binning: Binning = "width",
    norm: Norm = "l1",
) -> float:
    """Expected calibration error (ECE), sum_b n_b/N |accuracy_b - confidence_b|; in [0, 1].

    The bins are those of `bin_index`: equal widths, closed on the right, the last one holding a
    confidence of exactly 1, or equal counts. Empty bins add nothing. This is the top-label error of
    Naeini et al. (2015) and Guo et al. (2017, arXiv 1706.04599), not the error of P(y = 1) in a
    binary problem. It is biased upwards on few samples, since a bin's accuracy misses its
    expectation by chance and the absolute value hides the sign: compare with `calibration_floor`,
    or use `debiased_ece`. One sample has the error |y - c|.

    Args:
        confidence: (N,) probabilities of the chosen options, in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        n_bins: Number of bins.
        binning: ``"width"``, or ``"mass"`` (adaptive ECE: Nguyen and O'Connor 2015).
        norm: ``"l1"`` as above; ``"l2"`` is the root of sum_b n_b/N (accuracy_b - confidence_b)^2,
            never below the first; ``"max"`` the largest |accuracy_b - confidence_b| of any bin,
            never below the second, and on few samples mostly the chance of the smallest bin.

    Raises:
        ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.

    Example:
        >>> round(expected_calibration_error([0.95, 1.0], [1, 0], n_bins=10), 4)
        0.475
        >>> round(expected_calibration_error([0.6, 0.7, 1.0], [1, 0, 0], 2, norm="max"), 4)
        0.4333
    """
    _checks.one_of("norm", norm, ("l1", "l2", "max"))
    bins = _bins(confidence, correct, n_bins, binning)
    gap = np.abs(bins.confidence - bins.right)
    n = bins.rows.sum()
    if norm == "l1":
        return float(gap.sum() / n)
    filled = bins.rows > 0
    gap = gap[filled] / bins.rows[filled]
    if norm == "max":
        return float(gap.max())
    return float(np.sqrt(bins.rows[filled] / n @ gap**2))


def debiased_ece(
    confidence: ArrayLike, correct: ArrayLike, n_bins: int = 15, *, binning: Binning = "width"
) -> float:
    """Root of the squared calibration error without what chance adds to it; in [0, 1].

    With a_b the accuracy and c_b the mean confidence of the n_b rows of a bin, the square is
    sum_b n_b/N ((a_b - c_b)^2 - a_b (1 - a_b) / (n_b - 1)): the second term estimates without bias
    by how much the first is too large (Kumar, Liang and Ma 2019, "Verified uncertainty
    calibration", arXiv 1909.10155). A negative square becomes 0, so that the root of calibrated
    data is still a little above 0 on average. It is the estimate of the ``"l2"`` error over these
    bins, and compares with no ``"l1"`` one.

    A bin of a single row has no variance: such rows are left out and N counts the others. NaN if
    none is left. Resampling (`intervals.bootstrap`) adds chance that the correction does not know
    of: the interval sits high.

    Arguments and errors are those of `expected_calibration_error`.

    Example:
        >>> round(debiased_ece([0.9] * 10, [1] * 5 + [0] * 5), 4)  # the root of 0.16 - 0.25/9
        0.3636
    """
    bins = _bins(confidence, correct, n_bins, binning)
    return float(debiased(bins.rows, bins.confidence, bins.right))


def debiased(rows: Vector, confidence: Vector, right: Vector) -> Vector:
    """`debiased_ece` of sums over the rows of bins, each (..., B); gives (...)."""
    kept = rows > 1
    n = np.where(kept, rows, 2.0)
    accuracy = right / n
    square = (accuracy - confidence / n) ** 2 - accuracy * (1 - accuracy) / (n - 1)
    total = np.where(kept, rows, 0.0).sum(axis=-1)
    square = np.where(kept, rows * square, 0.0).sum(axis=-1) / np.where(total, total, np.nan)
    root: Vector = np.sqrt(np.maximum(square, 0.0))
    return root


def top_label_ece(probs: ArrayLike, labels: ArrayLike, n_bins: int = 10) -> float:
    """ECE with bins of their own for every predicted option k; in [0, 1].

    sum_k sum_b n_kb/N |accuracy_kb - confidence_kb| over the rows whose (first) most probable
    option is k and whose probability is in bin b of `bin_index`. Options that are overconfident as
    "A" and modest as "B" cancel in `expected_calibration_error` and do not here, so that it is
    never below it. With K times as many bins its bias on few samples is larger, too (Gupta and
    Ramdas 2022, "Top-label calibration and multiclass-to-binary reductions").

    Args:
        probs: (N, K) probabilities; 0 where a row has fewer than K options.
        labels: (N,) integers in [0, K).
        n_bins: Number of bins of each option.

    Raises:
        ValueError: If N is 0, a row does not sum to one (within 1e-4), or a label is no option.

    Example:
        >>> round(top_label_ece([[0.8, 0.2], [0.2, 0.8]], [0, 0]), 4)  # together: |0.8 - 0.5|
        0.5
    """
    probs, labels = _checks.probs_and_labels(probs, labels)
    predicted = probs.argmax(axis=1)
    confidence = probs.max(axis=1)
    index = predicted * n_bins + bin_index(confidence, n_bins)
    gap = np.bincount(index, confidence - (predicted == labels))
    return float(np.abs(gap).sum() / len(labels))


def calibration_floor(
    confidence: ArrayLike, n_bins: int = 15, n_simulations: int = 200, seed: int = 0
) -> float:
    """Finite-sample floor: the mean ECE of a perfectly calibrated model with these confidences.

    In [0, 1]. An ECE at this floor says that the sample is too small to show any miscalibration,
    not that there is none. `ece_floor` says how it is simulated, and what its arguments and errors
    are.

    Example:
        >>> calibration_floor([0.0, 1.0, 1.0])  # certainty leaves nothing to chance
        0.0
    """
    return ece_floor(confidence, n_bins, n_simulations=n_simulations, seed=seed).floor


class EceFloor(NamedTuple):
    """The ECE of perfectly calibrated rows: its mean, and what it seldom exceeds."""

    floor: float
    ceiling: float


def ece_floor(
    confidence: ArrayLike,
    n_bins: int = 10,
    *,
    n_simulations: int = 400,
    seed: int = 0,
    coverage: float = 0.95,
) -> EceFloor:
    """Mean and upper quantile of the ECE that perfect calibration scores with these confidences.

    Outcomes are drawn as y_i ~ Bernoulli(confidence_i), `n_simulations` times, and scored by
    `expected_calibration_error` (the parametric bootstrap of the consistency bars of Broecker and
    Smith 2007, "Increasing the reliability of reliability diagrams"). A share `coverage` of the
    simulated samples scores no more than the ceiling: an ECE below it is no sign of miscalibration.

    From 65,536 rows on, the rows of each of some 1,024 cells of confidence are drawn as
    one binomial with their mean confidence: its variance is too large by at most 3e-7 a row.

    Args:
        confidence: (N,) probabilities of the chosen options, in [0, 1].
        n_bins: Number of bins of the ECE to compare with.
        n_simulations: Number of simulated data sets; the error of the mean falls as its root.
        seed: Equal seeds give equal results.
        coverage: Of the ceiling, in (0, 1).

    Raises:
        ValueError: If N or a number is 0, or a confidence is NaN or out of range.

    Example:
        >>> few, many = ece_floor([0.7] * 50), ece_floor([0.7] * 5000)
        >>> few.floor < few.ceiling, many.ceiling < few.floor
        (True, True)
    """
    confidence = _checks.unit_interval("confidence", confidence)
    coverage = _checks.number("coverage", coverage, maximum=1 - 1e-9, strict=True)
    n_simulations = _checks.integer("n_simulations", n_simulations)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    n_rows, index = len(confidence), bin_index(confidence, n_bins)
    many = n_rows >= _MANY
    if many:
        confidence, index, sizes = _gathered(confidence, index)
    else:
        order = np.argsort(index, kind="stable")
        confidence, index, sizes = confidence[order], index[order], np.ones(n_rows, np.int64)
    starts = np.flatnonzero(np.diff(index, prepend=-1))
    expected = np.add.reduceat(sizes * confidence, starts)
    errors = np.empty(n_simulations)
    at_once = max(1, _DRAWS // len(confidence))
    for start in range(0, n_simulations, at_once):
        shape = (min(at_once, n_simulations - start), len(confidence))
        drawn = rng.binomial(sizes, confidence, shape) if many else rng.random(shape) < confidence
        right = np.add.reduceat(drawn, starts, axis=1, dtype=np.int64)
        errors[start : start + shape[0]] = np.abs(right - expected).sum(axis=1)
    return EceFloor(float(errors.mean() / n_rows), float(np.quantile(errors, coverage) / n_rows))


def _gathered(confidence: Vector, index: Index) -> tuple[Vector, Index, Index]:
    """Mean confidence, bin and number of rows of cells, in their order; none spans two bins."""
    cell = _equal_width(confidence, _CELLS) + index  # neither falls, so both are one in a cell
    sizes = np.bincount(cell)
    bins = np.zeros_like(sizes)
    bins[cell] = index
    kept = np.flatnonzero(sizes)
    mean = np.bincount(cell, confidence)[kept] / sizes[kept]
    return np.clip(mean, 0.0, 1.0), bins[kept], sizes[kept]


def _bins(confidence: ArrayLike, correct: ArrayLike, n_bins: int, binning: Binning) -> _Bins:
    """What every error above is computed from, in one pass over the rows."""
    place = _placing(confidence, n_bins, binning)
    rows, total, right = np.zeros((3, n_bins))
    for piece, outcome in _checks.outcome_pieces(confidence, correct):
        index = place(piece)
        total += np.bincount(index, piece, n_bins)
        wrong, good = np.bincount(2 * index + (outcome > 0), minlength=2 * n_bins).reshape(-1, 2).T
        rows += wrong + good
        right += good
    return _Bins(rows, total, right)


def _placing(confidence: ArrayLike, n_bins: int, binning: Binning) -> Callable[[Vector], Index]:
    """The function that puts checked confidences into bins."""
    n_bins = _checks.integer("n_bins", n_bins)
    if _checks.one_of("binning", binning, ("width", "mass")) == "width":
        return partial(_equal_width, n_bins=n_bins)
    values, counts = np.unique(_checks.unit_interval("confidence", confidence), return_counts=True)
    above = np.cumsum(counts)
    index = n_bins * (2 * above - counts) // (2 * above[-1])
    first = np.searchsorted(index, np.arange(1, n_bins))  # no bin is there for the last ones
    starts = np.append(values, np.inf)[first]
    return partial(_from_starts, starts)


def _equal_width(confidence: Vector, n_bins: int) -> Index:
    """Bins closed on the right."""
    closed_by = np.ceil(confidence * n_bins)  # k of the bin ((k-1)/n, k/n], or one off by rounding
    closed_by -= confidence <= (closed_by - 1) / n_bins
    closed_by += confidence > closed_by / n_bins
    return np.maximum(closed_by, 1).astype(np.int64) - 1


def _from_starts(starts: Vector, confidence: Vector) -> Index:
    """Bins of which all but the first begin at a given confidence."""
    return np.searchsorted(starts, confidence, side="right")


def smooth_ece(confidence: ArrayLike, correct: ArrayLike, bandwidth: float | None = None) -> float:
    """Smooth calibration error, which needs no bins; in [0, 1].

    With r_s(t) = 1/N sum_i K_s(t, c_i) (c_i - y_i), where K_s is the Gaussian of standard deviation
    s reflected at 0 and 1, the error at bandwidth s is the integral of |r_s| over [0, 1]. It falls
    as s grows, so exactly one s equals its own error, and that s is the result (Blasiok and
    Nakkiran 2024, arXiv 2309.12236).

    Residuals are shared linearly among the points of a grid of 16,384 cells. On it a reflected
    Gaussian is a product in cosine space, which makes every bandwidth one fast cosine transform.
    More exact than relplot, the authors' code: there the bandwidth comes from ten bisections (a
    resolution of 1e-3) and the error at their *upper* end is returned, which is low by up to 1e-3;
    the kernel is cut at a distance of 1/2 instead of reflected without end; and the integral runs
    over some 200 points. Here the equation is solved by Brent's method to 1e-9. The grid matters
    only for errors near its cell, 6e-5: below, opposite residuals within one cell cancel.

    `bandwidth` is a standard deviation s > 0 to use instead of the fixed point. Other arguments and
    errors are those of `expected_calibration_error`.

    Example:
        >>> round(smooth_ece([0.9, 0.9, 0.9, 0.9], [1, 1, 0, 0]), 4)  # one confidence: the gap
        0.4
    """
    density = fine_density(confidence, correct)
    if bandwidth is None:
        return smooth_ece_at_fixed_point(density)
    s = _checks.number("bandwidth", bandwidth, strict=True)
    return float(_error(dct(density, type=1), s))


def fine_density(confidence: ArrayLike, correct: ArrayLike) -> Vector:
    """`residual_density` of checked rows on the fine grid, divided by N; (16,385,) float64."""
    total, n = np.zeros(GRID + 1), 0
    for piece, outcome in _checks.outcome_pieces(confidence, correct):
        total += residual_density(piece, outcome, GRID)
        n += len(piece)
    total /= n
    return total


def smooth_ece_at_fixed_point(density: Vector) -> float:
    """The one bandwidth at which a (G + 1,) `fine_density` has that smoothed error.

    Example:
        >>> round(smooth_ece_at_fixed_point(fine_density([0.9, 0.9], [1, 0])), 4)
        0.4
    """
    spectrum = dct(density, type=1)
    # Positive or zero at 0; negative at 2, since no error exceeds 1.
    return min(float(brentq(lambda s: float(_error(spectrum, s)) - s, 0.0, 2.0, xtol=1e-9)), 1.0)


def residual_density(confidence: Vector, correct: Vector, n_cells: int = COARSE_GRID) -> Vector:
    """Residuals c_i - y_i, shared linearly among the G + 1 points of a grid, as a density.

    Its integral by the trapezoidal rule is sum_i (c_i - y_i). Densities of several sets of rows add
    up to that of their union.
    """
    residual = confidence - correct
    position = confidence * n_cells
    left = position.astype(np.int64)  # a confidence of 1 has no cell to its right, nor a share
    position -= left
    density = np.bincount(left, residual, n_cells + 1).astype(np.float64)
    residual *= position
    on_right = np.bincount(left, residual, n_cells + 1)
    density -= on_right
    density[1:] += on_right[:-1]
    density *= n_cells
    density[[0, -1]] *= 2  # half cells at the ends
    return density


def grid_shares(confidence: Vector, n_cells: int = COARSE_GRID) -> Any:
    """How much density each row adds at the points of the grid: (N, G + 1) sparse, of scipy.

    ``weights @ grid_shares(...)`` are densities of weighted rows, for (R, N) weights.
    """
    position = confidence * n_cells
    left = np.minimum(position.astype(np.int64), n_cells - 1)
    on_right = position - left
    columns = np.stack([left, left + 1], axis=1)
    values = n_cells * np.stack([1 - on_right, on_right], axis=1)
    values[(columns == 0) | (columns == n_cells)] *= 2  # half cells at the ends
    starts = 2 * np.arange(len(confidence) + 1)
    shape = (len(confidence), n_cells + 1)
    return csr_array((values.ravel(), columns.ravel(), starts), shape=shape)


def smooth_ece_of(densities: Vector) -> Vector:
    """Smooth calibration error of R data sets at once, by bisection, within about 1e-4.

    Each of the (R, G + 1) densities is a sum of `residual_density` divided by its number of rows.
    The errors are (R,) float64 in [0, 1]; NaN where a density is NaN.

    Example:
        >>> density = residual_density(np.full(4, 0.9), np.array([1.0, 1.0, 0.0, 0.0])) / 4
        >>> smooth_ece_of(density[None]).round(3).tolist()
        [0.4]
    """
    spectrum = dct(densities, type=1)
    n_cells = spectrum.shape[1] - 1
    low, high = np.zeros(len(densities)), np.ones(len(densities))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        kept = n_cells  # a Gaussian of deviation s leaves nothing of frequencies far above 1/s
        while kept > _FEWEST and kept * middle.min() > 16:
            kept //= 2
        error = _error(spectrum[:, : kept + 1], middle[:, None]) * (kept / n_cells)
        above = error > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(np.isnan(spectrum[:, 0]), np.nan, (low + high) / 2)


def smoothed(spectrum: Vector, s: float | Vector) -> Vector:
    """The density of a cosine spectrum, smoothed by a reflected Gaussian of deviation s."""
    frequency = np.pi * np.arange(spectrum.shape[-1])
    density: Vector = idct(spectrum * np.exp(-0.5 * (frequency * s) ** 2), type=1)
    return density


def _error(spectrum: Vector, s: float | Vector) -> Vector:
    """Integral of the absolute smoothed residual over [0, 1]."""
    size = np.abs(smoothed(spectrum, s))
    ends = (size[..., 0] + size[..., -1]) / 2
    total: Vector = (size.sum(axis=-1) - ends) / (spectrum.shape[-1] - 1)
    return total
