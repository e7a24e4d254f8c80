"""Many reliability diagrams in one picture: a small panel for each task.

It draws diagrams that `reliability.prepare_reliability` made and computes nothing of its own;
nothing here knows models, tables or files.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from thermometer import _checks
from thermometer.pictures import drawing
from thermometer.pictures.drawing import HEAD, SMALL, TEXT, Theme
from thermometer.pictures.reliability import ReliabilityDiagram, draw_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 5  # most panels in a row
_SMALLEST, _WIDTH = 1.5, 4.0  # inches: side of a panel, all panels of a row at least
_LEFT, _RIGHT, _BOTTOM = 0.70, 0.18, 0.60  # inches around all panels
_TITLE, _TOP, _LINE, _GAP = 0.38, 0.36, 0.18, 0.20  # for title, key and names; between panels
_ORDERS = ("gap", "given")


def draw_small_multiples(
    diagrams: Mapping[str, ReliabilityDiagram],
    *,
    order: str = "gap",
    title: str | None = None,
    theme: str = "light",
) -> "Figure":
    """One small panel per task, up to five in a row: accuracy over confidence, bin by bin.

    Each panel shows its points, intervals and gaps as `draw_reliability` does, and the signed gap
    (mean confidence minus accuracy), in whose colour it is drawn: overconfident or underconfident.
    Names that are too wide are broken into two lines and shortened in the middle.

    Args:
        diagrams: Diagrams by name of the task.
        order: ``"gap"``, from the most overconfident to the most underconfident task, or
            ``"given"``, the order of the mapping.
        title: Above all panels.
        theme: ``"light"`` or ``"dark"``, the page that the picture is for.

    Returns:
        A `matplotlib.figure.Figure` at 200 dpi; save it with ``savefig``.

    Raises:
        ValueError: If there is no diagram, or the order or theme is unknown.

    Example:
        >>> from thermometer.pictures.reliability import prepare_reliability
        >>> modest = prepare_reliability([0.6, 0.5], [1, 1])
        >>> sure = prepare_reliability([0.9, 0.8], [1, 0])
        >>> figure = draw_small_multiples({"law": modest, "maths": sure})
        >>> [axis.get_title() for axis in figure.axes]
        ['maths', 'law']
    """
    colours = drawing.theme_named(theme)
    _checks.one_of("order", order, _ORDERS)
    if not diagrams:
        raise _checks.fail("diagrams", "at least one diagram", "none")
    names = list(diagrams)
    if order == "gap":
        names.sort(key=lambda name: _gap(diagrams[name]), reverse=True)
    across = min(_ACROSS, len(names))
    down = -(-len(names) // across)
    side = max(_SMALLEST, (_WIDTH - (across - 1) * _GAP) / across)
    top = _TOP + (_TITLE if title else 0)
    width = _LEFT + across * side + (across - 1) * _GAP + _RIGHT
    figure = drawing.figure(width, side, None, colours, layout="none")
    shown = [drawing.on_two_lines(figure, name, side, SMALL) for name in names]
    above = _LINE * max(name.count("\n") + 1.7 for name in shown)
    height = top + down * (above + side) + _BOTTOM
    figure.set_figheight(height)
    for position, name in enumerate(names):
        row, column = divmod(position, across)
        x, y = _LEFT + column * (side + _GAP), height - top - (row + 1) * (above + side)
        axis = figure.add_axes((x / width, y / height, side / width, side / height))
        _draw_panel(axis, diagrams[name], colours)
        text = drawing.plain(shown[position])
        axis.set_title(text, fontsize=SMALL, color=colours.ink, pad=5, linespacing=1.05)
        axis.tick_params(labelleft=column == 0, labelbottom=position + across >= len(names))
    _draw_words(figure, title, top, colours)
    return figure


def _gap(diagram: ReliabilityDiagram) -> float:
    return diagram.mean_confidence - diagram.accuracy


def _draw_panel(axis: "Axes", diagram: ReliabilityDiagram, theme: Theme) -> None:
    """Bins in the colour of the gap, and the gap in the corner that they leave free."""
    gap = _gap(diagram)
    drawing.unit_square(axis, theme, step=0.5)
    axis.set_xticklabels(["0", "0.5", "1"])
    axis.set_yticklabels(["0", "0.5", "1"])
    draw_bins(axis, diagram, theme.accents[0 if gap >= 0 else 1], theme, scale=0.6)
    text = f"{gap:+.2f}".replace("-", "\N{MINUS SIGN}") if abs(gap) >= 0.005 else "0.00"
    drawing.note(axis, text, theme, above=gap >= 0, size=SMALL)


def _draw_words(figure: "Figure", title: str | None, top: float, theme: Theme) -> None:
    """Title and key above the panels, what the axes are at their sides."""
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    centre, middle = (_LEFT + width - _RIGHT) / 2 / width, (_BOTTOM + height - top) / 2 / height
    words: dict[str, Any]
    if title:
        words = {"ha": "center", "va": "top", "fontsize": HEAD, "color": theme.ink}
        figure.text(centre, 1 - 0.1 / height, drawing.plain(title), **words)
    words = {"ha": "center", "va": "center", "fontsize": TEXT, "color": theme.ink}
    figure.text(centre, 0.17 / height, "confidence", **words)
    figure.text(0.17 / width, middle, "accuracy", rotation="vertical", **words)
    style: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 6}
    figure.legend(
        [Line2D([], [], color=colour, **style) for colour in theme.accents[:2]],
        ["overconfident", "underconfident"],
        loc="center",
        bbox_to_anchor=(centre, 1 - (top - _TOP / 2) / height),
        ncols=2,
        frameon=False,
        fontsize=SMALL,
        labelcolor=theme.ink,
        handletextpad=0.1,
        columnspacing=1.0,
    )
