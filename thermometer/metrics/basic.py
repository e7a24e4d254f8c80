"""Accuracy, NLL, Brier scores and AUROC, and risk over coverage."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma
from scipy.stats import rankdata

from thermometer import _checks

Vector = NDArray[np.float64]
_SMALLEST = float(np.finfo(np.float64).tiny)


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
    probs, labels = _checks.probs_and_labels(probs, labels)
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
    probs, labels = _checks.probs_and_labels(probs, labels)
    chosen = probs[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, _SMALLEST)).mean())


def brier(probs: ArrayLike, labels: ArrayLike, convention: Literal["sum", "mean"] = "sum") -> float:
    """Brier score, 1/N sum_i sum_k (p_ik - [k = y_i])^2; in [0, 2], or [0, 2/K] as a mean.

    ``"sum"`` over options is Brier's own (1950, "Verification of forecasts expressed in terms of
    probability"), and what `evaluate` reports. ``"mean"`` divides it by the K columns of `probs`,
    as some publications print it, that of the Thermometer method among them; it makes tasks of
    more options look better. With two options the mean is the (p - y)^2 of scikit-learn's
    `brier_score_loss`. Other arguments and errors are those of `top_label`.

    Example:
        >>> round(brier([[0.5, 0.5], [0.9, 0.1]], [0, 0]), 4)
        0.26
        >>> round(brier([[0.5, 0.5], [0.9, 0.1]], [0, 0], "mean"), 4)
        0.13
    """
    _checks.one_of("convention", convention, ("sum", "mean"))
    probs, labels = _checks.probs_and_labels(probs, labels)
    error = probs.copy()
    error[np.arange(len(labels)), labels] -= 1
    total = float(np.einsum("nk,nk->n", error, error).mean())
    return total if convention == "sum" else total / probs.shape[1]


def binary_nll(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Negative log-likelihood of "the answer is right", in nats; in [0, 708.4].

    -1/N sum_i (y_i log c_i + (1 - y_i) log(1 - c_i)), what a recalibrator of confidences minimises;
    `nll` is that of all options. As there, an outcome of probability 0 is taken as one of 2.2e-308:
    a wrong answer at confidence 1 costs 708.4 nats, at the float64 next to 1 it costs 36.7.
    Arguments and errors are those of `expected_calibration_error`.

    Example:
        >>> round(binary_nll([0.9, 0.5], [1, 0]), 4)
        0.3993
    """
    return float(nll_of_rows(*_checks.outcomes(confidence, correct)).mean())


def nll_of_rows(confidence: Vector, correct: Vector) -> Vector:
    """The (N,) terms of which `binary_nll` is the mean, from (N,) float64 that were checked."""
    return -np.log(np.maximum(np.where(correct > 0, confidence, 1 - confidence), _SMALLEST))


