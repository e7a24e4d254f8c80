"""Reliability diagrams: in bins, and as a smooth curve with its band."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct

from thermometer import _checks
from thermometer.metrics import bin_index, expected_calibration_error, smooth_ece
from thermometer.metrics.calibration_error import COARSE_GRID, grid_shares, smooth_ece_of, smoothed
from thermometer.metrics.intervals import Interval, gather, percentile_interval, resample, wilson
from thermometer.plots import drawing
from thermometer.plots.drawing import HEAD, SMALL, TEXT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Vector = NDArray[np.float64]
_TITLE = 2.9  # inches; a bold one is wider by a sixth
_EVERY = 4  # which points of the grid are kept
_NARROWEST, _WIDEST = 0.01, 0.05  # bandwidths: ten cells, and somewhat smoother than ten bins
_NOWHERE = 1e-6  # density below which there is no line; 1 is that of evenly spread confidences


@dataclass(frozen=True, eq=False)
class ReliabilityDiagram:
    """The numbers of a reliability diagram over B bins; per-bin values of empty bins are NaN.

    Args:
        bin_edges: (B + 1,) float64 from 0 to 1; bin b is (edge b, edge b + 1].
        count: (B,) int64 samples in each bin.
        bin_confidence: (B,) mean confidence.
        bin_accuracy: (B,) fraction of right answers.
        bin_low: (B,) lower end of the 95 % Wilson interval of `bin_accuracy`.
        bin_high: (B,) upper end.
        ece: Expected calibration error over these bins.
        smooth_ece: Smooth calibration error, which uses no bins.
        accuracy: Fraction of right answers.
        mean_confidence: Mean confidence.
    """

    bin_edges: Vector
    count: NDArray[np.int64]
    bin_confidence: Vector
    bin_accuracy: Vector
    bin_low: Vector
    bin_high: Vector
    ece: float
    smooth_ece: float
    accuracy: float
    mean_confidence: float

    def __post_init__(self) -> None:
        size = len(self.count)
        if len(self.bin_edges) != size + 1:
            got = f"length {len(self.bin_edges)}"
            raise _checks.fail("bin_edges", f"of length {size + 1}", got)
        for name in ("bin_confidence", "bin_accuracy", "bin_low", "bin_high"):
            values = getattr(self, name)
            if len(values) != size:
                raise _checks.fail(name, f"of length {size}", f"length {len(values)}")
            if not np.isfinite(values[self.count > 0]).all():
                raise _checks.fail(name, "finite where there are samples", values[self.count > 0])

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.count.sum())


def prepare_reliability(
    confidence: ArrayLike, correct: ArrayLike, n_bins: int = 15
) -> ReliabilityDiagram:
    """Count, mean confidence, accuracy and its interval in every bin, and the overall errors.

    The bins are those of `metrics.bin_index`, the intervals those of `intervals.wilson`.

    Arguments and errors are those of `metrics.expected_calibration_error`.

    Example:
        >>> diagram = prepare_reliability([0.9, 0.8, 0.3], [1, 0, 0], n_bins=2)
        >>> diagram.count.tolist(), diagram.bin_accuracy.tolist()
        ([1, 2], [0.0, 0.5])
    """
    ece = expected_calibration_error(confidence, correct, n_bins)  # checks all arguments
    index = bin_index(confidence, n_bins)
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    count = np.bincount(index, minlength=n_bins)
    right = np.bincount(index, correct, n_bins)
    low, high = np.full((2, n_bins), np.nan)
    for b in np.flatnonzero(count):
        accuracy = wilson(float(right[b]), int(count[b]))
        low[b], high[b] = accuracy.low, accuracy.high
    filled = np.where(count, count, np.nan)
    return ReliabilityDiagram(
        bin_edges=np.arange(n_bins + 1) / n_bins,
        count=count,
        bin_confidence=np.bincount(index, confidence, n_bins) / filled,
        bin_accuracy=right / filled,
        bin_low=low,
        bin_high=high,
        ece=ece,
        smooth_ece=smooth_ece(confidence, correct),
        accuracy=float(correct.mean()),
        mean_confidence=float(confidence.mean()),
    )


def draw_reliability(
    diagrams: Mapping[str, ReliabilityDiagram] | ReliabilityDiagram,
    *,
    title: str | None = None,
    columns: int = 3,
    theme: str = "light",
) -> "Figure":
    """One panel per diagram, side by side, in the order of the mapping.

    A panel shows for each bin the accuracy over the mean confidence (the area of the point follows
    the count), its 95 % interval and its gap to the diagonal; below, how the confidences are
    spread, with the mean confidence (dashed) and the accuracy (solid).

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
        >>> before = prepare_reliability([0.9, 0.9, 0.8], [1, 0, 0])
        >>> after = prepare_reliability([0.6, 0.6, 0.4], [1, 0, 0])
        >>> figure = draw_reliability({"before": before, "after": after})
        >>> figure.get_size_inches().tolist()
        [8.0, 5.0]
    """
    colours = drawing.theme_named(theme)
    if isinstance(diagrams, ReliabilityDiagram):
        diagrams = {"": diagrams}
    figure, panels = _panels(diagrams, title, columns, colours)
    for diagram, square, strip, colour in panels:
        _draw_bins(square, diagram, colour, colours)
        text = f"ECE {diagram.ece:.3f}\nsmooth ECE {diagram.smooth_ece:.3f}\nn = {diagram.n:,}"
        x, high, low = diagram.bin_confidence, diagram.bin_high, diagram.bin_low
        in_upper_left, in_lower_right = (x < 0.48) & (high > 0.76), (x > 0.52) & (low < 0.26)
        above = bool(in_upper_left.sum() <= in_lower_right.sum())
        drawing.note(square, text, colours, above=above)
        share = diagram.count / diagram.n
        strip.set_ylim(0, share.max() * 1.1)
        strip.bar(
            diagram.bin_edges[:-1],
            share,
            np.diff(diagram.bin_edges),
            align="edge",
            color=colour,
            alpha=0.35,
            edgecolor=colours.ground,
            linewidth=0.8,
        )
        _mark_means(strip, diagram, colour, colours)
    return figure


def _draw_bins(axis: "Axes", diagram: ReliabilityDiagram, colour: str, theme: Theme) -> None:
    """Accuracy over confidence, bin by bin."""
    kept = diagram.count > 0
    x, y = diagram.bin_confidence[kept], diagram.bin_accuracy[kept]
    share = diagram.count[kept] / diagram.count.max()
    faint = 0.25 + 0.75 * np.sqrt(share)  # bins of few samples should not shout
    low, high = diagram.bin_low[kept], diagram.bin_high[kept]
    axis.vlines(x, x, y, color=colour, alpha=0.25 * faint, linewidth=7, zorder=2)
    axis.vlines(x, low, high, color=colour, alpha=faint, linewidth=1.4, zorder=3)
    area = 14 + 110 * share
    axis.scatter(x, y, area, colour, edgecolor=theme.ground, zorder=4, clip_on=False)


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
    coverage: float = 0.95,
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
    4,096 different confidences are first gathered into cells (see `intervals.gather`).

    Args:
        confidence: (N,) probabilities of the chosen options, in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        n_resamples: Number of resamples.
        seed: Equal seeds give equal bands.
        bandwidth: Standard deviation s of the kernel, at least 0.01, instead of the smooth ECE.
        coverage: Coverage aimed at, in (0, 1).

    Raises:
        ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.

    Example:
        >>> diagram = prepare_smooth_reliability([0.9, 0.9, 0.9, 0.9], [1, 1, 0, 0])
        >>> round(diagram.smooth_ece.estimate, 3), round(float(np.nanmean(diagram.line)), 3)
        (0.4, 0.5)
    """
    error = smooth_ece(confidence, correct)  # checks both
    n_resamples = _checks.integer("n_resamples", n_resamples)
    coverage = _checks.number("coverage", coverage, maximum=1 - 1e-9, strict=True)
    seed = _checks.integer("seed", seed, minimum=0)
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    n = len(confidence)
    if bandwidth is None:
        bandwidth = float(np.clip(error, _NARROWEST, _WIDEST))
    else:
        bandwidth = _checks.number("bandwidth", bandwidth, minimum=_NARROWEST, maximum=1)
    shares = grid_shares(confidence)
    mass, right = np.ones(n) @ shares / n, correct @ shares / n
    masses, rights, residuals = _resampled(confidence, correct, n_resamples, seed)
    low, high = _band(_line(masses, rights, bandwidth), coverage)
    errors = smooth_ece_of(residuals) if n > 1 else np.full(n_resamples, np.nan)
    return SmoothReliability(
        grid=np.arange(0, COARSE_GRID + 1, _EVERY) / COARSE_GRID,
        line=_line(mass, right, bandwidth),
        line_low=low,
        line_high=high,
        density=_smoothed(mass, _rule_of_thumb(confidence)),
        smooth_ece=percentile_interval(error, errors, coverage),
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
    shares, is_right = grid_shares(at) / len(confidence), np.repeat([1.0, 0.0], len(at) // 2)
    densities = [
        [(counts * values) @ shares for values in (1.0, is_right, at - is_right)]
        for counts in resample(cells, n_resamples, seed)
    ]
    return np.concatenate(densities, axis=1)


def _smoothed(densities: Vector, s: float) -> Vector:
    """Densities smoothed by a reflected Gaussian of deviation s, at the points that are kept."""
    return smoothed(dct(densities, type=1), s)[..., ::_EVERY]


def _line(mass: Vector, right: Vector, bandwidth: float) -> Vector:
    """The kernel regression: smoothed density of right answers over that of all."""
    weight = _smoothed(mass, bandwidth)
    near = np.where(weight > _NOWHERE, weight, np.nan)
    line: Vector = (_smoothed(right, bandwidth) / near).clip(0, 1)
    return line


def _band(lines: Vector, coverage: float) -> tuple[Vector, Vector]:
    """Percentiles over the resamples that have a line there; NaN where fewer than half have."""
    enough = np.isfinite(lines).mean(axis=0) >= 0.5
    low, high = np.full((2, lines.shape[1]), np.nan)
    ends = [(1 - coverage) / 2, (1 + coverage) / 2]
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

    Arguments, size and errors are those of `draw_reliability`.

    Example:
        >>> figure = draw_smooth_reliability(prepare_smooth_reliability([0.9, 0.8, 0.3], [1, 0, 0]))
        >>> figure.axes[0].get_ylabel()
        'accuracy'
    """
    colours = drawing.theme_named(theme)
    if isinstance(diagrams, SmoothReliability):
        diagrams = {"": diagrams}
    figure, panels = _panels(diagrams, title, columns, colours)
    for diagram, square, strip, colour in panels:
        _draw_line(square, diagram, colour, colours)
        error = diagram.smooth_ece
        text = f"smooth ECE {error.estimate:.3f}"
        if np.isfinite(error.low):
            text += f"\n({error.low:.3f} to {error.high:.3f})"
        above = diagram.mean_confidence >= diagram.accuracy
        drawing.note(square, f"{text}\nn = {diagram.n:,}", colours, above=above)
        strip.set_ylim(0, diagram.density.max() * 1.1)
        strip.fill_between(diagram.grid, diagram.density, color=colour, alpha=0.35, linewidth=0)
        _mark_means(strip, diagram, colour, colours)
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


_Diagram = TypeVar("_Diagram", ReliabilityDiagram, SmoothReliability)


def _panels(
    diagrams: Mapping[str, _Diagram], title: str | None, columns: int, theme: Theme
) -> "tuple[Figure, list[tuple[_Diagram, Axes, Axes, str]]]":
    """A figure, and the diagram, square, strip and colour of each panel, row by row."""
    if not diagrams:
        raise _checks.fail("diagrams", "at least one diagram", "none")
    n = len(diagrams)
    columns = min(_checks.integer("columns", columns), n)
    rows = -(-n // columns)
    figure = drawing.figure(4.0 * columns, 5.0 * rows, title, theme)
    cells = figure.add_gridspec(rows, columns)
    panels, ticks = [], np.arange(0, 1.1, 0.2)
    for position, (name, diagram) in enumerate(diagrams.items()):
        cell = cells[position // columns, position % columns].subgridspec(
            2, 1, height_ratios=(4, 1), hspace=0.03
        )
        square, strip = figure.add_subplot(cell[0]), figure.add_subplot(cell[1])
        square.set(xlim=(0, 1), ylim=(0, 1), xticks=ticks, yticks=ticks)
        drawing.style(square, theme)
        square.grid(color=theme.faint, linewidth=0.8)
        square.plot([0, 1], [0, 1], color=theme.quiet, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        square.tick_params(labelbottom=False)
        square.set_ylabel("accuracy", fontsize=TEXT, color=theme.ink)
        shown = drawing.plain(drawing.fitted(figure, name, _TITLE, HEAD))
        square.set_title(shown, pad=8, fontsize=HEAD, color=theme.ink, fontweight="bold")
        strip.set(xlim=(0, 1), xticks=ticks, yticks=[])
        drawing.style(strip, theme)
        strip.spines["left"].set_visible(False)
        strip.set_ylabel("share", fontsize=TEXT, color=theme.ink)
        strip.set_xlabel("confidence", fontsize=TEXT, color=theme.ink)
        colour = theme.single if n == 1 else theme.accents[position % len(theme.accents)]
        panels.append((diagram, square, strip, colour))
    return figure, panels


def _mark_means(
    strip: "Axes", diagram: ReliabilityDiagram | SmoothReliability, colour: str, theme: Theme
) -> None:
    """Accuracy and mean confidence as lines, named above the strip."""
    accuracy, confidence = diagram.accuracy, diagram.mean_confidence
    dashed: dict[str, Any] = {"linewidth": 1.8, "linestyle": (0, (2, 1))}
    strip.axvline(accuracy, color=theme.ink, linewidth=1.4, label=f"accuracy {accuracy:.3f}")
    strip.axvline(confidence, color=colour, label=f"confidence {confidence:.3f}", **dashed)
    strip.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 0.98),
        ncols=2,
        frameon=False,
        fontsize=SMALL,
        labelcolor=theme.ink,
        handlelength=1.1,
        handletextpad=0.5,
        columnspacing=0.9,
        borderpad=0.1,
    )
