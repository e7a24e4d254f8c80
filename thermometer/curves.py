"""How calibration changes with the number of labels, or of unlabelled prompts, of a new task.

`few_labels` asks from how many labels on a temperature of the task's own beats what needs none;
`unlabelled` asks how many prompts the temperature of a task needs. Nothing here trains or draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks, metrics
from thermometer.held_out import HeldOut
from thermometer.metrics.intervals import Interval, Resampled, task_counts
from thermometer.outcomes import Outcomes
from thermometer.scaling import fit_temperature, harmonic_mean

Vector = NDArray[np.float64]
MEASURES = ("nll", "ece_10")


@dataclass(frozen=True)
class Curve:
    """Means over T tasks by the number of labels or prompts.

    Args:
        x: Numbers; `None` stands for all that a task has.
        varying: Method -> measure -> one interval for each of `x`.
        constant: The same of methods that do not depend on `x`, measured on the same rows: one
            interval each.
        differences: Method -> measure -> paired difference of the varying method from each constant
            one, "varying - constant", for each of `x`.
        n_tasks: T.
        n_repeats: How often labels or prompts were drawn; each task's numbers are means over them.
    """

    x: tuple[int | None, ...]
    varying: dict[str, dict[str, tuple[Interval, ...]]]
    constant: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, tuple[Interval, ...]]]
    n_tasks: int
    n_repeats: int


def few_labels(
    held: HeldOut,
    sizes: Sequence[int | None],
    *,
    n_repeats: int = 10,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Curve:
    """Temperature scaling on a few labels of the task itself, against methods that need none.

    In every repetition the rows of a task are split at random: the first half may be labelled, the
    second is measured, by every method. With n labels, the temperature of the first n rows is
    fitted (`scaling.fit_temperature`; with none it is that of the seen tasks, `pooled`); `None`
    takes the whole first half, and so does an n beyond it. A few labels that are all right, or all
    wrong, give a temperature at the bound of the search: that is part of what is measured.

    Args:
        held: Rows of unseen tasks with the temperatures of `pooled` and of other methods.
        sizes: Numbers of labels, ascending; `None` for all.
        n_repeats: Random splits of each task.
        n_resamples: Resamples of tasks behind the intervals.
        seed: Equal seeds give equal curves.

    Returns:
        The curve of `own labels`; constant are all methods of `held` that are temperatures.

    Raises:
        ValueError: If a task has fewer than four rows, or a size is negative.
    """
    sizes = _sizes(sizes, minimum=0)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    tasks = _tasks(held)
    constant = _temperatures(held)
    varying = np.zeros((len(tasks), len(sizes), len(MEASURES)))
    fixed = {name: np.zeros((len(tasks), len(MEASURES))) for name in constant}
    scores, labels = held.table.require("scores"), held.table.labels
    for t, rows in enumerate(tasks):
        for _ in range(_checks.integer("n_repeats", n_repeats)):
            drawn = rng.permutation(rows)
            pool, measured = drawn[: len(rows) // 2], drawn[len(rows) // 2 :]
            for i, size in enumerate(sizes):
                used = pool[:size]
                if len(used):
                    own = np.full(len(measured), _own(scores[used], labels[used]))
                else:
                    own = constant["pooled"][measured]
                varying[t, i] += _measure(held, measured, own)
            for name, temperature in constant.items():
                fixed[name][t] += _measure(held, measured, temperature[measured])
    return _curve(sizes, {"own labels": varying}, fixed, n_repeats, n_resamples, seed)


def unlabelled(
    held: HeldOut,
    sizes: Sequence[int | None],
    *,
    n_repeats: int = 10,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Curve:
    """The thermometer's temperature of a task from N* of its unlabelled prompts.

    In every repetition N* rows of a task are drawn without replacement, the task's temperature is
    the harmonic mean of theirs (`scaling.harmonic_mean`), and all rows of the task are measured
    with it. `None`, or an N* beyond the task's size, takes all rows.

    Args:
        held: Rows of unseen tasks with the temperatures of `thermometer` and of other methods.
        sizes: Numbers of prompts N*, at least 1, ascending; `None` for all.
        n_repeats: Random draws for each task and number.
        n_resamples: Resamples of tasks behind the intervals.
        seed: Equal seeds give equal curves.

    Returns:
        The curve of `thermometer, per task`; constant are all other methods of `held` that are
        temperatures, the thermometer per sample among them.

    Raises:
        ValueError: If there is no `thermometer` in `held`, or a size is below 1.
    """
    sizes = _sizes(sizes, minimum=1)
    if "thermometer" not in held.methods:
        raise _checks.fail("held", "with a `thermometer`", ", ".join(held.methods))
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    tasks = _tasks(held)
    constant = _temperatures(held)
    constant.pop("thermometer_task", None)  # it is the point of all prompts
    sample = constant["thermometer"]
    varying = np.zeros((len(tasks), len(sizes), len(MEASURES)))
    fixed = {name: np.zeros((len(tasks), len(MEASURES))) for name in constant}
    for t, rows in enumerate(tasks):
        for _ in range(_checks.integer("n_repeats", n_repeats)):
            drawn = rng.permutation(rows)
            for i, size in enumerate(sizes):
                temperature = harmonic_mean(sample[drawn[:size]])
                varying[t, i] += _measure(held, rows, np.full(len(rows), temperature))
        for name, temperatures in constant.items():
            fixed[name][t] = n_repeats * _measure(held, rows, temperatures[rows])
    name = "thermometer, per task"
    return _curve(sizes, {name: varying}, fixed, n_repeats, n_resamples, seed)


def _curve(
    sizes: tuple[int | None, ...],
    varying: dict[str, Vector],
    fixed: dict[str, Vector],
    n_repeats: int,
    n_resamples: int,
    seed: int,
) -> Curve:
    """Means over tasks of sums over repetitions, with intervals from resampled tasks."""
    n_tasks = len(next(iter(varying.values())))
    counts = task_counts(n_tasks, n_resamples, seed)
    if n_tasks == 1:
        counts = np.full_like(counts, np.nan)  # one task says nothing about the spread

    def mean(values: Vector) -> Resampled:
        values = values / n_repeats
        return Resampled(float(values.mean()), counts @ values / n_tasks)

    moving = {
        name: {m: [mean(v[:, i, k]) for i in range(len(sizes))] for k, m in enumerate(MEASURES)}
        for name, v in varying.items()
    }
    still = {name: {m: mean(v[:, k]) for k, m in enumerate(MEASURES)} for name, v in fixed.items()}
    return Curve(
        sizes,
        {n: {m: tuple(p.interval() for p in ps) for m, ps in v.items()} for n, v in moving.items()},
        {n: {m: p.interval() for m, p in v.items()} for n, v in still.items()},
        {
            f"{one} - {other}": {
                m: tuple((p - still[other][m]).interval() for p in ps) for m, ps in points.items()
            }
            for one, points in moving.items()
            for other in still
        },
        n_tasks,
        n_repeats,
    )


def _measure(held: HeldOut, rows: NDArray[np.int64], temperature: Vector) -> Vector:
    """`MEASURES` of some rows at their temperatures."""
    scores, labels = held.table.require("scores")[rows], held.table.labels[rows]
    outcomes = Outcomes.measure(scores, labels, temperature, np.zeros(1, dtype=np.int64))
    confidence, correct = outcomes.confidence, outcomes.correct
    return np.array(
        [
            outcomes.nll.mean(),
            metrics.expected_calibration_error(confidence, correct, 10),
        ]
    )


def _own(scores: Vector, labels: NDArray[np.int64]) -> float:
    """The temperature of a few rows; 1 where none is best, all options scoring the same."""
    if not np.ptp(np.where(np.isfinite(scores), scores, scores[:, :1]), axis=1).any():
        return 1.0
    return fit_temperature(scores, labels).temperature


def _sizes(sizes: Sequence[int | None], minimum: int) -> tuple[int | None, ...]:
    checked = tuple(s if s is None else _checks.integer("sizes", s, minimum) for s in sizes)
    if not checked:
        raise _checks.fail("sizes", "at least one number", "none")
    return checked


def _tasks(held: HeldOut) -> list[NDArray[np.int64]]:
    """Row numbers of each task."""
    tasks = []
    for name in held.table.task_names:
        rows = np.flatnonzero(held.table.tasks == name)
        if len(rows) < 4:
            raise _checks.fail("held", "of at least four rows a task", f"{len(rows)} of {name!r}")
        tasks.append(rows)
    return tasks


def _temperatures(held: HeldOut) -> dict[str, Vector]:
    """The methods that are temperatures."""
    return {n: v for n, v in held.methods.items() if isinstance(v, np.ndarray)}
