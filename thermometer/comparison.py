"""Methods compared on held-out tasks: metrics per task, means, and paired differences.

A method is a temperature for each row, or probabilities that it changed in another way. The oracle,
the temperature fitted on each task's own labels, is no method but a bound.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from thermometer import _checks, metrics
from thermometer.metrics.calibration_error import residual_density, smooth_ece_of
from thermometer.metrics.intervals import Interval, Resampled, task_counts
from thermometer.plots.reliability import ReliabilityDiagram, prepare_reliability
from thermometer.scaling import TemperatureFit, fit_temperature, scale_scores

Vector = NDArray[np.float64]

_SURE = 0.975  # that there is a gap
METRICS = ("accuracy", "nll", "brier", "ece_10", "ece_15", "smooth_ece", "gap")
_BINS = {"ece_10": 10, "ece_15": 15}


class Predicted(NamedTuple):
    """What a method that is no temperature says of N rows.

    Args:
        probs: (N, K) probabilities; 0 where a row has fewer than K options.
        answer: (N,) the option that it answers. It need not be the most probable one: a method may
            find that an answer is likely wrong without knowing which other option is right.
    """

    probs: Vector
    answer: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Confidence, correctness and losses of N rows that are sorted by task.

    Args:
        confidence: (N,) probability of the answer.
        correct: (N,) zeros and ones.
        nll: (N,) negative log-likelihood in nats.
        brier: (N,) squared error summed over options.
        starts: (T,) first row of each task.
    """

    confidence: Vector
    correct: Vector
    nll: Vector
    brier: Vector
    starts: NDArray[np.int64]

    @classmethod
    def measure(
        cls,
        scores: Vector,
        labels: NDArray[np.int64],
        temperature: Vector,
        starts: NDArray[np.int64],
    ) -> "Outcomes":
        """Outcomes of (N, K) scores and (N,) labels at (N,) temperatures.

        The answer is the highest score, whatever the temperature, so that `correct` is the same for
        every temperature. NLL = -log p_max + (s_max - s_y) / temperature, exact even where p_y is
        below the smallest float64.

        Example:
            >>> scores, labels = np.array([[2.0, 0.0]]), np.array([1])
            >>> outcomes = Outcomes.measure(scores, labels, np.array([2.0]), np.array([0]))
            >>> outcomes.confidence.round(3).tolist(), outcomes.nll.round(3).tolist()
            ([0.731], [1.313])
        """
        probs = scale_scores(scores, temperature)
        each = np.arange(len(labels))
        answer = scores.argmax(axis=1)
        confidence = probs.max(axis=1)
        if not (probs[each, answer] == confidence).all():
            raise RuntimeError("Expected temperatures to keep every answer, but one changed")
        lead = scores[each, answer] - scores[each, labels]
        return cls(
            confidence,
            (answer == labels).astype(np.float64),
            lead / temperature - np.log(confidence),
            np.einsum("nk,nk->n", probs, probs) - 2 * probs[each, labels] + 1,
            starts,
        )

    @classmethod
    def of_predicted(
        cls, predicted: Predicted, labels: NDArray[np.int64], starts: NDArray[np.int64]
    ) -> "Outcomes":
        """Outcomes of predicted probabilities; a label of probability 0 costs 708.4 nats.

        Example:
            >>> predicted = Predicted(np.array([[0.4, 0.6]]), np.array([0]))
            >>> outcomes = Outcomes.of_predicted(predicted, np.array([0]), np.array([0]))
            >>> outcomes.confidence.tolist(), outcomes.correct.tolist()
            ([0.4], [1.0])
        """
        probs, answer = predicted
        each = np.arange(len(labels))
        chosen = probs[each, labels]
        return cls(
            probs[each, answer],
            (answer == labels).astype(np.float64),
            -np.log(np.maximum(chosen, np.finfo(np.float64).tiny)),
            np.einsum("nk,nk->n", probs, probs) - 2 * chosen + 1,
            starts,
        )

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(T,) number of rows of each task."""
        return np.diff(self.starts, append=len(self.confidence))

    def _rows(self) -> list[slice]:
        """The rows of each task."""
        return [slice(s, s + n) for s, n in zip(self.starts, self.sizes, strict=True)]

    def per_task(self) -> dict[str, Vector]:
        """(T,) values of every metric in `METRICS`."""
        rows = self._rows()

        def mean(values: Vector) -> Vector:
            return np.array([values[r].mean() for r in rows])

        def error(measure: Callable[..., float], *bins: int) -> Vector:
            return np.array([measure(self.confidence[r], self.correct[r], *bins) for r in rows])

        return {
            "accuracy": mean(self.correct),
            "nll": mean(self.nll),
            "brier": mean(self.brier),
            "ece_10": error(metrics.expected_calibration_error, 10),
            "ece_15": error(metrics.expected_calibration_error, 15),
            "smooth_ece": error(metrics.smooth_ece),
            "gap": mean(self.confidence - self.correct),
        }

    def all_rows(self, counts: Vector) -> dict[str, Resampled]:
        """Every metric of all rows together, also on resamples of tasks.

        Args:
            counts: (R, T) as `intervals.task_counts` gives. Each metric is a function of sums over
                tasks, so that a resample costs one row of a matrix product.
        """
        drawn = counts @ self.sizes
        gap = self.confidence - self.correct
        result = {}
        rows = {"accuracy": self.correct, "nll": self.nll, "brier": self.brier, "gap": gap}
        for name, values in rows.items():
            sums = np.add.reduceat(values, self.starts)
            result[name] = Resampled(float(values.mean()), counts @ sums / drawn)
        task = np.repeat(np.arange(len(self.starts)), self.sizes)
        for name, n_bins in _BINS.items():
            cell = task * n_bins + metrics.bin_index(self.confidence, n_bins)
            gaps = np.bincount(cell, gap, n_bins * len(self.starts)).reshape(-1, n_bins)
            ece = metrics.expected_calibration_error(self.confidence, self.correct, n_bins)
            result[name] = Resampled(ece, np.abs(counts @ gaps).sum(axis=1) / drawn)
        densities = np.array(
            [residual_density(self.confidence[r], self.correct[r]) for r in self._rows()]
        )
        smooth = smooth_ece_of(counts @ densities / drawn[:, None])
        result["smooth_ece"] = Resampled(metrics.smooth_ece(self.confidence, self.correct), smooth)
        return {name: result[name] for name in METRICS}

    def floor(self, seed: int = 0) -> dict[str, dict[str, float]]:
        """Finite-sample floor of these confidences, over tasks and of all rows."""
        floor = metrics.calibration_floor
        over_tasks, all_rows = {}, {}
        for name, n in _BINS.items():
            parts = enumerate(np.split(self.confidence, self.starts[1:]), start=seed)
            over_tasks[name] = float(np.mean([floor(part, n, seed=s) for s, part in parts]))
            all_rows[name] = floor(self.confidence, n, seed=seed)
        return {"mean_over_tasks": over_tasks, "all_rows": all_rows}


Numbers = dict[str, Interval]

LOWER_IS_BETTER = ("nll", "brier", "ece_10", "ece_15", "smooth_ece")
ORACLE = "oracle"


@dataclass(frozen=True, eq=False)
class MethodResult:
    """What one method reaches.

    Args:
        mean_over_tasks: Means over tasks, each task counting once, by the names in `METRICS`; and
            `gap_closed`, see `metrics.oracle_gap_closed`, of these means, NaN where the oracle
            gains no more than chance would; and, of a method that has temperatures, `log_ratio`,
            the mean of |log(task temperature / oracle's)| over tasks that have an oracle.
        all_rows: The metrics of all rows thrown together, and `gap_closed`.
        floor: Finite-sample floor of `ece_10` and `ece_15`, for `mean_over_tasks` and `all_rows`.
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
        oracle: (T,) temperature fitted on each task's own labels.
        temperature: (T,) task temperature of each method that has temperatures: the harmonic mean
            over the task's rows.
        per_task: (T,) values by method and metric.
        methods: Summary of each method.
        differences: Between methods, as asked for.
    """

    task_names: tuple[str, ...]
    oracle: tuple[TemperatureFit, ...]
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
    coverage: float = 0.95,
) -> Comparison:
    """Measure every method and `oracle`, the temperature fitted on each task's own labels.

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
        coverage: Coverage aimed at, in (0, 1).

    Raises:
        ValueError: If arguments disagree in length, a label is missing, a temperature is not
            positive, or all options of a task score the same. The message names it.

    Example:
        >>> scores, labels = [[4.0, 0.0]] * 4, [0, 0, 0, 1]
        >>> methods = {"uncalibrated": [1.0] * 4}
        >>> result = compare(scores, labels, ["t"] * 4, methods, baseline="uncalibrated")
        >>> round(result.oracle[0].temperature, 2)  # 4/t = log 3
        3.64
        >>> result.methods["uncalibrated"].all_rows["accuracy"].estimate
        0.75
    """
    coverage = _checks.number("coverage", coverage, maximum=1 - 1e-9, strict=True)
    logits = _checks.score_matrix("scores", scores)
    n_options = np.isfinite(logits).sum(axis=1)
    chosen = _checks.label_vector("labels", labels, n_options)
    names, task = np.unique(np.asarray(tasks), return_inverse=True)
    order = np.argsort(task, kind="stable")
    task = task[order]
    starts = np.flatnonzero(np.diff(task, prepend=-1))
    outcomes, temperature = {}, {}
    for name, method in methods.items():
        if isinstance(method, Predicted):
            probs = _checks.prob_matrix(name, method.probs)
            if probs.shape != logits.shape:
                got = f"shape {probs.shape}"
                raise _checks.fail(name, f"probabilities of shape {logits.shape}", got)
            answer = _checks.label_vector(name, method.answer, n_options)
            predicted = Predicted(probs[order], answer[order])
            outcomes[name] = Outcomes.of_predicted(predicted, chosen[order], starts)
        else:
            temperature[name] = _checks.vector(name, method, len(logits))[order]
    logits, chosen = logits[order], chosen[order]
    oracle = tuple(
        _oracle(str(name), logits[task == i], chosen[task == i]) for i, name in enumerate(names)
    )
    temperature[ORACLE] = np.array([fit.temperature for fit in oracle])[task]
    outcomes |= {
        name: Outcomes.measure(logits, chosen, values, starts)
        for name, values in temperature.items()
    }
    outcomes = {name: outcomes[name] for name in (*methods, ORACLE)}
    per_task = {name: outcome.per_task() for name, outcome in outcomes.items()}
    sizes = np.diff(starts, append=len(task))
    of_task = {n: sizes / np.add.reduceat(1 / v, starts) for n, v in temperature.items()}
    counts = task_counts(len(names), n_resamples, seed)
    if len(names) == 1:
        counts = np.full_like(counts, np.nan)  # one task says nothing about the spread
    found = np.array([not fit.at_bound for fit in oracle])
    over_tasks, all_rows = {}, {}
    for name, outcome in outcomes.items():
        over_tasks[name] = {key: _mean(values, counts) for key, values in per_task[name].items()}
        if name in of_task:
            ratio = np.abs(np.log(of_task[name] / of_task[ORACLE]))
            over_tasks[name]["log_ratio"] = _mean(ratio, counts, found)
        all_rows[name] = outcome.all_rows(counts)
    is_gap = _is_gap(per_task[baseline]["nll"], per_task[ORACLE]["nll"], sizes)
    unknown = Resampled(float("nan"), np.full(len(counts), np.nan))
    for scope in (over_tasks, all_rows):
        nll = {name: values["nll"] for name, values in scope.items()}
        for name in outcomes:
            closed = _gap_closed(nll[name], nll[baseline], nll[ORACLE]) if is_gap else unknown
            scope[name]["gap_closed"] = closed

    def numbers(values: Mapping[str, Resampled]) -> Numbers:
        return {key: value.interval(coverage) for key, value in values.items()}

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
    return Comparison(tuple(map(str, names)), oracle, of_task, per_task, results, differences)


def _oracle(task: str, logits: Vector, labels: NDArray[np.int64]) -> TemperatureFit:
    """The temperature fitted on a task's own labels; errors name the task."""
    try:
        return fit_temperature(logits, labels)
    except ValueError as error:
        raise ValueError(f"Task {task!r}: {error}") from error


def _mean(values: Vector, counts: Vector, kept: NDArray[np.bool_] | None = None) -> Resampled:
    """Mean over the kept tasks, and its resamples; NaN where none is kept."""
    weight = np.ones(len(values)) if kept is None else kept.astype(np.float64)
    if not weight.any():
        return Resampled(float("nan"), np.full(len(counts), np.nan))
    with np.errstate(invalid="ignore"):  # a resample may hold none of the kept
        draws = counts @ (values * weight) / (counts @ weight)
    return Resampled(float(np.average(values, weights=weight)), draws)


def _is_gap(baseline: Vector, oracle: Vector, sizes: NDArray[np.int64]) -> bool:
    """Whether the oracle of T tasks gains more than a temperature fitted on chance would.

    By (T,) NLLs and numbers of rows. If the baseline were the best for all tasks, twice the
    log-likelihood that the oracle gains would be chi-squared with T degrees of freedom (Wilks
    1938). Otherwise the gap may be zero, and a share of it any number.
    """
    gained = 2 * float((sizes * np.maximum(baseline - oracle, 0.0)).sum())
    return bool(gained > chi2.ppf(_SURE, len(sizes)))


def _gap_closed(method: Resampled, baseline: Resampled, oracle: Resampled) -> Resampled:
    """`metrics.oracle_gap_closed` of the estimates, and of each resample."""
    values = (method.estimate, baseline.estimate, oracle.estimate)
    gap = baseline.draws - oracle.draws
    gap = np.where(gap > 0, gap, np.nan)
    return Resampled(metrics.oracle_gap_closed(*values), (baseline.draws - method.draws) / gap)
