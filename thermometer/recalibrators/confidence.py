"""Recalibrators of one confidence per row: Platt, isotonic, histogram binning, stated."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from thermometer import _checks
from thermometer.recalibrators.base import (
    SEEN,
    ConfidenceRecalibrator,
    Kinds,
    Vector,
    as_column,
    inside,
    share_tied,
)

_EPSILON = 0.005  # people and models round to whole percents
_STRENGTHS = np.geomspace(0.5, 1e5, 107)
_UNPARSED_STRENGTH = 10.0
_DECIMALS = 6  # a number may have been stored in float32
_AT_ENDS = 10  # answers; in simulations fewer leave an end to chance, 20 cost NLL at 60 rows


class PlattScaling(ConfidenceRecalibrator):
    """P(right) = sigmoid(slope * logit(c) + intercept), fitted by maximum likelihood.

    The line is on the logit of the confidence, so that slope 1 and intercept 0 leave it as it is; a
    line on the confidence itself cannot do that. The likelihood is not regularised, but has the
    targets of Platt (1999): with R right and W wrong answers, a right one counts as
    (R + 1)/(R + 2) instead of 1, a wrong one as 1/(W + 2) instead of 0. This keeps the fit
    finite where a threshold separates right from wrong, or where all answers are right, and fades
    as N grows. There the targets alone make the line, and results are kept between them. If all
    confidences are equal the slope is 1, since only the offset can be learned.

    With a slope above 0 the order of confidences, and so the AUROC, stays the same. A slope below 0
    turns it round (as in scikit-learn); `notes_` says so.

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

    fitted: ClassVar[Kinds] = {**SEEN, "slope_": "number", "intercept_": "number"}

    def __init__(self, epsilon: float = 1e-6) -> None:
        self.epsilon = epsilon

    def _fit(self, confidence: Vector, correct: Vector) -> None:
        log_odds = clipped_logit(confidence, self.epsilon)
        self.slope_, self.intercept_ = fit_line(log_odds, correct)
        right, wrong = log_odds[correct == 1], log_odds[correct == 0]
        apart = right.min(initial=np.inf) >= wrong.max(initial=-np.inf)
        apart = apart or wrong.min(initial=np.inf) >= right.max(initial=-np.inf)
        if apart:
            target = soft_targets(correct)
            self.least_, self.most_ = float(target.min()), float(target.max())

    def _recalibrate(self, confidence: Vector) -> Vector:
        line = self.slope_ * clipped_logit(confidence, self.epsilon) + self.intercept_
        return np.asarray(expit(line), np.float64)

    @property
    def notes_(self) -> tuple[str, ...]:
        """A slope that turns the order of confidences round."""
        note = f"the slope is {self.slope_:.2f}: surer answers were right less often"
        return (note,) if self.slope_ < 0 else ()

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


