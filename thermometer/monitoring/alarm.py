"""Sequential tests by betting: an alarm for miscalibration, and early signs without labels.

`Bets` are fair while confidence is calibrated, `Wealth` is what they win. Both tests may be looked
at after every event and keep their rate of false alarms.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks

Vector = NDArray[np.float64]
Verdict = Literal["overconfident", "underconfident"]


def start_weight(n: int) -> float:
    """Share of the money with which the bets that start at the n-th event begin, n >= 1.

    ``1 / log2(n + 1) - 1 / log2(n + 2)``: all of them sum to one. It falls as 1 / (n log(n)^2), as
    slowly as weights that sum up nearly can, so that a late change costs little more than an early
    one: the n-th start has to win 1 / start_weight(n) times as much.

    Example:
        >>> round(start_weight(1), 3), round(sum(map(start_weight, range(1, 1000))), 3)
        (0.369, 0.9)
    """
    return unbet(n - 1) - unbet(n)


def unbet(n: int) -> float:
    """Share of the money that is not yet bet after n events: 1 / log2(n + 2)."""
    return 1 / math.log2(n + 2)


class Wealth:
    """The wealth of K bets over all starting times: an e-process in memory that does not grow.

    With L_k(t) the factor of bet k at event t, the money that starts at event j has become
    w_j sum_k share_k prod_{i=j..t} L_k(i), where w_j is `start_weight`. All starts together need
    no more than V_k(t) = (V_k(t - 1) + w_t share_k) L_k(t), and the wealth is
    M_t = sum_k V_k(t) + `unbet(t)`. Where every factor has an expectation of at most 1 given
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
        return float(self._won.sum()) + unbet(self.n)

    @property
    def best(self) -> int:
        """Which bet has won most."""
        return int(self._won.argmax())

    def step(self, factors: Vector, number: int, time: float) -> float:
        """The wealth after one more event.

        Args:
            factors: (K,) numbers of at least 0, known to be fair before the event.
            number: Number of the event, for the onset.
            time: Its time, for the onset.
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


class Bet(NamedTuple):
    """One way of being wrong, for confidences above `low` (the lowest range holds 0) up to `high`.

    Answers are right more often (`direction` +1) or less often (-1) than claimed, by `size` in
    log-odds beyond what is tolerated.
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

    def factors(self, confidence: ArrayLike, correct: ArrayLike) -> Vector:
        """What each of N answers multiplies the stake of each bet by, (N, K) float64 above 0.

        Args:
            confidence: (N,) probabilities of the answers, in [0, 1].
            correct: (N,) booleans, or zeros and ones.

        Raises:
            ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.
        """
        claimed, outcome = (column[:, None] for column in _checks.outcomes(confidence, correct))
        direction, size, low, high = self._columns
        tilt = direction * size
        bound = (claimed + direction * self.tolerance).clip(0.0, 1.0)
        gain = np.where(outcome > 0, np.exp(tilt), 1.0) / (1 + bound * np.expm1(tilt))
        return np.where(((claimed > low) | (low == 0)) & (claimed <= high), gain, 1.0)

    @cached_property
    def _columns(self) -> Vector:
        return np.array(self.all, np.float64).T

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


@dataclass(frozen=True)
class Episode:
    """A time of miscalibration, from its alarm on.

    Args:
        segment: Its name; `None` is all answers.
        verdict: ``overconfident`` or ``underconfident``.
        where: Confidences that are off: all of them, those above, or those up to an edge.
        onset: Number of the answer since which it has most likely been so (an estimate).
        onset_time: Time of that answer.
        raised: Number of the answer that raised the alarm.
        raised_time: Time of that answer.
        wealth: The wealth when it was raised, at least 1 / level.
        level: Chance that this watch would ever have raised its first alarm by mistake.
        ended: Number of the answer at which it ended, or `None`.
        ended_time: Time of that answer.
        ended_by: ``recovery`` or ``refit``.
    """

    segment: str | None
    verdict: Verdict
    where: str
    onset: int
    onset_time: float
    raised: int
    raised_time: float
    wealth: float
    level: float
    ended: int | None = None
    ended_time: float | None = None
    ended_by: Literal["recovery", "refit"] | None = None


