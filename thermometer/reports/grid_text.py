"""Grids and notes in the terminal and as Markdown. Nothing here knows what is shown."""

from collections.abc import Collection, Mapping
from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

from thermometer.reports.grids import Cell, Grid

STYLES = {"best": "bold", "better": "green", "worse": "red", "faint": "dim", "": ""}


def text(cell: Cell, *, detail: bool = True) -> Text:
    """A cell for rich, which its content cannot style; the detail goes below."""
    shown = Text(cell.text, style=STYLES[cell.tone])
    if detail and cell.detail:
        shown.append("\n" + cell.detail.replace(" %", ""), style="dim not bold")
    return shown


def table(grid: Grid, *, detail: bool = True, wrapped: Collection[str] = ()) -> Table:
    """A grid for rich, without its title: names on the left, numbers on the right.

    Names may take several lines, and so may the columns whose titles are in `wrapped`.
    """
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for position, title in enumerate(grid.header):
        side: Literal["left", "right"] = "right" if position else "left"
        may_wrap = not position or title in wrapped
        shown.add_column(Text(title), justify=side, no_wrap=not may_wrap, overflow="fold")
    for row in grid.rows:
        shown.add_row(*(text(cell, detail=detail) for cell in row))
    return shown


def markdown(grid: Grid) -> str:
    """A grid under its title, as Markdown."""
    lines = [
        f"### {escape(grid.title)}",
        "",
        "| " + " | ".join(map(escape, grid.header)) + " |",
        "| --- |" + " --: |" * (len(grid.header) - 1),
    ]
    for row in grid.rows:
        lines.append("| " + " | ".join(map(_cell, row)) + " |")
    return "\n".join(lines)


def notes(terms: Mapping[str, str]) -> str:
    """Terms and what they mean, as a Markdown list."""
    return "\n".join(f"- **{escape(name)}**: {escape(words)}" for name, words in terms.items())


def escape(words: str) -> str:
    """Text that Markdown shows as it is, also inside a table."""
    for character in "\\`*_[]|<":
        words = words.replace(character, {"<": "&lt;"}.get(character, "\\" + character))
    return " ".join(words.splitlines())


def _cell(cell: Cell) -> str:
    shown = escape(cell.text)
    if cell.tone == "best":
        shown = f"**{shown}**"
    return f"{shown}<br><sub>{escape(cell.detail)}</sub>" if cell.detail else shown
