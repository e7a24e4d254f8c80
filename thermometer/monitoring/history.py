"""How calibration changed: labelled answers in blocks, of which only sums are kept.

When there are too many blocks, neighbours become one.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks
from thermometer.metrics import bin_index
from thermometer.metrics.intervals import Interval, wilson
from thermometer.metrics.smooth_calibration import residual_density, smooth_ece_of

Vector = NDArray[np.float64]

_HEAD = 7  # first and last number, first and last time, answers, sum of confidence, right ones
_CELLS = 256  # of the smooth error


@dataclass(frozen=True)
class Point:
    """Calibration of the answers of one block.

    Args:
        first: Number of its first answer.
        last: Number of its last one.
        first_time: Time of its first answer.
        last_time: Of its last one.
        n: Answers.
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

    def points(self, level: float = 0.95) -> list[Point]:
        """Every block, measured, in order."""
        return [self._point(block, level) for block in self.blocks]

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
        return np.concatenate(
            [
                [0, 0, 0, 0, len(confidence), confidence.sum(), correct.sum()],
                np.bincount(index, confidence - correct, self.n_bins),
                np.bincount(index, confidence * (1 - confidence), self.n_bins),
                residual_density(confidence, correct, _CELLS),
            ]
        )

    def _point(self, block: Vector, level: float) -> Point:
        first, last, first_time, last_time, n, claimed, right = block[:_HEAD].tolist()
        residual, variance = block[_HEAD : _HEAD + 2 * self.n_bins].reshape(2, -1)
        density = block[_HEAD + 2 * self.n_bins :] / n
        accuracy = wilson(right, n, level)
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
    block[0], block[1], block[2], block[3] = first[0], second[1], first[2], second[3]
    return block
