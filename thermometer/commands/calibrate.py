"""The `calibrate` command: a checkpoint applied to new questions."""

import json
from collections.abc import Mapping
from typing import Any

from thermometer import _checks, _files
from thermometer.calibrator import Calibrator, Level
from thermometer.commands.placing import placed
from thermometer.domain import verdict
from thermometer.model_spec import ModelSpec
from thermometer.tasks import TaskSource, load_tasks
from thermometer.types import Calibration, Task


def calibrate(
    checkpoint: str,
    tasks: TaskSource,
    out: str,
    scores: ModelSpec | None = None,
    level: Level = "sample",
) -> None:
    """Predict temperatures for new tasks and, if a model is given, calibrated probabilities.

    Args:
        checkpoint: Folder or hub id of a trained thermometer.
        tasks: Questions; labels are not needed.
        out: JSON lines to write, one per question.
        scores: The answering model; needed by a thermometer that reads its scores.
        level: Divide each question's scores by its own temperature or by its task's.
    """
    if scores is not None:
        scores.require_whole("scores")
    file, asked = _files.require_place(out), load_tasks(tasks)  # before a model is loaded
    calibrator = Calibrator.from_pretrained(checkpoint)
    if scores is None and "scores" in calibrator.reads:
        raise _checks.fail(
            "--scores.model",
            "given, since this thermometer reads the answering model's scores",
            None,
        )
    if scores is None:
        calibrator.language_model.to_accelerator()
        results = [calibrator.calibrate(task) for task in asked]
    else:
        large = placed(scores, calibrator)
        results = [large.calibrate(task, level=level) for task in asked]
    rows = [row for pair in zip(asked, results, strict=True) for row in _rows(*pair)]
    file.parent.mkdir(parents=True, exist_ok=True)
    _files.write_text(file, "\n".join(json.dumps(row) for row in rows) + "\n")
    print(f"{len(rows)} questions calibrated: {out}")  # noqa: T201
    for line in _domain({t.name: result for t, result in zip(asked, results, strict=True)}):
        print(line)  # noqa: T201


def _domain(results: Mapping[str, Calibration]) -> list[str]:
    """How many tasks are among their like, and why the others are not; nothing if unknown."""
    known = {task: result for task, result in results.items() if result.in_domain is not None}
    near = sum(result.in_domain is True for result in known.values())
    counted = [f"in domain   {near} of {len(known)} tasks"] if known else []
    far = {task: verdict(r.distances)[1] for task, r in known.items() if not r.in_domain}
    return counted + [
        f"warning     {task} is unlike the training: {why}" for task, why in far.items()
    ]


def _rows(task: Task, result: Calibration) -> list[dict[str, Any]]:
    rows = []
    for number, question in enumerate(task.questions):
        row: dict[str, Any] = {
            "id": question.id,
            "task": task.name,
            "temperature": float(result.temperature[number]),
            "task_temperature": result.task_temperature,
        }
        if result.probs is not None:
            row["answer"] = int(result.prediction[number])
            row["confidence"] = float(result.confidence[number])
            row["probs"] = result.probs[number, : len(question.options)].tolist()
        rows.append(row)
    return rows
