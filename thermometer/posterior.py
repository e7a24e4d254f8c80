r"""A few labels of a new task: the predicted temperature as a prior, corrected by what they show.

All temperatures of a task are multiplied by one factor e^d. Before any label, d ~ N(0, spread^2),
where `spread` is how far predictions missed on tasks that were held out in training. Everything is
computed on a grid of d, in float64.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.scaling import scale_scores
from thermometer.types import Calibration

Vector = NDArray[np.float64]
_GRID = np.linspace(-3.0, 3.0, 601)  # of d: factors from 1/20 to 20
_SPREADS = np.geomspace(0.02, 2.0, 80)


@dataclass(frozen=True)
class FactorPosterior:
    """What is known of the factor of a task's temperatures.

    Args:
        factor: exp of the posterior mean of d.
        low: Lower bound of its interval.
        high: Upper bound.
        standard_error: Posterior standard deviation of d, that is of the log temperature.
        n_labels: Number of labels that it rests on.
    """

    factor: float
    low: float
    high: float
    standard_error: float
    n_labels: int


def log_likelihoods(scores: ArrayLike, labels: ArrayLike, temperature: ArrayLike) -> Vector:
    r"""(G,) log-likelihood of labels if every temperature were e^d times as large.

    .. math:: \sum_i \log \mathrm{softmax}(s_i / (e^d t_i))_{y_i}

    Args:
        scores: (n, K), ``-inf`` in short rows; n may be 0.
        labels: (n,) index of the right option.
        temperature: (n,) predicted.
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

    Args:
        log_likelihood: (T, G), `log_likelihoods` of each task.

    Returns:
        In [0.02, 2].

    Example:
        >>> sharp = -0.5 * ((_GRID - np.array([[0.4], [-0.4], [0.5], [-0.3]])) / 0.05) ** 2
        >>> round(fit_spread(sharp), 1)
        0.4
    """
    rows = np.asarray(log_likelihood, dtype=np.float64)
    likelihood = np.exp(rows - rows.max(axis=1, keepdims=True))
    best, found = -np.inf, float(_SPREADS[0])
    for spread in _SPREADS:
        evidence = float(np.log(likelihood @ _prior(float(spread))).sum())
        if evidence > best:
            best, found = evidence, float(spread)
    return found


def factor_posterior(
    scores: ArrayLike,
    labels: ArrayLike,
    temperature: ArrayLike,
    spread: float,
    level: float = 0.95,
) -> FactorPosterior:
    """What n labels say of the factor of a task's temperatures; without any, the prior.

    Args:
        scores: (n, K) of the labelled rows, ``-inf`` in short ones.
        labels: (n,) index of the right option.
        temperature: (n,) predicted, > 0.
        spread: Standard deviation of the prior on the log factor, > 0.
        level: Of the interval, in (0, 1).

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
    level = _checks.number("level", level, maximum=1 - 1e-9, strict=True)
    log_likelihood = log_likelihoods(scores, labels, temperature)
    mass = np.exp(log_likelihood - log_likelihood.max()) * _prior(spread)
    mass /= mass.sum()
    mean = float(mass @ _GRID)
    deviation = float(np.sqrt(mass @ (_GRID - mean) ** 2))
    low, high = np.interp([(1 - level) / 2, (1 + level) / 2], np.cumsum(mass), _GRID)
    n = len(_checks.array("labels", labels))
    return FactorPosterior(
        float(np.exp(mean)), float(np.exp(low)), float(np.exp(high)), deviation, n
    )


def updated(
    prior: Calibration, scores: ArrayLike, labels: ArrayLike, spread: float, *, level: str
) -> tuple[Calibration, FactorPosterior]:
    """A calibration after some labels of its task, and what they say of its factor.

    Args:
        prior: Of N prompts of one task.
        scores: (N, K).
        labels: (N,) integers, -1 where there is no label.
        spread: As for `factor_posterior`.
        level: `sample` or `task`: which of its temperatures divide the scores.
    """
    matrix, chosen = _checks.score_matrix("scores", scores), _checks.array("labels", labels)
    if chosen.shape != (len(matrix),):
        raise _checks.fail("labels", f"of shape ({len(matrix)},)", chosen.shape)
    used = prior.temperature
    if level == "task":
        used = np.full(len(matrix), prior.task_temperature)
    known = chosen >= 0
    found = factor_posterior(matrix[known], chosen[known], used[known], spread)
    result = replace(
        prior,
        temperature=prior.temperature * found.factor,
        task_temperature=prior.task_temperature * found.factor,
        probs=scale_scores(matrix, used * found.factor),
        standard_error=found.standard_error,
    )
    return result, found


def _prior(spread: float) -> Vector:
    """Masses of N(0, spread^2) on the grid."""
    mass: Vector = np.exp(-0.5 * (_GRID / spread) ** 2)
    mass /= mass.sum()
    return mass
