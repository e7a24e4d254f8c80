"""Test martingales: bets against calibration, and the wealth that they win."""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks

Vector = NDArray[np.float64]


def start_weight(n: int) -> float:
    """Share of the money with which the bets that start at the n-th event begin, n >= 1.

    ``1 / log2(n + 1) - 1 / log2(n + 2)``: all of them sum to one. It falls as 1 / (n log(n)^2), as
    slowly as weights that sum up nearly can, so that a late change costs little more than an early
    one: the n-th start has to win 1 / start_weight(n) times as much.

    Example:
        >>> round(start_weight(1), 3), round(sum(map(start_weight, range(1, 1000))), 3)
        (0.369, 0.9)
    """
    return reserve(n - 1) - reserve(n)


def reserve(n: int) -> float:
    """Share of the money that is not yet bet after n events.

    Example:
        >>> reserve(0), reserve(2)
        (1.0, 0.5)
    """
    return 1 / math.log2(n + 2)


class Wealth:
    """The wealth of K bets over all starting times: an e-process in memory that does not grow.

    With L_k(t) the factor of bet k at event t, the money that starts at event j has become
    w_j sum_k share_k prod_{i=j..t} L_k(i), where w_j is `start_weight`. All starts together need
    no more than V_k(t) = (V_k(t - 1) + w_t share_k) L_k(t), and the wealth is
    M_t = sum_k V_k(t) + `reserve(t)`. Where every factor has an expectation of at most 1 given
    the past, M is a supermartingale that starts at 1 and never is below 0, so that by Ville's
    inequality (1939) P(M_t >= 1 / level for any t) <= level, at whatever time one looks. Such sums
    over starts are the e-detectors of Shin, Ramdas and Rinaldo (2023, arXiv 2203.03532) with
    weights that make the sum a single e-process; see Ramdas et al. (2023, "Game-theoretic
    statistics and safe anytime-valid inference", arXiv 2210.01948).

    Beside the wealth stands, for each bet, the start from which it would have won most: the change
    point of largest likelihood (Page 1954).

    Args:
        shares: (K,) share of each bet; they sum to one.

    Example:
        >>> wealth = Wealth(np.array([0.5, 0.5]))
        >>> for number in range(1, 21):
        ...     total = wealth.step(np.array([1.5, 0.5]), number, time=0.0)
        >>> total > 300, wealth.best, wealth.onset(wealth.best)
        (True, 0, (1, 0.0))
    """

    def __init__(self, shares: Vector) -> None:
        self.shares = shares
        self.restart()

    def restart(self) -> None:
        """Forget everything: one unit of money, no event."""
        self.n = 0
        self._won, self._run, self._since, self._since_time = np.zeros((4, len(self.shares)))

    @property
    def total(self) -> float:
        """M_t, the wealth."""
        return float(self._won.sum()) + reserve(self.n)

    @property
    def best(self) -> int:
        """Which bet has won most."""
        return int(self._won.argmax())

    def step(self, factors: Vector, number: int, time: float) -> float:
        """Take one event.

        Args:
            factors: (K,) numbers of at least 0, known to be fair before the event.
            number: Of the event, for the onset.
            time: Of the event, for the onset.

        Returns:
            The wealth after it.
        """
        self.n += 1
        self._won += start_weight(self.n) * self.shares
        self._won *= factors
        fresh = self._run <= 1
        np.copyto(self._since, number, where=fresh)
        np.copyto(self._since_time, time, where=fresh)
        np.maximum(self._run, 1.0, out=self._run)
        self._run *= factors
        return self.total

    def onset(self, bet: int) -> tuple[int, float]:
        """Number and time of the event since which a bet would have won most."""
        return int(self._since[bet]), float(self._since_time[bet])

    def to_vector(self) -> Vector:
        """All of the state, (1 + 4 K,) float64."""
        rows = (self._won, self._run, self._since, self._since_time)
        return np.concatenate([[float(self.n)], *rows])

    def load_vector(self, state: Vector) -> None:
        """Go on exactly where `to_vector` was taken."""
        state = _checks.vector("state", state, 1 + 4 * len(self.shares))
        if state[0] < 0:
            raise _checks.fail("state", "of 0 or more events", state[0])
        self.n = int(state[0])
        rows = state[1:].reshape(4, -1).copy()
        self._won, self._run, self._since, self._since_time = rows


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
