"""A report in the terminal and as Markdown. It shows what `report_tables` says."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thermometer import report_tables, report_words
from thermometer.report_tables import Cell, Grid

if TYPE_CHECKING:
    from thermometer.report import Report

_COMPACT = ("NLL", "Brier", "ECE, 10 bins", "smooth ECE", "gap closed")  # fit in 80 columns
_STYLES = {"best": "bold", "better": "green", "worse": "red", "faint": "dim", "": ""}


def print_report(report: "Report", console: Console | None = None) -> None:
    """Print methods by metrics with intervals, and the result in words; 80 columns are enough.

    Args:
        report: What `evaluate` or `cross_validate` returned.
        console: Where to print; by default the standard output.
    """
    console = console or Console()
    console.print(_summary_table(report))
    for position, sentence in enumerate(report_words.verdict(report)):
        console.print(Text(sentence, style="" if position else "bold"))


def markdown(report: "Report") -> str:
    """The report as Markdown, with the pictures as neighbouring files."""
    scopes = tuple(report_tables.SCOPES)
    parts = [
        "# Calibration on unseen tasks" if not report.seen else "# Calibration",
        _escape(" ".join(report_words.verdict(report))),
        "![Reliability before and after](reliability.png)",
        *(_grid(report_tables.results(report, scope)) for scope in scopes),
        _notes({**report_words.METHOD_NOTES, **report_words.METRIC_NOTES}),
        *(_grid(report_tables.differences(report, scope)) for scope in scopes),
        "## Temperatures",
        _escape(report_words.temperature_note(report)),
        "![Predicted and best temperature of each task](temperatures.png)",
        _grid(report_tables.tasks(report)),
        "## How it was measured",
        _notes(dict(report_words.facts(report))),
    ]
    return "\n\n".join(parts) + "\n"


def _summary_table(report: "Report") -> Table:
    """Means over tasks with intervals, then all questions together without."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("", no_wrap=True)
    for title in _COMPACT:
        table.add_column(title.replace(", 10 bins", " (10)"), justify="right", no_wrap=True)
    sections = {
        "mean_over_tasks": f"mean, {len(report.tasks)} {_plural('task', len(report.tasks))}",
        "all_rows": f"{report.n_rows:,} questions",
    }
    for scope, title in sections.items():
        table.add_section()
        table.add_row(Text(title, style="bold"))
        grid = report_tables.results(report, scope)
        kept = [grid.header.index(title) for title in _COMPACT]
        for row in grid.rows:
            name = row[0].text.replace("thermometer, per task", "\N{HORIZONTAL ELLIPSIS} per task")
            name = name.replace(" (uses labels)", "*")
            cells = [_text(row[i], detail=scope == "mean_over_tasks") for i in kept]
            table.add_row(Text(name, style=_STYLES[row[0].tone]), *cells)
    table.caption = (
        "below numbers: 95 % intervals · * uses labels · chance: if perfectly calibrated"
    )
    table.caption_justify = "left"
    return table


def _plural(noun: str, n: int) -> str:
    return noun if n == 1 else noun + "s"


def _text(cell: Cell, *, detail: bool) -> Text:
    text = Text(cell.text, style=_STYLES[cell.tone])
    if detail and cell.detail:
        text.append(
            "\n" + cell.detail.replace(" %", ""),
            style="dim not bold",
        )
    return text


def _grid(grid: Grid) -> str:
    lines = [
        f"### {grid.title}",
        "",
        "| " + " | ".join(grid.header) + " |",
        "| --- |" + " --: |" * (len(grid.header) - 1),
    ]
    for row in grid.rows:
        lines.append("| " + " | ".join(map(_cell, row)) + " |")
    return "\n".join(lines)


def _cell(cell: Cell) -> str:
    text = _escape(cell.text)
    if cell.tone == "best":
        text = f"**{text}**"
    return f"{text}<br><sub>{_escape(cell.detail)}</sub>" if cell.detail else text


def _notes(notes: dict[str, str]) -> str:
    return "\n".join(f"- **{name}**: {_escape(text)}" for name, text in notes.items())


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, also inside a table."""
    for character in "\\`*_[]|<":
        text = text.replace(character, {"<": "&lt;"}.get(character, "\\" + character))
    return " ".join(text.splitlines())
