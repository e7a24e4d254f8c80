"""Methods compared on labelled scores: numbers per task, over tasks and over all rows.

A method is a temperature for every row, or `Predicted` probabilities. The intervals come from whole
tasks drawn with replacement, the same draws for every method, so that differences are paired.
Nothing here knows where they come from, which tasks were seen in training, or how results look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks, metrics
from thermometer.metrics.intervals import Interval, Resampled, task_counts
from thermometer.outcomes import METRICS as METRICS
from thermometer.outcomes import Outcomes
from thermometer.outcomes import Predicted as Predicted
from thermometer.pictures.reliability import ReliabilityDiagram, prepare_reliability
from thermometer.scaling import TemperatureFit, fit_temperature

Vector = NDArray[np.float64]
Numbers = dict[str, Interval]

LOWER_IS_BETTER = ("nll", "brier", "ece_10", "ece_15", "smooth_ece")
TOPLINE = "topline"


@dataclass(frozen=True, eq=False)
class MethodResult:
    """What one method reaches.

    Args:
        mean_over_tasks: Means over tasks, each task counting once, by the names in `METRICS`; and
            `gap_closed`, see `metrics.oracle_gap_closed`, of these means; and, of a method that
            has temperatures, `log_ratio`, the mean of |log(task temperature / best temperature)|
            over tasks that have a best one.
        all_rows: The metrics of all rows thrown together, and `gap_closed`.
        floor: For `mean_over_tasks` and `all_rows`, the `ece_10` and `ece_15` that these
            confidences would score on so few rows if they were perfectly calibrated.
        diagram: Reliability diagram of all rows thrown together, 10 bins.
    """

    mean_over_tasks: Numbers
    all_rows: Numbers
    floor: dict[str, dict[str, float]]
    diagram: ReliabilityDiagram


@dataclass(frozen=True)
class Difference:
    """Method minus baseline, paired; below zero the method is better.

    Args:
        method: Name of the method.
        baseline: Name of the method that it is compared with.
        mean_over_tasks: Difference of the means over tasks, by the names in `LOWER_IS_BETTER`.
        all_rows: Difference over all rows thrown together.
        n_better: Number of tasks on which the method is better.
    """

    method: str
    baseline: str
    mean_over_tasks: Numbers
    all_rows: Numbers
    n_better: dict[str, int]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Numbers of several methods on T tasks.

    Args:
        task_names: (T,) sorted.
        best: (T,) the best temperature of each task on its own labels.
        temperature: (T,) task temperature of each method that has temperatures: the harmonic mean
            over the task's rows.
        per_task: (T,) values by method and metric.
        methods: Summary of each method.
        differences: Between methods, as asked for.
    """

    task_names: tuple[str, ...]
    best: tuple[TemperatureFit, ...]
    temperature: dict[str, Vector]
    per_task: dict[str, dict[str, Vector]]
    methods: dict[str, MethodResult]
    differences: tuple[Difference, ...]


