"""The methods that can be compared by name, fitted on some tasks and applied to others.

A method reads the labelled rows of some tasks and the unlabelled rows of others, and gives the
latter temperatures or probabilities.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks
from thermometer._lightning import Bar
from thermometer.calibrator import Calibrator
from thermometer.comparison import Predicted
from thermometer.protocols import Protocol
from thermometer.recalibrators.base import ConfidenceRecalibrator, with_confidence
from thermometer.recalibrators.confidence import (
    HistogramBinning,
    IsotonicCalibration,
    PlattScaling,
)
from thermometer.recalibrators.scores import BatchCalibration
from thermometer.scaling import fit_temperature, harmonic_mean, label_doubts, scale_scores
from thermometer.tables import OutputTable

Vector = NDArray[np.float64]
_SMALLEST = float(np.finfo(np.float64).tiny)
Fit = Callable[[OutputTable], Calibrator]


@dataclass(frozen=True)
class Method:
    """A method by name.

    Args:
        title: For tables.
        note: What it does and what it needs, in a sentence.
    """

    title: str
    note: str


_REST = "the other options share the rest as the pooled temperature has it; answers stay"

METHODS: Mapping[str, Method] = {
    "uncalibrated": Method("uncalibrated", "the model's own confidence, temperature 1"),
    "pooled": Method(
        "pooled temperature",
        "fitted on the labelled training tasks: the baseline that needs no thermometer",
    ),
    "platt": Method("Platt", f"a sigmoid of the log odds, fitted on the training tasks; {_REST}"),
    "isotonic": Method(
        "isotonic", f"a rising step function, fitted on the training tasks; {_REST}"
    ),
    "histogram": Method(
        "histogram binning", f"the accuracy of 15 equal-mass bins of the training tasks; {_REST}"
    ),
    "batch": Method(
        "batch calibration",
        "each task's mean log-odds taken off, without labels (Zhou et al. 2023), then a pooled "
        "temperature fitted on the training tasks so treated; may change answers",
    ),
    "thermometer": Method(
        "thermometer", "a temperature for each question, predicted without labels"
    ),
    "thermometer_task": Method(
        "thermometer, per task",
        "the mean of these predictions over the task's questions, used for all",
    ),
}
THERMOMETERS = ("uncalibrated", "pooled", "thermometer", "thermometer_task")
"""The thermometer and what it is compared with: always measured where one is trained."""
_OF_CONFIDENCE: Mapping[str, Callable[[], ConfidenceRecalibrator]] = {
    "platt": PlattScaling,
    "isotonic": IsotonicCalibration,
    "histogram": HistogramBinning,
}


def check_methods(names: Sequence[str]) -> tuple[str, ...]:
    """The names, if they are of methods and all different; `pooled` is always among them.

    Example:
        >>> check_methods(["uncalibrated", "thermometer"])
        ('uncalibrated', 'pooled', 'thermometer')
    """
    chosen = _checks.strings("methods", names)
    for name in chosen:
        _checks.one_of("methods", name, METHODS)
    wanted = {*chosen, "pooled"}  # every other method is compared with it
    return tuple(name for name in METHODS if name in wanted)


class FittedMethods:
    """Methods that have seen the labelled rows of some tasks.

    `fit` trains the thermometer, if one is among the `names` of `METHODS`; `ValueError` if it is
    needed and missing, or trains on other tasks than those of the rows `seen`.

    Example:
        >>> scores, labels = [[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [0, 1, 0]
        >>> seen = OutputTable.from_arrays(["a", "b", "c"], ["law"] * 3, labels, scores)
        >>> unseen = OutputTable.from_arrays(["d", "e"], ["art"] * 2, None, scores[:2])
        >>> FittedMethods(["uncalibrated"], seen).predict(unseen)["uncalibrated"].tolist()
        [1.0, 1.0]
    """

    def __init__(self, names: Sequence[str], seen: OutputTable, fit: Fit | None = None) -> None:
        self.names = tuple(names)
        self.seen_tasks = frozenset(seen.task_names)
        scores = seen.require("scores")
        self._pooled = fit_temperature(scores, seen.labels).temperature
        self._recalibrators = {n: _OF_CONFIDENCE[n]() for n in self.names if n in _OF_CONFIDENCE}
        if self._recalibrators:
            correct = scores.argmax(axis=1) == seen.labels
            confidence = scale_scores(scores, 1.0).max(axis=1)
            for recalibrator in self._recalibrators.values():
                recalibrator.fit(confidence, correct)
        if "batch" in self.names:
            self._batch = fit_temperature(_without_bias(seen), seen.labels).temperature
        self._calibrator: Calibrator | None = None
        if {"thermometer", "thermometer_task"} & set(self.names):
            if fit is None:
                raise _checks.fail("fit", "given, since a thermometer is asked for", "None")
            self._calibrator = fit(seen)
            if leaked := sorted(set(self._calibrator.train_tasks) - self.seen_tasks):
                raise ValueError(
                    "Expected `fit` to train on the tasks that it was given, but it trained on "
                    f"{', '.join(leaked[:3])}"
                )

    def predict(self, unseen: OutputTable) -> dict[str, Vector | Predicted]:
        """By name, (N,) temperatures or `Predicted`, for the N rows of `unseen` in their order.

        Labels are taken away before any method sees the rows.

        Raises:
            ValueError: If a task of `unseen` was seen.
        """
        if both := sorted(self.seen_tasks & set(unseen.task_names)):
            raise _checks.fail("unseen", "of tasks that were not seen", ", ".join(both[:3]))
        hidden = replace(unseen, labels=np.full(len(unseen), -1), hashes=None)
        scores = hidden.require("scores")
        found: dict[str, Vector | Predicted] = {
            "uncalibrated": np.ones(len(hidden)),
            "pooled": np.full(len(hidden), self._pooled),
        }
        if self._recalibrators:
            own, answer = scale_scores(scores, 1.0).max(axis=1), scores.argmax(axis=1)
            others, options = scale_scores(scores, self._pooled), np.isfinite(scores).sum(axis=1)
            for name, recalibrator in self._recalibrators.items():
                probs = with_confidence(others, recalibrator.recalibrate(own), options)
                found[name] = Predicted(probs, answer)
        if "batch" in self.names:
            debiased = _without_bias(hidden)
            found["batch"] = Predicted(scale_scores(debiased, self._batch), debiased.argmax(axis=1))
        if self._calibrator is not None:
            sample = self._calibrator.temperature(hidden)
            found["thermometer"] = sample
            found["thermometer_task"] = task_level(sample, hidden.tasks)
        return {name: found[name] for name in self.names}


def task_level(temperature: Vector, tasks: NDArray[np.str_]) -> Vector:
    """(N,) the temperature of each row's task, from those of its rows.

    Example:
        >>> task_level(np.array([1.0, 3.0, 2.0]), np.array(["law", "law", "art"])).tolist()
        [1.5, 1.5, 2.0]
    """
    result = np.empty(len(temperature))
    for name in np.unique(tasks):
        rows = tasks == name
        result[rows] = harmonic_mean(temperature[rows])
    return result


def _without_bias(table: OutputTable) -> Vector:
    """Log-probabilities less each task's own bias, which needs no labels."""
    scores, tasks = table.require("scores"), table.tasks
    batch = BatchCalibration(per_task=True).fit(scores, tasks=tasks)
    logs = np.log(np.maximum(batch.predict_proba(scores, tasks), _SMALLEST))
    return np.where(np.isfinite(scores), logs, -np.inf)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """N tested rows with what every method says of them.

    Args:
        table: The rows, with labels, sorted by split.
        methods: By name, (N,) temperatures or `Predicted`.
        fold: (N,) number of the split that tested each row.
    """

    table: OutputTable
    methods: dict[str, Vector | Predicted]
    fold: NDArray[np.int64]


def hold_out(
    table: OutputTable,
    methods: Sequence[str],
    protocol: Protocol,
    fit: Fit | None = None,
    *,
    progress: bool = True,
) -> HeldOut:
    """Fit methods on some tasks, and apply them to the others: cross-validation over tasks.

    Args:
        table: Labelled rows with scores (and features, if a thermometer is asked for).
        methods: Of `methods.METHODS`.
        protocol: How tasks are left out.
        fit: Trains a thermometer on labelled rows.
        progress: Show a progress bar over the splits.

    Raises:
        ValueError: If a row has no label, or the table lacks what a method needs.

    Example:
        >>> scores, labels = [[2.0, 0.0], [0.0, 1.0]] * 2, [0, 1, 1, 1]
        >>> tasks = ["law", "law", "art", "art"]
        >>> table = OutputTable.from_arrays(list("abcd"), tasks, labels, scores)
        >>> held = hold_out(table, ["uncalibrated"], Protocol(leave_one_out=True), progress=False)
        >>> held.table.ids, held.fold.tolist(), sorted(held.methods)
        (('c', 'd', 'a', 'b'), [0, 0, 1, 1], ['pooled', 'uncalibrated'])
    """
    names = check_methods(methods)
    check_labelled("table", table)
    parts: list[tuple[OutputTable, dict[str, Vector | Predicted]]] = []
    splits = protocol.splits(table.task_names)
    description = f"{len(splits)} {'split' if len(splits) == 1 else 'folds'}"
    with Bar(description, len(splits), shown=progress, kept=False) as bar:
        for number, split in enumerate(splits, start=1):
            fitted = FittedMethods(names, table.of_tasks(split.train), fit)
            rows = table.of_tasks(split.test)
            parts.append((rows, fitted.predict(rows)))
            bar.show(number)
    tested: dict[str, Vector | Predicted] = {}
    for name in names:
        values = [predictions[name] for _, predictions in parts]
        if isinstance(values[0], Predicted):
            columns = zip(*values, strict=True)
            tested[name] = Predicted(*(np.concatenate(column) for column in columns))
        else:
            tested[name] = np.concatenate(values)
    fold = np.concatenate([np.full(len(rows), i) for i, (rows, _) in enumerate(parts)])
    return HeldOut(OutputTable.concatenate([rows for rows, _ in parts]), tested, fold)


def check_labelled(name: str, table: OutputTable) -> None:
    """Raise unless every row of a table has scores and a label."""
    _checks.instance(name, table, OutputTable, "of one answering model")
    table.require("scores")
    if not table.labelled:
        without = np.flatnonzero(table.labels < 0)
        got = f"{len(without)} of {len(table)} rows without, first {table.ids[without[0]]}"
        raise _checks.fail(name, "labelled in every row", got)
    for doubt in label_doubts(table.require("scores"), table.labels, table.tasks):
        warnings.warn(doubt, stacklevel=3)
