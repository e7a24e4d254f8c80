"""Confidences and outcomes whose truth is known, for benchmarks and tests.

`Segment` is a kind of traffic, whose true errors and risks are integrals, not samples;
`simulate_conversations` draws confidences of conversations whose chance of a right answer wanders.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.signal import lfilter
from scipy.special import betainc, betaln, expit, logit, xlog1py, xlogy

Vector = NDArray[np.float64]

_NODES = 1 << 14  # midpoints of an integral; errors are near 1e-8
_FARTHEST = 40.0  # logits beyond which a chance is 0 or 1 in float64


class SelectiveRisk(NamedTuple):
    """Share of confidences that reach a threshold, and the share of wrong answers among them."""

    risk: float
    share: float


@dataclass(frozen=True)
class CalibrationMap:
    """The chance that an answer of confidence c is right: expit(slope logit(c) + intercept).

    The default is perfect calibration. An intercept below 0 makes every confidence too high, a
    slope below 1 those above 1/2 too high and the others too low.

    Args:
        slope: Above 0.
        intercept: Any finite number, in logits.

    Example:
        >>> CalibrationMap(slope=0.5)([0.2, 0.5, 0.8]).round(3).tolist()
        [0.333, 0.5, 0.667]
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, confidence: ArrayLike) -> Vector:
        """Chances in [0, 1] of confidences in [0, 1], of any shape."""
        claimed = np.asarray(confidence, dtype=np.float64)
        if self == CalibrationMap():
            return claimed.copy()
        chance: Vector = expit(self.slope * logit(claimed) + self.intercept)
        return chance


@dataclass(frozen=True)
class Segment:
    """A kind of traffic.

    Args:
        calibration: What its confidences are worth.
        shape: a >= 1 and b >= 1 of the beta law of its confidences, whose mean is a / (a + b).

    Example:
        >>> honest = Segment()
        >>> round(honest.selective_risk(0.0).risk, 6)  # all answers: 1 minus the mean confidence
        0.333333
        >>> round(Segment(map_with_ece(0.15)).ece(), 6)
        0.15
    """

    calibration: CalibrationMap = CalibrationMap()
    shape: tuple[float, float] = (4.0, 2.0)

    def ece(self) -> float:
        """True calibration error, E |c - P(right given c)|."""
        c = nodes()
        return float(np.mean(density(c, self.shape) * np.abs(c - self.calibration(c))))

    def selective_risk(self, threshold: float) -> SelectiveRisk:
        """P(wrong given c >= threshold) and P(c >= threshold); the risk of nothing is 0."""
        share = 1.0 - float(betainc(*self.shape, threshold))
        c = threshold + (1.0 - threshold) * nodes()
        wrong = (1.0 - threshold) * np.mean(density(c, self.shape) * (1.0 - self.calibration(c)))
        return SelectiveRisk(float(wrong / share) if share else 0.0, share)


def map_with_ece(
    ece: float,
    shape: tuple[float, float] = (4.0, 2.0),
    *,
    by: Literal["intercept", "slope"] = "intercept",
    overconfident: bool = True,
) -> CalibrationMap:
    """A map whose true calibration error on confidences of a beta law is the one wanted.

    With ``by="intercept"`` all confidences are off to one side, so that the signed gap has the size
    of the error; with ``by="slope"`` they are off to both sides of 1/2, and the gap may be small.

    Args:
        ece: Wanted E |c - P(right given c)|, at least 0.
        shape: a and b of the beta law, as in `Segment`.
        by: Which parameter departs from that of perfect calibration.
        overconfident: Confidences are too high (by slope: too far from 1/2), or else too low.

    Raises:
        ValueError: If no such map has so large an error.

    Example:
        >>> round(map_with_ece(0.1).intercept, 3)
        -0.5
    """
    sign = -1.0 if overconfident else 1.0

    def shifted(size: float) -> CalibrationMap:
        if by == "intercept":
            return CalibrationMap(intercept=sign * size)
        return CalibrationMap(slope=float(np.exp(sign * size)))

    def excess(size: float) -> float:
        return Segment(shifted(size), shape).ece() - ece

    farthest = _FARTHEST if by == "intercept" else np.log(_FARTHEST) * 3
    if not ece:
        return CalibrationMap()
    if excess(farthest) <= 0:
        largest = excess(farthest) + ece
        raise ValueError(f"Expected `ece` below {largest:.4g}, the most by {by}, but got {ece}")
    return shifted(float(brentq(excess, 0.0, farthest, xtol=1e-12)))


