"""The look shared by all pictures of the package: a plain ground, a light frame, quiet ticks.

There are two themes, for light and for dark pages. Without pyplot no window opens, and no global
setting is read for the look or changed.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from thermometer import _checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_TICKS = 9
_STEPS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,))
SMALL, TEXT, HEAD = 11, 12, 14  # points; a panel is 4 inches wide


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a picture.

    Args:
        ground: Behind everything; it is drawn, so that a picture never depends on its page.
        ink: Text.
        quiet: Frame, ticks and lines to compare with.
        faint: Grid.
        single: The colour of data where nothing needs telling apart.
        accents: Colours of series. The first two are those of too high and too low.
    """

    ground: str
    ink: str
    quiet: str
    faint: str
    single: str
    accents: tuple[str, ...]


# The hues of Okabe and Ito (2008), told apart with every common form of colour blindness; on the
# dark ground lighter ones of the same order.
THEMES = {
    "light": Theme(
        ground="#FFFFFF",
        ink="#222222",
        quiet="#707070",
        faint="#EAEAEA",
        single="#0072B2",
        accents=("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"),
    ),
    "dark": Theme(
        ground="#14171C",
        ink="#E6E6E6",
        quiet="#9BA1A8",
        faint="#2B3038",
        single="#4A9BE0",
        accents=("#F28140", "#4A9BE0", "#6FE0BB", "#CC79A7", "#BFE3F8", "#F0E442"),
    ),
}


def theme_named(theme: str) -> Theme:
    """The colours of a theme; an unknown name is an error that lists the known ones."""
    return THEMES[_checks.one_of("theme", theme, THEMES)]


def figure(width: float, height: float, title: str | None, theme: Theme) -> "Figure":
    """An empty figure that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=200, facecolor=theme.ground, layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(plain(title), fontsize=HEAD, color=theme.ink)
    return figure


def style(axis: "Axes", theme: Theme) -> None:
    """The look shared by all plots: light frame, quiet ticks, plain ground."""
    axis.set_facecolor(theme.ground)
    axis.tick_params(which="both", labelsize=SMALL, colors=theme.quiet, length=3, width=0.8)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=theme.quiet, linewidth=0.8)
    axis.set_axisbelow(True)


def note(axis: "Axes", text: str, theme: Theme, *, above: bool) -> None:
    """Text in the upper left corner (above the diagonal) or in the lower right one."""
    x, y, side = (0.04, 0.96, "left") if above else (0.97, 0.05, "right")
    axis.text(
        x,
        y,
        text,
        transform=axis.transAxes,
        ha=side,
        va="top" if above else "bottom",
        fontsize=TEXT,
        linespacing=1.35,
        color=theme.ink,
        zorder=5,
        bbox={"facecolor": theme.ground, "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, as many as an axis of 4 inches has room for.

    Example:
        >>> log_ticks(1.1, 3.5), log_ticks(0.5, 2e3)
        ([1.2, 1.5, 2.0, 2.5, 3.0], [1.0, 10.0, 100.0, 1000.0])
    """
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ticks: list[float] = []
    for steps in _STEPS:
        ticks = [float(f"{s}e{d:.0f}") for d in decades for s in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= _MOST_TICKS:
            break
    return ticks


def blend(colour: str, ground: str, share: float) -> str:
    """The opaque colour of `share` of a colour over the ground.

    Unlike a transparent one it leaves no seams where pieces of a line or a band meet.

    Example:
        >>> blend("#000000", "#FFFFFF", 0.2)
        '#cccccc'
    """
    pairs = [(int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(
        f"{round(share * over + (1 - share) * under):02x}" for over, under in pairs
    )


def plain(text: str) -> str:
    r"""Text that matplotlib shows as it is, and does not read as mathematics between dollars.

    Example:
        >>> print(plain("from $5 to $10"))
        from \$5 to \$10
    """
    return text.replace("$", r"\$")


def shorten(text: str, length: int, mark: str = "…") -> str:
    """At most `length` characters, cut in the middle: names of tasks differ at their ends.

    Example:
        >>> shorten("high_school_european_history", 15)
        'high_sc…history'
    """
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return text[: length - 1 - tail] + mark + text[len(text) - tail :]


def width_of(figure: "Figure", text: str, size: float) -> float:
    """Width in inches of a line of text in this figure."""
    drawn = figure.text(0, 0, plain(text), fontsize=size)
    width = float(drawn.get_window_extent().width)
    drawn.remove()
    return width / figure.dpi


def fitted(figure: "Figure", text: str, width: float, size: float) -> str:
    """`text`, shortened in the middle until it is no wider than `width` inches."""
    length = len(text)
    while length > 3 and width_of(figure, shorten(text, length), size) > width:
        length -= 1
    return shorten(text, length)


def png(figure: "Figure") -> bytes:
    """A figure as the content of a PNG file."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
