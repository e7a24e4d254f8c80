"""Pictures for the terminal: reliability diagrams and bars as plain text.

No line is wider than asked for. With ``ascii=True`` they hold ASCII only; `canvas` says what a
console can show.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple, TypedDict

from rich.console import Console

from thermometer import _checks
from thermometer.plots import drawing
from thermometer.plots.reliability import ReliabilityDiagram

_NARROWEST = 50  # characters


class _Glyphs(NamedTuple):
    """Characters: a bar up to its interval, the two halves of the interval, a mark, zero, a cut."""

    sure: str
    lower: str
    upper: str
    mark: str
    zero: str
    cut: str


_BLOCKS = _Glyphs("█", "▓", "░", "◆", "│", "…")
_ASCII = _Glyphs("#", "=", "-", "o", "|", "~")


class Canvas(TypedDict):
    """Keywords of the functions below."""

    width: int
    ascii: bool


def canvas(console: Console) -> Canvas:
    """Width and character set of a console, for the functions below: 50 to 80 columns.

    Example:
        >>> canvas(Console(width=200))["width"]
        80
    """
    return {
        "width": max(_NARROWEST, min(console.width, 80)),
        "ascii": not console.encoding.lower().startswith("utf"),
    }


def text_reliability(
    diagram: ReliabilityDiagram,
    width: int = 60,
    *,
    ascii: bool = False,  # noqa: A002
) -> str:
    """A reliability diagram with one line per bin that has samples, and its errors below.

    A bar is as long as the accuracy on a scale from 0 to 1. It is solid up to the lower end of the
    95 % interval, and the interval is shaded, lighter above the accuracy. The mark is the mean
    confidence: right of the bar, the model is overconfident there.

    Args:
        diagram: What `prepare_reliability` returned.
        width: Most characters in a line, at least 50.
        ascii: Whether to do without block characters.

    Example:
        >>> from thermometer.plots.reliability import prepare_reliability
        >>> diagram = prepare_reliability([0.9, 0.9, 0.3], [1, 0, 0], n_bins=2)
        >>> print(text_reliability(diagram, 50, ascii=True))
        confidence  n  accuracy
        0.00-0.50   1  ---------o--------------       0.00
        0.50-1.00   2  ###============------------o   0.50
        # accuracy, = - its 95 % interval, o confidence
        accuracy 0.333, confidence 0.700
        ECE 0.367, smooth ECE 0.367, n = 3
    """
    width = _checks.integer("width", width, minimum=_NARROWEST)
    glyphs = _ASCII if ascii else _BLOCKS
    counts = [f"{count:,}" for count in diagram.count]
    digits = max(len("n"), *map(len, counts))
    cells = width - len("confidence  ") - digits - len("   0.00")
    lines = [f"confidence  {'n':>{digits}}  accuracy"]
    edges = diagram.bin_edges
    for b, count in enumerate(counts):
        if not diagram.count[b]:
            continue
        accuracy, confidence = float(diagram.bin_accuracy[b]), float(diagram.bin_confidence[b])
        interval = float(diagram.bin_low[b]), float(diagram.bin_high[b])
        bar = _bar(accuracy, interval, (0.0, 1.0), cells, glyphs)
        at = min(int(confidence * len(bar)), len(bar) - 1)
        bar = bar[:at] + glyphs.mark + bar[at + 1 :]
        lines.append(f"{edges[b]:.2f}-{edges[b + 1]:.2f}   {count:>{digits}}  {bar} {accuracy:.2f}")
    sure, lower, upper, mark, *_ = glyphs
    lines += [
        f"{sure} accuracy, {lower} {upper} its 95 % interval, {mark} confidence",
        f"accuracy {diagram.accuracy:.3f}, confidence {diagram.mean_confidence:.3f}",
        f"ECE {diagram.ece:.3f}, smooth ECE {diagram.smooth_ece:.3f}, n = {diagram.n:,}",
    ]
    return "\n".join(lines)


def text_bars(
    rows: Iterable[tuple[str, float, float, float]],
    width: int = 60,
    *,
    ascii: bool = False,  # noqa: A002
) -> str:
    """Named values as bars from zero, one line each, with their intervals and figures.

    A bar is solid up to the interval and shaded within it, lighter beyond the value. Bars of
    negative values go left from zero. Names that are too long are cut in the middle, and characters
    that no terminal can show are replaced.

    Args:
        rows: Name, value, and the bounds of its interval, NaN where there are none. A value that is
            NaN has no bar.
        width: Most characters in a line, at least 50.
        ascii: Whether to do without block characters.

    Returns:
        Lines joined by newlines, without one at the end; empty without rows.

    Raises:
        ValueError: If the width is too small or a number is infinite.

    Example:
        >>> rows = [("law", 0.20, 0.10, 0.30), ("maths", -0.10, -0.15, -0.05)]
        >>> print(text_bars(rows, 50, ascii=True))
        law         |###====---   0.200 (0.100 to 0.300)
        maths  --=##|            -0.100 (-0.150 to -0.050)
    """
    width = _checks.integer("width", width, minimum=_NARROWEST)
    glyphs = _ASCII if ascii else _BLOCKS
    rows = [(str(name), float(v), float(low), float(high)) for name, v, low, high in rows]
    for name, *numbers in rows:
        if any(math.isinf(number) for number in numbers):
            raise _checks.fail("rows", "of finite numbers or NaN", f"{numbers} for {name!r}")
    if not rows:
        return ""
    known = [number for _, *numbers in rows for number in numbers if not math.isnan(number)]
    start, end = min([0.0, *known]), max([0.0, *known]) or 1e-300
    figures = [_figures(*numbers) for _, *numbers in rows]
    longest = max(map(len, figures))
    names = [_printable(name, ascii) for name, *_ in rows]
    names = [drawing.shorten(name, (width - longest) // 2 - 2, glyphs.cut) for name in names]
    margin = max(map(len, names))
    cells = width - margin - longest - 3
    lines = []
    for name, (_, value, low, high), text in zip(names, rows, figures, strict=True):
        bar = _bar(value, (low, high), (start, end), cells, glyphs)
        lines.append(f"{name:<{margin}}  {bar} {text}".rstrip())
    return "\n".join(lines)


def _figures(value: float, low: float, high: float) -> str:
    """A value with its interval in words."""
    text = "" if math.isnan(value) else f"{value:6.3f}"
    return text if math.isnan(low) or math.isnan(high) else f"{text} ({low:.3f} to {high:.3f})"


def _printable(name: str, ascii: bool) -> str:  # noqa: A002
    """A name without line ends and control characters; in ASCII if need be."""
    shown = "".join(c if c.isprintable() else "?" for c in name)
    return shown.encode("ascii", "replace").decode() if ascii else shown


def _bar(
    value: float,
    interval: tuple[float, float],
    limits: tuple[float, float],
    cells: int,
    glyphs: _Glyphs,
) -> str:
    """A bar from zero to a value, and its interval, by the middles of cells of the scale."""
    start, end = limits
    cells -= start < 0  # one for the line at zero
    left = round(-start / (end - start) * cells)
    left = max(left, 1) if start < 0 else 0
    step = max(-start / max(left, 1), end / max(cells - left, 1))
    bar = ""
    for cell in range(cells):
        middle = (cell + 0.5 - left) * step
        filled = 0 < middle <= value or value <= middle < 0
        within = interval[0] <= middle <= interval[1]
        shade = glyphs.lower if within else glyphs.sure
        bar += shade if filled else glyphs.upper if within else " "
    return bar[:left] + glyphs.zero + bar[left:] if start < 0 else bar