def binary_brier(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Brier score of "the answer is right", 1/N sum_i (c_i - y_i)^2; in [0, 1].

    That of scikit-learn's `brier_score_loss` for two classes. It is no multiple of `brier`, which
    also asks how the rest of the probability is shared. Arguments and errors are those of
    `expected_calibration_error`.

    Example:
        >>> round(binary_brier([0.9, 0.5], [1, 0]), 4)
        0.13
    """
    confidence, correct = _checks.outcomes(confidence, correct)
    return float(np.square(confidence - correct).mean())


def signed_gap(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Mean confidence minus accuracy; in [-1, 1], positive for an overconfident model.

    Arguments and errors are those of `expected_calibration_error`.

    Example:
        >>> round(signed_gap([0.9, 0.7], [1, 0]), 4)
        0.3
    """
    confidence, correct = _checks.outcomes(confidence, correct)
    return float(confidence.mean() - correct.mean())


def auroc(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Probability that a right answer has more confidence than a wrong one, ties counting half.

    In [0, 1]; 0.5 means that confidence says nothing about which answers are right. It is the area
    under the ROC curve, by the rank sum of Mann and Whitney (1947). NaN where all answers are right
    or all are wrong, since there is no pair to compare. With two options, a temperature for a whole
    task cannot change it; with more options it can.

    Arguments and errors are those of `expected_calibration_error`.

    Example:
        >>> auroc([0.9, 0.8, 0.8, 0.1], [1, 1, 0, 0])
        0.875
    """
    confidence, correct = _checks.outcomes(confidence, correct)
    n_right = correct.sum()
    n_wrong = len(correct) - n_right
    if not n_right or not n_wrong:
        return float("nan")
    ranks = rankdata(confidence)[correct == 1].sum()
    return float((ranks - n_right * (n_right + 1) / 2) / (n_right * n_wrong))


def oracle_gap_closed(nll_method: float, nll_baseline: float, nll_oracle: float) -> float:
    """Share of the possible gain that a method reaches, (baseline - method)/(baseline - oracle).

    1 means as good as the oracle (a temperature fitted on the task's own labels), 0 no better than
    the baseline, below 0 worse. NaN where the oracle is no better than the baseline, as there is
    no gap to close. Average the three NLLs over tasks before dividing: the ratio of one task with a
    tiny gap can be any number.

    Raises:
        ValueError: If a value is negative, infinite or NaN.

    Example:
        >>> round(oracle_gap_closed(0.9, nll_baseline=1.3, nll_oracle=0.8), 4)
        0.8
    """
    largest = float(np.finfo(np.float64).max)
    method = _checks.number("nll_method", nll_method, maximum=largest)
    baseline = _checks.number("nll_baseline", nll_baseline, maximum=largest)
    oracle = _checks.number("nll_oracle", nll_oracle, maximum=largest)
    if baseline <= oracle:
        return float("nan")
    return (baseline - method) / (baseline - oracle)


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """A risk-coverage curve of U points, from the fewest answers to all of them.

    Args:
        coverage: (U,) float64 in (0, 1], rising: fraction of rows that are answered.
        risk: (U,) float64 in [0, 1]: fraction of these answers that are wrong.
        threshold: (U,) float64, falling: answered are the confidences of at least this.
    """

    coverage: Vector
    risk: Vector
    threshold: Vector


def risk_coverage(confidence: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """Fraction of wrong answers among those above every threshold of confidence.

    One point for each of the U different confidences: rows of equal confidence are answered
    together or not at all, since no threshold separates them. The last point has coverage 1 and
    the risk 1 - accuracy (El-Yaniv and Wiener 2010; Geifman and El-Yaniv 2017, arXiv 1705.08500).

    Arguments and errors are those of `expected_calibration_error`.

    Example:
        >>> curve = risk_coverage([0.9, 0.6, 0.6, 0.3], [1, 1, 0, 0])
        >>> curve.coverage.tolist(), curve.risk.round(3).tolist(), curve.threshold.tolist()
        ([0.25, 0.75, 1.0], [0.0, 0.333, 0.5], [0.9, 0.6, 0.3])
    """
    threshold, count, wrong = _blocks(confidence, correct)
    answered = np.cumsum(count)
    return RiskCoverage(answered / answered[-1], np.cumsum(wrong) / answered, threshold)


def aurc(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Area under the risk-coverage curve, 1/N sum_i (wrong among the i most confident) / i.

    In [0, 1], smaller is better; 0 if all answers are right, 1 if all are wrong, and the risk
    1 - accuracy if confidence says nothing. Rows of equal confidence count as if in random order:
    this is the mean over all of their orders, so that the order of rows does not matter. Geifman,
    Uziel and El-Yaniv (2019, arXiv 1805.08206) average over the same N coverages.

    Arguments and errors are those of `expected_calibration_error`.

    Example:
        >>> round(aurc([0.9, 0.6, 0.6, 0.3], [1, 1, 0, 0]), 4)  # (0 + 0.5/2 + 1/3 + 2/4) / 4
        0.2708
    """
    _, count, wrong = _blocks(confidence, correct)
    return float(area(count, wrong))


def area(count: Vector, wrong: Vector) -> Vector:
    """`aurc` of rows and wrong answers at U falling confidences, each (..., U); gives (...).

    In a block of m rows, e of them wrong, that comes after n rows with w wrong ones, the expected
    number of wrong answers among the first n + j is w + e j/m. So the block adds
    sum_j (w + e j/m) / (n + j) = e + (w - e n/m) (H(n + m) - H(n)), H being the harmonic numbers.
    """
    after, mistakes = np.cumsum(count, axis=-1), np.cumsum(wrong, axis=-1)
    before = after - count
    harmonic = digamma(after + 1.0) - digamma(before + 1.0)
    slope = wrong / np.where(count, count, 1.0)
    blocks = wrong + (mistakes - wrong - slope * before) * harmonic
    total: Vector = blocks.sum(axis=-1) / after[..., -1]
    return np.clip(total, 0.0, 1.0)


def _blocks(confidence: ArrayLike, correct: ArrayLike) -> tuple[Vector, Vector, Vector]:
    """Different confidences, falling, with the numbers of rows and of wrong answers at each."""
    confidence, correct = _checks.outcomes(confidence, correct)
    order = np.argsort(confidence, kind="stable")[::-1]
    ordered = confidence[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=np.inf))
    count = np.diff(starts, append=len(ordered)).astype(np.float64)
    return ordered[starts], count, np.add.reduceat(1 - correct[order], starts)
