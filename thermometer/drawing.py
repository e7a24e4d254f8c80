"""The look shared by all pictures of the package: a white figure, light frame, quiet ticks.

Matplotlib is imported inside the functions, without pyplot: no window opens, no global setting is
read for the look or changed. Nothing here knows what is drawn.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart with every common form of colour blindness.
ACCENTS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
SINGLE = "#0072B2"
INK, QUIET, FAINT = "#222222", "#767676", "#EAEAEA"


def figure(width: float, height: float, title: str | None) -> "Figure":
    """An empty white figure that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=200, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=14, color=INK)
    return figure


def style(axis: "Axes") -> None:
    """The look shared by all plots: light frame, quiet ticks, white ground."""
    axis.set_facecolor("white")
    axis.tick_params(which="both", labelsize=10, colors=QUIET, length=3, width=0.8)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=QUIET, linewidth=0.8)
    axis.set_axisbelow(True)


def note(axis: "Axes", text: str, *, above: bool) -> None:
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
        color=INK,
        zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )
