"""An early sign: numbers that need no labels no longer look like those before.

Temperatures, confidences, or a number made of features. That they drift does not prove that
confidence is wrong, and confidence can go wrong without it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.monitoring.wealth import Wealth

Vector = NDArray[np.float64]

N_LEARNED = 100  # values that set the cells
N_EDGES = 19
N_CELLS = 2 * N_EDGES + 1  # between the edges, and on each
_TILTS = np.array([-4.0, -2.0, -1.0, 1.0, 2.0, 4.0, -3.0, -1.5, 1.5, 3.0])
_ON_SPREAD = 6  # bets from here on are on the distance of the rank from the middle


@dataclass(frozen=True)
class Sign:
    """A number that has drifted.

    Args:
        name: Of the number.
        onset: Number of the event since which it has most likely been so (an estimate).
        onset_time: Of that event.
        raised: Number of the event that showed it.
        raised_time: Of that event.
        direction: ``higher``, ``lower``, ``wider`` or ``narrower`` than before.
        level: Chance that it would ever be raised a first time by mistake.
    """

    name: str
    onset: int
    onset_time: float
    raised: int
    raised_time: float
    direction: str
    level: float

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


class EarlySign:
    """Says when a stream of numbers drifts, wrongly so with probability `level` at most.

    The null hypothesis is that the numbers are exchangeable: any order of them is equally probable.
    The first 100 set 19 edges, their quantiles, and are then forgotten. The cells are the ranges
    between edges and the edges themselves, as numbers may repeat. From then on each number has a
    rank among all since, u = (below + v (equal + 1)) / (n + 1), where n were seen before, `equal`
    of them in the same cell, `below` in lower ones, and v is uniform. Under the null hypothesis
    these u are independent and uniform on [0, 1] (Vovk, Gammerman and Shafer 2005, "Algorithmic
    Learning in a Random World"), so that bets on u, and on |2 u - 1|, of the form
    d exp(d u) / (exp(d) - 1), are fair, and `Wealth` bounds the chance of ever reaching 1 / level.

    After a sign it starts anew, with other cells. Slow drift may pass unseen, as the numbers are
    compared with all before. The v come from a counter by a fixed rule: equal streams give equal
    signs.

    Args:
        name: Of the number.
        level: Chance of ever raising a first false sign, in (0, 1).

    Raises:
        ValueError: If `level` is out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> temperature = np.r_[rng.normal(1.5, 0.2, 1000), rng.normal(1.7, 0.2, 300)]
        >>> sign, = EarlySign("temperature").update(temperature)
        >>> sign.direction, 1000 < sign.raised < 1100
        ('higher', True)
    """

    def __init__(self, name: str, level: float = 0.01) -> None:
        self.name = name
        self.level = _checks.number("level", level, maximum=1 - 1e-9, strict=True)
        self.n = 0
        self._first: list[float] = []
        self._edges: Vector | None = None
        self._counts = np.zeros(N_CELLS, np.int64)
        self._wealth = Wealth(np.full(len(_TILTS), 1 / len(_TILTS)))

    @property
    def evidence(self) -> float:
        """The wealth now."""
        return self._wealth.total

    def update(
        self,
        values: ArrayLike,
        numbers: Sequence[int] | None = None,
        times: Sequence[float] | None = None,
    ) -> list[Sign]:
        """Take N numbers in their order.

        Args:
            values: (N,) finite numbers.
            numbers: Of the events; by default they are counted from 1.
            times: Of the events; by default 0.

        Returns:
            The signs that were raised, in order.

        Raises:
            ValueError: If a value is NaN or infinite, or lengths differ.
        """
        column = _checks.vector("values", values)
        numbers = range(self.n + 1, self.n + 1 + len(column)) if numbers is None else numbers
        times = np.zeros(len(column)).tolist() if times is None else times
        luck = _uniform(self.n, len(column)).tolist()
        signs = []
        for value, v, number, time in zip(column.tolist(), luck, numbers, times, strict=True):
            self.n += 1
            if len(self._first) < N_LEARNED:
                self._first.append(value)
                continue
            if self._wealth.step(_factors(self._rank(value, v)), number, time) >= 1 / self.level:
                signs.append(self._sign(number, time))
                self._restart()
        return signs

    def to_vector(self) -> Vector:
        """All of the state, as float64 numbers."""
        head = [float(self.n), float(len(self._first))]
        return np.concatenate([head, self._first, self._counts, self._wealth.to_vector()])

    def load_vector(self, state: Vector) -> None:
        """Go on exactly where `to_vector` was taken."""
        self.n, size = int(state[0]), int(state[1])
        self._first, rest = state[2 : 2 + size].tolist(), state[2 + size :]
        self._counts = rest[:N_CELLS].astype(np.int64)
        self._wealth.load_vector(rest[N_CELLS:])
        self._edges = None

    def _restart(self) -> None:
        self._first, self._edges = [], None
        self._counts = np.zeros(N_CELLS, np.int64)
        self._wealth.restart()

    def _rank(self, value: float, v: float) -> float:
        """Place of a value among those since the first, in (0, 1); counts it."""
        edges = self._edges
        if edges is None:
            edges = np.quantile(self._first, np.arange(1, N_EDGES + 1) / (N_EDGES + 1))
            self._edges = edges
        cell = int(edges.searchsorted(value) + edges.searchsorted(value, side="right"))
        below, equal = int(self._counts[:cell].sum()), int(self._counts[cell])
        u = (below + v * (equal + 1)) / (int(self._counts.sum()) + 1)
        self._counts[cell] += 1
        return u

    def _sign(self, number: int, time: float) -> Sign:
        best = self._wealth.best
        up = _TILTS[best] > 0
        words = ("wider", "narrower") if best >= _ON_SPREAD else ("higher", "lower")
        onset, onset_time = self._wealth.onset(best)
        return Sign(self.name, onset, onset_time, number, time, words[0 if up else 1], self.level)


def _factors(u: float) -> Vector:
    """What each bet is multiplied by; the expectation over uniform u is 1."""
    place = np.full(len(_TILTS), u)
    place[_ON_SPREAD:] = abs(2 * u - 1)
    factors: Vector = np.exp(_TILTS * place) * (_TILTS / np.expm1(_TILTS))
    return factors


def _uniform(start: int, count: int) -> Vector:
    """Numbers in (0, 1) that only depend on their position: splitmix64 (Steele et al. 2014)."""
    z = np.arange(start + 1, start + 1 + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
