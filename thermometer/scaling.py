"""Dividing option scores by a temperature, and the temperature that suits scores best.

`scores` are (N, K), unnormalised (logits or log-likelihoods), with ``-inf`` on the right of rows
that have fewer than K options. `fit_temperature` is classical temperature scaling, which needs the
labels; `fit_to_reference` takes the confidence of another model instead.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import binom

from thermometer import _checks

MIN_TEMPERATURE = 1e-3
MAX_TEMPERATURE = 1e3
VERDICT_SHIFT = "verdict_shift"
"""Key in the provenance of verdicts, and so in a checkpoint: what is added to the score of Yes."""


@dataclass(frozen=True, slots=True)
class TemperatureFit:
    """The temperature with the least negative log-likelihood.

    Args:
        temperature: In [0.001, 1000].
        nll: Mean negative log-likelihood at `temperature`, in nats.
        at_bound: Whether the search ended at 0.001 or 1000, where the likelihood still rises: all
            labels are top options (towards 0), or the scores speak against the labels (towards
            infinity). The temperature is then a limit of the search, not a property of the data.
        n: Number of rows of positive weight.
    """

    temperature: float
    nll: float
    at_bound: bool
    n: int


def scale_scores(scores: ArrayLike, temperature: ArrayLike) -> NDArray[np.float64]:
    """Probabilities softmax(scores / temperature), computed in float64 without overflow.

    The order of options never changes: the option with the highest score has the highest
    probability at every temperature (scores that differ by rounding only may become equal
    probabilities). A temperature above 1 lowers the confidence, one below 1 raises it.

    Args:
        scores: (N, K) unnormalised scores; ``-inf`` pads short rows on the right.
        temperature: One for all rows, or (N,); finite and > 0.

    Returns:
        (N, K) float64 in [0, 1]; rows sum to one and padding has probability 0.

    Raises:
        ValueError: If a score is NaN or ``+inf``, a row has fewer than two options, or a
            temperature is not finite and positive. The message names the row.

    Example:
        >>> scale_scores([[2.0, 0.0, -np.inf]], 2.0).round(3).tolist()
        [[0.731, 0.269, 0.0]]
    """
    logits = _checks.score_matrix("scores", scores)
    divisor = _temperatures(temperature, len(logits))
    with np.errstate(over="ignore"):  # a difference beyond float64 is a probability of 0
        exponent = (logits - logits.max(axis=1, keepdims=True, initial=-np.inf)) / divisor
    probs: NDArray[np.float64] = np.exp(exponent)
    probs /= probs.sum(axis=1, keepdims=True)
    return probs


def harmonic_mean(temperature: NDArray[np.float64]) -> float:
    """A task's temperature from its samples': 1 / mean(1 / temperature), as in the paper's code.

    Example:
        >>> harmonic_mean(np.array([1.0, 3.0]))
        1.5
    """
    return float(1 / np.mean(1 / temperature))


def fit_temperature(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> TemperatureFit:
    """The temperature in [0.001, 1000] that minimises the mean negative log-likelihood.

    In the inverse temperature b, the loss mean_i [log sum_k exp(b s_ik) - b s_i,y_i] is convex, and
    its slope is mean_i [E_b(s_i) - s_i,y_i]: expected score minus the label's score. The slope's
    only zero is bracketed and found by Brent's method on log b to 1e-10, in float64.
    There is no learning rate and no starting point (Guo et al. 2017, arXiv 1706.04599, propose
    the one-parameter model; fitting it by a few gradient steps is known to stop short).

    Args:
        scores: (N, K) unnormalised scores; ``-inf`` pads short rows on the right.
        labels: (N,) integers, the index of the right option in each row.
        weights: (N,) importance of rows, >= 0; equal by default. Whole numbers act as repetitions,
            so a bootstrap needs no copies.

    Raises:
        ValueError: If there are no rows (or none with a positive weight), if within every row all
            options score the same, so that no temperature is best, or if `scores` or `labels` are
            malformed.

    Example:
        >>> fit = fit_temperature([[2.0, 0.0]] * 4, [0, 0, 0, 1])  # 3 of 4 right: 2/t = log 3
        >>> round(fit.temperature, 4), fit.at_bound
        (1.8205, False)
    """
    logits = _checks.score_matrix("scores", scores)
    n_options = np.isfinite(logits).sum(axis=1)
    chosen = _checks.label_vector("labels", labels, n_options)
    share = _weights(weights, len(logits))
    logits, chosen, share = logits[share > 0], chosen[share > 0], share[share > 0]
    if not len(logits):
        raise _checks.fail("scores", "at least one row of positive weight", "none")

    wanted = np.zeros(logits.shape)
    wanted[np.arange(len(logits)), chosen] = 1.0
    return _fit(logits, wanted, share)


def fit_to_reference(scores: ArrayLike, reference_scores: ArrayLike) -> TemperatureFit:
    """The temperature at which a model is as sure as a reference model, where both answer alike.

    No labels are needed. With p of the reference as softmax(reference scores) it minimises the mean
    cross-entropy -sum_k p_k log softmax(s / t)_k over the rows in which both prefer the same
    option; where they differ, the reference's confidence says nothing about this answer (Luo et al.
    2025, arXiv 2505.16690). Good references are calibrated and know as much as the model: the base
    model that it was tuned from.

    Args:
        scores: (N, K) unnormalised scores; ``-inf`` pads short rows on the right.
        reference_scores: (N, K), likewise, of the same options.

    Returns:
        The fit, whose `nll` is that cross-entropy and whose `n` counts the rows where both agree.

    Raises:
        ValueError: If the two differ in shape or padding, or in no row prefer the same option.

    Example:
        >>> sure = [[8.0, 0.0], [0.0, 4.0], [6.0, 0.0]]
        >>> humble = [[2.0, 0.0], [0.0, 1.0], [0.0, 9.0]]
        >>> fit = fit_to_reference(sure, humble)  # the last row is left out
        >>> round(fit.temperature, 6), fit.n
        (4.0, 2)
    """
    logits = _checks.score_matrix("scores", scores)
    others = _checks.score_matrix("reference_scores", reference_scores)
    _checks.same_options(logits, others)
    alike = logits.argmax(axis=1) == others.argmax(axis=1)
    if not alike.any():
        expected = "of the same preferred option as `scores` in some row"
        raise _checks.fail("reference_scores", expected, "none")
    return _fit(logits[alike], scale_scores(others[alike], 1.0), _weights(None, int(alike.sum())))


def shifted(scores: ArrayLike, shift: float) -> NDArray[np.float64]:
    """(N, 2) finite scores of verdicts with a shift added to that of Yes, the first.

    Example:
        >>> shifted([[2.0, 0.0]], -1.5).tolist()
        [[0.5, 0.0]]
    """
    moved = np.array(scores, dtype=np.float64)
    if moved.ndim != 2 or moved.shape[1] != 2 or not np.isfinite(moved).all():
        raise _checks.fail("scores", "of two options, Yes and No", f"shape {moved.shape}")
    moved[:, 0] += shift
    return moved


_DOUBTFUL = 1e-6
"""Chance of a false doubt about the labels of a table, or of one of its tasks."""


def label_doubts(scores: ArrayLike, labels: ArrayLike, tasks: ArrayLike) -> tuple[str, ...]:
    """What speaks against labels being the right options of these scores, in words; often nothing.

    Highest scores that are right less often than random guesses, by more than chance (a binomial
    test for all rows, and one for each task, at a level of 1e-6 for all tasks together), are a sign
    of labels that count from another number, or of scores with the wrong sign.

    Args:
        scores: (N, K) unnormalised scores, ``-inf`` in short rows.
        labels: (N,) index of the right option.
        tasks: (N,) task names.

    Example:
        >>> scores, labels = np.eye(3)[[0, 1] * 40], np.array([1, 2] * 40)
        >>> label_doubts(scores, labels, ["law"] * 80)[0][:58]
        'The highest score is right in 0.000 of 80 rows, less often'
        >>> label_doubts(scores, labels - 1, ["law"] * 80)
        ()
    """
    logits = _checks.score_matrix("scores", scores)
    n_options = np.isfinite(logits).sum(axis=1)
    right = _checks.label_vector("labels", labels, n_options)
    names, task = np.unique(np.asarray(tasks), return_inverse=True)
    answer, least = logits.argmax(axis=1), np.where(np.isfinite(logits), logits, np.inf).argmin(1)
    hit, chance = answer == right, 1 / n_options
    sizes = np.bincount(task)
    below = binom.cdf(np.bincount(task, hit), sizes, np.bincount(task, chance) / sizes)
    doubtful = below < _DOUBTFUL / len(names)  # (T,)
    if binom.cdf(hit.sum(), len(hit), chance.mean()) < _DOUBTFUL:
        odd, chosen = [], np.ones(len(hit), bool)
    elif doubtful.any():
        odd, chosen = list(map(str, names[doubtful])), doubtful[task]
    else:
        return ()
    hits, guess = hit[chosen].mean(), chance[chosen].mean()
    text = (
        f"The highest score is right in {hits:.3f} of {chosen.sum()} rows, less often than a "
        f"random guess ({guess:.3f})"
    )
    if odd:
        more = ", ..." if len(odd) > 5 else ""
        text += f", in {len(odd)} of {len(names)} tasks ({_checks.shown(', '.join(odd[:5]))}{more})"
    for other, found in (
        ("labels one less", answer == right - 1),
        ("labels one more", answer == right + 1),
        ("scores of the other sign", least == right),
    ):
        if found[chosen].mean() > max(2 * guess, 2 * hits):
            text += f". With {other} it would be {found[chosen].mean():.3f}"
    return (f"{text}: are these the labels of these scores? Labels count from 0",)


def _fit(
    logits: NDArray[np.float64], wanted: NDArray[np.float64], share: NDArray[np.float64]
) -> TemperatureFit:
    """The temperature of least cross-entropy to (N, K) wanted probabilities, rows weighted."""
    gap = logits - logits.max(axis=1, keepdims=True)  # <= 0, so that exp never overflows
    finite_gap = np.where(np.isfinite(gap), gap, 0.0)  # padding must not make 0 * -inf
    if not finite_gap.any():
        raise _checks.fail("scores", "different for some options", "equal ones in every row")
    wanted_gap = float(share @ (wanted * finite_gap).sum(axis=1))

    def slope(log_inverse: float) -> float:
        odds = np.exp(gap * np.exp(log_inverse))
        expected = np.einsum("nk,nk->n", odds, finite_gap) / odds.sum(axis=1)
        return float(share @ expected) - wanted_gap

    low, high, at_bound = -np.log(MAX_TEMPERATURE), -np.log(MIN_TEMPERATURE), True
    if slope(high) <= 0:  # first, since all-right rows far apart have slope 0 at both ends
        log_inverse = high
    elif slope(low) >= 0:
        log_inverse = low
    else:
        log_inverse, at_bound = brentq(slope, low, high, xtol=1e-12, rtol=1e-10), False
    inverse = float(np.exp(log_inverse))
    log_norm = np.log(np.exp(gap * inverse).sum(axis=1))
    loss = max(float(share @ log_norm) - inverse * wanted_gap, 0.0)
    return TemperatureFit(1 / inverse, loss, at_bound, len(gap))


def _weights(weights: ArrayLike | None, n: int) -> NDArray[np.float64]:
    """Row weights that sum to one (or are all 0)."""
    if weights is None:
        return np.full(n, 1 / max(n, 1))
    array = _checks.vector("weights", weights, n)
    if (array < 0).any():
        row = int(np.flatnonzero(array < 0)[0])
        raise _checks.fail("weights", "at least 0", f"{array[row]} at row {row}")
    return array / (array.sum() or 1.0)


def _temperatures(temperature: ArrayLike, n: int) -> NDArray[np.float64]:
    """Checked temperatures, shaped to divide (N, K) scores."""
    array = _checks.array("temperature", temperature, np.float64)
    if array.ndim > 1 or (array.ndim == 1 and len(array) != n):
        expected = f"a number or a vector of length {n}"
        raise _checks.fail("temperature", expected, f"shape {array.shape}")
    bad = ~((array > 0) & np.isfinite(array))
    if bad.any():
        where = f" at row {int(np.flatnonzero(bad)[0])}" if array.ndim else ""
        raise _checks.fail("temperature", "finite and > 0", f"{array[bad][0]}{where}")
    return array.reshape(-1, 1)
