"""Logistic regression with a ridge penalty, of its own strength for every weight.

Small and convex, so that a few Newton steps find the one optimum. Nothing here knows what the
columns mean.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_LEAST_STEP = 1e-7
_MAX_STEPS = 100
_MAX_HALVINGS = 30


def fit_logistic(
    columns: Matrix, target: Vector, penalty: Vector, start: Vector | None = None
) -> Vector:
    r"""Weights that minimise the penalised negative log-likelihood.

    With eta = w_0 + X w and targets y in (0, 1),

        sum_i [log(1 + exp(eta_i)) - y_i eta_i] + 1/2 sum_j l_j w_j^2,

    by Newton's method with halved steps. The intercept w_0 is not penalised; a target strictly
    between 0 and 1 in some row keeps it finite.

    Args:
        columns: (N, P) float64.
        target: (N,) float64 in [0, 1], not all 0 and not all 1.
        penalty: (P,) float64 > 0.
        start: (P + 1,) weights to start from.

    Returns:
        (P + 1,) float64: intercept, then one weight for each column.

    Example:
        >>> x = np.array([[-1.0], [-1.0], [1.0], [1.0]])
        >>> fit_logistic(x, np.array([0.0, 0.5, 0.5, 1.0]), np.array([1e-9])).round(2)[1]
        np.float64(1.1)
    """
    design = np.column_stack([np.ones(len(columns)), columns])
    ridge = np.concatenate([[0.0], penalty])
    weights = np.zeros(design.shape[1]) if start is None else start.copy()
    loss = _loss(design, target, ridge, weights)
    for _ in range(_MAX_STEPS):
        probability = expit(design @ weights)
        gradient = design.T @ (probability - target) + ridge * weights
        curvature = probability * (1 - probability)
        hessian = (design * curvature[:, None]).T @ design
        hessian[np.diag_indices_from(hessian)] += ridge + 1e-10
        step = cho_solve(cho_factor(hessian), gradient)
        for _ in range(_MAX_HALVINGS):
            moved = weights - step
            new_loss = _loss(design, target, ridge, moved)
            if new_loss <= loss:
                break
            step = step / 2
        else:
            break  # no step improves: rounding is all that is left
        weights, loss = moved, new_loss
        if np.abs(step).max() < _LEAST_STEP:
            break
    return weights


def _loss(design: Matrix, target: Vector, ridge: Vector, weights: Vector) -> float:
    line = design @ weights
    return float((np.logaddexp(0, line) - target * line).sum() + 0.5 * ridge @ weights**2)
