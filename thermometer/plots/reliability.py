"""Reliability diagrams: binned bars, and the smooth curve with its band."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct, idct
from scipy.sparse import csr_array

from thermometer import _checks
from thermometer.metrics import bin_index, expected_calibration_error, smooth_ece
from thermometer.metrics.intervals import Interval, gather, percentile_interval, resample
from thermometer.metrics.smooth_calibration import smooth_ece_of
from thermometer.plots import drawing
from thermometer.plots.drawing import HEAD, SMALL, TEXT, Theme

_TITLE = 2.9  # inches; a bold one is wider by a sixth


def new_figure(n: int, columns: int, title: str | None, theme: Theme) -> "Figure":
    """An empty figure for `n` panels."""
    columns = min(_checks.integer("columns", columns), n)
    return drawing.figure(4.0 * columns, 5.0 * -(-n // columns), title, theme)


def panels(
    figure: "Figure", names: Sequence[str], columns: int, theme: Theme
) -> Iterator[tuple["Axes", "Axes", str]]:
    """Square, strip and colour of each panel, row by row."""
    columns = min(columns, len(names))
    cells = figure.add_gridspec(-(-len(names) // columns), columns)
    for position, name in enumerate(names):
        cell = cells[position // columns, position % columns].subgridspec(
            2, 1, height_ratios=(4, 1), hspace=0.03
        )
        square, strip = figure.add_subplot(cell[0]), figure.add_subplot(cell[1])
        drawing.unit_square(square, theme)
        square.tick_params(labelbottom=False)
        square.set_ylabel("accuracy", fontsize=TEXT, color=theme.ink)
        shown = drawing.plain(drawing.fitted(figure, name, _TITLE, HEAD))
        title = square.set_title(shown, pad=8, fontsize=HEAD, color=theme.ink)
        title.set_fontweight("bold")
        strip.set(xlim=(0, 1), xticks=np.arange(0, 1.1, 0.2), yticks=[])
        drawing.style(strip, theme)
        strip.spines["left"].set_visible(False)
        strip.set_ylabel("share", fontsize=TEXT, color=theme.ink)
        strip.set_xlabel("confidence", fontsize=TEXT, color=theme.ink)
        accents = theme.accents
        yield square, strip, theme.single if len(names) == 1 else accents[position % len(accents)]


def mark_means(
    strip: "Axes", accuracy: float, confidence: float, colour: str, theme: Theme
) -> None:
    """Accuracy and mean confidence as lines, named above the strip."""
    strip.axvline(accuracy, color=theme.ink, linewidth=1.4, label=f"accuracy {accuracy:.3f}")
    strip.axvline(
        confidence,
        color=colour,
        linewidth=1.8,
        linestyle=(0, (2, 1)),
        label=f"confidence {confidence:.3f}",
    )
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


_Z95 = 1.959963984540054


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

    bin_edges: NDArray[np.float64]
    count: NDArray[np.int64]
    bin_confidence: NDArray[np.float64]
    bin_accuracy: NDArray[np.float64]
    bin_low: NDArray[np.float64]
    bin_high: NDArray[np.float64]
    ece: float
    smooth_ece: float
    accuracy: float
    mean_confidence: float

    def __post_init__(self) -> None:
        size = len(self.count)
        if len(self.bin_edges) != size + 1:
            raise _checks.fail(
                "bin_edges", f"of length {size + 1}", f"length {len(self.bin_edges)}"
            )
        for name in ("bin_confidence", "bin_accuracy", "bin_low", "bin_high"):
            if len(getattr(self, name)) != size:
                raise _checks.fail(name, f"of length {size}", f"length {len(getattr(self, name))}")
            values = getattr(self, name)[self.count > 0]
            if not np.isfinite(values).all():
                raise _checks.fail(name, "finite where there are samples", values)

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.count.sum())


def prepare_reliability(
    confidence: ArrayLike, correct: ArrayLike, n_bins: int = 15
) -> ReliabilityDiagram:
    """Count, mean confidence, accuracy and its interval in every bin, and the overall errors.

    The bins are those of `metrics.bin_index`. With p the accuracy of n samples and z = 1.96, the
    Wilson (1927) interval is (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n): it stays in
    [0, 1] and keeps a width where all answers of a bin are right.

    Args:
        confidence: (N,) probabilities of the chosen options, in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        n_bins: Number of bins of equal width.

    Raises:
        ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.

    Example:
        >>> diagram = prepare_reliability([0.9, 0.8, 0.3], [1, 0, 0], n_bins=2)
        >>> diagram.count.tolist(), diagram.bin_accuracy.tolist()
        ([1, 2], [0.0, 0.5])
    """
    ece = expected_calibration_error(confidence, correct, n_bins)  # checks all arguments
    index = bin_index(confidence, n_bins)
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    count = np.bincount(index, minlength=n_bins)
    filled = np.where(count, count, np.nan)
    p = np.bincount(index, correct, n_bins) / filled
    z2 = _Z95**2 / filled
    half = np.sqrt(z2 * (p * (1 - p) + z2 / 4))
    return ReliabilityDiagram(
        bin_edges=np.arange(n_bins + 1) / n_bins,
        count=count,
        bin_confidence=np.bincount(index, confidence, n_bins) / filled,
        bin_accuracy=p,
        bin_low=np.clip((p + z2 / 2 - half) / (1 + z2), 0, 1),
        bin_high=np.clip((p + z2 / 2 + half) / (1 + z2), 0, 1),
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
    if not diagrams:
        raise _checks.fail("diagrams", "at least one diagram", "none")
    figure = new_figure(len(diagrams), columns, title, colours)
    places = panels(figure, list(diagrams), columns, colours)
    for diagram, (square, strip, colour) in zip(diagrams.values(), places, strict=True):
        draw_bins(square, diagram, colour, colours)
        text = f"ECE {diagram.ece:.3f}\nsmooth ECE {diagram.smooth_ece:.3f}\nn = {diagram.n:,}"
        x, high, low = diagram.bin_confidence, diagram.bin_high, diagram.bin_low
        in_upper_left, in_lower_right = (x < 0.48) & (high > 0.76), (x > 0.52) & (low < 0.26)
        above = bool(in_upper_left.sum() <= in_lower_right.sum())
        drawing.note(square, text, colours, above=above)
        _draw_confidences(strip, diagram, colour, colours)
    return figure


def draw_bins(
    axis: "Axes", diagram: ReliabilityDiagram, colour: str, theme: Theme, scale: float = 1.0
) -> None:
    """Accuracy over confidence, bin by bin; `scale` multiplies widths and areas."""
    kept = diagram.count > 0
    x, y = diagram.bin_confidence[kept], diagram.bin_accuracy[kept]
    share = diagram.count[kept] / diagram.count.max()
    faint = 0.25 + 0.75 * np.sqrt(share)  # bins of few samples should not shout
    low, high = diagram.bin_low[kept], diagram.bin_high[kept]
    axis.vlines(x, x, y, color=colour, alpha=0.25 * faint, linewidth=7 * scale, zorder=2)
    axis.vlines(x, low, high, color=colour, alpha=faint, linewidth=1.4, zorder=3)
    area = (14 + 110 * share) * scale**2
    axis.scatter(x, y, area, colour, edgecolor=theme.ground, zorder=4, clip_on=False)


def _draw_confidences(axis: "Axes", diagram: ReliabilityDiagram, colour: str, theme: Theme) -> None:
    """How the confidences are spread."""
    share = diagram.count / diagram.n
    axis.set_ylim(0, share.max() * 1.1)
    axis.bar(
        diagram.bin_edges[:-1],
        share,
        np.diff(diagram.bin_edges),
        align="edge",
        color=colour,
        alpha=0.35,
        edgecolor=theme.ground,
        linewidth=0.8,
    )
    means = diagram.accuracy, diagram.mean_confidence
    mark_means(axis, *means, colour, theme)


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
    4,096 different confidences are first gathered into cells (see `resampling.gather`).

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
    shares = _shares(confidence, n)
    mass, right = shares @ np.ones(n), shares @ correct
    masses, rights, residuals = _resampled(confidence, correct, n_resamples, seed)
    low, high = _band(_line(masses, rights, bandwidth), coverage)
    errors = smooth_ece_of(residuals) if n > 1 else np.full(n_resamples, np.nan)
    return SmoothReliability(
        grid=np.arange(0, _CELLS + 1, _KEPT) / _CELLS,
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
    figure = new_figure(len(diagrams), columns, title, colours)
    places = panels(figure, list(diagrams), columns, colours)
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
    mark_means(axis, *means, colour, theme)
