"""The `report` command: what is in a file or folder, measured or shown again.

A table of answers, an output table, or a report that `evaluate` wrote.
"""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from thermometer import _files
from thermometer.confidence_files import read_answers
from thermometer.reports.confidence_report import ConfidenceReport, measure
from thermometer.reports.report import Report
from thermometer.segmentation.question_columns import question_columns, read_questions, top_answers
from thermometer.table_files import MANIFEST
from thermometer.tables import OutputTable

_REPORT = "report.json"


def report(
    source: str,
    out: str | None = None,
    terminal: bool = False,
    confidence: str | None = None,
    correct: str | None = None,
    scores: str | None = None,
    label: str | None = None,
    by: str | None = None,
    skip_empty: bool = False,
    title: str | None = None,
    advise: bool = True,
    n_bins: int = 10,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> None:
    """Measure confidences of a table of answers, or show a report of `evaluate` again.

    Args:
        source: A .csv, .jsonl or .parquet file, the folder of an output table, or a report.json.
        out: Folder for report.html, report.md, report.json and pictures.
        terminal: Draw the pictures in the terminal, too.
        confidence: Column of probabilities that the answer is right; several, separated by commas,
            are compared.
        correct: Column of right (1, true) and wrong (0, false).
        scores: Column of lists of option scores, or one column per option, separated by commas.
        label: Column of the index of the right option, from 0.
        by: Columns that make segments, separated by commas; of an output table all by default.
        skip_empty: Leave out rows with an empty cell among these numbers.
        title: Of the report; by default the name of the source.
        advise: Say which recalibrator suits.
        n_bins: Bins of equal width of the ECE.
        n_resamples: Resamples behind the intervals.
        seed: Equal seeds give equal numbers.
        level: Of intervals and tests.
    """
    path, console = Path(source), Console()
    if out is not None:
        _files.require_place(Path(out) / "report.html")  # before it is measured
    columns = {"confidence": confidence, "correct": correct, "scores": scores, "label": label}
    if path.name == _REPORT or (path / _REPORT).is_file():
        unused = [name for name, value in {**columns, "by": by, "out": out}.items() if value]
        if unused:
            raise ValueError(f"{path} is a report already: --{' and --'.join(unused)} do not apply")
        _show_again(path if path.is_file() else path / _REPORT, console, terminal)
        return
    settings: dict[str, Any] = {
        "title": title or path.resolve().name,
        "advise": advise,
        "n_bins": n_bins,
        "n_resamples": n_resamples,
        "seed": seed,
        "level": level,
    }
    if path.is_dir():
        given = [name for name, value in columns.items() if value]
        if given and (path / MANIFEST).is_file():
            raise ValueError(f"{path} is an output table: --{' and --'.join(given)} do not apply")
        if (path / "report" / _REPORT).is_file():
            raise ValueError(
                f"{path} is the folder of an experiment: its report is in {path}/report"
            )
        found = _measure_table(path, _names(by), settings)
    else:
        answers = read_answers(
            path,
            confidence=_names(confidence),
            correct=correct,
            scores=_names(scores),
            label=label,
            by=_names(by),
            skip_empty=skip_empty,
        )
        if answers.n_skipped:
            console.print(Text(f"{answers.n_skipped:,} rows with empty cells left out"))
        named = answers.confidence
        only = next(iter(named.values())) if len(named) == 1 else named
        found = measure(only, answers.correct, by=answers.by or None, **settings)
    found.print(console, pictures=terminal)
    if out is not None:
        console.print(Text(f"report      {found.write(out) / 'report.html'}"), soft_wrap=True)


def _measure_table(folder: Path, by: list[str], settings: dict[str, Any]) -> ConfidenceReport:
    """Measure the scores of an output table, its questions telling the segments."""
    table = OutputTable.open(folder)
    columns = question_columns(table, read_questions(folder))
    if unknown := [name for name in by if name not in columns]:
        found = ", ".join(columns) or "none in which questions differ"
        raise ValueError(f"{folder}: no column {unknown[0]!r} among {found}")
    chosen = {name: columns[name] for name in by or columns}
    confidence, correct = top_answers(table)
    return measure(confidence, correct, by=chosen or None, **settings)


def _show_again(file: Path, console: Console, terminal: bool) -> None:
    """Print a report of `evaluate`."""
    text = _files.read_text(file)
    try:
        found = Report.from_json(text)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    found.print(console, pictures=terminal)


def _names(columns: str | None) -> list[str]:
    """Names separated by commas."""
    return [name.strip() for name in (columns or "").split(",") if name.strip()]
