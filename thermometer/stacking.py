"""How much each view of a thermometer counts: few weights, learned on tasks that were held out.

A source that says nothing of unseen tasks gets no weight, and one whose predictions spread too
little gets more than its share. Pure functions of arrays; nothing here knows networks.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Vector = NDArray[np.float64]
_LARGEST = 2.0


def view_weights(
    deviation: Vector,
    start: float,
    scores: Vector,
    labels: NDArray[np.int64],
    share: Vector,
    spread: float,
) -> Vector:
    r"""Weights w of least NLL at b = start + sum_v w_v deviation_v.

    .. math:: \sum_i q_i \, [-\log \mathrm{softmax}(e^{b_i} s_i)_{y_i}]
        + \frac{1}{2 N \sigma^2} \sum_v (w_v - 1/V)^2, \quad 0 \le w_v \le 2

    These are the most probable weights where the N rows are independent and weights are of
    N(1/V, sigma^2): the fewer rows, the closer to equal ones they stay.

    Args:
        deviation: (V, N) b of each view less `start`, from members that did not see the row's task.
        start: b of the one temperature of all tasks.
        scores: (N, K), ``-inf`` in short rows.
        labels: (N,) index of the right option.
        share: (N,) weights q of the rows, which sum to one.
        spread: sigma, the standard deviation of weights about equal ones.

    Returns:
        (V,) float64 in [0, 2].

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = rng.normal(size=2000) * 0.7
        >>> deviation = np.stack([truth / 2, rng.normal(size=2000)])  # half the truth, and noise
        >>> scores = rng.normal(size=(2000, 4)) * 3
        >>> logits = scores * np.exp(truth)[:, None] + rng.gumbel(size=(2000, 4))
        >>> share = np.full(2000, 1 / 2000)
        >>> useful, noise = view_weights(deviation, 0.0, scores, logits.argmax(axis=1), share, 0.5)
        >>> bool(useful > 1.4), bool(noise < 0.1)
        (True, True)
    """
    n_views, ridge = len(deviation), 1 / (2 * spread**2 * len(labels))
    gap = scores - scores.max(axis=1, keepdims=True)
    finite_gap = np.where(np.isfinite(gap), gap, 0.0)
    own = finite_gap[np.arange(len(gap)), labels]

    def loss(weights: Vector) -> tuple[float, Vector]:
        inverse = np.exp(start + weights @ deviation)
        odds = np.exp(gap * inverse[:, None])
        total = odds.sum(axis=1)
        nll = np.log(total) - own * inverse
        slope = share * inverse * (np.einsum("nk,nk->n", odds, finite_gap) / total - own)
        off = weights - 1 / n_views
        return float(share @ nll + ridge * off @ off), deviation @ slope + 2 * ridge * off

    found = minimize(
        loss, np.full(n_views, 1 / n_views), jac=True, bounds=[(0.0, _LARGEST)] * n_views
    )
    weights: Vector = found.x
    return weights