class IsotonicCalibration(ConfidenceRecalibrator):
    """The non-decreasing map of least squared error from confidence to right or wrong.

    Pools adjacent violators (Zadrozny and Elkan 2002). The map is flat on its levels and linear
    between them; outside the fitted range it stays flat.

    At its ends the plain map follows the very last answer, to 0 if that is wrong (the spiking of
    Woodroofe and Sun 1993, "A penalized maximum likelihood estimate of f(0+) when f is
    non-increasing"). So the 10 lowest answers count as of one confidence, as do the 10 highest, or
    each half of fewer than 20. `least_` is the least rate of the n rows of any lowest levels,
    counted as at least 1/(2n), `most_` likewise: N right answers are no proof of certainty.

    The map never turns the order of two confidences round but makes many of them equal, which can
    lower the AUROC: `n_levels_` and `share_tied_` say how many. It needs hundreds of rows.

    Args:
        centred: Draw straight lines between the mean confidences of the levels instead of flat
            levels (centred isotonic regression, Oron and Flournoy 2017). Within the outermost
            means no two confidences become equal.

    Attributes:
        thresholds_: (B,) float64, increasing confidences.
        rates_: (B,) float64, the map at these before it is clipped; linear between them.
        n_levels_: Number of different results on the fitted rows.
        share_tied_: Share of the fitted rows that now equal a row that was surer or less sure.

    Example:
        >>> confidence, correct = [0.6, 0.7, 0.8, 0.9], [0, 1, 0, 1]
        >>> isotonic = IsotonicCalibration().fit(confidence, correct)
        >>> isotonic.recalibrate(confidence).round(3).tolist(), isotonic.n_levels_
        ([0.5, 0.5, 0.5, 0.5], 1)
    """

    fitted: ClassVar[Kinds] = {
        **SEEN,
        "thresholds_": "vector",
        "rates_": "vector",
        "n_levels_": "integer",
        "share_tied_": "number",
    }

    def __init__(self, centred: bool = False) -> None:
        self.centred = centred

    def _fit(self, confidence: Vector, correct: Vector) -> None:
        at_ends = min(_AT_ENDS, (len(confidence) + 1) // 2)
        held = confidence.clip(*np.sort(confidence)[[at_ends - 1, -at_ends]])
        model = IsotonicRegression().fit(held, correct)
        levels, level, counts = np.unique(
            model.predict(held), return_inverse=True, return_counts=True
        )
        if self.centred:
            self.thresholds_, self.rates_ = np.bincount(level, confidence) / counts, levels
        else:
            self.thresholds_, self.rates_ = model.X_thresholds_, model.y_thresholds_
        self.least_ = _least(levels, counts)
        self.most_ = 1 - _least(1 - levels[::-1], counts[::-1])
        fitted = self._recalibrate(confidence).clip(self.least_, self.most_)
        self.n_levels_ = len(np.unique(fitted))
        self.share_tied_ = share_tied(confidence, fitted)

    def _recalibrate(self, confidence: Vector) -> Vector:
        return np.asarray(np.interp(confidence, self.thresholds_, self.rates_), np.float64)

    @property
    def notes_(self) -> tuple[str, ...]:
        """How many confidences became equal."""
        return _tied_note(self.n_levels_, self.share_tied_)

    def _check_parameters(self) -> None:
        if not isinstance(self.centred, bool):
            raise TypeError(f"Expected `centred` to be a boolean, but got {self.centred!r}")

    def _check_fit(self) -> None:
        super()._check_fit()
        rates = _checks.unit_interval("rates_", self.rates_, len(self.thresholds_))
        _checks.unit_interval("thresholds_", self.thresholds_)
        if (np.diff(self.thresholds_) < 0).any() or (np.diff(rates) < 0).any():
            raise _checks.fail("thresholds_ and rates_", "in ascending order", "others")


def _least(levels: Vector, counts: NDArray[np.int64]) -> float:
    """The least that the first levels of a rising map, together, let one say; see `least_`."""
    n = np.cumsum(counts)
    return min(float(np.maximum(np.cumsum(levels * counts) / n, 1 / (2 * n)).min()), 0.5)


def _tied_note(n_results: int, share: float) -> tuple[str, ...]:
    note = f"{n_results} different results: {share:.0%} of the rows now equal a row that was "
    return (note + "surer or less sure",) if share > 0 else ()


class HistogramBinning(ConfidenceRecalibrator):
    """P(right) = k_b/n_b, the share of right answers in the bin b of the confidence.

    The method of Zadrozny and Elkan (2001). Bins are closed on the right. A bin's rate is clipped
    to [1/(2 n_b), 1 - 1/(2 n_b)] for its n_b rows. A bin in which no row was fitted takes the rates
    of the nearest filled bins, in proportion to its distance from each, or of the only one beyond
    which it lies.

    All confidences of a bin become equal, and neighbouring bins may change their order, so that
    the AUROC changes.

    Args:
        n_bins: Number of bins at most.
        binning: `mass` puts about equally many fitted rows into each bin and never parts rows of
            equal confidence, so that with few different confidences there are fewer bins; `width`
            makes all bins equally wide.

    Attributes:
        edges_: (B - 1,) float64, the confidences that close all bins but the last.
        rates_: (B,) float64.
        counts_: (B,) int64 fitted rows in each bin.
        share_tied_: Share of the fitted rows that now equal a row that was surer or less sure.

    Example:
        >>> binning = HistogramBinning(n_bins=2).fit([0.6, 0.7, 0.8, 0.9], [0, 1, 1, 1])
        >>> binning.edges_.tolist(), binning.rates_.tolist()
        ([0.7], [0.5, 0.75])
    """

    fitted: ClassVar[Kinds] = {
        **SEEN,
        "edges_": "vector",
        "rates_": "vector",
        "counts_": "counts",
        "share_tied_": "number",
    }

    def __init__(self, n_bins: int = 15, binning: Literal["mass", "width"] = "mass") -> None:
        self.n_bins = n_bins
        self.binning = binning

    def _fit(self, confidence: Vector, correct: Vector) -> None:
        inner = np.arange(1, self.n_bins) / self.n_bins
        if self.binning == "mass":  # edges that are confidences leave no bin empty
            edges = np.unique(np.quantile(confidence, inner, method="inverted_cdf"))
            inner = edges[edges < confidence.max()]
        self.edges_ = inner
        index = self._bin(confidence)
        self.counts_ = np.bincount(index, minlength=len(inner) + 1).astype(np.int64)
        filled = np.flatnonzero(self.counts_)
        n = self.counts_[filled]
        rate = np.bincount(index, correct, len(inner) + 1)[filled] / n
        rate = np.clip(rate, 1 / (2 * n), 1 - 1 / (2 * n))
        self.rates_ = np.interp(np.arange(len(self.counts_)), filled, rate)
        self.share_tied_ = share_tied(confidence, self.rates_[index])

    def _recalibrate(self, confidence: Vector) -> Vector:
        result: Vector = self.rates_[self._bin(confidence)]
        return result

    def _bin(self, confidence: Vector) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        return np.searchsorted(self.edges_, confidence, side="left")

    @property
    def notes_(self) -> tuple[str, ...]:
        """How many confidences became equal, and bins that no row was fitted in."""
        n_empty = int((self.counts_ == 0).sum())
        empty = f"{n_empty} empty bins take the rates of their neighbours"
        tied = _tied_note(len(np.unique(self.rates_)), self.share_tied_)
        return (*tied, empty) if n_empty else tied

    def _check_parameters(self) -> None:
        _checks.integer("n_bins", self.n_bins)
        _checks.one_of("binning", self.binning, ("mass", "width"))

    def _check_fit(self) -> None:
        super()._check_fit()
        rates = _checks.unit_interval("rates_", self.rates_, len(self.edges_) + 1)
        _checks.vector("counts_", self.counts_, len(rates))
        if (np.diff(self.edges_) <= 0).any():
            raise _checks.fail("edges_", "in ascending order", self.edges_.tolist())


class StatedConfidenceCalibration(ConfidenceRecalibrator):
    """The rate of right answers at each stated number, shrunk towards a smooth curve.

    With k_v right of n_v answers that stated v, and f(v) = sigmoid(slope * logit(v) + intercept)
    the curve of `PlattScaling` (v clipped to [0.005, 0.995], slope at least 0),

        P(right | v) = (k_v + s f(v)) / (n_v + s).

    The curve counts as s answers: a number said often speaks for itself, a rare one follows the
    curve. This is the posterior mean of a beta prior Beta(s f(v), s (1 - f(v))). Its strength s is
    chosen by empirical Bayes, as the one of 107 values from 0.5 to 100,000 under which the counts
    are most probable (of equals the largest; so too if all are right), i.e. with the largest

        sum_v log B(k_v + s f(v), n_v - k_v + s (1 - f(v))) - log B(s f(v), s (1 - f(v))),

    B being the beta function (the beta-binomial likelihood; Casella 1985, "An introduction to
    empirical Bayes data analysis"). Where the curve tells the whole story, s is large and this is
    Platt scaling; where each number has a meaning of its own, s is small and these are the rates.

    A number between fitted ones takes the curve, moved in log-odds by what its neighbours depart
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
        **SEEN,
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
        super()._check_fit()
        _checks.unit_interval("rates_", self.rates_, len(self.values_))
        _checks.unit_interval("values_", self.values_)
        _checks.vector("counts_", self.counts_, len(self.values_))
        _checks.number("unparsed_rate_", self.unparsed_rate_, maximum=1.0)
        _checks.number("slope_", self.slope_)
        if (np.diff(self.values_) <= 0).any():
            raise _checks.fail("values_", "in ascending order", self.values_.tolist())


def _strength(right: Vector, wrong: Vector, curve: Vector) -> float:
    """The strength of the prior under which the counts are most probable; of equals the largest."""
    if not (right.any() and wrong.any()):  # no number differs from another
        return float(_STRENGTHS[-1])
    s = _STRENGTHS[:, None]
    prior_right, prior_wrong = s * curve, s * (1 - curve)
    likelihood = betaln(right + prior_right, wrong + prior_wrong) - betaln(prior_right, prior_wrong)
    total = likelihood.sum(axis=1)
    return float(_STRENGTHS[np.flatnonzero(total > total.max() - 1e-6)[-1]])
