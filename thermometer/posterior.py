"""From predictions of a network, and a few labels, to a calibration.

`combined` turns predictions into a `Calibration` with a standard error and a distance from the
training tasks (`Domain`). With labels of the new task, all its temperatures are multiplied by one
factor e^d. Before any label, d ~ N(0, spread^2), where `spread` is how far predictions missed on
tasks that were held out in training. The posterior is computed on a grid of d, in float64.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from thermometer import _checks
from thermometer.scaling import harmonic_mean, label_doubts, scale_scores
from thermometer.types import Calibration

Per = Literal["sample", "task"]
Array = NDArray[np.float64]
_GRID = np.linspace(-3.0, 3.0, 601)  # of d: factors from 1/20 to 20
_SPREADS = np.geomspace(0.02, 2.0, 80)
_MODELS = "models"  # their numbers, beside the points of the sources in a checkpoint
_WORDS = {
    "features": "the hidden states of its prompts",
    "scores": "the shape of its scores",
    "positions": "the positions that get high scores",
    "debiased": "its scores without the position bias",
    "reference": "the scores of the reference model",
}


@dataclass(frozen=True, eq=False)
class Domain:
    """The training tasks as points.

    Args:
        points: By source, (T, R): one row per training task of each answering model; empty if
            unknown.
        models: (T,) the answering model of each row; one for all by default. Distances among
            training tasks are between tasks of one model: the same task answered by another would
            always be near.

    Example:
        >>> domain = Domain({"scores": np.array([[0.0], [1.0], [2.0]])})
        >>> domain.distances({"scores": np.array([1.4])})["scores"] < 1
        True
        >>> domain.distances({"scores": np.array([9.0])})["scores"] > 1
        True
    """

    points: Mapping[str, Array] = field(default_factory=dict)
    models: NDArray[np.int64] | None = None

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "Domain":
        """The inverse of `arrays`."""
        points = {name: values for name, values in arrays.items() if name != _MODELS}
        if _MODELS not in arrays:
            return cls(points)
        return cls(points, arrays[_MODELS].astype(np.int64))

    @property
    def arrays(self) -> dict[str, Array]:
        """Points and models as a checkpoint keeps them."""
        if self.models is None:
            return dict(self.points)
        return {**self.points, _MODELS: self.models.astype(np.float64)}

    def distances(self, point: Mapping[str, Array]) -> dict[str, float]:
        """Distance to the nearest training task, in units of the farthest that one of them has.

        Both are by source, `point` (R,) of the new task. At most 1 if some training task is as far
        from all others; empty if there are fewer than three of them.
        """
        found = {}
        for name, (scaled, scale, usual) in self._scaled.items():
            nearest = float(np.linalg.norm(scaled - point[name] / scale, axis=1).min())
            found[name] = nearest / max(usual, 1e-12)
        return found

    @cached_property
    def _scaled(self) -> dict[str, tuple[Array, Array, float]]:
        """By source the scaled tasks, their scale, and how far one is from the next at most."""
        found = {}
        for name, tasks in self.points.items():
            fewest = len(tasks) if self.models is None else np.bincount(self.models).min()
            if fewest < 3:
                continue
            spread = tasks.std(axis=0)
            scale = np.where(spread > 1e-6, spread, np.inf)
            scaled = tasks / scale
            apart = cdist(scaled, scaled)
            np.fill_diagonal(apart, np.inf)
            if self.models is not None:
                apart[self.models[:, None] != self.models[None]] = np.inf
            found[name] = scaled, scale, float(apart.min(axis=1).max())
        return found


def verdict(distances: Mapping[str, float]) -> tuple[bool, str]:
    """Whether a task is as near to the training tasks as these to one another, and if not, why.

    Example:
        >>> verdict({"scores": 2.0, "features": 0.5})
        (False, 'in the shape of its scores it is 2.0 times as far from the nearest training \
task as these ever are')
        >>> verdict({"scores": 0.9})
        (True, '')
    """
    reasons = [
        # where training tasks hardly differ, everything else is infinitely far
        f"in {_WORDS.get(name, name)} it is {f'{ratio:.1f}' if ratio < 1000 else 'over 1,000'} "
        "times as far from the nearest training task as these ever are"
        for name, ratio in sorted(distances.items(), key=lambda item: -item[1])
        if ratio > 1
    ]
    return not reasons, "; ".join(reasons)


def combined(
    b: Array,
    ids: tuple[str, ...],
    scores: Array | None,
    per: Per,
    spread: float,
    distances: Mapping[str, float] | Sequence[Mapping[str, float]],
    warnings: tuple[str, ...] = (),
    tasks: NDArray[np.str_] | None = None,
) -> Calibration:
    """The calibration of N prompts of one task, or of several by their names.

    The standard error of the log temperature of the task is the root of spread^2 plus the variance
    over members of theirs.

    Args:
        b: (M, N) minus the log temperature that each member predicts.
        ids: Of the prompts.
        scores: (N, K) to be divided, or `None`.
        per: Divide each row by its own temperature, or all by the task's.
        spread: How far predictions missed on held-out tasks; 0 if unknown.
        distances: As `Domain.distances` gives; of each task, if there are several.
        warnings: Further warnings.
        tasks: (N,) task of each prompt, if they are of several.

    Example:
        >>> b = -np.log([[1.0, 3.0], [1.0, 3.0]])
        >>> found = combined(b, ("a", "b"), None, "sample", 0.3, {})
        >>> found.temperature.round(3).tolist(), round(found.standard_error, 3), found.in_domain
        ([1.0, 3.0], 0.3, None)
    """
    temperature = np.exp(-b.mean(axis=0))
    task_temperature = harmonic_mean(temperature)
    of_members = np.log(np.exp(b).mean(axis=1))
    names, group = np.unique(np.zeros(len(ids)) if tasks is None else tasks, return_inverse=True)
    measured = [distances] if isinstance(distances, Mapping) else list(distances)
    reasons = {str(name): verdict(found)[1] for name, found in zip(names, measured, strict=True)}
    far = [name for name, reason in reasons.items() if reason]
    if far and len(names) == 1:
        warnings = (*warnings, f"The task is unlike those of the training: {reasons[far[0]]}.")
    elif far:
        listed = _checks.shown(", ".join(far[:5])) + (", ..." if len(far) > 5 else "")
        what = f"{len(far)} of {len(names)} tasks are unlike those of the training ({listed})"
        warnings = (*warnings, f"{what}: of {_checks.shown(far[0])}, {reasons[far[0]]}.")
    farthest = {key: max(found[key] for found in measured) for key in measured[0]}
    used = temperature
    if per == "task":
        of_tasks = [harmonic_mean(temperature[group == i]) for i in range(len(names))]
        used = np.array(of_tasks)[group]
    return Calibration(
        ids,
        temperature,
        task_temperature,
        None if scores is None else scale_scores(scores, used),
        float(np.hypot(spread, of_members.std())) if spread else float("nan"),
        not far if farthest else None,
        farthest,
        warnings,
    )


@dataclass(frozen=True)
class FactorPosterior:
    """Estimate and interval of the factor of a task's temperatures.

    Args:
        factor: exp of the posterior mean of d.
        low: Lower bound of its interval.
        high: Upper bound.
        standard_error: Posterior standard deviation of d, that is of the log temperature.
        n_labels: Number of labels behind it.
    """

    factor: float
    low: float
    high: float
    standard_error: float
    n_labels: int


def log_likelihoods(scores: ArrayLike, labels: ArrayLike, temperature: ArrayLike) -> Array:
    r"""(G,) log-likelihood of labels if every temperature were e^d times as large.

    .. math:: \sum_i \log \mathrm{softmax}(s_i / (e^d t_i))_{y_i}

    The arguments are those of `factor_posterior`; n may be 0.
    """
    logits = _checks.score_matrix("scores", scores)
    divisor = _checks.vector("temperature", temperature, len(logits))
    if not len(logits):
        return np.zeros(len(_GRID))
    chosen = _checks.label_vector("labels", labels, np.isfinite(logits).sum(axis=1))
    lead = (logits - logits.max(axis=1, keepdims=True)) / divisor[:, None]  # <= 0
    own = lead[np.arange(len(lead)), chosen]
    inverse = np.exp(-_GRID)
    total = np.zeros(len(_GRID))
    for start in range(0, len(lead), 256):  # (256, K, G) at a time
        rows = slice(start, start + 256)
        norm = np.log(np.exp(lead[rows, :, None] * inverse).sum(axis=1))
        total += (own[rows, None] * inverse - norm).sum(axis=0)
    return total


def fit_spread(log_likelihood: ArrayLike) -> float:
    r"""The spread that makes the labels of several tasks most probable.

    .. math:: \arg\max_\tau \sum_t \log \int L_t(d) N(d; 0, \tau^2) \, \mathrm{d}d

    `log_likelihood` is (T, G), `log_likelihoods` of each task; the spread is in [0.02, 2].

    Example:
        >>> sharp = -0.5 * ((_GRID - np.array([[0.4], [-0.4], [0.5], [-0.3]])) / 0.05) ** 2
        >>> round(fit_spread(sharp), 1)
        0.4
    """
    rows = np.asarray(log_likelihood, dtype=np.float64)
    likelihood = np.exp(rows - rows.max(axis=1, keepdims=True))
    marginal = [np.log(likelihood @ _prior(float(spread))).sum() for spread in _SPREADS]
    return float(_SPREADS[np.argmax(marginal)])


def factor_posterior(
    scores: ArrayLike,
    labels: ArrayLike,
    temperature: ArrayLike,
    spread: float,
    coverage: float = 0.95,
) -> FactorPosterior:
    """The posterior of the factor of a task's temperatures given n labels; without any, the prior.

    Args:
        scores: (n, K) of the labelled rows, ``-inf`` in short ones.
        labels: (n,) index of the right option.
        temperature: (n,) predicted, > 0.
        spread: Standard deviation of the prior on the log factor, > 0.
        coverage: Of the interval, in (0, 1).

    Raises:
        ValueError: If arguments are malformed or disagree in length.

    Example:
        >>> prior = factor_posterior(np.zeros((0, 2)), [], [], spread=0.3)
        >>> round(prior.factor, 3), round(prior.standard_error, 2), prior.n_labels
        (1.0, 0.3, 0)
        >>> wrong = factor_posterior([[3.0, 0.0]] * 8, [0, 1] * 4, [1.0] * 8, spread=0.3)
        >>> wrong.factor > 1.1  # half of them wrong at a confidence of 95 %: too cold
        True
    """
    spread = _checks.number("spread", spread, strict=True)
    coverage = _checks.number("coverage", coverage, maximum=1 - 1e-9, strict=True)
    log_likelihood = log_likelihoods(scores, labels, temperature)
    mass = np.exp(log_likelihood - log_likelihood.max()) * _prior(spread)
    mass /= mass.sum()
    mean = float(mass @ _GRID)
    deviation = float(np.sqrt(mass @ (_GRID - mean) ** 2))
    low, high = np.interp([(1 - coverage) / 2, (1 + coverage) / 2], np.cumsum(mass), _GRID)
    factor, lowest, highest = map(float, np.exp([mean, low, high]))
    n_labels = len(_checks.array("labels", labels))
    return FactorPosterior(factor, lowest, highest, deviation, n_labels)


def updated(
    prior: Calibration, scores: ArrayLike, labels: ArrayLike, spread: float, *, per: str
) -> tuple[Calibration, FactorPosterior]:
    """A calibration after some labels of its task, and the posterior of its factor.

    `prior` is of N prompts of one task, `scores` are (N, K), and `labels` (N,) integers, -1 where
    there is none; `per` says which temperatures divide the scores.
    """
    matrix, chosen = _checks.score_matrix("scores", scores), _checks.indices("labels", labels)
    if chosen.shape != (len(matrix),):
        raise _checks.fail("labels", f"of shape ({len(matrix)},)", chosen.shape)
    of_task = np.full(len(matrix), prior.task_temperature)
    used = of_task if per == "task" else prior.temperature
    known = chosen >= 0
    found = factor_posterior(matrix[known], chosen[known], used[known], spread)
    doubts: tuple[str, ...] = ()
    if known.any():
        doubts = label_doubts(matrix[known], chosen[known], ["task"] * int(known.sum()))
    result = replace(
        prior,
        warnings=(*prior.warnings, *doubts),
        temperature=prior.temperature * found.factor,
        task_temperature=prior.task_temperature * found.factor,
        probs=scale_scores(matrix, used * found.factor),
        standard_error=found.standard_error,
    )
    return result, found


def _prior(spread: float) -> Array:
    """Masses of N(0, spread^2) on the grid."""
    mass: Array = np.exp(-0.5 * (_GRID / spread) ** 2)
    mass /= mass.sum()
    return mass
