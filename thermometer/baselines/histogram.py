"""Histogram binning: the accuracy of each bin of confidences.

It reads confidences. Nothing here draws a histogram.
"""

from typing import ClassVar, Literal

import numpy as np

from thermometer import _checks
from thermometer.baselines.protocol import ConfidenceRecalibrator, Kinds, Vector, share_tied


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
        notes = []
        if self.share_tied_ > 0:
            notes.append(
                f"{len(np.unique(self.rates_))} different results: {self.share_tied_:.0%} of the "
                "rows now equal a row that was surer or less sure"
            )
        if n_empty := int((self.counts_ == 0).sum()):
            notes.append(f"{n_empty} empty bins take the rates of their neighbours")
        return tuple(notes)

    def _check_parameters(self) -> None:
        _checks.integer("n_bins", self.n_bins)
        _checks.one_of("binning", self.binning, ("mass", "width"))

    def _check_fit(self) -> None:
        rates = _checks.unit_interval("rates_", self.rates_, len(self.edges_) + 1)
        _checks.vector("counts_", self.counts_, len(rates))
        if (np.diff(self.edges_) <= 0).any():
            raise _checks.fail("edges_", "in ascending order", self.edges_.tolist())
