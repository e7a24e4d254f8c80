"""Measure thermometers on labelled tasks that they were not trained on.

`cross_validate` trains and tests by a protocol; `evaluate` tests a finished calibrator. Both give
every row its temperatures and leave the numbers to `comparison`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thermometer import _checks
from thermometer._files import versions
from thermometer.calibrator import Calibrator
from thermometer.comparison import Predicted, compare
from thermometer.methods import (
    THERMOMETERS,
    HeldOut,
    Vector,
    check_labelled,
    check_methods,
    hold_out,
    task_level,
)
from thermometer.protocols import Protocol
from thermometer.reports.report import Report, TaskResult
from thermometer.scaling import scale_scores
from thermometer.segments.columns import question_columns
from thermometer.segments.report import SegmentReport, segments
from thermometer.tables import OutputTable

_PAIRS = [
    (method, baseline)
    for method in ("thermometer", "thermometer_task")
    for baseline in ("uncalibrated", "pooled")
]


def cross_validate(
    table: OutputTable,
    fit: Callable[[OutputTable], Calibrator],
    protocol: Protocol | None = None,
    *,
    methods: Sequence[str] = (),
    n_resamples: int = 1000,
    seed: int = 0,
    progress: bool = True,
    by: Mapping[str, ArrayLike] | None = None,
) -> Report:
    """Train on some tasks, test on the others, and compare with the alternatives.

    Every tested task is unseen by the thermometer that is tested on it, and by the pooled
    temperature. Predictions are made from rows whose labels were taken away.

    Args:
        table: Scores and labels, and features if `fit` reads them.
        fit: Trains on the rows of the seen tasks, for example ``train``. Called once per split.
        protocol: How tasks are left out; by default 5 folds.
        methods: Recalibrators to measure beside the thermometer: names of `methods.METHODS`.
        n_resamples: Number of resamples of tasks behind the intervals.
        seed: Of the resamples. That of the splits is in `protocol`.
        progress: Show a progress bar over the splits.
        by: Columns of N values that tell questions apart, rows in the order of the table, for the
            segments of the report; by default `segments.columns.question_columns` of the table.

    Returns:
        The report. Its methods: `uncalibrated` (temperature 1), `pooled` (a temperature fitted on
        the training tasks), those asked for, `thermometer` (a temperature of each sample),
        `thermometer_task` (their mean over the task), `oracle` (fitted on each task's own labels:
        no method, a bound).

    Raises:
        ValueError: If a row has no label, the table lacks scores or features that are read, a
            method is unknown, the protocol does not fit the tasks, or `fit` returns a calibrator
            that was trained on tasks to be tested.

    Example:
        >>> from thermometer.checkpoint import TrainingRecord
        >>> from thermometer.network import Thermometer, ThermometerConfig
        >>> scores, labels = [[2.0, 0.0], [0.0, 1.0]] * 2, [0, 1, 1, 1]
        >>> table = OutputTable.from_arrays(
        ...     ["q1", "q2", "q3", "q4"], ["law", "law", "art", "art"], labels, scores, scores
        ... )
        >>> def fit(seen):  # in earnest: train
        ...     network = Thermometer(ThermometerConfig(("features",), 0), n_features=2)
        ...     return Calibrator(network, TrainingRecord(seen.task_names, 1.0))
        >>> report = cross_validate(table, fit, Protocol(leave_one_out=True), progress=False)
        >>> [(task.task, task.n, task.accuracy) for task in report.tasks]
        [('art', 2, 0.5), ('law', 2, 1.0)]
    """
    protocol = protocol or Protocol()
    chosen = check_methods((*THERMOMETERS, *_checks.strings("methods", methods)))
    held = hold_out(table, chosen, protocol, fit, progress=progress)
    described = {**protocol.to_dict(), "description": str(protocol)}
    return _report(table, held, frozenset(), described, n_resamples, seed, by)


def evaluate(
    table: OutputTable,
    calibrator: Calibrator,
    *,
    allow_seen: bool = False,
    n_resamples: int = 1000,
    seed: int = 0,
    by: Mapping[str, ArrayLike] | None = None,
) -> Report:
    """Test a finished calibrator on tasks that it was not trained on.

    Args:
        table: Scores and labels, and features if the calibrator reads them.
        calibrator: From `train` or a checkpoint.
        allow_seen: Also test on tasks of the training; the report flags them and says so.
        n_resamples: As for `cross_validate`, like `seed` and `by`.
        seed: Of the resamples.
        by: Columns for the segments.

    Raises:
        ValueError: If a row has no label, the table lacks scores or the features that the
            calibrator reads, or tasks were trained on and `allow_seen` is false.
    """
    check_labelled("table", table)
    _checks.instance("calibrator", calibrator, Calibrator, "`train` makes one")
    seen = sorted(set(calibrator.train_tasks) & set(table.task_names))
    if seen and not allow_seen:
        raise ValueError(
            f"Expected unseen tasks, but the calibrator was trained on {len(seen)} of "
            f"{len(table.task_names)}: {', '.join(seen[:5])}{', ...' if len(seen) > 5 else ''}. "
            "Leave them out, or allow them with allow_seen=True"
        )
    described = {
        "allow_seen": allow_seen,
        "n_train_tasks": len(calibrator.train_tasks),
        "description": "a finished thermometer, tested on "
        + ("tasks of which it was trained on some" if seen else "tasks it was not trained on"),
    }
    sample = calibrator.temperature(replace(table, labels=np.full(len(table), -1), hashes=None))
    methods: dict[str, Vector | Predicted] = {
        "uncalibrated": np.ones(len(table)),
        "pooled": np.full(len(table), calibrator.pooled_temperature),
        "thermometer": sample,
        "thermometer_task": task_level(sample, table.tasks),
    }
    held = HeldOut(table, methods, np.zeros(len(table), dtype=np.int64))
    return _report(table, held, frozenset(seen), described, n_resamples, seed, by)


def _report(
    table: OutputTable,
    held: HeldOut,
    seen: frozenset[str],
    protocol: dict[str, Any],
    n_resamples: int,
    seed: int,
    by: Mapping[str, ArrayLike] | None,
) -> Report:
    """Compare the predictions and put the results together."""
    tasks, scores = held.table.tasks, held.table.require("scores")
    pooled = np.asarray(held.methods["pooled"])
    result = compare(
        scores,
        held.table.labels,
        tasks,
        held.methods,
        baseline="pooled",
        pairs=[
            *_PAIRS,
            *(("thermometer", name) for name in held.methods if name not in THERMOMETERS),
        ],
        n_resamples=n_resamples,
        seed=seed,
    )
    rows = []
    for i, name in enumerate(result.task_names):
        of_task = tasks == name
        first = int(np.argmax(of_task))
        metrics = {
            method: {key: float(values[i]) for key, values in columns.items()}
            for method, columns in result.per_task.items()
        }
        rows.append(
            TaskResult(
                task=name,
                n=int(of_task.sum()),
                n_options=float(np.isfinite(scores[of_task]).sum(axis=1).mean()),
                accuracy=metrics["uncalibrated"]["accuracy"],
                fold=int(held.fold[first]),
                seen=name in seen,
                temperature=float(result.temperature["thermometer"][i]),
                oracle_temperature=result.oracle[i].temperature,
                at_bound=result.oracle[i].at_bound,
                pooled_temperature=float(pooled[first]),
                metrics=metrics,
            )
        )
    return Report(
        methods=result.methods,
        differences=result.differences,
        tasks=tuple(rows),
        protocol=protocol,
        settings={"seed": seed, "n_resamples": n_resamples, "coverage": 0.95},
        provenance={**table.provenance, "digest": table.digest},
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        segments=_segments(table, held, by, n_resamples, seed),
    )


def _segments(
    table: OutputTable,
    held: HeldOut,
    by: Mapping[str, ArrayLike] | None,
    n_resamples: int,
    seed: int,
) -> SegmentReport | None:
    """Segments of the thermometer's confidence; `None` where all questions are alike."""
    columns = question_columns(table) if by is None else by
    if not columns:
        return None
    place = {identifier: row for row, identifier in enumerate(table.ids)}
    rows = [place[identifier] for identifier in held.table.ids]
    ordered = {}
    for name, values in columns.items():
        array = np.asarray(values)
        if len(array) != len(table):
            raise _checks.fail(f"by[{name!r}]", f"of length {len(table)}", len(array))
        ordered[name] = [array[row] for row in rows]
    scores = held.table.require("scores")
    confidence = scale_scores(scores, np.asarray(held.methods["thermometer"])).max(axis=1)
    correct = scores.argmax(axis=1) == held.table.labels
    return segments(confidence, correct, ordered, n_resamples=n_resamples, seed=seed)
