"""How sure the scores of options look: three numbers of which none needs another model call."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from thermometer import _checks
from thermometer.scaling import scale_scores
from thermometer.signals.answered import Vector


def largest_probability(scores: ArrayLike) -> Vector:
    """(N,) probability of the most probable option, max_k p_k, in [1/K, 1].

    Args:
        scores: (N, K) unnormalised, ``-inf`` in short rows, as for the other two; p is their
            softmax.

    Raises:
        ValueError: For scores that are not finite, or fewer than two options.

    Example:
        >>> largest_probability([[np.log(3.0), 0.0]]).round(2).tolist()
        [0.75]
    """
    largest: Vector = _probs(scores).max(axis=1)
    return largest


def margin(scores: ArrayLike) -> Vector:
    """(N,) probability of the most probable option less that of the second, in [0, 1].

    Errors are those of `largest_probability`.

    Example:
        >>> margin([[np.log(3.0), 0.0]]).round(2).tolist()
        [0.5]
    """
    two = np.partition(_probs(scores), -2, axis=1)[:, -2:]
    difference: Vector = two[:, 1] - two[:, 0]
    return difference


def option_certainty(scores: ArrayLike) -> Vector:
    """(N,) one minus the entropy over its largest value, 1 + sum_k p_k log p_k / log K, in [0, 1].

    K is the number of options of the row. Errors are those of `largest_probability`.

    Example:
        >>> option_certainty([[0.0, 0.0, -np.inf], [9.0, 0.0, 0.0]]).round(2).tolist()
        [0.0, 1.0]
    """
    matrix = _checks.score_matrix("scores", scores)
    probs = scale_scores(matrix, 1.0)
    n_options = np.isfinite(matrix).sum(axis=1)
    certainty: Vector = 1 + xlogy(probs, probs).sum(axis=1) / np.log(n_options)
    return certainty.clip(0, 1)


def _probs(scores: ArrayLike) -> Vector:
    return scale_scores(_checks.score_matrix("scores", scores), 1.0)
