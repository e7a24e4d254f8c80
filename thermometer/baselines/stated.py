"""The confidence that a model states in words or numbers, turned into a probability.

Models say a few numbers over and over, "90 %" for one, each of which means what it means. It reads
confidences, of which NaN is one that could not be parsed. Nothing here parses text.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln, expit, logit

from thermometer import _checks
from thermometer.baselines.platt import clipped_logit, fit_line, soft_targets
from thermometer.baselines.protocol import ConfidenceRecalibrator, Kinds, Vector, as_column, inside

_EPSILON = 0.005  # people and models round to whole percents
_STRENGTHS = np.geomspace(0.5, 1e5, 107)
_UNPARSED_STRENGTH = 10.0
_DECIMALS = 6  # a number may have been stored in float32


class StatedConfidenceCalibration(ConfidenceRecalibrator):
    """The rate of right answers at each stated number, shrunk towards a smooth curve.

    With k_v right of n_v answers that stated v, and f(v) = sigmoid(slope * logit(v) + intercept)
    the curve of `PlattScaling` (v clipped to [0.005, 0.995], slope at least 0),

        P(right | v) = (k_v + s f(v)) / (n_v + s).

    The curve counts as s answers: a number said often speaks for itself, a rare one follows the
    curve. This is the posterior mean of a beta prior Beta(s f(v), s (1 - f(v))). Its strength s is
    chosen by empirical Bayes, as the one of 107 values from 0.5 to 100,000 under which the counts
    are most probable (of equals the largest), i.e. with the largest

        sum_v log B(k_v + s f(v), n_v - k_v + s (1 - f(v))) - log B(s f(v), s (1 - f(v))),

    B being the beta function (the beta-binomial likelihood; Casella 1985, "An introduction to
    empirical Bayes data analysis"). Where the curve tells the whole story, s is large and this is
    Platt scaling; where each number has a meaning of its own, s is small and these are the rates.

    A number that was never fitted takes the curve, moved in log-odds by what its neighbours depart
    from it, in proportion to the distance from each. NaN stands for an answer whose confidence
    could not be parsed; of R right among M such answers (10 r + R)/(10 + M), with r the rate
    of all answers. Numbers that agree to six decimals are one.

    The result need not rise with the stated number: if answers said to be certain are right less
    often than those of 95 %, it says so.

    Attributes:
        values_: (M,) float64 stated numbers, increasing.
        rates_: (M,) float64, P(right) at each.
        counts_: (M,) int64 fitted answers at each.
        slope_: Of the curve.
        intercept_: Of the curve.
        strength_: The s above.
        unparsed_rate_: P(right) where nothing could be parsed.
        n_unparsed_: Number of fitted answers of which nothing could be parsed.

    Example:
        >>> stated = [0.9] * 50 + [1.0] * 50 + [float("nan")] * 10
        >>> correct = [1] * 40 + [0] * 10 + [1] * 30 + [0] * 20 + [0] * 10
        >>> calibration = StatedConfidenceCalibration().fit(stated, correct)
        >>> calibration.recalibrate([0.9, 1.0, float("nan")]).round(2).tolist()
        [0.76, 0.64, 0.32]
    """

    fitted: ClassVar[Kinds] = {
        "values_": "vector",
        "rates_": "vector",
        "counts_": "counts",
        "slope_": "number",
        "intercept_": "number",
        "strength_": "number",
        "unparsed_rate_": "number",
        "n_unparsed_": "integer",
    }

    def _column(self, confidence: ArrayLike) -> Vector:
        column = np.asarray(as_column(confidence), dtype=np.float64)
        parsed = ~np.isnan(column)
        if column.ndim != 1 or parsed.all():
            return _checks.unit_interval("confidence", column)
        _checks.unit_interval("confidence", np.where(parsed, column, 0.0))
        return column

    def _fit(self, confidence: Vector, correct: Vector) -> None:
        parsed = ~np.isnan(confidence)
        if not parsed.any():
            raise _checks.fail("confidence", "a number in some row", "NaN in all")
        self.n_unparsed_ = int((~parsed).sum())
        total = _UNPARSED_STRENGTH * correct.mean() + correct[~parsed].sum()
        self.unparsed_rate_ = float(total / (_UNPARSED_STRENGTH + self.n_unparsed_))
        stated, correct = np.round(confidence[parsed], _DECIMALS), correct[parsed]
        self.slope_, self.intercept_ = fit_line(clipped_logit(stated, _EPSILON), correct)
        if self.slope_ < 0:
            self.slope_, self.intercept_ = 0.0, float(logit(soft_targets(correct).mean()))
        self.values_, index = np.unique(stated, return_inverse=True)
        self.counts_ = np.bincount(index).astype(np.int64)
        right = np.asarray(np.bincount(index, correct), np.float64)
        curve = self._curve(self.values_)
        self.strength_ = _strength(right, self.counts_ - right, curve)
        self.rates_ = (right + self.strength_ * curve) / (self.counts_ + self.strength_)

    def _recalibrate(self, confidence: Vector) -> Vector:
        unparsed = np.isnan(confidence)
        stated = np.nan_to_num(confidence).round(_DECIMALS)
        departure = logit(inside(self.rates_)) - logit(self._curve(self.values_))
        moved = logit(self._curve(stated)) + np.interp(stated, self.values_, departure)
        return np.where(unparsed, self.unparsed_rate_, expit(moved))

    def _curve(self, stated: Vector) -> Vector:
        line = self.slope_ * clipped_logit(stated, _EPSILON) + self.intercept_
        return inside(np.asarray(expit(line), np.float64))

    @property
    def notes_(self) -> tuple[str, ...]:
        """Numbers, of those stated in 1 % of the answers or more, whose order was turned round."""
        often = self.counts_ >= 0.01 * self.counts_.sum()
        values, rates = self.values_[often], self.rates_[often]
        falls = np.flatnonzero(np.diff(rates) < 0)
        if not len(falls):
            return ()
        worst = falls[np.argmin(np.diff(rates)[falls])]
        return (
            f"answers stated at {values[worst + 1]:g} are right less often "
            f"({rates[worst + 1]:.2f}) than those at {values[worst]:g} ({rates[worst]:.2f})",
        )

    def _check_fit(self) -> None:
        _checks.unit_interval("rates_", self.rates_, len(self.values_))
        _checks.unit_interval("values_", self.values_)
        _checks.vector("counts_", self.counts_, len(self.values_))
        _checks.number("unparsed_rate_", self.unparsed_rate_, maximum=1.0)
        _checks.number("slope_", self.slope_)
        if (np.diff(self.values_) <= 0).any():
            raise _checks.fail("values_", "in ascending order", self.values_.tolist())


def _strength(right: Vector, wrong: Vector, curve: Vector) -> float:
    """The strength of the prior under which the counts are most probable; of equals the largest."""
    s = _STRENGTHS[:, None]
    prior_right, prior_wrong = s * curve, s * (1 - curve)
    likelihood = betaln(right + prior_right, wrong + prior_wrong) - betaln(prior_right, prior_wrong)
    total = likelihood.sum(axis=1)
    return float(_STRENGTHS[np.flatnonzero(total > total.max() - 1e-6)[-1]])