def nodes() -> Vector:
    """Midpoints of equal cells of [0, 1], where integrals are taken; a mean over them is one."""
    return (np.arange(_NODES) + 0.5) / _NODES


def density(confidence: Vector, shape: tuple[float, float]) -> Vector:
    """Density of the beta law at confidences inside (0, 1)."""
    a, b = shape
    value: Vector = np.exp(xlogy(a - 1, confidence) + xlog1py(b - 1, -confidence) - betaln(a, b))
    return value


@dataclass(frozen=True, eq=False)
class Conversations:
    """K conversations of L answers each.

    Args:
        confidence: (K, L) in (0, 1).
        correct: (K, L) outcomes, 0 or 1.
        probability: (K, L) chance that the answer was right, from which the outcome was drawn.
    """

    confidence: Vector
    correct: Vector
    probability: Vector


def simulate_conversations(
    n_conversations: int,
    n_answers: int,
    *,
    centre: float = 0.8,
    spread: float = 0.5,
    persistence: float = 0.99,
    noise: float = 0.5,
    seed: int = 0,
) -> Conversations:
    """Draw conversations from a known law.

    The chance of a right answer is expit(z), where z wanders within each conversation as a
    stationary autoregression of mean logit(`centre`), standard deviation `spread` and correlation
    `persistence` between one answer and the next. What is seen is x = z + `noise` e, with e
    standard normal and new for every answer. The confidence is P(right given x), so that it is
    calibrated: z given x is normal, its mean is logit(centre) + r (x - logit(centre)) and its
    variance spread^2 (1 - r), where r = spread^2 / (spread^2 + noise^2), and expit is integrated
    over it. It rises with x.

    Args:
        n_conversations: Number K.
        n_answers: Number L of answers in each.
        centre: In (0, 1).
        spread: In logits, above 0 and at most 2.
        persistence: In [0, 1).
        noise: In logits, at least 0.
        seed: Equal arguments give equal conversations.

    Example:
        >>> drawn = simulate_conversations(2, 1000)
        >>> drawn.confidence.shape
        (2, 1000)
    """
    centre, shape = logit(centre), (n_conversations, n_answers)
    rng = np.random.default_rng(seed)
    steps = np.sqrt(1 - persistence**2) * rng.standard_normal(shape)
    steps[:, 0] = rng.standard_normal(n_conversations)
    wander = spread * lfilter([1.0], [1.0, -persistence], steps, axis=1)
    probability = expit(centre + wander)
    seen = wander + noise * rng.standard_normal(shape)
    correct = (rng.random(shape) < probability).astype(np.float64)
    return Conversations(_worth(seen, centre, spread, noise), correct, probability)


def _worth(seen: Vector, centre: float, spread: float, noise: float) -> Vector:
    """P(right) given x - logit(centre), by quadrature over what z may be."""
    known = spread**2 / (spread**2 + noise**2)
    node, weight = np.polynomial.hermite_e.hermegauss(
        40
    )  # error below 1e-9 for spreads up to 2 logits
    chance = np.zeros_like(seen)
    for step, share in zip(node, weight / weight.sum(), strict=True):
        chance += share * expit(centre + known * seen + spread * np.sqrt(1 - known) * step)
    return chance
