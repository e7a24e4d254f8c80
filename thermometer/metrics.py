"""Measures of calibration: pure functions of numpy arrays, computed in float64.

`probs` are (N, K) and sum to one; `confidence` is the probability of the chosen option and
`correct` says whether that option was right, both (N,). Nothing here accepts scores (logits), knows
what a task or a model is, or draws. An empty input, NaN, or a value out of range is an error that
names the row; a quantity that its data leave undefined is NaN, and its docstring says when.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from thermometer import _checks
from thermometer.smooth_calibration import smooth_ece as smooth_ece

Vector = NDArray[np.float64]
_SMALLEST = float(np.finfo(np.float64).tiny)
_DRAWS = 1 << 21  # random numbers held at a time by calibration_floor


class TopLabel(NamedTuple):
    """What the calibration errors are computed from; both (N,) float64."""

    confidence: Vector
    correct: Vector


def top_label(probs: ArrayLike, labels: ArrayLike) -> TopLabel:
    """Confidence max_k p_k of every row, and whether the (first) most probable option is right.

    Args:
        probs: (N, K) probabilities; 0 where a row has fewer than K options.
        labels: (N,) integers in [0, K).

    Returns:
        `TopLabel(confidence, correct)`, both (N,) float64.

    Raises:
        ValueError: If N is 0, a row does not sum to one (within 1e-4), or a label is no option.

    Example:
        >>> correct = top_label([[0.7, 0.3], [0.4, 0.6]], [0, 0]).correct
        >>> correct.tolist()
        [1.0, 0.0]
    """
    probs, labels = _probs_and_labels(probs, labels)
    return TopLabel(probs.max(axis=1), (probs.argmax(axis=1) == labels).astype(np.float64))


def accuracy(probs: ArrayLike, labels: ArrayLike) -> float:
    """Fraction of rows whose most probable option is the label; in [0, 1].

    Arguments and errors are those of `top_label`; among equally probable options the first counts.

    Example:
        >>> accuracy([[0.7, 0.3], [0.4, 0.6]], [0, 0])
        0.5
    """
    return float(top_label(probs, labels).correct.mean())


def nll(probs: ArrayLike, labels: ArrayLike) -> float:
    """Negative log-likelihood, -1/N sum_i log p_i[y_i], in nats; in [0, 708.4].

    A probability of 0 is taken as the smallest normal float64 (2.2e-308), so that one impossible
    label costs 708.4 nats instead of infinity. Arguments and errors are those of `top_label`.

    Example:
        >>> round(nll([[0.5, 0.5], [0.9, 0.1]], [0, 0]), 4)
        0.3993
    """
    probs, labels = _probs_and_labels(probs, labels)
    chosen = probs[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, _SMALLEST)).mean())


def brier(probs: ArrayLike, labels: ArrayLike) -> float:
    """Brier score, 1/N sum_i sum_k (p_ik - [k = y_i])^2; in [0, 2].

    The sum over options is Brier's own (1950, "Verification of forecasts expressed in terms of
    probability"). Some publications, that of the Thermometer method among them, print the *mean*
    over options: divide by K to compare. Arguments and errors are those of `top_label`.

    Example:
        >>> round(brier([[0.5, 0.5], [0.9, 0.1]], [0, 0]), 4)
        0.26
    """
    probs, labels = _probs_and_labels(probs, labels)
    error = probs.copy()
    error[np.arange(len(labels)), labels] -= 1
    return float(np.einsum("nk,nk->n", error, error).mean())


def signed_gap(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Mean confidence minus accuracy; in [-1, 1], positive for an overconfident model.

    Arguments and errors are those of `expected_calibration_error`.

    Example:
        >>> round(signed_gap([0.9, 0.7], [1, 0]), 4)
        0.3
    """
    confidence, correct = _outcomes(confidence, correct)
    return float(confidence.mean() - correct.mean())


def bin_index(confidence: ArrayLike, n_bins: int) -> NDArray[np.int64]:
    """Bin of every confidence among (0, 1/n], (1/n, 2/n], ..., ((n-1)/n, 1]; (N,) int64.

    The first bin also takes 0. A confidence that equals the float64 k/n is in the bin it closes.

    Example:
        >>> bin_index([0.0, 0.1, 0.3, 0.31, 1.0], 10).tolist()
        [0, 0, 2, 3, 9]
    """
    confidence = _checks.unit_interval("confidence", confidence)
    n_bins = _checks.integer("n_bins", n_bins)
    closed_by = np.ceil(confidence * n_bins)  # k of the bin ((k-1)/n, k/n], or one off by rounding
    closed_by -= confidence <= (closed_by - 1) / n_bins
    closed_by += confidence > closed_by / n_bins
    return np.maximum(closed_by, 1).astype(np.int64) - 1


