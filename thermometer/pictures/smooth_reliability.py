"""Smooth reliability diagrams: accuracy as a line over confidence, without bins.

`prepare_smooth_reliability` turns confidences and outcomes into a frozen set of numbers;
`draw_smooth_reliability` turns them into a matplotlib figure and computes no statistics of its own.
Nothing here knows about models, tables or files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct, idct
from scipy.sparse import csr_array

from thermometer import _checks
from thermometer.metrics import smooth_ece
from thermometer.metrics.intervals import Interval, percentile_interval
from thermometer.metrics.resampling import gather, resample
from thermometer.metrics.smooth_calibration import smooth_ece_of
from thermometer.pictures import drawing, reliability_panels
from thermometer.pictures.drawing import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Vector = NDArray[np.float64]
_CELLS = 1 << 10  # of the grid on which rows are shared out and smoothed
_KEPT = 4  # every which of its points is kept
_NARROWEST, _WIDEST = 0.01, 0.05  # bandwidths: ten cells, and somewhat smoother than ten bins
_NOWHERE = 1e-6  # density below which there is no line; 1 is that of evenly spread confidences


@dataclass(frozen=True, eq=False)
class SmoothReliability:
    """The numbers of a smooth reliability diagram on a grid of G points.

    Args:
        grid: (G,) float64 confidences from 0 to 1.
        line: (G,) accuracy at each confidence, in [0, 1]; NaN far from all data.
        line_low: (G,) lower end of the pointwise interval of `line`, from resampled rows.
        line_high: (G,) upper end.
        density: (G,) density of the confidences, of mean about 1, with a bandwidth of its own.
        smooth_ece: Smooth calibration error, and its interval from the same resamples.
        bandwidth: Standard deviation of the kernel of `line`.
        lowest: Least confidence of the data.
        highest: Greatest confidence.
        n: Number of samples.
        accuracy: Fraction of right answers.
        mean_confidence: Mean confidence.
    """

    grid: Vector
    line: Vector
    line_low: Vector
    line_high: Vector
    density: Vector
    smooth_ece: Interval
    bandwidth: float
    lowest: float
    highest: float
    n: int
    accuracy: float
    mean_confidence: float


def prepare_smooth_reliability(
    confidence: ArrayLike,
    correct: ArrayLike,
    n_resamples: int = 200,
    seed: int = 0,
    *,
    bandwidth: float | None = None,
    level: float = 0.95,
) -> SmoothReliability:
    """Smoothed accuracy with its bootstrap band, the spread of confidences, and the smooth ECE.

    With K_s the Gaussian of standard deviation s reflected at 0 and 1, the line at t is the kernel
    regression sum_i K_s(t, c_i) y_i / sum_i K_s(t, c_i) (Nadaraya 1964, Watson 1964). As Blasiok
    and Nakkiran (2024, arXiv 2309.12236) propose, s is the smooth ECE, but here kept within
    [0.01, 0.05]: an s of 0.3, as for a very overconfident model, averages over most of the picture
    and shows accuracies that answers of no confidence have.

    Rows are shared linearly among the points of a grid of 1,024 cells, of which every fourth is
    kept. There a reflected Gaussian is a product in cosine space. The band holds, at each t by
    itself, percentiles of the same line from resampled rows (Efron 1979), s being kept; more than
    4,096 different confidences are first gathered into cells (see `resampling.gather`).

    Args:
        confidence: (N,) probabilities of the chosen options, in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        n_resamples: Number of resamples.
        seed: Equal seeds give equal bands.
        bandwidth: Standard deviation s of the kernel, at least 0.01, instead of the smooth ECE.
        level: Coverage aimed at, in (0, 1).

    Raises:
        ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.

    Example:
        >>> diagram = prepare_smooth_reliability([0.9, 0.9, 0.9, 0.9], [1, 1, 0, 0])
        >>> round(diagram.smooth_ece.estimate, 3), round(float(np.nanmean(diagram.line)), 3)
        (0.4, 0.5)
    """
    error = smooth_ece(confidence, correct)  # checks both
    n_resamples = _checks.integer("n_resamples", n_resamples)
    level = _checks.number("level", level, maximum=1 - 1e-9, strict=True)
    seed = _checks.integer("seed", seed, minimum=0)
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    n = len(confidence)
    if bandwidth is None:
        bandwidth = float(np.clip(error, _NARROWEST, _WIDEST))
    else:
        bandwidth = _checks.number("bandwidth", bandwidth, minimum=_NARROWEST, maximum=1)
    shares = _shares(confidence, n)
    mass, right = shares @ np.ones(n), shares @ correct
    masses, rights, residuals = _resampled(confidence, correct, n_resamples, seed)
    low, high = _band(_line(masses, rights, bandwidth), level)
    errors = smooth_ece_of(residuals) if n > 1 else np.full(n_resamples, np.nan)
    return SmoothReliability(
        grid=np.arange(0, _CELLS + 1, _KEPT) / _CELLS,
        line=_line(mass, right, bandwidth),
        line_low=low,
        line_high=high,
        density=_smoothed(mass, _rule_of_thumb(confidence)),
        smooth_ece=percentile_interval(error, errors, level),
        bandwidth=bandwidth,
        lowest=float(confidence.min()),
        highest=float(confidence.max()),
        n=n,
        accuracy=float(correct.mean()),
        mean_confidence=float(confidence.mean()),
    )


def _resampled(confidence: Vector, correct: Vector, n_resamples: int, seed: int) -> Vector:
    """(3, R, G + 1) densities of all rows, of the right ones and of residuals, by resample."""
    cells = gather(confidence, correct, n_bins=1)
    at = cells.means[:, 0]
    shares, is_right = _shares(at, len(confidence)), np.repeat([1.0, 0.0], len(at) // 2)
    draws = np.empty((3, n_resamples, _CELLS + 1))
    done = 0
    for counts in resample(cells, n_resamples, seed):
        for draw, values in zip(draws, (1.0, is_right, at - is_right), strict=True):
            draw[done : done + len(counts)] = (shares @ (counts * values).T).T
        done += len(counts)
    return draws


def _shares(confidence: Vector, n: int) -> csr_array:
    """(G + 1, N): how each row, one of `n`, adds to the density at the points of the grid."""
    position = confidence * _CELLS
    left = np.minimum(position.astype(np.int64), _CELLS - 1)
    on_right = position - left
    points = np.concatenate([left, left + 1])
    share = np.concatenate([1 - on_right, on_right]) * (_CELLS / n)
    share *= np.where((points == 0) | (points == _CELLS), 2, 1)  # half cells at the ends
    rows = np.tile(np.arange(len(confidence)), 2)
    return csr_array((share, (points, rows)), shape=(_CELLS + 1, len(confidence)))


def _smoothed(densities: Vector, s: float) -> Vector:
    """Densities smoothed by a reflected Gaussian of deviation s, at the points that are kept."""
    decay = np.exp(-0.5 * (np.pi * np.arange(_CELLS + 1) * s) ** 2)
    smoothed: Vector = idct(dct(densities, type=1) * decay, type=1)[..., ::_KEPT]
    return smoothed


def _line(mass: Vector, right: Vector, bandwidth: float) -> Vector:
    """The kernel regression: smoothed density of right answers over that of all."""
    weight = _smoothed(mass, bandwidth)
    near = np.where(weight > _NOWHERE, weight, np.nan)
    line: Vector = (_smoothed(right, bandwidth) / near).clip(0, 1)
    return line


def _band(lines: Vector, level: float) -> tuple[Vector, Vector]:
    """Percentiles over the resamples that have a line there; NaN where fewer than half have."""
    enough = np.isfinite(lines).mean(axis=0) >= 0.5
    low, high = np.full((2, lines.shape[1]), np.nan)
    ends = [(1 - level) / 2, (1 + level) / 2]
    low[enough], high[enough] = np.nanquantile(lines[:, enough], ends, axis=0)
    return low, high


def _rule_of_thumb(confidence: Vector) -> float:
    """Bandwidth of the density by Silverman (1986, "Density Estimation", equation 3.31)."""
    upper, lower = np.quantile(confidence, [0.75, 0.25])
    spreads = [float(confidence.std()), float(upper - lower) / 1.34]
    spread = min(spreads) or max(spreads)
    return float(np.clip(0.9 * spread * len(confidence) ** -0.2, _NARROWEST, 0.1))


def draw_smooth_reliability(
    diagrams: Mapping[str, SmoothReliability] | SmoothReliability,
    *,
    title: str | None = None,
    columns: int = 3,
    theme: str = "light",
) -> "Figure":
    """One panel per diagram, side by side, in the order of the mapping.

    A panel shows the smoothed accuracy from the least to the greatest confidence of the data, thick
    and dark where confidences are dense, with its band; below, how the confidences are spread, with
    the mean confidence (dashed) and the accuracy (solid).

    Args:
        diagrams: Diagrams by panel title, or a single one.
        title: Above all panels.
        columns: Most panels in a row.
        theme: ``"light"`` or ``"dark"``, the page that the picture is for.

    Returns:
        A `matplotlib.figure.Figure`, 4 inches per panel at 200 dpi; save it with ``savefig``.

    Raises:
        ValueError: If there is no diagram, or the theme is unknown.

    Example:
        >>> figure = draw_smooth_reliability(prepare_smooth_reliability([0.9, 0.8, 0.3], [1, 0, 0]))
        >>> figure.axes[0].get_ylabel()
        'accuracy'
    """
    colours = drawing.theme_named(theme)
    if isinstance(diagrams, SmoothReliability):
        diagrams = {"": diagrams}
    if not diagrams:
        raise _checks.fail("diagrams", "at least one diagram", "none")
    figure = reliability_panels.new_figure(len(diagrams), columns, title, colours)
    places = reliability_panels.panels(figure, list(diagrams), columns, colours)
    for diagram, (square, strip, colour) in zip(diagrams.values(), places, strict=True):
        _draw_line(square, diagram, colour, colours)
        error = diagram.smooth_ece
        text = f"smooth ECE {error.estimate:.3f}"
        if np.isfinite(error.low):
            text += f"\n({error.low:.3f} to {error.high:.3f})"
        above = diagram.mean_confidence >= diagram.accuracy
        drawing.note(square, f"{text}\nn = {diagram.n:,}", colours, above=above)
        _draw_density(strip, diagram, colour, colours)
    return figure


def _draw_line(axis: "Axes", diagram: SmoothReliability, colour: str, theme: Theme) -> None:
    """The line and its band, piece by piece."""
    from matplotlib.collections import LineCollection, PolyCollection

    step = diagram.grid[1]
    kept = (diagram.grid >= diagram.lowest - step) & (diagram.grid <= diagram.highest + step)
    x, y = diagram.grid[kept], diagram.line[kept]
    low, high = diagram.line_low[kept], diagram.line_high[kept]
    density = (diagram.density[kept][:-1] + diagram.density[kept][1:]) / 2
    share = np.sqrt(density / density.max())
    bands = np.stack([np.c_[x[:-1], low[:-1]], np.c_[x[1:], low[1:]]], axis=1)
    bands = np.concatenate(
        [bands, np.stack([np.c_[x[1:], high[1:]], np.c_[x[:-1], high[:-1]]], 1)], 1
    )
    whole = np.isfinite(bands).all(axis=(1, 2))
    fills = [drawing.blend(colour, theme.ground, 0.06 + 0.22 * s) for s in share[whole]]
    axis.add_collection(
        PolyCollection(
            list(bands[whole]), facecolors=fills, edgecolors=fills, linewidths=0.4, zorder=0.2
        )
    )
    pieces = np.stack([np.c_[x[:-1], y[:-1]], np.c_[x[1:], y[1:]]], axis=1)
    whole = np.isfinite(pieces).all(axis=(1, 2))
    axis.add_collection(
        LineCollection(
            list(pieces[whole]),
            colors=[drawing.blend(colour, theme.ground, 0.35 + 0.65 * s) for s in share[whole]],
            linewidths=1.2 + 3 * share[whole],
            capstyle="round",
            zorder=3,
        )
    )


def _draw_density(axis: "Axes", diagram: SmoothReliability, colour: str, theme: Theme) -> None:
    """How the confidences are spread."""
    axis.set_ylim(0, diagram.density.max() * 1.1)
    axis.fill_between(diagram.grid, diagram.density, color=colour, alpha=0.35, linewidth=0)
    means = diagram.accuracy, diagram.mean_confidence
    reliability_panels.mark_means(axis, *means, colour, theme)
