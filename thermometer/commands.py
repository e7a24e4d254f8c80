"""The commands with a calibrator or a language model: what each prints and writes."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rich.progress import Progress

from thermometer import _checks, _files, free_form
from thermometer.adaptation import for_model
from thermometer.calibrated_lm import CalibratedLM
from thermometer.calibrator import Calibrator, origin_warnings, place_of, scores_template
from thermometer.experiment import ModelSpec, TableSpec
from thermometer.free_form import FreeFormTask, Judge, free_form_row, load_free_form
from thermometer.generation import MAX_NEW_TOKENS
from thermometer.loading import fingerprint
from thermometer.posterior import Per, verdict
from thermometer.table_files import questions_digest
from thermometer.tables import OutputTable
from thermometer.tasks import TaskSource, load_tasks
from thermometer.templates import Template
from thermometer.types import Calibration, Task


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
    template = scores_template(calibrator.target)
    lm = model.load().to_accelerator()
    large = CalibratedLM(lm, _set_to(calibrator, lm.provenance(template)))
    calibrator = large.calibrator
    for name, origin in calibrator.origins.items():
        if name in calibrator.reads and not (name == "features" and large.reads_itself):
            origin.lm.to_accelerator()
    return large


def _set_to(calibrator: Calibrator, provenance: Mapping[str, Any]) -> Calibrator:
    """Set to the answering model that scores are of; a warning is printed if it knows none such."""
    targets = calibrator.record.targets
    if (place := place_of(targets, provenance)) is not None:
        return for_model(calibrator, place)
    for warning in origin_warnings(targets, provenance):
        print(f"warning     {warning}")  # noqa: T201
    return calibrator


_Result = tuple[str, Calibration, Sequence[int]]
"""A task's name, its calibration, and the number of options of each question."""


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
    rows = [row for result in results for row in _rows(*result)]
    file.parent.mkdir(parents=True, exist_ok=True)
    _files.write_text(file, "\n".join(json.dumps(row) for row in rows) + "\n")
    print(f"{len(rows)} questions calibrated: {out}")  # noqa: T201
    known = {name: result for name, result, _ in results if result.in_domain is not None}
    if known:
        near = sum(result.in_domain is True for result in known.values())
        print(f"in domain   {near} of {len(known)} tasks")  # noqa: T201
    for name, result in known.items():
        if not result.in_domain:
            why = verdict(result.distances)[1]
            print(f"warning     {name} is unlike the training: {why}")  # noqa: T201


def _of_model(
    checkpoint: str, large: ModelSpec | None, tasks: Sequence[Task], per: Per
) -> list[_Result]:
    """Tasks asked of the answering model, or only rendered for the small one."""
    calibrator = Calibrator.from_pretrained(checkpoint)
    if large is None and "scores" in calibrator.reads:
        expected = "given, since this thermometer reads the answering model's scores"
        raise _checks.fail("--large.model", expected, None)
    if large is None:
        calibrator.language_model.to_accelerator()
        found = map(calibrator.calibrate, tasks)
    else:
        found = map(partial(placed(large, calibrator).calibrate, per=per), tasks)
    options = [[len(question.options) for question in task.questions] for task in tasks]
    return list(zip([task.name for task in tasks], found, options, strict=True))


def _of_table(
    checkpoint: str, scores: TableSpec, asked: Sequence[Task] | None, per: Per
) -> list[_Result]:
    """Rows of a table, which has the features too, or the texts for the models that are read."""
    table = scores.open(asked)
    table.require("scores")
    provenance = table.provenance.get("scores") or {}
    calibrator = _set_to(Calibrator.from_pretrained(checkpoint), provenance)
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
    calibrated = partial(calibrator.calibrate, per=per, answered_by=provenance)
    return [
        (name, calibrated(prompt, rows[name].scores), rows[name].n_options.tolist())
        for name, prompt in prompts.items()
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
    made = free_form.verify_tasks(
        large.load().to_accelerator(),
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
