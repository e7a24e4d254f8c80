"""Bets against calibration: by how much one answer multiplies the stake of each bet.

A bet names a direction, a size and a range of confidences.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Verdict = Literal["overconfident", "underconfident"]


class Bet(NamedTuple):
    """One way of being wrong.

    Args:
        direction: +1 if answers are right more often than claimed, -1 if less often.
        size: By how much, in log-odds beyond what is tolerated.
        low: Confidences above this are meant (the lowest range also holds 0)
        high: and up to this.
    """

    direction: int
    size: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """What is wrong if this bet wins."""
        return "overconfident" if self.direction < 0 else "underconfident"

    @property
    def where(self) -> str:
        """The range of confidences in words.

        Example:
            >>> Bet(-1, 0.8, 0.7, 1.0).where, Bet(-1, 0.8, 0.0, 1.0).where
            ('confidence above 0.7', 'all confidences')
        """
        if self.low == 0 and self.high == 1:
            return "all confidences"
        return f"confidence above {self.low:g}" if self.high == 1 else f"up to {self.high:g}"


@dataclass(frozen=True)
class Bets:
    """A fixed family of bets on the outcomes of answers, each fair if confidence is calibrated.

    With c the confidence, y the outcome, e the tolerance and d = +-size, a bet within whose range c
    lies is multiplied by the tilted likelihood ratio

    ``exp(d y) / (1 - b + b exp(d))``,  b = min(c + e, 1) for d > 0 and max(c - e, 0) for d < 0,

    and left alone outside of it. Its expectation is 1 if P(y = 1) = b, and at most 1 for every
    P(y = 1) that is within e of c: no bet can be expected to gain while the confidence is within
    the tolerance, whatever came before. A single answer multiplies by at most exp(size), also one
    that is wrong at a confidence of 1. These are the bets of Waudby-Smith and Ramdas (2024,
    "Estimating means of bounded random variables by betting", arXiv 2010.09686), with the factor of
    the Bernoulli exponential family in place of 1 + lambda (y - c).

    There are bets on all confidences, and on those above and those up to each edge, so that errors
    which cancel on the whole are found. Half of the stake is on the former.

    Args:
        tolerance: Distance of accuracy from confidence that is no error, in [0, 1).
        sizes: In log-odds, all above 0.
        edges: Rising numbers in (0, 1); without them there are only bets on all confidences.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> bets = Bets(tolerance=0.0, sizes=(1.0,), edges=())
        >>> [bet.verdict for bet in bets.all]
        ['underconfident', 'overconfident']
        >>> bets.factors([0.9], [0]).round(2).tolist()  # a wrong answer at 0.9
        [[0.39, 2.32]]
    """

    tolerance: float = 0.03
    sizes: tuple[float, ...] = (0.4, 0.8, 1.6)
    edges: tuple[float, ...] = (0.5, 0.7, 0.9)

    def __post_init__(self) -> None:
        _checks.number("tolerance", self.tolerance, maximum=1 - 1e-9)
        if not self.sizes:
            raise _checks.fail("sizes", "at least one number", "none")
        for size in self.sizes:
            _checks.number("sizes", size, maximum=10.0, strict=True)
        for edge in self.edges:
            _checks.number("edges", edge, maximum=1 - 1e-9, strict=True)
        if any(a >= b for a, b in pairwise(self.edges)):
            raise _checks.fail("edges", "in ascending order", self.edges)

    @cached_property
    def all(self) -> tuple[Bet, ...]:
        """The K bets."""
        ranges = [(0.0, 1.0)]
        ranges += [pair for edge in self.edges for pair in ((edge, 1.0), (0.0, edge))]
        return tuple(
            Bet(direction, size, low, high)
            for (low, high), size, direction in product(ranges, self.sizes, (1, -1))
        )

    @cached_property
    def shares(self) -> Vector:
        """(K,) share of the stake on each bet; they sum to one."""
        whole = 2 * len(self.sizes)
        local = len(self.all) - whole
        if not local:
            return np.full(whole, 1 / whole)
        return np.repeat([0.5 / whole, 0.5 / local], [whole, local])

    def factors(self, confidence: ArrayLike, correct: ArrayLike) -> Matrix:
        """What each of N answers multiplies the stake of each bet by, (N, K) float64 above 0.

        Args:
            confidence: (N,) probabilities of the answers, in [0, 1].
            correct: (N,) booleans, or zeros and ones.

        Raises:
            ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.
        """
        claimed, outcome = _checks.outcomes(confidence, correct)
        direction, size, low, high = self._columns
        tilt = direction * size
        up, down = self._bounds(claimed)
        bound = np.where(direction > 0, up[:, None], down[:, None])
        gain = np.where(outcome[:, None] > 0, np.exp(tilt), 1.0) / (1 + bound * np.expm1(tilt))
        within = (claimed[:, None] > low) & (claimed[:, None] <= high)
        return np.where(within, gain, 1.0)

    @cached_property
    def _columns(self) -> tuple[Vector, Vector, Vector, Vector]:
        direction, size, low, high = np.array(self.all, np.float64).T
        return direction, size, np.where(low > 0, low, -1.0), high

    def _bounds(self, claimed: Vector) -> tuple[Vector, Vector]:
        """The largest and the smallest accuracy that is tolerated."""
        return np.minimum(claimed + self.tolerance, 1.0), np.maximum(claimed - self.tolerance, 0.0)

    def recovery(self, bet: Bet, confidence: float, correct: bool) -> float:
        """The factor of the bet that what `bet` found is over by half or more.

        It is 1 / factor of a bet of half the size. Its expectation is at most 1 while answers are
        off in that direction by half the size or more beyond the tolerance, whatever came before.

        Example:
            >>> bets = Bets(tolerance=0.0)
            >>> round(bets.recovery(bets.all[1], 0.9, True), 3)
            1.022
        """
        if not (bet.low < confidence <= bet.high or confidence == bet.low == 0):
            return 1.0
        tilt = bet.direction * bet.size / 2
        bound = min(max(confidence + bet.direction * self.tolerance, 0.0), 1.0)
        expected = 1 + bound * float(np.expm1(tilt))
        return expected / float(np.exp(tilt)) if correct else expected
