"""Thresholds from what mistakes and reviews cost, and whether they pay on labelled answers.

The closed form holds for calibrated confidence; `check` measures what it costs.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.metrics.intervals import Interval, bootstrap
from thermometer.routing.router import Bands

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class CostCheck:
    """What thresholds cost per answer on labelled answers, beside the alternatives.

    Args:
        cost: Mean cost with the thresholds of the closed form, and its bounds.
        hindsight: The least mean cost that any two thresholds reach on these rows.
        hindsight_thresholds: Those two, rejecting below the first, accepting from the second on.
            An infinite one lies above all rows. What they save over `cost` is partly chance, being
            chosen on these rows.
        accept_all: Mean cost of accepting everything.
        review_all: Mean cost of reviewing everything.
        reject_all: Mean cost of rejecting everything.
    """

    cost: Interval
    hindsight: float
    hindsight_thresholds: tuple[float, float]
    accept_all: float
    review_all: float
    reject_all: float


@dataclass(frozen=True)
class Costs:
    """What each outcome costs, in any one unit; what is not named costs nothing.

    With p the chance that an answer is right, accepting costs (1 - p) `wrong_accept` on average, a
    review costs `review`, and rejecting costs p `right_reject`. The cheapest action is therefore
    to accept from p = 1 - review / wrong_accept on, to reject below p = review / right_reject, and
    to review between; where these cross, a review never pays, and both are wrong_accept /
    (wrong_accept + right_reject) (Chow 1970, "On optimum recognition error and reject tradeoff",
    with a cost of rejecting that depends on the answer).

    Args:
        wrong_accept: Cost of accepting a wrong answer, above 0.
        review: Cost of a review, whatever it finds, at least 0.
        right_reject: Cost of rejecting a right answer, at least 0.

    Raises:
        ValueError: If a cost is out of range.

    Example:
        >>> Costs(wrong_accept=10, review=1, right_reject=4).thresholds
        (0.25, 0.9)
        >>> Costs(wrong_accept=3, review=2, right_reject=1).thresholds
        (0.75, 0.75)
    """

    wrong_accept: float
    review: float
    right_reject: float

    def __post_init__(self) -> None:
        for field in fields(self):
            strict = field.name == "wrong_accept"
            value = getattr(self, field.name)
            cost = _checks.number(field.name, value, maximum=1e300, strict=strict)
            object.__setattr__(self, field.name, cost)

    @property
    def thresholds(self) -> tuple[float, float]:
        """Reject below the first, accept from the second on; for calibrated confidence."""
        accept = max(1.0 - self.review / self.wrong_accept, 0.0)
        reject = self.review / self.right_reject if self.right_reject else 1.0
        if reject <= accept:
            return reject, accept
        both = self.wrong_accept / (self.wrong_accept + self.right_reject)
        return both, both

    def bands(self, width: float = 0.75) -> Bands:
        """`Bands.around` these thresholds: hysteresis moves doubtful answers to review."""
        reject, accept = self.thresholds
        return Bands.around(accept, reject, width)

    def expected(self, confidence: ArrayLike) -> Vector:
        """Expected cost of accepting, reviewing and rejecting, (N, 3), if confidence is calibrated.

        Raises:
            ValueError: If a confidence is NaN or outside [0, 1].

        Example:
            >>> Costs(10, 1, 4).expected([0.95, 0.5]).round(2).tolist()
            [[0.5, 1.0, 3.8], [5.0, 1.0, 2.0]]
        """
        p = _checks.unit_interval("confidence", confidence)
        review = np.full(len(p), self.review)
        return np.stack([(1 - p) * self.wrong_accept, review, p * self.right_reject], axis=1)

    def check(
        self,
        confidence: ArrayLike,
        correct: ArrayLike,
        *,
        n_resamples: int = 1000,
        seed: int = 0,
        coverage: float = 0.95,
    ) -> CostCheck:
        """Compare the closed form with the best in hindsight on labelled answers.

        If the best in hindsight is far below the interval of `cost`, confidence is not calibrated
        where it matters: recalibrate it, rather than move the thresholds by hand.

        Args:
            confidence: (N,) in [0, 1].
            correct: (N,) booleans, or zeros and ones.
            n_resamples: Number of resamples behind the bounds.
            seed: Seed of the resamples.
            coverage: Coverage of the bounds, in (0, 1).

        Raises:
            ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> confidence = rng.random(5000)
            >>> found = Costs(10, 1, 4).check(confidence, rng.random(5000) < confidence)
            >>> round(found.cost.estimate, 2), round(found.review_all, 2)
            (0.81, 1.0)
        """
        claimed, outcome = _checks.outcomes(confidence, correct)
        reject, accept = self.thresholds
        accepted = (1 - outcome) * self.wrong_accept
        rejected = outcome * self.right_reject
        paid = np.where(claimed < reject, rejected, self.review)
        paid = np.where(claimed >= accept, accepted, paid)
        cost = bootstrap(np.mean, paid, n_resamples=n_resamples, seed=seed, coverage=coverage)
        least, thresholds = _hindsight(claimed, accepted - self.review, rejected - self.review)
        alternatives = float(accepted.mean()), self.review, float(rejected.mean())
        return CostCheck(cost, self.review + least, thresholds, *alternatives)


def _hindsight(
    confidence: Vector, accepted: Vector, rejected: Vector
) -> tuple[float, tuple[float, float]]:
    """The least mean cost over all pairs of thresholds, and the pair; all costs less a review's."""
    values, place = np.unique(confidence, return_inverse=True)
    below = np.concatenate([[0.0], np.cumsum(np.bincount(place, rejected))])  # the first j values
    above = np.concatenate([np.cumsum(np.bincount(place, accepted)[::-1])[::-1], [0.0]])
    lowest = np.minimum.accumulate(below)
    upper = int(np.argmin(lowest + above))
    lower = int(np.argmin(below[: upper + 1]))
    edges = np.concatenate([values, [np.inf]])
    least = float(lowest[upper] + above[upper]) / len(confidence)
    return least, (float(edges[lower]), float(edges[upper]))
