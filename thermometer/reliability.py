"""Reliability diagrams: first the numbers, then the picture.

`prepare_reliability` turns confidences and outcomes into a frozen set of numbers; the `draw_*`
functions turn numbers into matplotlib figures and compute no statistics of their own. Matplotlib
is imported here only, inside the functions that draw, without pyplot: no window opens, no global
setting is read for the look or changed. Nothing here knows about models, tables or files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.metrics import bin_index, expected_calibration_error, smooth_ece

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart with every common form of colour blindness.
_ACCENTS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_SINGLE = "#0072B2"
_INK, _QUIET, _FAINT = "#222222", "#767676", "#EAEAEA"
_FEW = 15  # tasks that are labelled by name
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
) -> "Figure":
    """One panel per diagram, side by side, in the order of the mapping.

    A panel shows for each bin the accuracy over the mean confidence (the area of the point follows
    the count), its 95 % interval and its gap to the diagonal; below, how the confidences are
    spread, with the mean confidence (dashed) and the accuracy (solid).

    Args:
        diagrams: Diagrams by panel title, or a single one.
        title: Above all panels.
        columns: Most panels in a row.

    Returns:
        A `matplotlib.figure.Figure`, 4 inches per panel at 200 dpi; save it with ``savefig``.

    Raises:
        ValueError: If there is no diagram.

    Example:
        >>> before = prepare_reliability([0.9, 0.9, 0.8], [1, 0, 0])
        >>> after = prepare_reliability([0.6, 0.6, 0.4], [1, 0, 0])
        >>> figure = draw_reliability({"before": before, "after": after})
        >>> figure.get_size_inches().tolist()
        [8.0, 5.0]
    """
    if isinstance(diagrams, ReliabilityDiagram):
        diagrams = {"": diagrams}
    if not diagrams:
        raise _checks.fail("diagrams", "at least one diagram", "none")
    columns = min(_checks.integer("columns", columns), len(diagrams))
    rows = -(-len(diagrams) // columns)
    figure = _figure(4.0 * columns, 5.0 * rows, title)
    cells = figure.add_gridspec(rows, columns)
    for position, (name, diagram) in enumerate(diagrams.items()):
        cell = cells[position // columns, position % columns].subgridspec(
            2, 1, height_ratios=(4, 1), hspace=0.03
        )
        upper = figure.add_subplot(cell[0])
        lower = figure.add_subplot(cell[1])
        colour = _SINGLE if len(diagrams) == 1 else _ACCENTS[position % len(_ACCENTS)]
        _draw_bins(upper, diagram, colour)
        _draw_confidences(lower, diagram, colour)
        upper.set_title(name, fontsize=13, fontweight="bold", color=_INK, pad=8)
    return figure


def draw_temperatures(
    predicted: Mapping[str, float], best: Mapping[str, float], *, title: str | None = None
) -> "Figure":
    """Predicted task temperature against the best one (fitted on the task's labels), log-log.

    On the diagonal the prediction equals the best; the band is within 10 % of it. Up to 15 tasks
    are labelled by name.

    Args:
        predicted: Temperature by task.
        best: Temperature by task, of the same tasks.
        title: Above the plot.

    Returns:
        A `matplotlib.figure.Figure`; save it with ``savefig``.

    Raises:
        ValueError: If there is no task, the tasks differ, or a temperature is not positive.

    Example:
        >>> figure = draw_temperatures({"law": 2.1, "maths": 1.4}, {"law": 2.0, "maths": 1.5})
        >>> figure.axes[0].get_xscale()
        'log'
    """
    if not best or predicted.keys() != best.keys():
        differing = sorted(predicted.keys() ^ best.keys()) or "none at all"
        raise _checks.fail("predicted", "temperatures of the tasks in `best`", differing)
    for name in best:
        _checks.number(f"best[{name!r}]", best[name], maximum=1e300, strict=True)
        _checks.number(f"predicted[{name!r}]", predicted[name], maximum=1e300, strict=True)
    points = {name: (float(best[name]), float(predicted[name])) for name in best}
    x, y = np.array(list(points.values())).T
    low, high = min(x.min(), y.min()) / 1.25, max(x.max(), y.max()) * 1.25
    ends = np.array([low, high])
    figure = _figure(5.0, 5.0, title)
    axis = figure.add_subplot()
    axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    _style(axis)
    axis.fill_between(ends, ends / 1.1, ends * 1.1, color=_FAINT, linewidth=0, zorder=0)
    axis.plot(ends, ends, color=_QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axis.scatter(x, y, s=42, color=_SINGLE, alpha=0.85, edgecolor="white", linewidth=0.8, zorder=3)
    _log_ticks(axis, low, high)
    axis.set_xlabel("best temperature (with labels)", fontsize=11, color=_INK)
    axis.set_ylabel("predicted temperature", fontsize=11, color=_INK)
    error = float(np.abs(np.log(y / x)).mean())
    text = f"{len(x)} {'task' if len(x) == 1 else 'tasks'}\nmean |log ratio| {error:.3f}"
    _note(axis, text + "\ngrey: within 10 %", above=bool(np.log(y / x).mean() <= 0))
    if len(points) <= _FEW:
        _name_points(figure, axis, points)
    return figure


def _figure(width: float, height: float, title: str | None) -> "Figure":
    """An empty white figure that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=200, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=14, color=_INK)
    return figure


def _style(axis: "Axes") -> None:
    """The look shared by all plots: light frame, quiet ticks, white ground."""
    axis.set_facecolor("white")
    axis.tick_params(which="both", labelsize=10, colors=_QUIET, length=3, width=0.8)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=_QUIET, linewidth=0.8)
    axis.set_axisbelow(True)


