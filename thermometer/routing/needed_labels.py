"""How many labelled answers a guarantee takes."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrik

from thermometer import _checks

Vector = NDArray[np.float64]

_POWER = 0.8  # chance of passing that is aimed at
_MOST = 1_000_000  # accepted answers beyond which it is called hopeless
_GROWTH = 1.02  # step of the numbers that are tried


def fewest_labels(risk: float, delta: float) -> int:
    """Accepted answers, all right, with which the test passes: log(delta) / log(1 - risk).

    With that many the chance of no wrong one, (1 - risk)^n, is at most `delta`. For small risks it
    is nearly log(1 / delta) / risk: the rule of three (Hanley and Lippman-Hand 1983).

    Example:
        >>> fewest_labels(0.05, 0.05), fewest_labels(0.01, 0.05)
        (59, 299)
    """
    risk = _checks.number("risk", risk, maximum=1 - 1e-9, strict=True)
    delta = _checks.number("delta", delta, maximum=1 - 1e-9, strict=True)
    exact = math.log(delta) / math.log1p(-risk)
    n = max(math.ceil(exact - 1e-9), 1)
    return n if (1 - risk) ** n <= delta * (1 + 1e-12) else n + 1


def needed_labels(
    confidence: Vector,
    correct: Vector,
    thresholds: Vector,
    risk: float,
    delta: float,
    used: float = 1.0,
) -> int | None:
    """A rough number of labels with which some threshold would pass four times in five.

    What a confidence is worth is estimated by a Platt curve, which few rows can bear; r is then the
    share of wrong answers that a threshold would accept. m accepted answers are enough if
    P(Bin(m, risk) <= q) <= delta, where q is the smallest number with P(Bin(m, r) <= q) >= 0.8, and
    m divided by the share accepted is the number of labels. The threshold that takes the fewest
    counts. In simulations half of the numbers named were within a factor of two of the right one.

    Args:
        confidence: (N,) of the rows tested.
        correct: (N,) zeros and ones.
        thresholds: (J,) that more labels could reach.
        risk: The stated risk.
        delta: Chance of a larger one.
        used: Share of labelled rows that are tested.

    Returns:
        A number above that of the rows given, rounded up to two digits; `None` if no threshold has
        r below `risk`, or it takes more than a million accepted answers.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> confidence = rng.random(60)
        >>> correct = (rng.random(60) < confidence).astype(float)
        >>> needed_labels(confidence, correct, np.array([0.9, 0.8]), risk=0.2, delta=0.1)
        1900
    """
    from thermometer.baselines.platt import PlattScaling  # heavy, and only needed for refusals

    n = len(confidence)
    wrong = 1.0 - PlattScaling().fit(confidence, correct).recalibrate(confidence)
    fewest = fewest_labels(risk, delta)
    steps = max(int(math.log(_MOST / fewest) / math.log(_GROWTH)), 0) + 1
    m = np.unique(np.ceil(fewest * _GROWTH ** np.arange(steps)))
    least = math.inf
    for threshold in thresholds:
        accepted = confidence >= threshold
        rate = float(wrong[accepted].mean()) if accepted.any() else 1.0
        if rate >= risk:
            continue
        bad = np.ceil(bdtrik(_POWER, m, rate))
        passing = np.flatnonzero(bdtr(bad, m.astype(np.int64), risk) <= delta)
        if len(passing):
            least = min(least, float(m[passing[0]] / accepted.mean()) / used)
    if math.isinf(least):
        return None
    labels = max(least, n / used + 1)
    digit = 10.0 ** max(math.floor(math.log10(labels)) - 1, 0)
    return int(math.ceil(labels / digit) * digit)