def expected_calibration_error(
    confidence: ArrayLike, correct: ArrayLike, n_bins: int = 15
) -> float:
    """Expected calibration error (ECE), sum_b n_b/N |accuracy_b - confidence_b|; in [0, 1].

    The bins are those of `bin_index`: equal widths, closed on the right, the last one holding a
    confidence of exactly 1. Empty bins add nothing. This is the top-label error of Naeini et al.
    (2015) and Guo et al. (2017, arXiv 1706.04599), not the error of P(y = 1) in a binary problem.
    It is biased upwards on few samples: compare with `calibration_floor`.

    Args:
        confidence: (N,) probabilities of the chosen options, in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        n_bins: Number of bins.

    Raises:
        ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.

    Example:
        >>> round(expected_calibration_error([0.95, 1.0], [1, 0], n_bins=10), 4)
        0.475
    """
    confidence, correct = _outcomes(confidence, correct)
    gaps = np.bincount(bin_index(confidence, n_bins), confidence - correct)
    return float(np.abs(gaps).sum() / len(confidence))


def auroc(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Probability that a right answer has more confidence than a wrong one, ties counting half.

    In [0, 1]; 0.5 means that confidence says nothing about which answers are right. It is the area
    under the ROC curve, by the rank sum of Mann and Whitney (1947). NaN where all answers are right
    or all are wrong, since there is no pair to compare. With two options, one temperature for a
    whole task cannot change it; with more options it can.

    Arguments and errors are those of `expected_calibration_error`.

    Example:
        >>> auroc([0.9, 0.8, 0.8, 0.1], [1, 1, 0, 0])
        0.875
    """
    confidence, correct = _outcomes(confidence, correct)
    n_right = correct.sum()
    n_wrong = len(correct) - n_right
    if not n_right or not n_wrong:
        return float("nan")
    ranks = rankdata(confidence)[correct == 1].sum()
    return float((ranks - n_right * (n_right + 1) / 2) / (n_right * n_wrong))


def calibration_floor(
    confidence: ArrayLike, n_bins: int = 15, n_simulations: int = 200, seed: int = 0
) -> float:
    """Mean ECE that a perfectly calibrated model with these confidences would score; in [0, 1].

    Outcomes are drawn as y_i ~ Bernoulli(confidence_i), `n_simulations` times, and scored by
    `expected_calibration_error`. An ECE at this floor says that the sample is too small to show
    any miscalibration, not that there is none (the parametric bootstrap of the consistency bars of
    Broecker and Smith 2007, "Increasing the reliability of reliability diagrams").

    Args:
        confidence: (N,) probabilities of the chosen options, in [0, 1].
        n_bins: Number of bins of the ECE to compare with.
        n_simulations: Number of simulated data sets; the error of the mean falls as its root.
        seed: Equal seeds give equal results.

    Raises:
        ValueError: If N or a number is 0, or a confidence is NaN or out of range.

    Example:
        >>> calibration_floor([0.0, 1.0, 1.0])  # certainty leaves nothing to chance
        0.0
    """
    confidence = _checks.unit_interval("confidence", confidence)
    n_simulations = _checks.integer("n_simulations", n_simulations)
    index = bin_index(confidence, n_bins)
    order = np.argsort(index, kind="stable")
    confidence = confidence[order]
    starts = np.flatnonzero(np.diff(index[order], prepend=-1))
    expected = np.add.reduceat(confidence, starts)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    total = 0.0
    at_once = max(1, _DRAWS // len(confidence))
    for start in range(0, n_simulations, at_once):
        size = (min(at_once, n_simulations - start), len(confidence))
        right = np.add.reduceat((rng.random(size) < confidence), starts, axis=1, dtype=np.int64)
        total += float(np.abs(right - expected).sum())
    return total / (n_simulations * len(confidence))


def oracle_gap_closed(nll_method: float, nll_baseline: float, nll_topline: float) -> float:
    """Share of the possible gain that a method reaches, (baseline - method)/(baseline - topline).

    1 means as good as the topline (a temperature fitted on the task's own labels), 0 no better than
    the baseline, below 0 worse. NaN where the topline is no better than the baseline, as there is
    no gap to close. Average the three NLLs over tasks before dividing: the ratio of one task with a
    tiny gap can be any number.

    Raises:
        ValueError: If a value is negative, infinite or NaN.

    Example:
        >>> round(oracle_gap_closed(0.9, nll_baseline=1.3, nll_topline=0.8), 4)
        0.8
    """
    largest = float(np.finfo(np.float64).max)
    method = _checks.number("nll_method", nll_method, maximum=largest)
    baseline = _checks.number("nll_baseline", nll_baseline, maximum=largest)
    topline = _checks.number("nll_topline", nll_topline, maximum=largest)
    if baseline <= topline:
        return float("nan")
    return (baseline - method) / (baseline - topline)


def _outcomes(confidence: ArrayLike, correct: ArrayLike) -> tuple[Vector, Vector]:
    """Both as checked float64 vectors of one length."""
    confidence = _checks.unit_interval("confidence", confidence)
    return confidence, _checks.binary("correct", correct, len(confidence))


def _probs_and_labels(probs: ArrayLike, labels: ArrayLike) -> tuple[Vector, NDArray[Any]]:
    """Checked (N, K) probabilities and (N,) labels."""
    probs = _checks.prob_matrix("probs", probs)
    return probs, _checks.label_vector("labels", labels, np.full(len(probs), probs.shape[1]))
