"""An alarm for miscalibration that may be looked at any time, and signs without labels."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.monitoring.bets import Bets, Verdict, Wealth, reserve, start_weight

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Episode:
    """A time of miscalibration, from its alarm on.

    Args:
        segment: Where; `None` is everywhere.
        verdict: ``overconfident`` or ``underconfident``.
        where: Confidences that are off: all of them, those above, or those up to an edge.
        onset: Number of the answer since which it has most likely been so (an estimate).
        onset_time: Of that answer.
        raised: Number of the answer that raised the alarm.
        raised_time: Of that answer.
        evidence: The wealth when it was raised, at least 1 / level.
        level: Chance that this watch would ever have raised its first alarm by mistake.
        ended: Number of the answer at which it ended, or `None`.
        ended_time: Of that answer.
        ended_by: ``recovery`` or ``refit``.
    """

    segment: str | None
    verdict: Verdict
    where: str
    onset: int
    onset_time: float
    raised: int
    raised_time: float
    evidence: float
    level: float
    ended: int | None = None
    ended_time: float | None = None
    ended_by: Literal["recovery", "refit"] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


class CalibrationAlarm:
    """Says when confidence stops being calibrated, wrongly so with probability `level` at most.

    The null hypothesis is that, given everything before, each answer is right with a probability
    that is within the tolerance of its confidence. Under it the wealth M of the `bets` is a
    supermartingale, and the alarm is raised when M >= 1 / level. By Ville's inequality an infinite
    stable stream ever raises one with probability `level` at most, however often one looks.

    An alarm opens an episode, during which no other is raised. It ends by evidence and not by
    silence: when the same kind of wealth of `Bets.recovery` has reached 1 / level, which happens
    with probability `level` at most while answers are still off by half of what was found; or by
    `restart`, after a refit. Then everything starts anew, with one unit of money. In a stable
    stream the expected number of false alarms is at most level / (1 - level).

    Args:
        bets: What is bet on.
        level: Chance of ever raising a first false alarm, in (0, 1).
        segment: Written into the episodes.

    Raises:
        ValueError: If `level` is out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> confidence = rng.uniform(0.5, 1.0, 3000)
        >>> drop = np.where(np.arange(3000) < 2000, 0.0, 0.25)
        >>> correct = rng.random(3000) < confidence - drop
        >>> alarm = CalibrationAlarm(Bets())
        >>> changes = alarm.update(confidence, correct)
        >>> [(episode.verdict, episode.raised > 2000) for episode in changes]
        [('overconfident', True)]
    """

    def __init__(
        self, bets: Bets | None = None, level: float = 0.01, segment: str | None = None
    ) -> None:
        self.bets = Bets() if bets is None else bets
        self.level = _checks.number("level", level, maximum=1 - 1e-9, strict=True)
        self.segment = segment
        self.episode: Episode | None = None
        self.n = 0
        self._wealth = Wealth(self.bets.shares)
        self._bet = 0
        self._recovery, self._recovery_n = 0.0, 0

    @property
    def evidence(self) -> float:
        """The wealth M now; at the alarm during an episode."""
        return self._wealth.total

    def update(
        self,
        confidence: ArrayLike,
        correct: ArrayLike,
        numbers: Sequence[int] | None = None,
        times: Sequence[float] | None = None,
    ) -> list[Episode]:
        """Take N answers in their order.

        Args:
            confidence: (N,) probabilities of the answers, in [0, 1].
            correct: (N,) booleans, or zeros and ones.
            numbers: Of the answers; by default they are counted from 1.
            times: Of the answers; by default 0.

        Returns:
            Every episode that was opened or ended, in order; one that was both comes twice.

        Raises:
            ValueError: If N is 0 or lengths differ, or a value is NaN or out of range.
        """
        claimed, outcome = _checks.outcomes(confidence, correct)
        numbers = range(self.n + 1, self.n + 1 + len(claimed)) if numbers is None else numbers
        times = np.zeros(len(claimed)).tolist() if times is None else times
        changes = []
        rows = zip(
            self.bets.factors(claimed, outcome),
            claimed.tolist(),
            (outcome > 0).tolist(),
            numbers,
            times,
            strict=True,
        )
        for factors, c, right, number, time in rows:
            self.n += 1
            if self.episode is None:
                if self._wealth.step(factors, number, time) >= 1 / self.level:
                    changes.append(self._raise(number, time))
            elif self._recover(c, right) >= 1 / self.level:
                changes.append(self._end(number, time, "recovery"))
        return changes

    def restart(self, number: int, time: float = 0.0) -> Episode | None:
        """Start anew after a refit; the episode that this ends, if there is one."""
        if self.episode is not None:
            return self._end(number, time, "refit")
        self._wealth.restart()
        return None

    def to_vector(self) -> Vector:
        """All of the state but the open episode, as float64 numbers."""
        head = [float(self.n), float(self._bet), self._recovery, float(self._recovery_n)]
        return np.concatenate([head, self._wealth.to_vector()])

    def load_vector(self, state: Vector, episode: Episode | None) -> None:
        """Go on exactly where `to_vector` was taken, with the episode that was open then."""
        n, bet, self._recovery, recovery_n = map(float, state[:4])
        self.n, self._bet, self._recovery_n = int(n), int(bet), int(recovery_n)
        self._wealth.load_vector(state[4:])
        self.episode = episode

    def _raise(self, number: int, time: float) -> Episode:
        self._bet = self._wealth.best
        bet = self.bets.all[self._bet]
        onset, onset_time = self._wealth.onset(self._bet)
        self._recovery, self._recovery_n = 0.0, 0
        self.episode = Episode(
            segment=self.segment,
            verdict=bet.verdict,
            where=bet.where,
            onset=onset,
            onset_time=onset_time,
            raised=number,
            raised_time=time,
            evidence=self._wealth.total,
            level=self.level,
        )
        return self.episode

    def _recover(self, confidence: float, right: bool) -> float:
        self._recovery_n += 1
        self._recovery += start_weight(self._recovery_n)
        self._recovery *= self.bets.recovery(self.bets.all[self._bet], confidence, right)
        return self._recovery + reserve(self._recovery_n)

    def _end(self, number: int, time: float, by: Literal["recovery", "refit"]) -> Episode:
        assert self.episode is not None
        ended = replace(self.episode, ended=number, ended_time=time, ended_by=by)
        self.episode = None
        self._wealth.restart()
        return ended


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
