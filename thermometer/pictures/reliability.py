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

from thermometer import _checks
from thermometer.metrics import bin_index, expected_calibration_error, smooth_ece
from thermometer.pictures import drawing, reliability_panels
from thermometer.pictures.drawing import Theme

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
    figure = reliability_panels.new_figure(len(diagrams), columns, title, colours)
    places = reliability_panels.panels(figure, list(diagrams), columns, colours)
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
    reliability_panels.mark_means(axis, *means, colour, theme)
