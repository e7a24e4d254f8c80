"""The picture of risk and coverage: how often answers are wrong if only the surest are given.

It draws curves that `metrics.risk_coverage` made and computes no statistics of its own; nothing
here knows models, tables or files.
"""

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from thermometer import _checks
from thermometer.metrics.risk_coverage import RiskCoverage
from thermometer.pictures import drawing
from thermometer.pictures.drawing import SMALL, TEXT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NOISY = 0.05  # coverage below which a curve does not set the height of the plot
_BLOCK = 0.02  # share of the answers that makes a step of the curve a mark
_NAME = 2.8  # inches for a name in the key
_DASHES = ("solid", (0, (5, 1.5)), (0, (1.5, 1)))


def draw_risk_coverage(
    curves: Mapping[str, RiskCoverage] | RiskCoverage,
    *,
    aurc: Mapping[str, float] | None = None,
    title: str | None = None,
    theme: str = "light",
) -> "Figure":
    """Share of wrong answers over the share of questions that are answered, the surest first.

    A lower curve is better. Grey lines show what the same answers would give if confidence said
    nothing (level) and if it put every right answer before every wrong one (the curve that is zero
    up to the accuracy); both are drawn once for each accuracy among the curves. Below a coverage of
    5 %, where a few answers decide, a curve may leave the plot. A point is marked where 2 % of the
    answers or more share one confidence: between it and the one before no threshold can be chosen.

    Args:
        curves: Curves by name, or a single one.
        aurc: Area under the curve (`metrics.aurc`) by name, for the key.
        title: Above the plot.
        theme: ``"light"`` or ``"dark"``, the page that the picture is for.

    Returns:
        A `matplotlib.figure.Figure` at 200 dpi; save it with ``savefig``.

    Raises:
        ValueError: If there is no curve, `aurc` names another one, or the theme is unknown.

    Example:
        >>> from thermometer import metrics
        >>> confidence, correct = [0.9, 0.7, 0.6], [1, 1, 0]
        >>> curve = metrics.risk_coverage(confidence, correct)
        >>> area = metrics.aurc(confidence, correct)
        >>> figure = draw_risk_coverage({"stated": curve}, aurc={"stated": area})
        >>> figure.legends[0].get_texts()[0].get_text()
        'stated, AURC 0.111'
    """
    colours = drawing.theme_named(theme)
    if isinstance(curves, RiskCoverage):
        curves = {"confidence": curves}
    if not curves:
        raise _checks.fail("curves", "at least one curve", "none")
    aurc = {} if aurc is None else aurc
    if unknown := sorted(set(aurc) - set(curves)):
        raise _checks.fail("aurc", "areas of the curves in `curves`", unknown)
    figure = drawing.figure(5.0, 4.6 + 0.2 * len(curves), title, colours)
    axis = figure.add_subplot()
    drawing.style(axis, colours)
    axis.grid(color=colours.faint, linewidth=0.8)
    top = max(curve.risk[curve.coverage >= _NOISY].max() for curve in curves.values())
    axis.set(xlim=(0, 1), ylim=(0, min(max(1.12 * top, 0.05), 1.0)))
    axis.set_xlabel("coverage: share that is answered", fontsize=TEXT, color=colours.ink)
    axis.set_ylabel("risk: share of wrong answers", fontsize=TEXT, color=colours.ink)
    for (name, curve), colour, dashes in zip(
        curves.items(), cycle(colours.accents), cycle(_DASHES), strict=False
    ):
        shown = drawing.fitted(figure, name, _NAME, SMALL)
        blocks = np.flatnonzero(np.diff(curve.coverage, prepend=0) >= _BLOCK)
        axis.plot(
            curve.coverage,
            curve.risk,
            color=colour,
            linestyle=dashes,
            linewidth=2.2,
            marker="o" if len(blocks) else None,
            markersize=5,
            markevery=blocks.tolist(),
            zorder=3,
            label=drawing.plain(shown + (f", AURC {aurc[name]:.3f}" if name in aurc else "")),
        )
    _draw_limits(
        axis, sorted({round(float(curve.risk[-1]), 9) for curve in curves.values()}), colours
    )
    figure.legend(
        loc="outside lower center",
        frameon=False,
        fontsize=SMALL,
        labelcolor=colours.ink,
        handlelength=2.8,
        labelspacing=0.3,
    )
    return figure


def _draw_limits(axis: "Axes", risks: list[float], theme: Theme) -> None:
    """The curves of confidences that say nothing and that say all."""
    coverage = np.linspace(0, 1, 401)[1:]
    quiet: dict[str, Any] = {"color": theme.quiet, "linewidth": 1.0, "zorder": 1}
    for risk in risks:
        perfect = np.maximum(0, coverage - (1 - risk)) / coverage
        axis.plot([0, 1], [risk, risk], linestyle=(0, (4, 3)), **quiet)
        axis.plot(coverage, perfect, linestyle=(0, (1, 1.5)), **quiet)
    first = axis.lines[-2 * len(risks) :][:2]
    for line, label in zip(first, ("random order", "perfect order"), strict=True):
        line.set_label(label)
