"""The picture of per-sample temperatures: how they spread within each task, one row per task.

`prepare_task_temperatures` gives the quantiles; `draw_task_temperatures` turns them into a
matplotlib figure. Nothing here knows models, tables or files.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.pictures import drawing
from thermometer.pictures.drawing import HEAD, SMALL, TEXT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_ORDERS = ("median", "given")
_WIDTH, _RIGHT, _BOTTOM, _TITLE, _KEY = 6.0, 0.25, 0.65, 0.38, 0.55  # inches
_ROW, _LEAST, _NAMES = 0.2, 1.2, 2.4  # inches: height of a row, of all rows, width of names


@dataclass(frozen=True, eq=False)
class TaskTemperatures:
    """How the temperatures of each of T tasks are spread.

    Args:
        tasks: Names.
        count: (T,) int64 numbers of temperatures.
        quantiles: (T, 5) float64, those at 0.05, 0.25, 0.5, 0.75 and 0.95.
    """

    tasks: tuple[str, ...]
    count: NDArray[np.int64]
    quantiles: NDArray[np.float64]


def prepare_task_temperatures(temperatures: Mapping[str, ArrayLike]) -> TaskTemperatures:
    """Quantiles of the temperatures of each task, interpolated linearly between samples.

    Args:
        temperatures: (N,) temperatures > 0 by task; tasks may differ in N.

    Raises:
        ValueError: If there is no task, or a task has no temperature or one that is not finite and
            positive.

    Example:
        >>> prepare_task_temperatures({"law": [1.0, 2.0, 3.0]}).quantiles.round(2).tolist()
        [[1.1, 1.5, 2.0, 2.5, 2.9]]
    """
    if not temperatures:
        raise _checks.fail("temperatures", "those of at least one task", "none")
    quantiles = np.empty((len(temperatures), len(_QUANTILES)))
    count = np.empty(len(temperatures), np.int64)
    for t, (name, values) in enumerate(temperatures.items()):
        array = _checks.vector(f"temperatures[{name!r}]", values)
        if not len(array) or array.min() <= 0:
            got = "an empty one" if not len(array) else f"{array.min()} at row {array.argmin()}"
            raise _checks.fail(f"temperatures[{name!r}]", "a vector of numbers > 0", got)
        count[t], quantiles[t] = len(array), np.quantile(array, _QUANTILES)
    return TaskTemperatures(tuple(temperatures), count, quantiles)


def draw_task_temperatures(
    temperatures: Mapping[str, ArrayLike] | TaskTemperatures,
    *,
    best: Mapping[str, float] | None = None,
    at_bound: Collection[str] = (),
    pooled: float | None = None,
    order: str = "median",
    title: str | None = None,
    theme: str = "light",
) -> "Figure":
    """One row per task on a logarithmic axis: its median, middle half and middle 90 %.

    Args:
        temperatures: (N,) per-sample temperatures by task, or what `prepare_task_temperatures` made
            of them.
        best: The best temperature of some or all tasks (fitted on labels), as an upright tick.
        at_bound: Tasks whose best temperature is only the end of the search. They get an open
            triangle at the edge of the plot, which points to where the best one would be.
        pooled: The one temperature for all tasks, as a vertical line.
        order: ``"median"``, the greatest on top, or ``"given"``, from top to bottom.
        title: Above the plot.
        theme: ``"light"`` or ``"dark"``, the page that the picture is for.

    Returns:
        A `matplotlib.figure.Figure`, 6 inches wide, at 200 dpi; save it with ``savefig``.

    Raises:
        ValueError: If there is no task, a temperature is not finite and positive, `best` or
            `at_bound` names another task, or the order or theme is unknown.

    Example:
        >>> spread = {"law": [1.5, 2.0, 2.5], "maths": [1.1, 1.3, 1.2]}
        >>> figure = draw_task_temperatures(spread, best={"law": 1.9})
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['law', 'maths']
    """
    colours = drawing.theme_named(theme)
    _checks.one_of("order", order, _ORDERS)
    if not isinstance(temperatures, TaskTemperatures):
        temperatures = prepare_task_temperatures(temperatures)
    best = {} if best is None else best
    if unknown := sorted(set(best) - set(temperatures.tasks)):
        raise _checks.fail("best", "temperatures of the tasks in `temperatures`", unknown)
    if unknown := sorted(set(at_bound) - set(best)):
        raise _checks.fail("at_bound", "tasks in `best`", unknown)
    for name in best:
        _checks.number(f"best[{name!r}]", best[name], maximum=1e300, strict=True)
    if pooled is not None:
        _checks.number("pooled", pooled, maximum=1e300, strict=True)
    ranks = np.arange(len(temperatures.tasks))
    if order == "median":
        ranks = np.argsort(-temperatures.quantiles[:, 2], kind="stable")
    tasks = [temperatures.tasks[rank] for rank in ranks]
    shown = [*temperatures.quantiles.ravel(), *([] if pooled is None else [pooled])]
    shown += [best[name] for name in best if name not in set(at_bound)]
    low, high = min(shown) / 1.25, max(shown) * 1.25
    figure, axis = _new_plot(tasks, title, colours)
    axis.set(xscale="log", xlim=(low, high))
    ticks = drawing.log_ticks(low, high)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    _draw_spread(axis, temperatures.quantiles[ranks], colours)
    _draw_best(axis, tasks, best, set(at_bound), colours)
    if pooled is not None:
        line: dict[str, Any] = {"linestyle": (0, (4, 2)), "color": colours.quiet, "linewidth": 1.4}
        axis.axvline(pooled, zorder=1, label=f"one for all: {pooled:.3g}", **line)
    _draw_key(figure, axis, title, colours)
    return figure


def _new_plot(tasks: list[str], title: str | None, theme: Theme) -> tuple["Figure", "Axes"]:
    """Figure and axis with a row for each name, as high as they need."""
    rows = max(_LEAST, _ROW * len(tasks))
    top = _KEY + (_TITLE if title else 0.1)
    height = top + rows + _BOTTOM
    figure = drawing.figure(_WIDTH, height, None, theme, layout="none")
    names = [drawing.fitted(figure, name, _NAMES, SMALL) for name in tasks]
    left = max(drawing.width_of(figure, name, SMALL) for name in names) + 0.2
    place = (left / _WIDTH, _BOTTOM / height, 1 - (left + _RIGHT) / _WIDTH, rows / height)
    axis = figure.add_axes(place)
    drawing.style(axis, theme)
    axis.set_ylim(len(tasks) - 0.4, -0.6)
    axis.set_yticks(np.arange(len(tasks)), list(map(drawing.plain, names)), color=theme.ink)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.grid(color=theme.faint, linewidth=0.8)
    middle = (left + _WIDTH - _RIGHT) / 2 / _WIDTH
    words: dict[str, Any] = {"ha": "center", "fontsize": TEXT, "color": theme.ink}
    figure.text(middle, 0.12 / height, "temperature", va="bottom", **words)
    if title:
        words["fontsize"] = HEAD
        figure.text(0.5, 1 - 0.1 / height, drawing.plain(title), va="top", **words)
    return figure, axis


def _draw_spread(axis: "Axes", quantiles: NDArray[np.float64], theme: Theme) -> None:
    """Median, middle half and middle 90 % of each row."""
    y = np.arange(len(quantiles))
    lowest, lower, median, upper, highest = quantiles.T
    pale = drawing.blend(theme.single, theme.ground, 0.45)
    axis.hlines(y, lowest, highest, color=pale, linewidth=1.4, zorder=2, label="middle 90 %")
    axis.hlines(y, lower, upper, color=pale, linewidth=6, zorder=2, label="middle half")
    edge: dict[str, Any] = {"edgecolor": theme.ground, "linewidth": 0.8}
    axis.scatter(median, y, s=26, color=theme.single, zorder=3, label="median", **edge)


def _draw_best(
    axis: "Axes", tasks: list[str], best: Mapping[str, float], at_bound: set[str], theme: Theme
) -> None:
    """Ticks, and triangles at the edge for tasks without a best temperature."""
    rows = {name: row for row, name in enumerate(tasks) if name in best}
    known = [name for name in rows if name not in at_bound]
    colour = theme.accents[0]
    if known:
        x, y = [best[name] for name in known], [rows[name] for name in known]
        tick: dict[str, Any] = {"marker": "|", "s": 120, "linewidth": 2.6, "color": colour}
        axis.scatter(x, y, zorder=2.5, label="best (with labels)", **tick)
    label = "no best"
    for marker, edge in ((">", 1.0), ("<", 0.0)):
        chosen = [name for name in rows if name in at_bound and (best[name] > 1) == (edge == 1)]
        if chosen:
            axis.scatter(
                np.full(len(chosen), edge),
                [rows[name] for name in chosen],
                s=46,
                marker=marker,
                facecolor=theme.ground,
                edgecolor=colour,
                linewidth=1.2,
                clip_on=False,
                transform=axis.get_yaxis_transform(),
                zorder=4,
                label=label,
            )
            label = "_"  # named once


def _draw_key(figure: "Figure", axis: "Axes", title: str | None, theme: Theme) -> None:
    """What the marks mean, above the rows."""
    height = figure.get_figheight()
    figure.legend(
        *axis.get_legend_handles_labels(),
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - (_TITLE if title else 0.05) / height),
        ncols=3,
        frameon=False,
        fontsize=SMALL,
        labelcolor=theme.ink,
        handlelength=1.4,
        handletextpad=0.5,
        columnspacing=1.2,
        labelspacing=0.3,
        borderpad=0.2,
    )
