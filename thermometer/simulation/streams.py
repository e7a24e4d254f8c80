"""Streams of events with a known truth: changes, late labels, missing labels, segments.

`simulate` draws a `Stream`, which remembers the laws it was drawn from. Nothing here knows what
watches the stream.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks
from thermometer.simulation.segments import (
    HONEST,
    CalibrationMap,
    Segment,
    check_shape,
    density,
    nodes,
)

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """From an event on, traffic is of another kind.

    Args:
        at: Number of the first event that may differ, from 0.
        calibration: What confidences are worth then; `None` leaves it.
        shape: a and b of the beta law of confidences then; `None` leaves it.
        over: Number of events over which it comes, in equal steps; 0 is all at once.
        segment: Name of the segment that changes; `None` changes all of them.

    Raises:
        ValueError: If nothing changes, or a number is out of range.
    """

    at: int
    calibration: CalibrationMap | None = None
    shape: tuple[float, float] | None = None
    over: int = 0
    segment: str | None = None

    def __post_init__(self) -> None:
        _checks.integer("at", self.at, minimum=0)
        _checks.integer("over", self.over, minimum=0)
        if self.calibration is None and self.shape is None:
            raise _checks.fail("calibration", "given, or else `shape`", "neither")
        if self.shape is not None:
            check_shape(self.shape)

    def weight(self, event: NDArray[np.int64]) -> Vector:
        """How much of the change has come by each event, in [0, 1]."""
        if not self.over:
            return (event >= self.at).astype(np.float64)
        return np.clip((event - self.at) / self.over, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Stream:
    """N events, and the truth behind them.

    Args:
        confidence: (N,) in (0, 1).
        correct: (N,) outcomes, 0 or 1, also of events whose label never comes.
        segment: (N,) names.
        time: (N,) when each event takes place, never falling.
        label_time: (N,) when its outcome becomes known; NaN if never.
        probability: (N,) chance that it was right, from which the outcome was drawn.
        segments: The segments before any change, by name.
        changes: The changes.
    """

    confidence: Vector
    correct: Vector
    segment: NDArray[np.str_]
    time: Vector
    label_time: Vector
    probability: Vector
    segments: Mapping[str, Segment]
    changes: tuple[Change, ...]

    def __len__(self) -> int:
        return len(self.confidence)

    def ece(self, event: int, segment: str | None = None) -> float:
        """True calibration error of traffic such as comes at an event, E |c - P(right given c)|.

        Over all segments, those that are off to opposite sides at the same confidence cancel, as
        they do in every measure that does not see the segments.
        """
        return float(np.abs(self._residual(event, segment)).mean())

    def gap(self, event: int, segment: str | None = None) -> float:
        """True mean confidence minus accuracy of traffic such as comes at an event."""
        return float(self._residual(event, segment).mean())

    def _residual(self, event: int, segment: str | None) -> Vector:
        """Density of c times c - P(right given c), on the nodes of the integral."""
        at = np.array([_checks.integer("event", event, minimum=0)])
        if segment is not None:
            _checks.one_of("segment", segment, self.segments)
        c = nodes()
        total, shares = np.zeros_like(c), 0.0
        for name, one in self.segments.items():
            if segment not in (None, name):
                continue
            weight, chance = density(c, one.shape), one.calibration(c)
            for change in self.changes:
                if change.segment in (None, name):
                    come = float(change.weight(at)[0])
                    if change.shape is not None:
                        weight = (1 - come) * weight + come * density(c, change.shape)
                    if change.calibration is not None:
                        chance = (1 - come) * chance + come * change.calibration(c)
            total += one.share * weight * (c - chance)
            shares += one.share
        return total / shares


def simulate(
    n: int,
    traffic: Segment | Mapping[str, Segment] = HONEST,
    *,
    changes: Sequence[Change] = (),
    rate: float = 1.0,
    delay: float = 0.0,
    delay_spread: float = 1.0,
    unlabelled: float = 0.0,
    seed: int = 0,
) -> Stream:
    """Draw N events from known laws.

    The confidence c of an event follows the beta law of its segment; the answer is right with
    probability p(c), the calibration of its segment. A change that has come by a share w makes it
    (1 - w) p(c) + w q(c), and the law of confidences the mixture with the same weights. Events
    arrive as a Poisson process; a label follows its event by a time of the gamma law with mean
    `delay` and standard deviation `delay_spread` times that. Which labels never come is chance
    alone and tells nothing of the outcome.

    Args:
        n: Number of events.
        traffic: One segment (named "all"), or several by name; by default a calibrated one.
        changes: Applied one after another, in this order.
        rate: Events per unit of time.
        delay: Mean time from event to label; 0 is at once.
        delay_spread: 0 is always the same delay, 1 the exponential law, more a longer tail.
        unlabelled: Share of events whose label never comes, in [0, 1].
        seed: Equal arguments give equal streams.

    Raises:
        ValueError: If a number is out of range, or a change names no segment.

    Example:
        >>> worse = Change(at=500, calibration=CalibrationMap(intercept=-1.0))
        >>> stream = simulate(1000, changes=[worse], delay=20.0)
        >>> round(stream.ece(499), 4), round(stream.ece(500), 4)
        (0.0, 0.2048)
        >>> bool((stream.label_time > stream.time).all())
        True
    """
    n = _checks.integer("n", n)
    segments = {"all": traffic} if isinstance(traffic, Segment) else dict(traffic)
    if not segments:
        raise _checks.fail("traffic", "at least one segment", "none")
    for change in changes:
        if change.segment is not None:
            _checks.one_of("segment", change.segment, segments)
    rate = _checks.number("rate", rate, strict=True, maximum=1e12)
    delay = _checks.number("delay", delay, maximum=1e12)
    delay_spread = _checks.number("delay_spread", delay_spread, maximum=1e3)
    unlabelled = _checks.number("unlabelled", unlabelled, maximum=1.0)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    shares = np.array([one.share for one in segments.values()])
    member = rng.choice(len(segments), n, p=shares / shares.sum())
    come = [_come(change, list(segments), member) for change in changes]
    shape = np.array([one.shape for one in segments.values()])[member]
    for change, weight in zip(changes, come, strict=True):
        if change.shape is not None:
            shape[rng.random(n) < weight] = change.shape
    confidence = rng.beta(shape[:, 0], shape[:, 1])
    probability = np.empty(n)
    for number, one in enumerate(segments.values()):
        rows = member == number
        probability[rows] = one.calibration(confidence[rows])
    for change, weight in zip(changes, come, strict=True):
        if change.calibration is not None:
            probability += weight * (change.calibration(confidence) - probability)
    correct = (rng.random(n) < probability).astype(np.float64)
    time = np.cumsum(rng.exponential(1.0 / rate, n))
    label_time = time + _delays(rng, n, delay, delay_spread)
    label_time[rng.random(n) < unlabelled] = np.nan
    names = np.array(list(segments))[member]
    return Stream(
        confidence, correct, names, time, label_time, probability, segments, tuple(changes)
    )


def _come(change: Change, names: list[str], member: NDArray[np.int64]) -> Vector:
    """How much of a change has come by each event of its segment."""
    weight = change.weight(np.arange(len(member)))
    if change.segment is not None:
        weight[member != names.index(change.segment)] = 0.0
    return weight


def _delays(rng: np.random.Generator, n: int, mean: float, spread: float) -> Vector:
    if not mean or not spread:
        return np.full(n, mean)
    return rng.gamma(spread**-2, mean * spread**2, n)