def compare(
    scores: ArrayLike,
    labels: ArrayLike,
    tasks: ArrayLike,
    methods: Mapping[str, ArrayLike | Predicted],
    *,
    baseline: str,
    pairs: Sequence[tuple[str, str]] = (),
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Measure every method and `topline`, the best temperature of each task on its own labels.

    Resampling draws whole tasks and keeps their rows (see `intervals.task_counts`), for the means
    over tasks as for all rows together. The intervals say how much the numbers would change with
    other tasks of the same kind, not with another training run. An ECE or smooth ECE of *all rows*
    is biased upwards on resamples, so its interval sits high; means over tasks have no such bias.
    With one task there are no intervals.

    Args:
        scores: (N, K) unnormalised scores, ``-inf`` in short rows.
        labels: (N,) index of the right option.
        tasks: (N,) task names.
        methods: By name, (N,) temperatures, or `Predicted` probabilities and answers.
        baseline: The method from which `gap_closed` counts.
        pairs: (method, baseline) whose differences are wanted.
        n_resamples: Number of resamples of tasks.
        seed: Equal seeds give equal results.
        level: Coverage aimed at, in (0, 1).

    Raises:
        ValueError: If arguments disagree in length, a label is missing, a temperature is not
            positive, or all options of a task score the same. The message names it.

    Example:
        >>> scores, labels = [[4.0, 0.0]] * 4, [0, 0, 0, 1]
        >>> result = compare(scores, labels, ["t"] * 4, {"vanilla": [1.0] * 4}, baseline="vanilla")
        >>> round(result.best[0].temperature, 2)  # 4/t = log 3
        3.64
        >>> result.methods["vanilla"].all_rows["accuracy"].estimate
        0.75
    """
    level = _checks.number("level", level, maximum=1 - 1e-9, strict=True)
    logits = _checks.score_matrix("scores", scores)
    n_options = np.isfinite(logits).sum(axis=1)
    chosen = _checks.label_vector("labels", labels, n_options)
    used = {
        name: _predicted(name, method, n_options, logits.shape[1])
        if isinstance(method, Predicted)
        else _checks.vector(name, method, len(logits))
        for name, method in methods.items()
    }
    names, task = np.unique(np.asarray(tasks), return_inverse=True)
    order = np.argsort(task, kind="stable")
    logits, chosen, task = logits[order], chosen[order], task[order]
    used = {
        name: Predicted(values.probs[order], values.answer[order])
        if isinstance(values, Predicted)
        else values[order]
        for name, values in used.items()
    }
    starts = np.flatnonzero(np.diff(task, prepend=-1))
    best = tuple(
        _best_temperature(str(name), logits[task == i], chosen[task == i])
        for i, name in enumerate(names)
    )
    used[TOPLINE] = np.array([fit.temperature for fit in best])[task]

    outcomes = {
        name: Outcomes.of_predicted(values, chosen, starts)
        if isinstance(values, Predicted)
        else Outcomes.measure(logits, chosen, values, starts)
        for name, values in used.items()
    }
    per_task = {name: outcome.per_task() for name, outcome in outcomes.items()}
    temperature = {
        name: _task_temperatures(values, starts)
        for name, values in used.items()
        if not isinstance(values, Predicted)
    }
    counts = task_counts(len(names), n_resamples, seed)
    if len(names) == 1:
        counts = np.full_like(counts, np.nan)  # one task says nothing about the spread
    found = np.array([not fit.at_bound for fit in best])
    over_tasks, all_rows = {}, {}
    for name in used:
        over_tasks[name] = {key: _mean(values, counts) for key, values in per_task[name].items()}
        if name in temperature:
            ratio = np.abs(np.log(temperature[name] / temperature[TOPLINE]))
            over_tasks[name]["log_ratio"] = _mean(ratio, counts, found)
        all_rows[name] = outcomes[name].all_rows(counts)
    for scope in (over_tasks, all_rows):
        nll = {name: values["nll"] for name, values in scope.items()}
        for name in used:
            scope[name]["gap_closed"] = _gap_closed(nll[name], nll[baseline], nll[TOPLINE])

    def numbers(values: Mapping[str, Resampled]) -> Numbers:
        return {key: value.interval(level) for key, value in values.items()}

    def difference(name: str, other: str) -> Difference:
        keys, ours, theirs = LOWER_IS_BETTER, per_task[name], per_task[other]
        return Difference(
            name,
            other,
            numbers({k: over_tasks[name][k] - over_tasks[other][k] for k in keys}),
            numbers({k: all_rows[name][k] - all_rows[other][k] for k in keys}),
            {key: int((ours[key] < theirs[key]).sum()) for key in keys},
        )

    results = {
        name: MethodResult(
            numbers(over_tasks[name]),
            numbers(all_rows[name]),
            outcome.floor(seed),
            prepare_reliability(outcome.confidence, outcome.correct, n_bins=10),
        )
        for name, outcome in outcomes.items()
    }
    differences = tuple(difference(*pair) for pair in pairs)
    return Comparison(tuple(map(str, names)), best, temperature, per_task, results, differences)


def _predicted(
    name: str, predicted: Predicted, n_options: NDArray[np.int64], width: int
) -> Predicted:
    """Checked probabilities (N, width) and answers."""
    probs = _checks.prob_matrix(name, predicted.probs)
    if probs.shape != (len(n_options), width):
        shape = f"shape {probs.shape}"
        raise _checks.fail(name, f"probabilities of shape {(len(n_options), width)}", shape)
    return Predicted(probs, _checks.label_vector(name, predicted.answer, n_options))


def _best_temperature(task: str, logits: Vector, labels: NDArray[np.int64]) -> TemperatureFit:
    """The best temperature of a task; errors name it."""
    try:
        return fit_temperature(logits, labels)
    except ValueError as error:
        raise ValueError(f"Task {task!r}: {error}") from error


def _task_temperatures(temperature: Vector, starts: NDArray[np.int64]) -> Vector:
    """(T,) harmonic means of the temperatures of rows that are sorted by task."""
    sizes = np.diff(starts, append=len(temperature))
    result: Vector = sizes / np.add.reduceat(1 / temperature, starts)
    return result


def _mean(values: Vector, counts: Vector, kept: NDArray[np.bool_] | None = None) -> Resampled:
    """Mean over the kept tasks, and its resamples; NaN where none is kept."""
    weight = np.ones(len(values)) if kept is None else kept.astype(np.float64)
    if not weight.any():
        return Resampled(float("nan"), np.full(len(counts), np.nan))
    with np.errstate(invalid="ignore"):  # a resample may hold none of the kept
        draws = counts @ (values * weight) / (counts @ weight)
    return Resampled(float(np.average(values, weights=weight)), draws)


def _gap_closed(method: Resampled, baseline: Resampled, topline: Resampled) -> Resampled:
    """`metrics.oracle_gap_closed` of the estimates, and of each resample."""
    values = (method.estimate, baseline.estimate, topline.estimate)
    gap = baseline.draws - topline.draws
    gap = np.where(gap > 0, gap, np.nan)
    return Resampled(metrics.oracle_gap_closed(*values), (baseline.draws - method.draws) / gap)
