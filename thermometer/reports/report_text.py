"""A report in the terminal and as Markdown. It shows what `report_tables` says."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from thermometer.reports import grid_text, report_tables, report_words
from thermometer.segmentation import segment_tables

if TYPE_CHECKING:
    from thermometer.reports.report import Report

_COMPACT = ("NLL", "Brier", "ECE, 10 bins", "smooth ECE", "gap closed")  # fit in 80 columns


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
        grid_text.escape(" ".join(report_words.verdict(report))),
        "![Reliability before and after](reliability.png)",
        *(grid_text.markdown(report_tables.results(report, scope)) for scope in scopes),
        grid_text.notes(report_tables.notes(report)),
        *(grid_text.markdown(report_tables.differences(report, scope)) for scope in scopes),
        "## Temperatures",
        grid_text.escape(report_words.temperature_note(report)),
        "![Predicted and best temperature of each task](temperatures.png)",
        grid_text.markdown(report_tables.tasks(report)),
        *_segments(report),
        "## How it was measured",
        grid_text.notes(dict(report_words.facts(report))),
    ]
    return "\n\n".join(parts) + "\n"


def _segments(report: "Report") -> list[str]:
    """Where the thermometer's confidence lies."""
    if report.segments is None:
        return []
    return [
        "## Segments of the thermometer's confidence",
        grid_text.escape(" ".join(segment_tables.words(report.segments))),
        grid_text.markdown(segment_tables.grid(report.segments)),
        grid_text.notes({**segment_tables.NOTES, "tests": segment_tables.facts(report.segments)}),
    ]


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
            cells = [grid_text.text(row[i], detail=scope == "mean_over_tasks") for i in kept]
            table.add_row(Text(name, style=grid_text.STYLES[row[0].tone]), *cells)
    table.caption = (
        "below numbers: 95 % intervals · * uses labels · chance: if perfectly calibrated"
    )
    table.caption_justify = "left"
    return table


def _plural(noun: str, n: int) -> str:
    return noun if n == 1 else noun + "s"
