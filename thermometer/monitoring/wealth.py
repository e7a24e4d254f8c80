"""What a family of fair bets has won, with money kept back for changes that come late."""

import math

import numpy as np
from numpy.typing import NDArray

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
    return kept_back(n - 1) - kept_back(n)


def kept_back(n: int) -> float:
    """Share of the money that is not yet bet after n events.

    Example:
        >>> kept_back(0), kept_back(2)
        (1.0, 0.5)
    """
    return 1 / math.log2(n + 2)


class Wealth:
    """The wealth of K bets over all starting times: an e-process in memory that does not grow.

    With L_k(t) the factor of bet k at event t, the money that starts at event j has become
    w_j sum_k share_k prod_{i=j..t} L_k(i), where w_j is `start_weight`. All starts together need
    no more than V_k(t) = (V_k(t - 1) + w_t share_k) L_k(t), and the wealth is
    M_t = sum_k V_k(t) + `kept_back(t)`. Where every factor has an expectation of at most 1 given
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
        return float(self._won.sum()) + kept_back(self.n)

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
