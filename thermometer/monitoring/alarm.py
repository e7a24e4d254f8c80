"""The alarm for miscalibration: one per episode, with its onset and its end.

It reads confidences and outcomes in the order in which outcomes become known.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.monitoring.bets import Bets, Verdict
from thermometer.monitoring.wealth import Wealth, kept_back, start_weight

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
        return self._recovery + kept_back(self._recovery_n)

    def _end(self, number: int, time: float, by: Literal["recovery", "refit"]) -> Episode:
        assert self.episode is not None
        ended = replace(self.episode, ended=number, ended_time=time, ended_by=by)
        self.episode = None
        self._wealth.restart()
        return ended
