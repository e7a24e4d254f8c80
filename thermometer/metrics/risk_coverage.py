"""Risk and coverage: how many answers are wrong if only the most confident ones are given.

Public as `thermometer.metrics`. Only the order of the confidences matters here, not whether they
are true. Nothing here chooses a threshold or draws.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma

from thermometer import _checks

Vector = NDArray[np.float64]


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
