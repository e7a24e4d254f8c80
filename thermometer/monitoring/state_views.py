"""The state of a monitor in the terminal and as an HTML page. Nothing here measures."""

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from thermometer.monitoring import state_words
from thermometer.monitoring.gap_picture import draw_monitor
from thermometer.pictures.drawing import png
from thermometer.pictures.terminal_plots import text_bars
from thermometer.reports import grid_html, grid_text
from thermometer.reports.grids import Grid

if TYPE_CHECKING:
    from thermometer.monitoring.state import MonitorState

_SHOWN = 12  # rows of a table, and blocks of the history, in the terminal
_LEFT_OUT = ("accuracy", "confidence", "smooth ECE")
_CAPTION = (
    "Gap and ECE of blocks of answers in the order of their labels. The band is a 95 % interval, "
    "the shade around zero is tolerated, the broken line is the ECE of perfect calibration; "
    "upright lines are recalibrations. Below, episodes from their estimated onset to their end, "
    "pale until the alarm: orange is overconfident, blue is underconfident."
)


def show(state: "MonitorState", console: Console) -> None:
    """Print the state; 80 columns are enough."""
    for position, sentence in enumerate(state_words.words(state)):
        style = ("red bold" if state.open_episodes else "bold") if not position else ""
        console.print(Text(sentence, style=style))
    if state.points:
        console.print(Text("\ngap over time, by labelled answers", style="bold"))
        console.print(Text(_bars(state, min(console.width, 80))))
    for grid in state_words.grids(state):
        console.print(Text(f"\n{grid.title}", style="bold"))
        console.print(grid_text.table(_short(grid), detail=False))
        if len(grid.rows) > _SHOWN:
            console.print(Text(f"… and {len(grid.rows) - _SHOWN} more", style="dim"))
    console.print()
    for name, text in state_words.facts(state).items():
        console.print(Text(f"{name}: {text}", style="dim"))


def html(state: "MonitorState", title: str) -> str:
    """The state as one HTML file that opens alone."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    pictures = [grid_html.figure(png(draw_monitor(state)), _CAPTION)] if state.points else []
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="when">{state.n_labelled:,} labelled answers · {escape(created)}</p>',
        grid_html.verdict(state_words.words(state)),
        *pictures,
        *(grid_html.table(grid) for grid in state_words.grids(state)),
        grid_html.notes(state_words.NOTES),
        "<h2>What is watched</h2>",
        grid_html.notes(state_words.facts(state)),
    ]
    return grid_html.page(title, body)


def _bars(state: "MonitorState", width: int) -> str:
    """The gap of the latest blocks as bars."""
    rows = [
        (f"{p.first:,} to {p.last:,}", p.gap.estimate, p.gap.low, p.gap.high)
        for p in state.points[-_SHOWN:]
    ]
    return text_bars(rows, width)


def _short(grid: Grid) -> Grid:
    """What the terminal has room for."""
    kept = [i for i, title in enumerate(grid.header) if title not in _LEFT_OUT]
    rows = tuple(tuple(row[i] for i in kept) for row in grid.rows[:_SHOWN])
    return Grid(grid.title, tuple(grid.header[i] for i in kept), rows)
