"""The picture of a curve: what changes with the number of labels or prompts, and what does not.

It draws numbers that others computed; nothing here knows models, tables or files.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks
from thermometer.curves import MEASURES, Curve
from thermometer.pictures import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLES = {"nll": "NLL", "ece_10": "ECE (10 bins)"}


def draw_curve(
    curve: Curve,
    measure: str,
    *,
    x_title: str,
    titles: Mapping[str, str] | None = None,
    leave_out: tuple[str, ...] = ("vanilla",),
    theme: str = "light",
) -> "Figure":
    """Means over tasks by the number of labels or prompts, and the level of what needs none.

    The numbers stand at equal distances. Points far above the rest (a temperature from five labels
    can be ruinous) are cut off and written at the upper edge. The band is the interval of the
    paired difference from one temperature, drawn around the method's level: where it leaves out the
    level of one temperature, the two differ by more than chance.

    Args:
        curve: From `curves.few_labels` or `curves.unlabelled`.
        measure: One of `curves.MEASURES`.
        x_title: What is counted.
        titles: Of constant methods.
        leave_out: Constant methods that are not drawn, such as one far above all others.
        theme: `light` or `dark`.

    Returns:
        A `matplotlib.figure.Figure`; save it with ``savefig``.

    Raises:
        ValueError: For an unknown measure or theme.

    Example:
        >>> from thermometer.metrics.intervals import Interval
        >>> points = (Interval(1.0, 0.9, 1.1), Interval(0.8, 0.7, 0.9))
        >>> curve = Curve((1, None), {"own labels": {"nll": points}}, {}, {}, 3, 10)
        >>> axis = draw_curve(curve, "nll", x_title="labels").axes[0]
        >>> [tick.get_text() for tick in axis.get_xticklabels()]
        ['1', 'all']
    """
    _checks.one_of("measure", measure, MEASURES)
    colours = drawing.theme_named(theme)
    figure = drawing.figure(6.0, 4.4, None, colours)
    axis = figure.add_subplot()
    drawing.style(axis, colours)
    axis.grid(color=colours.faint, linewidth=0.8, axis="y")
    x = np.arange(len(curve.x))
    for name, colour in zip(curve.varying, colours.accents, strict=False):
        low, middle, high = _around(curve, name, measure)
        axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axis.plot(x, middle, color=colour, linewidth=2, marker="o", markersize=5, label=name)
    levels = {n: v[measure] for n, v in curve.constant.items() if n not in leave_out}
    styles = ((0, ()), (0, (5, 2)), (0, (1, 1)), (0, (3, 1, 1, 1)))
    for i, (name, level) in enumerate(levels.items()):
        axis.axhline(
            level.estimate,
            color=colours.accents[(1 + i) % len(colours.accents)],
            linewidth=1.6,
            linestyle=styles[i % len(styles)],
            label=(titles or {}).get(name, name),
        )
    _cut_off(axis, curve, measure, [level.estimate for level in levels.values()], colours)
    axis.set_xticks(x, ["all" if size is None else str(size) for size in curve.x])
    axis.set_xlabel(x_title, fontsize=drawing.TEXT, color=colours.ink)
    axis.set_ylabel(
        f"{_TITLES[measure]}, mean of {curve.n_tasks} tasks",
        fontsize=drawing.TEXT,
        color=colours.ink,
    )
    figure.legend(
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=drawing.SMALL,
        labelcolor=colours.ink,
    )
    return figure


def _around(curve: Curve, name: str, measure: str) -> NDArray[np.float64]:
    """(3, n) lower bound, level and upper bound of a varying method."""
    level = np.array([point.estimate for point in curve.varying[name][measure]])
    paired = curve.differences.get(f"{name} - pooled")
    points = (paired or curve.varying[name])[measure]
    low, middle, high = np.array([(p.low, p.estimate, p.high) for p in points]).T
    return np.array([level + low - middle, level, level + high - middle])


def _cut_off(
    axis: "Axes", curve: Curve, measure: str, levels: list[float], colours: drawing.Theme
) -> None:
    """Limit the axis to where most points and all levels are, and write what lies beyond."""
    points = [p[measure][i] for p in curve.varying.values() for i in range(len(curve.x))]
    estimates = np.array([point.estimate for point in points])
    usual = 1.5 * np.median([*estimates, *levels])
    if not (estimates > usual).any():
        return
    bands = [_around(curve, name, measure) for name in curve.varying]
    seen = np.concatenate([band[:, band[1] <= usual].ravel() for band in bands] + [levels])
    seen = seen[np.isfinite(seen)]
    low, high = seen.min(), seen.max()
    margin = max(0.08 * (high - low), 0.01 * abs(high))
    axis.set_ylim(low - margin, high + 3 * margin)
    for name, values in curve.varying.items():
        for i, point in enumerate(values[measure]):
            if point.estimate > usual:
                axis.annotate(
                    f"\N{UPWARDS ARROW} {point.estimate:.3g}",
                    (i, 1.0),
                    (0, 3),
                    xycoords=("data", "axes fraction"),
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    fontsize=drawing.SMALL,
                    color=colours.accents[list(curve.varying).index(name)],
                )
