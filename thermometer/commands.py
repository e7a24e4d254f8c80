"""The commands that are no stage of an experiment: what each prints and writes."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from thermometer import _checks, _files, free_form
from thermometer.adaptation import for_model
from thermometer.adapters import lm_eval, tables
from thermometer.adapters.api_formats import field, opened
from thermometer.adapters.api_logprobs import option_probabilities
from thermometer.adapters.files import read_answers
from thermometer.adapters.lm_eval import LoggedNorm
from thermometer.adapters.tables import MISSING, write_table
from thermometer.calibrated_lm import CalibratedLM
from thermometer.calibrator import Calibrator, origin_warnings, place_of, scores_template
from thermometer.experiment import ModelSpec, TableSpec
from thermometer.free_form import FreeFormTask, Judge, free_form_row, load_free_form
from thermometer.generation import MAX_NEW_TOKENS
from thermometer.loading import fingerprint
from thermometer.monitoring.monitor import Monitor
from thermometer.posterior import Per, verdict
from thermometer.reports import confidence_report
from thermometer.reports.confidence_report import ConfidenceReport
from thermometer.reports.report import Report
from thermometer.segments.columns import question_columns, read_questions, top_answers
from thermometer.table_files import MANIFEST, questions_digest
from thermometer.tables import OutputTable
from thermometer.tasks import TaskSource, load_tasks
from thermometer.templates import Template
from thermometer.types import Calibration, Question, Task


def placed(model: ModelSpec, calibrator: Calibrator) -> CalibratedLM:
    """Load the answering model, and those that give features and reference scores.

    A thermometer for several answering models is set to the one that is loaded. If it was trained
    for none such, that is printed.

    Args:
        model: The answering model.
        calibrator: What calibrates it.

    Raises:
        ValueError: Before anything is loaded, if the checkpoint does not say how to ask the model.
    """
    template, targets = scores_template(calibrator.target), calibrator.record.targets
    lm = model.load().to_accelerator()
    made = lm.provenance(template)
    if (place := place_of(targets, made)) is not None:
        calibrator = for_model(calibrator, place)
    else:
        for warning in origin_warnings(targets, made):
            print(f"warning     {warning}")  # noqa: T201
    large = CalibratedLM(lm, calibrator)
    for name, origin in calibrator.origins.items():
        if name in calibrator.reads and not (name == "features" and large.reads_itself):
            origin.lm.to_accelerator()
    return large


_Results = dict[str, tuple[Calibration, Sequence[int]]]
"""By task: the calibration, and the number of options of each question."""


def calibrate(
    checkpoint: str,
    out: str,
    tasks: TaskSource | None = None,
    large: ModelSpec | None = None,
    scores: TableSpec | None = None,
    per: Per = "sample",
) -> None:
    """Predict temperatures for new tasks and, if there are scores, calibrated probabilities.

    Args:
        checkpoint: Folder or hub id of a trained thermometer.
        out: JSON lines to write, one per question.
        tasks: Questions; labels are not needed. Those of `scores` are its own by default.
        large: The answering model; it or its scores are needed by a thermometer that reads them.
        scores: Or a table of its scores.
        per: Divide each question's scores by its own temperature or by its task's.
    """
    if large is not None and scores is not None:
        raise _checks.fail("--scores.table", "left out where --large.model is given", scores.table)
    if large is not None:
        large.require_whole("large")
    file = _files.require_place(out)  # before a model is loaded
    asked = None if tasks is None else load_tasks(tasks)
    if scores is not None:
        results = _of_table(checkpoint, scores, asked, per)
    elif asked is None:
        raise _checks.fail("--tasks.source", "given, or else --scores.table", None)
    else:
        results = _of_model(checkpoint, large, asked, per)
    rows = [row for name, found in results.items() for row in _rows(name, *found)]
    file.parent.mkdir(parents=True, exist_ok=True)
    _files.write_text(file, "\n".join(json.dumps(row) for row in rows) + "\n")
    print(f"{len(rows)} questions calibrated: {out}")  # noqa: T201
    for line in _domain({name: result for name, (result, _) in results.items()}):
        print(line)  # noqa: T201


def _of_model(
    checkpoint: str, large: ModelSpec | None, tasks: Sequence[Task], per: Per
) -> _Results:
    """Tasks asked of the answering model, or only rendered for the small one."""
    calibrator = Calibrator.from_pretrained(checkpoint)
    if large is None and "scores" in calibrator.reads:
        expected = "given, since this thermometer reads the answering model's scores"
        raise _checks.fail("--large.model", expected, None)
    if large is None:
        calibrator.language_model.to_accelerator()
        results = [calibrator.calibrate(task) for task in tasks]
    else:
        lm = placed(large, calibrator)
        results = [lm.calibrate(task, per=per) for task in tasks]
    options = [[len(question.options) for question in task.questions] for task in tasks]
    pairs = zip(results, options, strict=True)
    return {task.name: found for task, found in zip(tasks, pairs, strict=True)}


def _of_table(
    checkpoint: str, scores: TableSpec, asked: Sequence[Task] | None, per: Per
) -> _Results:
    """Rows of a table, which has the features too, or the texts for the models that are read."""
    table = scores.open(asked)
    table.require("scores")
    calibrator = Calibrator.from_pretrained(checkpoint)
    made = table.provenance.get("scores") or {}
    if (place := place_of(calibrator.record.targets, made)) is not None:
        calibrator = for_model(calibrator, place)
    else:
        for warning in origin_warnings(calibrator.record.targets, made):
            print(f"warning     {warning}")  # noqa: T201
    lacking = calibrator.reads - {"scores", *(["features"] if table.features is not None else [])}
    rows = {name: table.of_tasks([name]) for name in table.task_names}
    prompts: dict[str, Task | OutputTable] = {**rows}
    if lacking:
        if asked is None and scores.questions is None:
            expected = f"given, since this thermometer reads {min(lacking)} and {scores.name} has "
            raise _checks.fail("--tasks.source", f"{expected}neither them nor texts", None)
        asked = load_tasks(str(scores.questions)) if asked is None else asked
        table = scores.open(asked)  # rows in the order of the tasks
        rows = {task.name: table.of_tasks([task.name]) for task in asked}
        prompts = {task.name: task for task in asked}
        for origin in {id(o): o for k, o in calibrator.origins.items() if k in lacking}.values():
            origin.lm.to_accelerator()
    results: _Results = {}
    for name, given in prompts.items():
        found = calibrator.calibrate(given, rows[name].scores, per=per, answered_by=made)
        results[name] = found, rows[name].n_options.tolist()
    return results


def _domain(results: Mapping[str, Calibration]) -> list[str]:
    """How many tasks are among their like, and why the others are not; nothing if unknown."""
    known = {task: result for task, result in results.items() if result.in_domain is not None}
    near = sum(result.in_domain is True for result in known.values())
    counted = [f"in domain   {near} of {len(known)} tasks"] if known else []
    far = {task: verdict(r.distances)[1] for task, r in known.items() if not r.in_domain}
    return counted + [
        f"warning     {task} is unlike the training: {why}" for task, why in far.items()
    ]


def _rows(task: str, result: Calibration, n_options: Sequence[int]) -> list[dict[str, Any]]:
    rows = []
    for number, (identifier, width) in enumerate(zip(result.ids, n_options, strict=True)):
        row: dict[str, Any] = {
            "id": identifier,
            "task": task,
            "temperature": float(result.temperature[number]),
            "task_temperature": result.task_temperature,
        }
        if result.probs is not None:
            row["answer"] = int(result.prediction[number])
            row["confidence"] = float(result.confidence[number])
            row["probs"] = result.probs[number, :width].tolist()
        rows.append(row)
    return rows


def answer(
    checkpoint: str,
    large: ModelSpec,
    questions: str,
    out: str,
    max_new_tokens: int = MAX_NEW_TOKENS,
    window: int = 256,
    per: Per = "sample",
) -> None:
    """Answer free-form questions, with a calibrated confidence.

    Args:
        checkpoint: Folder or hub id of a thermometer that was trained on answers in words.
        large: The answering model.
        questions: File of JSON lines with `question`, and perhaps `id`, `task` and `context`.
        out: JSON lines to write, one per question.
        max_new_tokens: Where an answer is cut that does not end.
        window: Questions of a task that are answered, calibrated and written together.
        per: Divide each question's scores by its own temperature or by its window's.
    """
    large.require_whole("large")
    _files.require_place(out)  # before a model is loaded, as the questions are read
    tasks = load_free_form(questions)
    calibrator = Calibrator.from_pretrained(checkpoint)
    free_form.verify_template(calibrator)
    lm = placed(large, calibrator)
    rows = [free_form_row(question, task.name) for task in tasks for question in task.questions]
    provenance = {
        "questions": questions_digest(rows),
        "checkpoint": fingerprint(calibrator.thermometer),
        "model": lm.lm.provenance(lm.template),
        "max_new_tokens": max_new_tokens,
        "window": window,
        "per": per,
    }
    pieces = [
        FreeFormTask(task.name, task.questions[start : start + window])
        for task in tasks
        for start in range(0, len(task), window)
    ]
    ids = [row["id"] for row in rows]
    with _files.GrowingLines(out, ids, provenance) as lines, Progress(transient=True) as bar:
        shown = bar.add_task("answering", total=len(ids), completed=lines.n_done)
        end = 0
        for piece in pieces:
            end += len(piece)
            if (n_missing := min(len(piece), end - lines.n_done)) > 0:
                found = free_form.answer(lm, piece, max_new_tokens=max_new_tokens, per=per)
                lines.append({"task": piece.name, **a.to_dict()} for a in found[-n_missing:])
                bar.advance(shown, n_missing)
    print(f"{len(ids)} questions answered: {out}")  # noqa: T201


def verify_tasks(
    large: ModelSpec,
    tasks: TaskSource,
    out: str,
    judge: Judge = "match",
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> None:
    """Answer labelled free-form questions and judge the answers: tasks to train on.

    Args:
        large: The answering model; its template, if one is given, is of the style `verify`.
        tasks: JSON lines with `question` and `answers`.
        out: JSON lines to write: questions whether an answer is correct, with the options Yes and
            No. Name it as `tasks.source` of an experiment whose template has the style `verify`.
        judge: What is right: `match` (equal but for case, punctuation and articles), `contains` (an
            accepted answer stands in the answer) or `rouge_l` (a word in common).
        max_new_tokens: Where an answer is cut that does not end.
    """
    large.require_whole("large")
    _files.require_place(out)
    asked = load_free_form(tasks)
    lm = large.load().to_accelerator()
    made = free_form.verify_tasks(
        lm,
        asked,
        out,
        template=large.template or Template("verify"),
        judge=judge,
        max_new_tokens=max_new_tokens,
    )
    right = [question.answer == 0 for task in made for question in task.questions]
    silent = sum(map(len, asked)) - len(right)
    print(  # noqa: T201
        f"{len(right)} answers, {sum(right) / len(right):.0%} of them right"
        f"{f', {silent} questions without an answer' if silent else ''}: {out}"
    )


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
        model: Name of the model that answered; by default what the first response says.
    """
    asked = {q.id: (task.name, q) for task in load_tasks(tasks) for q in task.questions}
    answered = _by_id(Path(responses))
    if set(answered) != set(asked):
        odd = sorted(set(answered) ^ set(asked))
        missing = ", ".join(map(repr, odd[:3]))
        raise _checks.fail(
            "responses", "one for each question", f"{len(answered)}; without a partner: {missing}"
        )
    known = [asked[key] for key in answered]
    options = [_options(question, replies) for _, question in known]
    found = option_probabilities(list(answered.values()), options, after=after)
    name = model or field(opened(next(iter(answered.values()))), "model") or "an API"
    batch = {
        "id": list(answered),
        "task": [task for task, _ in known],
        "question": [question.text for _, question in known],
        "choices": [list(question.options) for _, question in known],
        "answer": [-1 if q.answer is None else q.answer for _, q in known],
        "context": [question.context for _, question in known],
        "scores": found.scores,
        "option_mass": found.mass,
    }
    provenance = {"scores": {"model": name, "replies": replies}}
    table = write_table([batch], out_dir, provenance=provenance, order=list(asked))
    for warning in found.warnings:
        print(f"warning     {warning}")  # noqa: T201
    print(f"{len(table)} answers of {name}: {out_dir}")  # noqa: T201


def _options(question: Question, replies: str) -> tuple[str, ...]:
    if replies == "text":
        return question.options
    return tuple(ascii_uppercase[: len(question.options)])


def _by_id(path: Path) -> dict[str, Any]:
    """Responses by the id of their question, in the order of the file."""
    found: dict[str, Any] = {}
    for number, row in _files.read_lines(path):
        key = row.get("custom_id")
        if not isinstance(key, str):
            there = ", ".join(row)
            raise ValueError(
                f"{path}, line {number}: no custom_id that is a text (there are {there})"
            )
        if key in found:
            raise ValueError(f"{path}, line {number}: {key!r} stands twice")
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
        _show_again(path if path.is_file() else path / _REPORT, console, terminal)
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
    """Measure the scores of an output table, its questions telling the segments."""
    table = OutputTable.open(folder)
    columns = question_columns(table, read_questions(folder))
    if unknown := [name for name in by if name not in columns]:
        found = ", ".join(columns) or "none in which questions differ"
        raise ValueError(f"{folder}: no column {unknown[0]!r} among {found}")
    chosen = {name: columns[name] for name in by or columns}
    confidence, correct = top_answers(table)
    return confidence_report.measure(confidence, correct, by=chosen or None, **settings)


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