def _draw_bins(axis: "Axes", diagram: ReliabilityDiagram, colour: str) -> None:
    """Accuracy over confidence, bin by bin."""
    axis.set(xlim=(0, 1), ylim=(0, 1), xticks=np.arange(0, 1.1, 0.2), yticks=np.arange(0, 1.1, 0.2))
    _style(axis)
    axis.tick_params(labelbottom=False)
    axis.grid(color=_FAINT, linewidth=0.8)
    axis.plot([0, 1], [0, 1], color=_QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    kept = diagram.count > 0
    x, y = diagram.bin_confidence[kept], diagram.bin_accuracy[kept]
    share = diagram.count[kept] / diagram.count.max()
    faint = 0.25 + 0.75 * np.sqrt(share)  # bins of few samples should not shout
    low, high = diagram.bin_low[kept], diagram.bin_high[kept]
    axis.vlines(x, x, y, color=colour, alpha=0.25 * faint, linewidth=7, zorder=2)
    axis.vlines(x, low, high, color=colour, alpha=faint, linewidth=1.4, zorder=3)
    axis.scatter(x, y, 14 + 110 * share, colour, edgecolor="white", zorder=4, clip_on=False)
    axis.set_ylabel("accuracy", fontsize=11, color=_INK)
    text = f"ECE {diagram.ece:.3f}\nsmooth ECE {diagram.smooth_ece:.3f}\nn = {diagram.n:,}"
    in_upper_left, in_lower_right = (x < 0.48) & (high > 0.76), (x > 0.52) & (low < 0.26)
    _note(axis, text, above=bool(in_upper_left.sum() <= in_lower_right.sum()))


def _draw_confidences(axis: "Axes", diagram: ReliabilityDiagram, colour: str) -> None:
    """How the confidences are spread."""
    share = diagram.count / diagram.n
    axis.set(xlim=(0, 1), ylim=(0, share.max() * 1.1), xticks=np.arange(0, 1.1, 0.2), yticks=[])
    _style(axis)
    axis.spines["left"].set_visible(False)
    axis.bar(
        diagram.bin_edges[:-1],
        share,
        np.diff(diagram.bin_edges),
        align="edge",
        color=colour,
        alpha=0.35,
        edgecolor="white",
        linewidth=0.8,
    )
    right, claimed = diagram.accuracy, diagram.mean_confidence
    axis.axvline(right, color=_INK, linewidth=1.4, label=f"accuracy {right:.3f}")
    axis.axvline(
        claimed,
        color=colour,
        linewidth=1.8,
        linestyle=(0, (2, 1)),
        label=f"confidence {claimed:.3f}",
    )
    axis.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 0.98),
        ncols=2,
        frameon=False,
        fontsize=10,
        labelcolor=_INK,
        handlelength=1.5,
        handletextpad=0.5,
        columnspacing=1.4,
        borderpad=0.1,
    )
    axis.set_ylabel("share", fontsize=11, color=_INK)
    axis.set_xlabel("confidence", fontsize=11, color=_INK)


def _note(axis: "Axes", text: str, *, above: bool) -> None:
    """Text in the upper left corner (above the diagonal) or in the lower right one."""
    x, y, side = (0.04, 0.96, "left") if above else (0.97, 0.05, "right")
    axis.text(
        x,
        y,
        text,
        transform=axis.transAxes,
        ha=side,
        va="top" if above else "bottom",
        fontsize=11,
        linespacing=1.35,
        color=_INK,
        zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )


def _log_ticks(axis: "Axes", low: float, high: float) -> None:
    """Plain numbers on both logarithmic axes, as many as fit."""
    steps = [1.0] if high / low > 1e3 else [1.0, 2.0, 5.0]
    if high / low < 5:
        steps = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0]
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ticks = [s * 10**d for d in decades for s in steps if low <= s * 10**d <= high]
    for set_ticks in (axis.set_xticks, axis.set_yticks):
        set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        set_ticks([], minor=True)


def _name_points(figure: "Figure", axis: "Axes", points: Mapping[str, tuple[float, float]]) -> None:
    """Write each name beside its point, where it covers least of points and earlier names."""
    figure.draw_without_rendering()  # fixes the layout, hence where the points are
    unit = figure.dpi / 72
    pixels = axis.transData.transform(list(points.values()))
    taken = [np.r_[pixel - 4 * unit, pixel + 4 * unit] for pixel in pixels]
    taken += [np.asarray(text.get_window_extent().extents) for text in axis.texts]
    frame = axis.get_window_extent()
    spots = [(side, rise) for rise in (0, 5, -5, 11, -11, 17, -17, 23, -23) for side in (7, -7)]
    for (name, point), (px, py) in zip(points.items(), pixels, strict=True):
        label = axis.annotate(
            name, point, (0, 0), textcoords="offset points", fontsize=9, color=_INK, in_layout=False
        )
        extent = label.get_window_extent()
        left = np.array([px + side * unit - (side < 0) * extent.width for side, _ in spots])
        bottom = np.array([py + rise * unit - extent.height / 2 for _, rise in spots])
        boxes = np.c_[left, bottom, left + extent.width, bottom + extent.height]
        others = np.array(taken)
        shared = np.minimum(boxes[:, None, 2:], others[:, 2:])
        shared = (shared - np.maximum(boxes[:, None, :2], others[:, :2])).clip(0)
        outside = (left < frame.x0) | (left + extent.width > frame.x1)
        best = int(np.argmin(shared.prod(axis=2).sum(axis=1) + 1e9 * outside))
        label.set(position=spots[best], ha="left" if spots[best][0] > 0 else "right", va="center")
        taken.append(boxes[best])
