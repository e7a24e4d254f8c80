"""How many labelled answers a guarantee takes. Nothing here chooses a threshold."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, bdtrik

from thermometer import _checks

Index = NDArray[np.int64]

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
    accepted: Index, wrong: Index, n: int, risk: float, delta: float, used: float = 1.0
) -> int | None:
    """A rough number of labels with which some threshold would pass four times in five.

    For each threshold the share of wrong answers is taken as r = (k + 1/2) / (n + 1), and the share
    accepted as it is; m accepted answers are enough if P(Bin(m, risk) <= q) <= delta, where q is
    the smallest number with P(Bin(m, r) <= q) >= 0.8. The threshold that takes the fewest labels
    counts. The number is as rough as r is on few rows.

    Args:
        accepted: (J,) rows accepted by each threshold.
        wrong: (J,) how many of them are wrong.
        n: Number of rows.
        risk: The stated risk.
        delta: Chance of a larger one.
        used: Share of labelled rows that are tested.

    Returns:
        A number above `n`, rounded up to two digits; `None` if no threshold has r below `risk`, or
        it takes more than a million accepted answers.

    Example:
        >>> needed_labels(np.array([10, 20]), np.array([0, 4]), 20, risk=0.1, delta=0.1)
        210
    """
    rate = (wrong + 0.5) / (accepted + 1.0)
    hopeful = (accepted > 0) & (rate < risk)
    if not hopeful.any():
        return None
    fewest = fewest_labels(risk, delta)
    steps = int(math.log(_MOST / fewest) / math.log(_GROWTH)) + 1 if fewest < _MOST else 1
    m = np.unique(np.ceil(fewest * _GROWTH ** np.arange(steps)))
    least = math.inf
    for row in np.flatnonzero(hopeful):
        bad = np.ceil(bdtrik(_POWER, m, rate[row]))
        passing = np.flatnonzero(bdtr(bad, m.astype(np.int64), risk) <= delta)
        if len(passing):
            least = min(least, float(m[passing[0]]) * n / float(accepted[row]) / used)
    if math.isinf(least):
        return None
    labels = max(least, n + 1)
    digit = 10.0 ** max(math.floor(math.log10(labels)) - 1, 0)
    return int(math.ceil(labels / digit) * digit)
