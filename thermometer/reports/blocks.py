"""A report before it has a look: blocks of text, tables, pictures, verdicts, and numbers as text.

A report turns its numbers into one `Document`; `render` shows any document in a terminal, as
Markdown or as HTML.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import TYPE_CHECKING, NamedTuple

from thermometer.metrics.intervals import Interval
from thermometer.plots import drawing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
NOTES = {
    f"conf. {MINUS} acc.": "mean confidence minus accuracy; above zero is overconfident.",
    "ECE": "mean distance of confidence and accuracy over bins of equal width, closed on the "
    "right. Its interval over rows sits high, as ECE is biased upwards.",
    "smooth ECE": "the same without bins (Błasiok and Nakkiran 2024).",
    "floor": "finite-sample floor, the ECE that perfect calibration would score on as few answers; "
    "no method can be expected below it. Where “to” follows, what it would seldom exceed.",
}
"""What numbers mean that several reports show."""


class Cell(NamedTuple):
    """A cell of a table.

    Args:
        text: Usually a number.
        detail: Below it in smaller type, usually its interval.
        tone: `best`, `better`, `worse`, `faint` or none.
    """

    text: str
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Heading:
    """The title of what follows."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Terms:
    """Names and what they mean, or settings and their values."""

    items: Mapping[str, str]


@dataclass(frozen=True)
class Verdict:
    """The result in sentences, the most important first.

    Args:
        sentences: At least one.
        figures: Title and value of a few numbers to see at a glance, shown on HTML pages.
        alarming: Whether the first sentence is bad news.
    """

    sentences: Sequence[str]
    figures: Sequence[tuple[str, Cell]] = ()
    alarming: bool = False


@dataclass(frozen=True)
class Table:
    """Cells in rows. The first column names the row, the others are numbers.

    Args:
        title: Above the table; may be empty.
        header: One title per column.
        rows: Each with one cell per column.
        note: Below the table.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def short(
        self,
        *without: str,
        plain: Sequence[str] = (),
        limit: int | None = None,
        note: str = "",
    ) -> "Table":
        """The same table with less in it, for a terminal.

        Args:
            *without: Titles of columns to leave out.
            plain: Titles of columns that lose their details.
            limit: Most rows; the number of those left out is noted.
            note: Below the table.

        Example:
            >>> rows = [(Cell(name), Cell("1", "0 to 2"), Cell("3")) for name in "abcde"]
            >>> short = Table("t", ("", "n", "p"), rows).short("p", plain=["n"], limit=2)
            >>> short.header, short.note
            (('', 'n'), '… and 3 more')
        """
        kept = [i for i, title in enumerate(self.header) if title not in without]
        rows = tuple(
            tuple(row[i]._replace(detail="") if self.header[i] in plain else row[i] for i in kept)
            for row in self.rows[:limit]
        )
        if len(rows) < len(self.rows):
            note = f"… and {len(self.rows) - len(rows):,} more"
        return Table(self.title, tuple(self.header[i] for i in kept), rows, note)


@dataclass(frozen=True)
class Picture:
    """A figure for pages, and lines of text that show the same in a terminal.

    Args:
        title: What it shows, in a few words.
        caption: How to read it.
        name: Of the PNG file beside a Markdown page; empty where there is no such file.
        draw: Makes the figure; called at most once. `None` for a terminal alone.
        text: Makes the lines, given `plots.terminal.canvas`; `None` where there are none.
        narrow: Whether half the width of a page is enough.
    """

    title: str
    caption: str = ""
    name: str = ""
    draw: "Callable[[], Figure] | None" = None
    text: Callable[..., str] | None = None
    narrow: bool = False

    @cached_property
    def png(self) -> bytes:
        """The figure as the content of a PNG file."""
        if self.draw is None:
            raise TypeError(f"{self.title} is a picture for the terminal only")
        return drawing.png(self.draw())


Block = Heading | Text | Terms | Verdict | Table | Picture


@dataclass(frozen=True)
class Document:
    """What a report shows: all of it on a page, the most important in a terminal.

    Args:
        title: Of the page.
        subtitle: Below the title on HTML pages: what was measured, and when.
        page: Blocks of a page, Markdown or HTML.
        terminal: Blocks that fit in 80 columns.
    """

    title: str
    subtitle: str = ""
    page: Sequence[Block] = ()
    terminal: Sequence[Block] = ()

    def images(self) -> dict[str, bytes]:
        """PNG files beside the page, by name."""
        pictures = [block for block in self.page if isinstance(block, Picture) and block.name]
        return {picture.name: picture.png for picture in pictures}


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