class CalibrationAlarm:
    """Says when confidence stops being calibrated, wrongly so with probability `level` at most.

    The null hypothesis is that, given everything before, each answer is right with a probability
    that is within the tolerance of its confidence. Under it the wealth M of the `bets` is a
    supermartingale, and the alarm is raised when M >= 1 / level. By Ville's inequality an infinite
    stable stream ever raises one with probability `level` at most, however often one looks.

    An alarm opens an episode, during which no other is raised. It ends by a test and not by
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
    def wealth(self) -> float:
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
            numbers: Numbers of the answers; by default they are counted from 1.
            times: Times of the answers; by default 0.

        Returns:
            Every episode that was opened or ended, in order; one that was both comes twice.

        Raises:
            ValueError: If N is 0 or lengths differ, or a value is NaN or out of range.
        """
        claimed, outcome = _checks.outcomes(confidence, correct)
        numbers, times = _numbered(self.n, len(claimed), numbers, times)
        changes = []
        answers = self.bets.factors(claimed, outcome), claimed.tolist(), (outcome > 0).tolist()
        for factors, c, right, number, time in zip(*answers, numbers, times, strict=True):
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
        self._bet, self._recovery, self._recovery_n = self._wealth.best, 0.0, 0
        bet = self.bets.all[self._bet]
        onset = self._wealth.onset(self._bet)
        self.episode = Episode(
            self.segment, bet.verdict, bet.where, *onset, number, time, self.wealth, self.level
        )
        return self.episode

    def _recover(self, confidence: float, right: bool) -> float:
        self._recovery_n += 1
        self._recovery += start_weight(self._recovery_n)
        self._recovery *= self.bets.recovery(self.bets.all[self._bet], confidence, right)
        return self._recovery + unbet(self._recovery_n)

    def _end(self, number: int, time: float, by: Literal["recovery", "refit"]) -> Episode:
        assert self.episode is not None
        ended = replace(self.episode, ended=number, ended_time=time, ended_by=by)
        self.episode = None
        self._wealth.restart()
        return ended


N_LEARNED = 100  # values that set the cells
N_EDGES = 19
N_CELLS = 2 * N_EDGES + 1  # between the edges, and on each
TILTS = np.array([-4.0, -2.0, -1.0, 1.0, 2.0, 4.0, -3.0, -1.5, 1.5, 3.0])
_ON_SPREAD = 6  # bets from here on are on the distance of the rank from the middle


@dataclass(frozen=True)
class Sign:
    """A number that has drifted.

    Args:
        name: What the number is.
        onset: Number of the event since which it has most likely been so (an estimate).
        onset_time: Time of that event.
        raised: Number of the event that showed it.
        raised_time: Time of that event.
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
        name: What the number is.
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
        self._wealth = Wealth(np.full(len(TILTS), 1 / len(TILTS)))

    @property
    def wealth(self) -> float:
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
            numbers: Numbers of the events; by default they are counted from 1.
            times: Times of the events; by default 0.

        Returns:
            The signs that were raised, in order.

        Raises:
            ValueError: If a value is NaN or infinite, or lengths differ.
        """
        column = _checks.vector("values", values)
        numbers, times = _numbered(self.n, len(column), numbers, times)
        uniform = uniform_numbers(self.n, len(column)).tolist()
        signs = []
        for value, v, number, time in zip(column.tolist(), uniform, numbers, times, strict=True):
            self.n += 1
            if len(self._first) < N_LEARNED:
                self._first.append(value)
                continue
            factors = rank_factors(self._rank(value, v))
            if self._wealth.step(factors, number, time) >= 1 / self.level:
                signs.append(self._sign(number, time))
                self._first, self._edges = [], None
                self._counts = np.zeros(N_CELLS, np.int64)
                self._wealth.restart()
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

    def _rank(self, value: float, v: float) -> float:
        """Place of a value among those since the first, in (0, 1); counts it."""
        if self._edges is None:
            self._edges = np.quantile(self._first, np.arange(1, N_EDGES + 1) / (N_EDGES + 1))
        edges = self._edges
        cell = int(edges.searchsorted(value) + edges.searchsorted(value, side="right"))
        below, equal = int(self._counts[:cell].sum()), int(self._counts[cell])
        u = (below + v * (equal + 1)) / (int(self._counts.sum()) + 1)
        self._counts[cell] += 1
        return u

    def _sign(self, number: int, time: float) -> Sign:
        best = self._wealth.best
        words = ("wider", "narrower") if best >= _ON_SPREAD else ("higher", "lower")
        direction = words[0 if TILTS[best] > 0 else 1]
        return Sign(self.name, *self._wealth.onset(best), number, time, direction, self.level)


def rank_factors(u: float) -> Vector:
    """What a rank multiplies the stake of each bet by; the expectation over uniform u is 1."""
    place = np.full(len(TILTS), u)
    place[_ON_SPREAD:] = abs(2 * u - 1)
    factors: Vector = np.exp(TILTS * place) * (TILTS / np.expm1(TILTS))
    return factors


def _numbered(
    n: int, size: int, numbers: Sequence[int] | None, times: Sequence[float] | None
) -> tuple[Sequence[int], Sequence[float]]:
    """Numbers and times of events after the n-th; by default counted on, and 0."""
    numbers = range(n + 1, n + 1 + size) if numbers is None else numbers
    return numbers, [0.0] * size if times is None else times


def uniform_numbers(start: int, count: int) -> Vector:
    """Numbers in (0, 1) that only depend on their position: splitmix64 (Steele et al. 2014)."""
    z = np.arange(start + 1, start + 1 + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
