"""The smooth calibration error, a measure of calibration that needs no bins.

`smooth_ece` (public as `metrics.smooth_ece`) is exact: `fine_density` of the rows, then
`smooth_ece_at_fixed_point`. For thousands of resamples at once the same halves are coarser:
`residual_density` or `residual_matrix`, then `smooth_ece_of`. Nothing here knows tasks or models.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct, idct
from scipy.optimize import brentq
from scipy.sparse import csr_array

from thermometer import _checks

GRID = 1 << 14  # cells of [0, 1] on which smooth_ece convolves
_COARSE = 1 << 10  # the same for resamples
_FEWEST = 64  # cells that are enough for the broadest Gaussians
_HALVINGS = 13  # bisections of [0, 1] for resamples: the result is within 6e-5


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

    Args:
        confidence: (N,) probabilities of the chosen options, in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        bandwidth: Standard deviation s > 0 to use instead of the fixed point.

    Raises:
        ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.

    Example:
        >>> round(smooth_ece([0.9, 0.9, 0.9, 0.9], [1, 1, 0, 0]), 4)  # one confidence: the gap
        0.4
    """
    density = fine_density(confidence, correct)
    if bandwidth is None:
        return smooth_ece_at_fixed_point(density)
    s = _checks.number("bandwidth", bandwidth, strict=True)
    return float(_error(dct(density, type=1), s))


def fine_density(confidence: ArrayLike, correct: ArrayLike) -> NDArray[np.float64]:
    """`residual_density` of checked rows on the fine grid, divided by N; (16,385,) float64."""
    total, n = np.zeros(GRID + 1), 0
    for piece, outcome in _checks.outcome_pieces(confidence, correct):
        total += residual_density(piece, outcome, GRID)
        n += len(piece)
    total /= n
    return total


def smooth_ece_at_fixed_point(density: NDArray[np.float64]) -> float:
    """The one bandwidth at which the smoothed density of residuals has that error.

    Args:
        density: (G + 1,) as `fine_density` gives.

    Example:
        >>> round(smooth_ece_at_fixed_point(fine_density([0.9, 0.9], [1, 0])), 4)
        0.4
    """
    spectrum = dct(density, type=1)
    # Positive or zero at 0; negative at 2, since no error exceeds 1.
    return min(float(brentq(lambda s: float(_error(spectrum, s)) - s, 0.0, 2.0, xtol=1e-9)), 1.0)


def residual_density(
    confidence: NDArray[np.float64], correct: NDArray[np.float64], n_cells: int = _COARSE
) -> NDArray[np.float64]:
    """Residuals c_i - y_i, shared linearly among the points of a grid, as a density.

    Densities of several sets of rows add up to that of their union.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) zeros and ones.
        n_cells: Cells G of the grid.

    Returns:
        (G + 1,) float64, whose integral by the trapezoidal rule is sum_i (c_i - y_i).
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


def residual_matrix(
    confidence: NDArray[np.float64], correct: NDArray[np.float64], n_cells: int = _COARSE
) -> Any:
    """The `residual_density` of every row by itself: a sparse matrix of scipy, (N, G + 1).

    ``weights @ residual_matrix(...)`` are densities of weighted rows, for (R, N) weights.
    """
    position = confidence * n_cells
    left = np.minimum(position.astype(np.int64), n_cells - 1)
    share = position - left
    size = n_cells * (confidence - correct)
    columns = np.stack([left, left + 1], axis=1)
    values = np.stack([size * (1 - share), size * share], axis=1)
    values[(columns == 0) | (columns == n_cells)] *= 2  # half cells at the ends
    starts = 2 * np.arange(len(confidence) + 1)
    shape = (len(confidence), n_cells + 1)
    return csr_array((values.ravel(), columns.ravel(), starts), shape=shape)


def smooth_ece_of(densities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth calibration error of many data sets at once, by bisection, within about 1e-4.

    Args:
        densities: (R, G + 1), each a sum of `residual_density` divided by its number of rows.

    Returns:
        (R,) float64 in [0, 1]; NaN where a density is NaN.

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


def _error(spectrum: NDArray[np.float64], s: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of |residual smoothed by a reflected Gaussian of deviation s| over [0, 1]."""
    n_cells = spectrum.shape[-1] - 1
    frequency = np.pi * np.arange(n_cells + 1)
    smoothed = np.abs(idct(spectrum * np.exp(-0.5 * (frequency * s) ** 2), type=1))
    ends = (smoothed[..., 0] + smoothed[..., -1]) / 2
    total: NDArray[np.float64] = (smoothed.sum(axis=-1) - ends) / n_cells
    return total
