"""Platt scaling: a straight line on the log-odds of the confidence.

It reads confidences. Nothing here knows about options or tasks.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from thermometer import _checks
from thermometer.baselines.protocol import ConfidenceRecalibrator, Kinds, Vector


class PlattScaling(ConfidenceRecalibrator):
    """P(right) = sigmoid(slope * logit(c) + intercept), fitted by maximum likelihood.

    The line is on the logit of the confidence, so that slope 1 and intercept 0 leave it as it is; a
    line on the confidence itself cannot do that. The likelihood is not regularised, but has the
    targets of Platt (1999): with R right and W wrong answers, a right one counts as
    (R + 1)/(R + 2) instead of 1, a wrong one as 1/(W + 2) instead of 0. This keeps the fit
    finite where a threshold separates right from wrong, or where all answers are right, and fades
    as N grows. If all confidences are equal the slope is 1, since only the offset can be learned.

    With a slope above 0 the order of confidences, and so the AUROC, stays the same.

    Args:
        epsilon: A confidence below this or above 1 minus this counts as this. A stated "100 %"
            would otherwise be infinitely sure, and pull at the line accordingly. The default keeps
            what probabilities of options know near 1; for stated numbers 0.01 suits better.

    Attributes:
        slope_: Below 1 for a model that exaggerates its doubts and its certainty; below 0 where
            surer answers are right less often.
        intercept_: In log-odds, below 0 where answers are right less often than the slope says.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> confidence = rng.random(20_000)
        >>> platt = PlattScaling().fit(confidence, rng.random(20_000) < confidence)
        >>> platt.recalibrate([0.2, 0.9]).round(2).tolist()  # calibrated before, the same after
        [0.2, 0.9]
    """

    fitted: ClassVar[Kinds] = {"slope_": "number", "intercept_": "number"}

    def __init__(self, epsilon: float = 1e-6) -> None:
        self.epsilon = epsilon

    def _fit(self, confidence: Vector, correct: Vector) -> None:
        self.slope_, self.intercept_ = fit_line(clipped_logit(confidence, self.epsilon), correct)

    def _recalibrate(self, confidence: Vector) -> Vector:
        line = self.slope_ * clipped_logit(confidence, self.epsilon) + self.intercept_
        return np.asarray(expit(line), np.float64)

    @property
    def notes_(self) -> tuple[str, ...]:
        """A slope that turns the order of confidences round."""
        if self.slope_ < 0:
            return (f"the slope is {self.slope_:.2f}: surer answers were right less often",)
        return ()

    def _check_parameters(self) -> None:
        _checks.number("epsilon", self.epsilon, maximum=0.5 - 1e-9, strict=True)


def clipped_logit(confidence: Vector, epsilon: float) -> Vector:
    """log(c / (1 - c)) of confidences clipped to [epsilon, 1 - epsilon].

    Example:
        >>> clipped_logit(np.array([0.5, 1.0]), 0.01).round(3).tolist()
        [0.0, 4.595]
    """
    return np.asarray(logit(np.clip(confidence, epsilon, 1 - epsilon)), np.float64)


def soft_targets(correct: Vector) -> Vector:
    """What right and wrong answers count as, see `PlattScaling`."""
    n_right = correct.sum()
    n_wrong = len(correct) - n_right
    target: Vector = np.where(correct == 1, (n_right + 1) / (n_right + 2), 1 / (n_wrong + 2))
    return target


def fit_line(log_odds: Vector, correct: Vector) -> tuple[float, float]:
    """Slope and intercept of `PlattScaling`, from (N,) log-odds and (N,) zeros and ones."""
    target = soft_targets(correct)
    spread = float(log_odds.std())
    if spread < 1e-9:  # one confidence: any slope fits
        return 1.0, float(logit(target.mean()) - log_odds.mean())
    # A soft target is two rows: right with the weight of the target, wrong with the rest.
    standard = (log_odds - log_odds.mean()) / spread
    model = LogisticRegression(C=np.inf, solver="newton-cg", tol=1e-10)
    model.fit(
        np.concatenate([standard, standard])[:, None],
        np.repeat([1, 0], len(standard)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    coefficient: NDArray[np.float64] = model.coef_
    slope = float(coefficient[0, 0]) / spread
    return slope, float(model.intercept_[0]) - slope * float(log_odds.mean())
