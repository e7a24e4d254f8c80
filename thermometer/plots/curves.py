"""Pictures of temperatures per task, and of risk against coverage."""

from collections.abc import Collection, Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks
from thermometer.metrics.basic import RiskCoverage
from thermometer.plots import drawing
from thermometer.plots.drawing import SMALL, TEXT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEW = 15  # tasks that are labelled by name
_NOISY = 0.05  # coverage below which a curve does not set the height of the plot
_BLOCK = 0.02  # share of the answers that makes a step of the curve a mark
_NAME = 2.8  # inches for a name in the key
_DASHES = ("solid", (0, (5, 1.5)), (0, (1.5, 1)))


def draw_temperatures(
    predicted: Mapping[str, float],
    oracle: Mapping[str, float],
    *,
    at_bound: Collection[str] = (),
    pooled: float | None = None,
    title: str | None = None,
    theme: str = "light",
) -> "Figure":
    """Predicted task temperature against the oracle's (fitted on the task's labels), log-log.

    On the diagonal the prediction equals the oracle; the band is within 10 % of it. Up to 15 tasks
    are labelled by name.

    Args:
        predicted: Temperature by task.
        oracle: Temperature by task, of the same tasks.
        at_bound: Tasks whose oracle is only the end of the search. They are drawn as open triangles
            at the edge of the plot and do not count in the mean error.
        pooled: The pooled temperature, as a horizontal line.
        title: Above the plot.
        theme: ``"light"`` or ``"dark"``, the page that the picture is for.

    Returns:
        A `matplotlib.figure.Figure`; save it with ``savefig``.

    Raises:
        ValueError: If there is no task, the tasks differ, a temperature is not positive, `at_bound`
            names another task, or the theme is unknown.

    Example:
        >>> figure = draw_temperatures({"law": 2.1, "maths": 1.4}, {"law": 2.0, "maths": 1.5})
        >>> figure.axes[0].get_xscale()
        'log'
    """
    colours = drawing.theme_named(theme)
    if not oracle or predicted.keys() != oracle.keys():
        differing = sorted(predicted.keys() ^ oracle.keys()) or "none at all"
        raise _checks.fail("predicted", "temperatures of the tasks in `oracle`", differing)
    for name in oracle:
        _checks.number(f"oracle[{name!r}]", oracle[name], maximum=1e300, strict=True)
        _checks.number(f"predicted[{name!r}]", predicted[name], maximum=1e300, strict=True)
    if unknown := sorted(set(at_bound) - set(oracle)):
        raise _checks.fail("at_bound", "tasks in `oracle`", unknown)
    inside = {n: (float(oracle[n]), float(predicted[n])) for n in oracle}
    outside = {n: inside.pop(n) for n in oracle if n in at_bound}
    x, y = np.array(list(inside.values())).reshape(-1, 2).T
    drawn = np.concatenate([x, y, [p for _, p in outside.values()], [pooled] if pooled else []])
    low, high = drawn.min() / 1.25, drawn.max() * 1.25
    ends = np.array([low, high])
    figure = drawing.figure(5.0, 5.0, title, colours)
    axis = figure.add_subplot()
    axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    drawing.style(axis, colours)
    axis.fill_between(ends, ends / 1.1, ends * 1.1, color=colours.faint, linewidth=0, zorder=0)
    axis.plot(ends, ends, color=colours.quiet, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    if pooled:
        _draw_pooled(axis, pooled, np.c_[x, y], colours)
    if outside:
        _draw_outside(axis, np.array(list(outside.values())), low, high, colours)
    edge: dict[str, Any] = {"edgecolor": colours.ground, "linewidth": 0.8}
    axis.scatter(x, y, s=42, color=colours.single, alpha=0.85, zorder=3, **edge)
    ticks = drawing.log_ticks(low, high)
    for set_ticks in (axis.set_xticks, axis.set_yticks):
        set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        set_ticks([], minor=True)
    axis.set_xlabel("oracle temperature (with labels)", fontsize=TEXT, color=colours.ink)
    axis.set_ylabel("predicted temperature", fontsize=TEXT, color=colours.ink)
    text = f"{len(x)} {'task' if len(x) == 1 else 'tasks'}"
    if len(x):
        text += f"\nmean |log ratio| {np.abs(np.log(y / x)).mean():.3f}"
    text += "\ngrey: within 10 %"
    if outside:
        text += f"\ntriangles: {len(outside)} without an oracle"
    drawing.note(axis, text, colours, above=not len(x) or bool(np.log(y / x).mean() <= 0))
    if len(oracle) <= _FEW:
        _name_points(figure, axis, inside, colours)
    return figure


def _draw_pooled(axis: "Axes", pooled: float, points: NDArray[np.float64], theme: Theme) -> None:
    """The line of the pooled temperature, named on the side where fewer points are."""
    axis.axhline(pooled, color=theme.accents[0], linewidth=1, alpha=0.8, zorder=1)
    to_axes = axis.transData + axis.transAxes.inverted()
    x, y = to_axes.transform(points).T
    level = to_axes.transform((1, pooled))[1]
    beside = (y > level) & (y < level + 0.07)
    left = bool((beside & (x < 0.4)).sum() <= (beside & (x > 0.6)).sum())
    axis.annotate(
        f"pooled: {pooled:.3g}",
        (0.01 if left else 0.99, pooled),
        (0, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="left" if left else "right",
        fontsize=SMALL,
        color=theme.accents[0],
    )


def _draw_outside(
    axis: "Axes", points: NDArray[np.float64], low: float, high: float, theme: Theme
) -> None:
    """Triangles at the left or right edge, which point to where the oracle would be."""
    right = points[:, 0] > 1
    inset = (high / low) ** 0.015
    for chosen, edge, marker in ((right, high / inset, ">"), (~right, low * inset, "<")):
        axis.scatter(
            np.full(chosen.sum(), edge),
            points[chosen, 1],
            s=46,
            marker=marker,
            facecolor=theme.ground,
            edgecolor=theme.single,
            linewidth=1.2,
            clip_on=False,
            zorder=3,
        )


def _name_points(
    figure: "Figure", axis: "Axes", points: Mapping[str, tuple[float, float]], theme: Theme
) -> None:
    """Write each name beside its point, where it covers least of points and earlier names."""
    figure.draw_without_rendering()  # fixes the layout, hence where the points are
    unit = figure.dpi / 72
    pixels = axis.transData.transform(list(points.values()))
    taken = [np.r_[pixel - 4 * unit, pixel + 4 * unit] for pixel in pixels]
    taken += [np.asarray(text.get_window_extent().extents) for text in axis.texts]
    frame = axis.get_window_extent()
    spots = [(side, rise) for rise in (0, 5, -5, 11, -11, 17, -17, 23, -23) for side in (7, -7)]
    for (name, point), (px, py) in zip(points.items(), pixels, strict=True):
        room = (max(px - frame.x0, frame.x1 - px) - 8 * unit) / figure.dpi
        label = axis.annotate(
            drawing.plain(drawing.fitted(figure, name, room, SMALL)),
            point,
            (0, 0),
            textcoords="offset points",
            fontsize=SMALL,
            color=theme.ink,
            in_layout=False,
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
        theme: As for `draw_temperatures`.

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
