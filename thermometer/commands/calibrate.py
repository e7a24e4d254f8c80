"""The `calibrate` command: a checkpoint applied to new questions."""

import json
from pathlib import Path
from typing import Any

from thermometer import _checks, _files
from thermometer.calibrator import Calibrator, Level
from thermometer.commands.placing import placed
from thermometer.experiment import ModelSpec
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
    calibrator = Calibrator.from_pretrained(checkpoint)
    if scores is None and "scores" in calibrator.reads:
        raise _checks.fail(
            "--scores.model",
            "given, since this thermometer reads the answering model's scores",
            None,
        )
    rows = []
    if scores is None:
        calibrator.language_model.to_accelerator()
        for task in load_tasks(tasks):
            rows += _rows(task, calibrator.calibrate(task))
    else:
        large = placed(scores, calibrator)
        budget = scores.budget(large.lm)
        for task in load_tasks(tasks):
            rows += _rows(task, large.calibrate(task, level=level, token_budget=budget))
    _files.write_text(Path(out), "\n".join(json.dumps(row) for row in rows) + "\n")
    print(f"{len(rows)} questions calibrated: {out}")  # noqa: T201


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
