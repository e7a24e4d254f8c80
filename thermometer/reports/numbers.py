"""Numbers as text and as cells of tables, the same in all reports."""

from collections.abc import Callable
from math import isnan

from thermometer.metrics.intervals import Interval
from thermometer.reports.blocks import Cell

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
NOTES = {
    f"conf. {MINUS} acc.": "mean confidence minus accuracy; above zero is overconfident.",
    "ECE": "mean distance of confidence and accuracy over bins of equal width, closed on the "
    "right. Its interval over rows sits high, as ECE is biased upwards.",
    "smooth ECE": "the same without bins (Błasiok and Nakkiran 2024).",
    "chance": "the ECE that perfect calibration would score on as few answers; no method can be "
    "expected below it. Where “to” follows, what it would seldom exceed.",
}
"""What numbers mean that several reports show."""


def decimals(value: float) -> str:
    """Three decimals.

    Example:
        >>> decimals(0.1234)
        '0.123'
    """
    return f"{value:.3f}"


def signed(value: float) -> str:
    """Three decimals with a sign.

    Example:
        >>> signed(0.1234)
        '+0.123'
    """
    return f"{value:+.3f}".replace("-", MINUS)


def percent(share: float) -> str:
    """A share as whole per cent.

    Example:
        >>> percent(0.256)
        '26 %'
    """
    return f"{100 * share:.0f} %".replace("-", MINUS)


def bounds(interval: Interval, show: Callable[[float], str] = decimals) -> str:
    """The bounds of an interval; empty without them.

    Example:
        >>> bounds(Interval(0.2, 0.1, 0.3)), bounds(Interval(0.2, 0.1, 0.3), percent)
        ('0.100\N{EN DASH}0.300', '10 % to 30 %')
    """
    if isnan(interval.low):
        return ""
    return f"{show(interval.low)}{DASH if show is decimals else ' to '}{show(interval.high)}"


def number(interval: Interval, show: Callable[[float], str] = decimals, tone: str = "") -> Cell:
    """An estimate with its interval, or a dash where it is undefined.

    Example:
        >>> number(Interval(0.2, 0.1, 0.3)).detail, number(Interval(*[float("nan")] * 3)).text
        ('0.100\N{EN DASH}0.300', '\N{EN DASH}')
    """
    if isnan(interval.estimate):
        return Cell(DASH)
    return Cell(show(interval.estimate), bounds(interval, show), tone)


def difference(interval: Interval) -> Cell:
    """A difference; `better` or `worse` if its whole interval lies below or above zero.

    Example:
        >>> difference(Interval(0.2, 0.1, 0.3)).tone
        'worse'
    """
    tone = "better" if interval.high < 0 else "worse" if interval.low > 0 else ""
    return Cell(signed(interval.estimate), bounds(interval, signed), tone)


def row(*values: Cell | Interval | str | float) -> tuple[Cell, ...]:
    """Cells of plain values: texts as they are, counts with commas, other numbers with decimals.

    Example:
        >>> [cell.text for cell in row("law", 1200, 0.5, float("nan"), Interval(0.2, 0.1, 0.3))]
        ['law', '1,200', '0.500', '\N{EN DASH}', '0.200']
    """
    cells = []
    for value in values:
        if isinstance(value, Interval):
            value = number(value)
        elif isinstance(value, float):
            value = Cell(DASH if isnan(value) else decimals(value))
        elif isinstance(value, int):
            value = Cell(f"{value:,}")
        cells.append(value if isinstance(value, Cell) else Cell(value))
    return tuple(cells)
