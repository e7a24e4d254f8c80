"""What the binned and the smooth reliability diagram share: the panel and its legend.

A panel is a unit square, accuracy over confidence, above a strip in which the confidences are
spread. The panels know no bins and no kernels; who draws into them does.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from thermometer import _checks
from thermometer.pictures import drawing
from thermometer.pictures.drawing import HEAD, SMALL, TEXT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
