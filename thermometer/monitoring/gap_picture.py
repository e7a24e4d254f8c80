"""The picture of a monitor: gap and ECE over all labelled answers, and the episodes below.

It draws a state that others computed; nothing here knows storage or alarms.
"""

from typing import TYPE_CHECKING

import numpy as np

from thermometer import _checks
from thermometer.pictures import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from thermometer.monitoring.state import MonitorState

_MOST_ROWS = 12
_BAR = 0.55  # of the height of a row


def draw_monitor(
    state: "MonitorState", *, title: str | None = None, theme: str = "light"
) -> "Figure":
    """Gap and ECE of blocks of answers, in the order of their labels, and all episodes.

    The band around the gap is its interval, the shade around zero is tolerated. The broken line
    beside the ECE is what perfect calibration would score on as few answers. Upright lines are
    recalibrations. Below, each episode is a bar from its estimated onset to its end, pale until it
    was raised.

    Args:
        state: Of a monitor with at least one labelled answer.
        title: Above the picture.
        theme: `light` or `dark`.

    Returns:
        A `matplotlib.figure.Figure`; save it with ``savefig``.

    Raises:
        ValueError: If there is no labelled answer, or for an unknown theme.

    Example:
        >>> from thermometer.monitoring import Monitor
        >>> monitor = Monitor()
        >>> _ = monitor.record("a", 0.9), monitor.label("a", True)
        >>> [axis.get_ylabel() for axis in draw_monitor(monitor.state()).axes]
        ['confidence \N{MINUS SIGN} accuracy', 'ECE']
    """
    colours = drawing.theme_named(theme)
    if not state.points:
        raise _checks.fail("state", "of at least one labelled answer", "none")
    names: list[str | None] = list(dict.fromkeys(e.segment for e in state.episodes))
    names = sorted(names, key=lambda name: name is not None)[:_MOST_ROWS]
    strip = 0.45 + 0.26 * len(names) if names else 0.0
    figure = drawing.figure(9.0, 4.6 + strip, title, colours)
    heights = [2.6, 1.7, *([strip] if names else [])]
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    axes = [figure.add_subplot(grid[0])]
    axes += [figure.add_subplot(grid[i], sharex=axes[0]) for i in range(1, len(heights))]
    for axis in axes:
        drawing.style(axis, colours)
        for refit in state.refits:
            axis.axvline(refit.number, color=colours.accents[2], linewidth=1.4, zorder=1)
    for axis in axes[:-1]:
        axis.tick_params(labelbottom=False)
    _draw_gap(axes[0], state, colours)
    _draw_ece(axes[1], state, colours)
    if names:
        _draw_episodes(axes[2], state, names, colours)
    axes[0].set_xlim(state.points[0].first - 1, state.points[-1].last)
    axes[0].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes[-1].set_xlabel("labelled answers", fontsize=drawing.TEXT, color=colours.ink)
    return figure


def _draw_gap(axis: "Axes", state: "MonitorState", colours: drawing.Theme) -> None:
    tolerance = state.settings.tolerance
    axis.axhspan(-tolerance, tolerance, color=colours.faint, linewidth=0, zorder=0)
    axis.axhline(0, color=colours.quiet, linewidth=1, linestyle=(0, (4, 3)))
    x = [(point.first + point.last) / 2 for point in state.points]
    low, middle, high = np.array([(p.gap.low, p.gap.estimate, p.gap.high) for p in state.points]).T
    band = drawing.blend(colours.single, colours.ground, 0.2)
    axis.fill_between(x, low, high, color=band, linewidth=0)
    axis.plot(x, middle, color=colours.single, linewidth=1.8)
    label = "confidence \N{MINUS SIGN} accuracy"
    axis.set_ylabel(label, fontsize=drawing.SMALL, color=colours.ink)
    for refit in state.refits[:1]:
        axis.annotate(
            "refit",
            (refit.number, 1.0),
            (3, -2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            fontsize=9,
            color=colours.accents[2],
        )


def _draw_ece(axis: "Axes", state: "MonitorState", colours: drawing.Theme) -> None:
    x = [(point.first + point.last) / 2 for point in state.points]
    axis.plot(x, [p.ece for p in state.points], color=colours.single, linewidth=1.8, label="ECE")
    axis.plot(
        x,
        [p.floor for p in state.points],
        color=colours.quiet,
        linewidth=1.2,
        linestyle=(0, (4, 3)),
        label="chance",
    )
    axis.set_ylim(bottom=0)
    axis.set_ylabel("ECE", fontsize=drawing.SMALL, color=colours.ink)
    axis.legend(
        loc="lower right",
        bbox_to_anchor=(1, 0.94),
        ncols=2,
        frameon=False,
        fontsize=drawing.SMALL,
        labelcolor=colours.ink,
    )


def _draw_episodes(
    axis: "Axes", state: "MonitorState", names: list[str | None], colours: drawing.Theme
) -> None:
    last = state.points[-1].last
    for episode in state.episodes:
        if episode.segment not in names:
            continue
        row = names.index(episode.segment) - _BAR / 2
        colour = colours.accents[0 if episode.verdict == "overconfident" else 1]
        end = last if episode.ended is None else episode.ended
        pale = drawing.blend(colour, colours.ground, 0.35)
        waited = (episode.onset - 1, episode.raised - episode.onset + 1)
        axis.broken_barh([waited], (row, _BAR), facecolor=pale, linewidth=0)
        axis.broken_barh(
            [(episode.raised, max(end - episode.raised, last / 400))],
            (row, _BAR),
            facecolor=colour,
            linewidth=0,
        )
    axis.set_ylim(len(names) - 0.4, -0.6)
    labels = [drawing.plain(drawing.shorten(name or "all", 18)) for name in names]
    axis.set_yticks(range(len(names)), labels)
    axis.tick_params(axis="y", length=0)
