"""The commands on tables and files that need no language model: what each prints and writes."""

import warnings
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thermometer import _checks, _files
from thermometer.adapters import lm_eval, tables
from thermometer.adapters.files import read_answers
from thermometer.adapters.lm_eval import LoggedNorm
from thermometer.adapters.tables import MISSING, write_table
from thermometer.monitoring.monitor import Monitor
from thermometer.reports import confidence_report
from thermometer.reports.confidence_report import ConfidenceReport
from thermometer.segments.columns import question_columns, read_questions, top_answers
from thermometer.table_files import MANIFEST
from thermometer.tables import OutputTable
from thermometer.tasks import TaskSource, load_tasks
from thermometer.templates import letters_of


def import_lm_eval(source: str, out_dir: str, norm: LoggedNorm = "none") -> None:
    """Turn logs of ``lm_eval --log_samples`` into an output table with scores and labels.

    Args:
        source: The folder that lm_eval wrote, or one of its results files.
        out_dir: Folder of the table; an earlier import is replaced.
        norm: Scores behind acc (none), acc_norm (char), acc_bytes (byte) or acc_mutual_info
            (unconditional).
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = lm_eval.import_lm_eval(source, out_dir, norm=norm)
    right = table.require("scores").argmax(axis=1) == table.labels
    shown = Table("task", box=None)
    shown.add_column("questions", justify="right")
    shown.add_column("accuracy", justify="right")
    for name in table.task_names:
        rows = table.tasks == name
        shown.add_row(name, f"{rows.sum():,}", f"{right[rows].mean():.3f}")
    console = Console()
    console.print(shown)
    for warning in caught:
        console.print(f"warning     {warning.message}", soft_wrap=True, markup=False)
    console.print(f"table       {out_dir}", soft_wrap=True, markup=False)


def import_logprobs(
    responses: str,
    tasks: TaskSource,
    out_dir: str,
    replies: Literal["letter", "text"] = "letter",
    after: str | None = None,
    model: str | None = None,
    strict: bool = False,
) -> None:
    """Turn responses with log-probabilities into an output table with scores.

    Args:
        responses: JSON lines as OpenAI's Batch API writes them: `custom_id`, the id of a question,
            and `response`.
        tasks: The questions that were asked; labels are kept.
        out_dir: Folder of the table; must not hold anything yet.
        replies: What the model was asked for: the letter of an option, A for the first, or its
            text.
        after: Text of the reply behind which the answer begins.
        model: Name of the model that answered; by default what the responses say.
        strict: Stop at the first response that holds no answer (an error, a refusal), and at
            questions and responses that have no partner, instead of leaving them out.
    """
    from thermometer.adapters.api_logprobs import option_probabilities  # loads torch

    asked = {q.id: (task.name, q) for task in load_tasks(tasks) for q in task.questions}
    answered = _by_id(Path(responses))
    alone = {
        "response without a question": [key for key in answered if key not in asked],
        "question without a response": [key for key in asked if key not in answered],
    }
    answered = {key: response for key, response in answered.items() if key in asked}
    for what, keys in alone.items():
        said = f"{len(keys)} of them: {', '.join(map(repr, keys[:3]))}{', …' * (len(keys) > 3)}"
        if keys and (strict or not answered):
            raise _checks.fail("responses", f"one for each question, with no {what}", said)
        if keys:
            print(f"left out    {what}, {said}")  # noqa: T201
    ids, known = list(answered), [asked[key] for key in answered]
    options = [q.options if replies == "text" else letters_of(q) for _, q in known]
    found = option_probabilities(list(answered.values()), options, after=after, strict=strict)
    for row, why in found.skipped.items():
        print(f"left out    {ids[row]}: {why}")  # noqa: T201
    rows = [row for row in range(len(ids)) if row not in found.skipped]
    ids, known = [ids[row] for row in rows], [known[row] for row in rows]
    name = model or found.model or "an API"
    batch = {
        "id": ids,
        "task": [task for task, _ in known],
        "question": [question.text for _, question in known],
        "choices": [list(question.options) for _, question in known],
        "answer": [-1 if q.answer is None else q.answer for _, q in known],
        "context": [question.context for _, question in known],
        "scores": found.scores[rows],
        "option_mass": found.mass[rows],
    }
    provenance = {"scores": {"model": name, "replies": replies}}
    order = [key for key in asked if key in set(ids)]
    table = write_table([batch], out_dir, provenance=provenance, order=order)
    for warning in found.warnings:
        print(f"warning     {warning}")  # noqa: T201
    print(f"{len(table)} answers of {name}: {out_dir}")  # noqa: T201


def _by_id(path: Path) -> dict[str, Any]:
    """Responses by the id of their question, in the order of the file."""
    found: dict[str, Any] = {}
    for number, row in _files.read_lines(path):
        key = row.get("custom_id")
        where = f"{path}, line {number}"
        if not isinstance(key, str):
            raise ValueError(f"{where}: no custom_id that is a text (there are {', '.join(row)})")
        if key in found:
            raise ValueError(f"{where}: {key!r} stands twice")
        found[key] = row
    if not found:
        raise ValueError(f"{path}: expected at least one response, got none")
    return found


def merge(
    folders: list[str], out_dir: str, questions: str | None = None, allow_missing: bool = False
) -> None:
    """Write one output table of the rows of several, checked.

    Args:
        folders: Finished output tables: all with the same columns, or some with features and some
            with the scores of the same questions.
        out_dir: Folder of the new table; must not hold anything yet.
        questions: The questions that the table should hold (.jsonl, folder, data set): any that is
            missing is named, and they give the order.
        allow_missing: Merge although questions are missing, and write them to missing.jsonl.
    """
    merged = tables.merge(folders, out_dir, questions=questions, allow_missing=allow_missing)
    print(f"{merged.n_questions} questions of {len(folders)} tables: {merged.folder}")  # noqa: T201
    if merged.missing:
        print(f"{len(merged.missing)} missing: {merged.folder / MISSING}")  # noqa: T201


def monitor(
    source: str,
    out: str | None = None,
    title: str | None = None,
    n_resamples: int = 200,
    seed: int = 0,
    coverage: float = 0.95,
) -> None:
    """Show a monitor: alarms, the window and its segments, the gap over time.

    Args:
        source: The file of a `Monitor`.
        out: HTML page to write, which opens alone.
        title: Of the page; by default the name of the file.
        n_resamples: Resamples behind the intervals.
        seed: Equal seeds give equal numbers.
        coverage: Of the intervals.
    """
    file, console = Path(source), Console()
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder; name the file of a monitor")
    if not file.is_file():
        raise FileNotFoundError(f"no monitor in {file}: no such file")
    if out is not None:
        _files.require_place(out)  # before it is measured
    with Monitor(file) as opened:
        state = opened.state(n_resamples=n_resamples, seed=seed, coverage=coverage)
    state.print(console)
    if out is not None:
        page = state.write(out, title or file.resolve().name)
        console.print(Text(f"page        {page}"), soft_wrap=True)


_REPORT = "report.json"


def measure(
    source: str,
    out_dir: str | None = None,
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
    coverage: float = 0.95,
) -> None:
    """Measure confidences of a table of answers, or show a report of `evaluate` again.

    Args:
        source: A .csv, .jsonl or .parquet file, the folder of an output table, or a report.json.
        out_dir: Folder for report.html, report.md, report.json and pictures.
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
        coverage: Of intervals and tests.
    """
    path, console = Path(source), Console()
    if out_dir is not None:
        _files.require_place(Path(out_dir) / "report.html")  # before it is measured
    columns = {"confidence": confidence, "correct": correct, "scores": scores, "label": label}
    if path.name == _REPORT or (path / _REPORT).is_file():
        unused = [
            name for name, value in {**columns, "by": by, "out_dir": out_dir}.items() if value
        ]
        if unused:
            raise ValueError(f"{path} is a report already: --{' and --'.join(unused)} do not apply")
        from thermometer.reports.report import Report  # loads torch, as no other source does

        Report.read(path if path.is_file() else path / _REPORT).print(console, pictures=terminal)
        return
    settings: dict[str, Any] = {
        "title": title or path.resolve().name,
        "advise": advise,
        "n_bins": n_bins,
        "n_resamples": n_resamples,
        "seed": seed,
        "coverage": coverage,
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
        found = confidence_report.measure(only, answers.correct, by=answers.by or None, **settings)
    found.print(console, pictures=terminal)
    if out_dir is not None:
        console.print(Text(f"report      {found.write(out_dir) / 'report.html'}"), soft_wrap=True)


def _measure_table(folder: Path, by: list[str], settings: dict[str, Any]) -> ConfidenceReport:
    """Measure the scores of an output table; the columns of its questions make the segments."""
    table = OutputTable.open(folder)
    columns = question_columns(table, read_questions(folder))
    if unknown := [name for name in by if name not in columns]:
        found = ", ".join(columns) or "none in which questions differ"
        raise ValueError(f"{folder}: no column {unknown[0]!r} among {found}")
    chosen = {name: columns[name] for name in by or columns}
    confidence, correct = top_answers(table)
    return confidence_report.measure(confidence, correct, by=chosen or None, **settings)


def _names(columns: str | None) -> list[str]:
    """Names separated by commas."""
    return [name.strip() for name in (columns or "").split(",") if name.strip()]
