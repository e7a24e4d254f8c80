"""What a kind of traffic is like: the law of its confidences, and what they are worth.

All truths are integrals over that law, no samples. Nothing here draws events or knows time.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaln, expit, logit, xlog1py, xlogy

from thermometer import _checks

Vector = NDArray[np.float64]

_NODES = 1 << 14  # midpoints of an integral; errors are near 1e-8
_FARTHEST = 40.0  # logits beyond which a chance is 0 or 1 in float64


def check_shape(shape: tuple[float, float]) -> None:
    """Refuse what is no pair of numbers of at least 1."""
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise _checks.fail("shape", "two numbers (a, b)", repr(shape))
    for value in shape:
        _checks.number("shape", value, minimum=1.0, maximum=1e6)


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

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> CalibrationMap(slope=0.5)([0.2, 0.5, 0.8]).round(3).tolist()
        [0.333, 0.5, 0.667]
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __post_init__(self) -> None:
        _checks.number("slope", self.slope, maximum=1e6, strict=True)
        _checks.number("intercept", self.intercept, minimum=-1e6, maximum=1e6)

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
        share: Its part of the traffic, in proportion to the shares of the other segments.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> honest = Segment()
        >>> round(honest.selective_risk(0.0).risk, 6)  # all answers: 1 minus the mean confidence
        0.333333
        >>> round(Segment(map_with_ece(0.15)).ece(), 6)
        0.15
    """

    calibration: CalibrationMap = CalibrationMap()
    shape: tuple[float, float] = (4.0, 2.0)
    share: float = 1.0

    def __post_init__(self) -> None:
        check_shape(self.shape)
        _checks.number("share", self.share, strict=True, maximum=1e12)

    def ece(self) -> float:
        """True calibration error, E |c - P(right given c)|."""
        c = nodes()
        return float(np.mean(density(c, self.shape) * np.abs(c - self.calibration(c))))

    def selective_risk(self, threshold: float) -> SelectiveRisk:
        """P(wrong given c >= threshold) and P(c >= threshold); the risk of nothing is 0."""
        lowest = _checks.number("threshold", threshold, maximum=1.0)
        share = 1.0 - float(betainc(*self.shape, lowest))
        c = lowest + (1.0 - lowest) * nodes()
        wrong = (1.0 - lowest) * np.mean(density(c, self.shape) * (1.0 - self.calibration(c)))
        return SelectiveRisk(float(wrong / share) if share else 0.0, share)


HONEST = Segment()


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
    check_shape(shape)
    _checks.one_of("by", by, ("intercept", "slope"))
    wanted = _checks.number("ece", ece, maximum=1.0)
    sign = -1.0 if overconfident else 1.0

    def shifted(size: float) -> CalibrationMap:
        if by == "intercept":
            return CalibrationMap(intercept=sign * size)
        return CalibrationMap(slope=float(np.exp(sign * size)))

    def excess(size: float) -> float:
        return Segment(shifted(size), shape).ece() - wanted

    farthest = _FARTHEST if by == "intercept" else np.log(_FARTHEST) * 3
    if not wanted:
        return CalibrationMap()
    if excess(farthest) <= 0:
        largest = excess(farthest) + wanted
        raise _checks.fail("ece", f"below {largest:.4g}, the most by {by}", ece)
    return shifted(float(brentq(excess, 0.0, farthest, xtol=1e-12)))


def nodes() -> Vector:
    """Midpoints of equal cells of [0, 1], where integrals are taken; a mean over them is one."""
    return (np.arange(_NODES) + 0.5) / _NODES


def density(confidence: Vector, shape: tuple[float, float]) -> Vector:
    """Density of the beta law at confidences inside (0, 1)."""
    a, b = shape
    value: Vector = np.exp(xlogy(a - 1, confidence) + xlog1py(b - 1, -confidence) - betaln(a, b))
    return value
