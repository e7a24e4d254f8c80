"""The `calibrate` command: a checkpoint applied to new questions."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from thermometer import _checks, _files
from thermometer.adaptation import for_model
from thermometer.answered_by import doubts, place_of
from thermometer.calibrator import Calibrator, Level
from thermometer.commands.placing import placed
from thermometer.domain import verdict
from thermometer.model_spec import Source
from thermometer.tables import OutputTable
from thermometer.tasks import TaskSource, load_tasks
from thermometer.types import Calibration, Task

_Results = dict[str, tuple[Calibration, Sequence[int]]]
"""By task: the calibration, and the number of options of each question."""


def calibrate(
    checkpoint: str,
    out: str,
    tasks: TaskSource | None = None,
    scores: Source | None = None,
    level: Level = "sample",
) -> None:
    """Predict temperatures for new tasks and, if there are scores, calibrated probabilities.

    Args:
        checkpoint: Folder or hub id of a trained thermometer.
        out: JSON lines to write, one per question.
        tasks: Questions; labels are not needed. If `scores` is a table, all of its own by default.
        scores: The answering model, or a table of its scores; needed by a thermometer that reads
            them.
        level: Divide each question's scores by its own temperature or by its task's.
    """
    if scores is not None:
        scores.require_whole("scores")
    file = _files.require_place(out)  # before a model is loaded
    asked = None if tasks is None else load_tasks(tasks)
    if scores is not None and scores.table:
        results = _of_table(checkpoint, scores, asked, level)
    elif asked is None:
        raise _checks.fail("--tasks.source", "given, or else --scores.table", None)
    else:
        results = _of_model(checkpoint, scores, asked, level)
    rows = [row for name, found in results.items() for row in _rows(name, *found)]
    file.parent.mkdir(parents=True, exist_ok=True)
    _files.write_text(file, "\n".join(json.dumps(row) for row in rows) + "\n")
    print(f"{len(rows)} questions calibrated: {out}")  # noqa: T201
    for line in _domain({name: result for name, (result, _) in results.items()}):
        print(line)  # noqa: T201


def _of_model(
    checkpoint: str, scores: Source | None, tasks: Sequence[Task], level: Level
) -> _Results:
    """Tasks asked of the answering model, or only rendered for the small one."""
    calibrator = Calibrator.from_pretrained(checkpoint)
    if scores is None and "scores" in calibrator.reads:
        expected = "given, since this thermometer reads the answering model's scores"
        raise _checks.fail("--scores.model", expected, None)
    if scores is None:
        calibrator.language_model.to_accelerator()
        results = [calibrator.calibrate(task) for task in tasks]
    else:
        large = placed(scores, calibrator)
        results = [large.calibrate(task, level=level) for task in tasks]
    options = [[len(question.options) for question in task.questions] for task in tasks]
    pairs = zip(results, options, strict=True)
    return {task.name: found for task, found in zip(tasks, pairs, strict=True)}


def _of_table(
    checkpoint: str, scores: Source, asked: Sequence[Task] | None, level: Level
) -> _Results:
    """Rows of a table, which has the features too, or the texts for the models that are read."""
    table = scores.open(asked)
    table.require("scores")
    calibrator = Calibrator.from_pretrained(checkpoint)
    made = table.provenance.get("scores") or {}
    if (place := place_of(calibrator.record.targets, made)) is not None:
        calibrator = for_model(calibrator, place)
    else:
        for doubt in doubts(calibrator.record.targets, made):
            print(f"warning     {doubt}")  # noqa: T201
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
        found = calibrator.calibrate(given, rows[name].scores, level=level, answered_by=made)
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
