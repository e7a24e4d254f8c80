"""Reliability diagrams: first the numbers, then the picture.

`prepare_reliability` turns confidences and outcomes into a frozen set of numbers;
`draw_reliability` turns them into a matplotlib figure and computes no statistics of its own.
Nothing here knows about models, tables or files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks, drawing
from thermometer.drawing import ACCENTS, FAINT, INK, QUIET, SINGLE
from thermometer.metrics import bin_index, expected_calibration_error, smooth_ece

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    figure = drawing.figure(4.0 * columns, 5.0 * rows, title)
    cells = figure.add_gridspec(rows, columns)
    for position, (name, diagram) in enumerate(diagrams.items()):
        cell = cells[position // columns, position % columns].subgridspec(
            2, 1, height_ratios=(4, 1), hspace=0.03
        )
        upper = figure.add_subplot(cell[0])
        lower = figure.add_subplot(cell[1])
        colour = SINGLE if len(diagrams) == 1 else ACCENTS[position % len(ACCENTS)]
        _draw_bins(upper, diagram, colour)
        _draw_confidences(lower, diagram, colour)
        upper.set_title(name, fontsize=13, fontweight="bold", color=INK, pad=8)
    return figure


def _draw_bins(axis: "Axes", diagram: ReliabilityDiagram, colour: str) -> None:
    """Accuracy over confidence, bin by bin."""
    axis.set(xlim=(0, 1), ylim=(0, 1), xticks=np.arange(0, 1.1, 0.2), yticks=np.arange(0, 1.1, 0.2))
    drawing.style(axis)
    axis.tick_params(labelbottom=False)
    axis.grid(color=FAINT, linewidth=0.8)
    axis.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    kept = diagram.count > 0
    x, y = diagram.bin_confidence[kept], diagram.bin_accuracy[kept]
    share = diagram.count[kept] / diagram.count.max()
    faint = 0.25 + 0.75 * np.sqrt(share)  # bins of few samples should not shout
    low, high = diagram.bin_low[kept], diagram.bin_high[kept]
    axis.vlines(x, x, y, color=colour, alpha=0.25 * faint, linewidth=7, zorder=2)
    axis.vlines(x, low, high, color=colour, alpha=faint, linewidth=1.4, zorder=3)
    axis.scatter(x, y, 14 + 110 * share, colour, edgecolor="white", zorder=4, clip_on=False)
    axis.set_ylabel("accuracy", fontsize=11, color=INK)
    text = f"ECE {diagram.ece:.3f}\nsmooth ECE {diagram.smooth_ece:.3f}\nn = {diagram.n:,}"
    in_upper_left, in_lower_right = (x < 0.48) & (high > 0.76), (x > 0.52) & (low < 0.26)
    drawing.note(axis, text, above=bool(in_upper_left.sum() <= in_lower_right.sum()))


def _draw_confidences(axis: "Axes", diagram: ReliabilityDiagram, colour: str) -> None:
    """How the confidences are spread."""
    share = diagram.count / diagram.n
    axis.set(xlim=(0, 1), ylim=(0, share.max() * 1.1), xticks=np.arange(0, 1.1, 0.2), yticks=[])
    drawing.style(axis)
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
    axis.axvline(right, color=INK, linewidth=1.4, label=f"accuracy {right:.3f}")
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
        labelcolor=INK,
        handlelength=1.5,
        handletextpad=0.5,
        columnspacing=1.4,
        borderpad=0.1,
    )
    axis.set_ylabel("share", fontsize=11, color=INK)
    axis.set_xlabel("confidence", fontsize=11, color=INK)
