"""What a monitor is told to do, and the window of answers that it keeps."""

import json
import math
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks
from thermometer._files import from_plain
from thermometer.metrics import bin_index
from thermometer.metrics.calibration_error import residual_density, smooth_ece_of
from thermometer.metrics.intervals import Interval, wilson
from thermometer.monitoring.alarm import Bets

Vector = NDArray[np.float64]

_HEAD = 7  # first and last number, first and last time, answers, sum of confidence, right ones
_CELLS = 256  # of the smooth error


@dataclass(frozen=True)
class MonitorSettings:
    """What a monitor watches, and how often it may be wrong.

    Args:
        level: Chance that a calibrated stream ever raises a first alarm, in (0, 1). Half of it is
            for all answers together, half is shared equally by `max_segments` segments
            (Bonferroni). The early signs have a chance of as much again, half for each of
            confidence and temperature.
        tolerance: Distance of accuracy from confidence that is no error; see `Bets`.
        sizes: Sizes of the bets; see `Bets`.
        edges: Edges of the bets; see `Bets`.
        window: Number of the latest labelled answers that are measured and refitted on.
        max_age: Seconds by which a measured answer may be older than the latest prediction; `None`
            is without end.
        max_segments: Segments that have an alarm of their own: the first ones that get a label.
            All answers are watched together in any case. With 0 all of `level` goes to that.
        max_pending: Predictions that wait for a label; beyond it the oldest are forgotten.
        n_bins: Bins of equal width of the ECE.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> settings = MonitorSettings(level=0.04, max_segments=10)
        >>> settings.overall_level, settings.segment_level
        (0.02, 0.002)
    """

    level: float = 0.01
    tolerance: float = 0.03
    sizes: tuple[float, ...] = (0.4, 0.8, 1.6)
    edges: tuple[float, ...] = (0.5, 0.7, 0.9)
    window: int = 2000
    max_age: float | None = None
    max_segments: int = 20
    max_pending: int = 100_000
    n_bins: int = 10

    def __post_init__(self) -> None:
        _checks.number("level", self.level, maximum=1 - 1e-9, strict=True)
        for name in ("window", "max_pending", "n_bins"):
            _checks.integer(name, getattr(self, name))
        _checks.integer("max_segments", self.max_segments, minimum=0)
        if self.max_age is not None:
            _checks.number("max_age", self.max_age, strict=True)
        _ = self.bets  # checks its own

    @property
    def bets(self) -> Bets:
        """The bets of every alarm."""
        return Bets(self.tolerance, self.sizes, self.edges)

    @property
    def overall_level(self) -> float:
        """Level of the alarm on all answers."""
        return self.level / 2 if self.max_segments else self.level

    @property
    def segment_level(self) -> float:
        """Level of the alarm of one segment."""
        return self.level / 2 / max(self.max_segments, 1)

    @property
    def sign_level(self) -> float:
        """Level of one early sign."""
        return self.level / 2

    def to_json(self) -> str:
        """The fields as JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "MonitorSettings":
        """Settings that `to_json` wrote.

        Raises:
            ValueError: If the text is damaged, or a key is missing or unknown.
        """
        content = json.loads(text)
        names = {field.name for field in fields(cls)}
        if not isinstance(content, dict) or set(content) != names:
            raise _checks.fail("settings", f"a JSON object of {', '.join(sorted(names))}", text)
        return from_plain(cls, content, "settings")


@dataclass(frozen=True)
class Point:
    """Calibration of the answers of one block.

    Args:
        first: Number of its first answer.
        last: Number of its last answer.
        first_time: Time of its first answer.
        last_time: Time of its last answer.
        n: Number of answers.
        accuracy: Share of right ones, with an interval (Wilson 1927).
        confidence: Mean confidence.
        gap: Confidence minus accuracy, with the same interval.
        ece: Expected calibration error over bins of equal width.
        floor: The mean ECE that perfect calibration would score, from the normal law of each bin.
        smooth_ece: On a grid of 256 cells.
    """

    first: int
    last: int
    first_time: float
    last_time: float
    n: int
    accuracy: Interval
    confidence: float
    gap: Interval
    ece: float
    floor: float
    smooth_ece: float


class History:
    """Blocks of consecutive answers, at most `most` of them.

    A block that holds `size` answers is full. When `most` are full, neighbours are added up and
    `size` doubles, so that any number of answers needs the same memory.

    Args:
        size: Answers in a block at first.
        most: Blocks that are kept; even.
        n_bins: Bins of the ECE.

    Example:
        >>> history = History(size=10, most=4)
        >>> history.add(np.full(95, 0.8), np.ones(95), list(range(1, 96)), [0.0] * 95)
        >>> [(point.first, point.last) for point in history.points()]
        [(1, 40), (41, 80), (81, 95)]
    """

    def __init__(self, size: int = 100, most: int = 200, n_bins: int = 10) -> None:
        self.size = _checks.integer("size", size)
        self.most = _checks.integer("most", most, minimum=2)
        self.n_bins = _checks.integer("n_bins", n_bins)
        self.blocks: list[Vector] = []
        self.first_changed = 0

    def add(
        self, confidence: Vector, correct: Vector, numbers: list[int], times: list[float]
    ) -> None:
        """Add N answers in their order."""
        start = 0
        while start < len(confidence):
            if not self.blocks or self.blocks[-1][4] >= self.size:
                self._new_block(numbers[start], times[start])
            self.first_changed = min(self.first_changed, len(self.blocks) - 1)
            block = self.blocks[-1]
            end = start + min(self.size - int(block[4]), len(confidence) - start)
            block += self._sums(confidence[start:end], correct[start:end])
            block[1], block[3] = numbers[end - 1], times[end - 1]
            start = end

    def points(self, coverage: float = 0.95) -> list[Point]:
        """Every block, measured, in order."""
        return [self._point(block, coverage) for block in self.blocks]

    def _new_block(self, number: int, time: float) -> None:
        if len(self.blocks) >= self.most:
            pairs = zip(self.blocks[::2], self.blocks[1::2], strict=True)
            self.blocks = [_joined(a, b) for a, b in pairs]
            self.size *= 2
            self.first_changed = 0
        block = np.zeros(_HEAD + 2 * self.n_bins + _CELLS + 1)
        block[:4] = number, number, time, time
        self.blocks.append(block)

    def _sums(self, confidence: Vector, correct: Vector) -> Vector:
        index = bin_index(confidence, self.n_bins)
        head = [0, 0, 0, 0, len(confidence), confidence.sum(), correct.sum()]
        residual = np.bincount(index, confidence - correct, self.n_bins)
        variance = np.bincount(index, confidence * (1 - confidence), self.n_bins)
        return np.concatenate(
            [head, residual, variance, residual_density(confidence, correct, _CELLS)]
        )

    def _point(self, block: Vector, coverage: float) -> Point:
        first, last, first_time, last_time, n, claimed, right = block[:_HEAD].tolist()
        residual, variance = block[_HEAD : _HEAD + 2 * self.n_bins].reshape(2, -1)
        density = block[_HEAD + 2 * self.n_bins :] / n
        accuracy = wilson(right, n, coverage)
        mean = claimed / n
        return Point(
            first=int(first),
            last=int(last),
            first_time=first_time,
            last_time=last_time,
            n=int(n),
            accuracy=accuracy,
            confidence=mean,
            gap=Interval(mean - right / n, mean - accuracy.high, mean - accuracy.low),
            ece=float(np.abs(residual).sum() / n),
            floor=float(np.sqrt(2 / math.pi * variance).sum() / n),
            smooth_ece=float(smooth_ece_of(density[None])[0]),
        )


def _joined(first: Vector, second: Vector) -> Vector:
    """Two neighbouring blocks as one."""
    block: Vector = first + second
    block[:4] = first[0], second[1], first[2], second[3]
    return block
