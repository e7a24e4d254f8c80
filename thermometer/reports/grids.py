"""Tables as plain cells, before they have a look.

Terminal, Markdown and HTML show the same cells. Nothing here knows their syntax, or what is shown.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Cell(NamedTuple):
    """A number as text, its interval, and its tone: `best`, `better`, `worse`, `faint` or none."""

    text: str
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: the first column names the row, the others are numbers."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
