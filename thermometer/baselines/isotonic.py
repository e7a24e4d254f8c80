"""Isotonic calibration: the best non-decreasing steps from confidence to accuracy.

It reads confidences. The fit is scikit-learn's; clipping and ties are dealt with here.
"""

from typing import ClassVar

import numpy as np
from sklearn.isotonic import IsotonicRegression

from thermometer import _checks
from thermometer.baselines.protocol import ConfidenceRecalibrator, Kinds, Vector, share_tied


class IsotonicCalibration(ConfidenceRecalibrator):
    """The non-decreasing map of least squared error from confidence to right or wrong.

    Pools adjacent violators (Zadrozny and Elkan 2002). The map is flat on its levels and linear
    between them; outside the fitted range it stays flat. It is clipped to [1/(2N), 1 - 1/(2N)] for
    N fitted rows, since N answers that are all right are no proof of certainty.

    The map never turns the order of two confidences round but makes many of them equal, which can
    lower the AUROC: `n_levels_` and `share_tied_` say how many. It needs hundreds of rows.

    Args:
        centred: Draw straight lines between the mean confidences of the levels instead of flat
            levels (centred isotonic regression, Oron and Flournoy 2017). Within the outermost
            means no two confidences become equal.

    Attributes:
        thresholds_: (B,) float64, increasing confidences.
        rates_: (B,) float64, the map at these before it is clipped; linear between them.
        least_: What it is clipped to from below, 1/(2N).
        n_levels_: Number of different results on the fitted rows.
        share_tied_: Share of the fitted rows that now equal a row that was surer or less sure.

    Example:
        >>> confidence, correct = [0.6, 0.7, 0.8, 0.9], [0, 1, 0, 1]
        >>> isotonic = IsotonicCalibration().fit(confidence, correct)
        >>> isotonic.recalibrate(confidence).round(3).tolist(), isotonic.n_levels_
        ([0.125, 0.5, 0.5, 0.875], 3)
    """

    fitted: ClassVar[Kinds] = {
        "thresholds_": "vector",
        "rates_": "vector",
        "least_": "number",
        "n_levels_": "integer",
        "share_tied_": "number",
    }

    def __init__(self, centred: bool = False) -> None:
        self.centred = centred

    def _fit(self, confidence: Vector, correct: Vector) -> None:
        model = IsotonicRegression(out_of_bounds="clip").fit(confidence, correct)
        if self.centred:
            levels, level = np.unique(model.predict(confidence), return_inverse=True)
            self.thresholds_ = np.bincount(level, confidence) / np.bincount(level)
            self.rates_ = levels
        else:
            self.thresholds_, self.rates_ = model.X_thresholds_, model.y_thresholds_
        self.least_ = 1 / (2 * len(confidence))
        fitted = self._recalibrate(confidence)
        self.n_levels_ = len(np.unique(fitted))
        self.share_tied_ = share_tied(confidence, fitted)

    def _recalibrate(self, confidence: Vector) -> Vector:
        rate = np.interp(confidence, self.thresholds_, self.rates_)
        return np.asarray(np.clip(rate, self.least_, 1 - self.least_), np.float64)

    @property
    def notes_(self) -> tuple[str, ...]:
        """How many confidences became equal."""
        if self.share_tied_ > 0:
            return (
                f"{self.n_levels_} different results: {self.share_tied_:.0%} of the rows "
                "now equal a row that was surer or less sure",
            )
        return ()

    def _check_parameters(self) -> None:
        if not isinstance(self.centred, bool):
            raise TypeError(f"Expected `centred` to be a boolean, but got {self.centred!r}")

    def _check_fit(self) -> None:
        rates = _checks.unit_interval("rates_", self.rates_, len(self.thresholds_))
        _checks.unit_interval("thresholds_", self.thresholds_)
        _checks.number("least_", self.least_, maximum=0.5, strict=True)
        if (np.diff(self.thresholds_) < 0).any() or (np.diff(rates) < 0).any():
            raise _checks.fail("thresholds_ and rates_", "in ascending order", "others")
