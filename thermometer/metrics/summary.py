"""All metrics of confidences and outcomes with their intervals, in one call.

The estimates are those of `metrics`; the intervals come from the resamples of `intervals`.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thermometer import _checks, metrics
from thermometer._files import plain
from thermometer.metrics.intervals import (
    Interval,
    gather,
    group_codes,
    measure,
    percentile_interval,
    resample,
)


@dataclass(frozen=True)
class Summary:
    """How well N confidences fit their outcomes.

    Args:
        n: Number of rows.
        accuracy: Fraction of right answers.
        confidence: Mean confidence.
        gap: `metrics.signed_gap`, positive for an overconfident model.
        ece: `metrics.expected_calibration_error` over `n_bins` bins of equal width.
        ece_mass: The same over bins of equal counts.
        debiased_ece: `metrics.debiased_ece` over bins of equal width.
        smooth_ece: `metrics.smooth_ece`.
        nll: `metrics.binary_nll`.
        brier: `metrics.binary_brier`.
        auroc: `metrics.auroc`; NaN where all answers are right, or all wrong.
        aurc: `metrics.aurc`.
        floor: `metrics.calibration_floor`, with which to compare `ece`.
        n_bins: Number of bins.
        n_resamples: Number of resamples behind the intervals.
        seed: Their seed, and that of the floor.
        coverage: Coverage that the intervals aim at.
    """

    n: int
    accuracy: Interval
    confidence: Interval
    gap: Interval
    ece: Interval
    ece_mass: Interval
    debiased_ece: Interval
    smooth_ece: Interval
    nll: Interval
    brier: Interval
    auroc: Interval
    aurc: Interval
    floor: float
    n_bins: int
    n_resamples: int
    seed: int
    coverage: float

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold: an interval is a dictionary of three numbers, NaN is None."""
        fields: dict[str, Any] = plain(asdict(self))
        return fields


def summarise(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 10,
    n_resamples: int = 1000,
    seed: int = 0,
    coverage: float = 0.95,
    groups: ArrayLike | None = None,
) -> Summary:
    """Every metric of confidence with a percentile interval, all from the same resamples.

    The intervals are those of `intervals.bootstrap`, up to the chance of the draws, but rows are
    counted instead of copied: drawing N rows with replacement draws a multinomial number of each
    different one. With more than 4,096 different confidences, rows that nearly agree are drawn as
    one cell, and the cells are so fine that it cannot matter (`intervals.gather` says why); the
    estimates are always those of the rows themselves. Memory for resamples does not grow with N.

    `ece`, `ece_mass`, `smooth_ece` and `debiased_ece` are larger on resamples than on the data,
    since each resample adds chance to the bins: their intervals sit high, and near perfect
    calibration may miss the estimate. They say how far the number may vary, not where the true
    error lies; compare `ece` with `floor`. The other intervals have no such bias. AUROC leaves out
    resamples on which it is undefined.

    Args:
        confidence: (N,) probabilities of the chosen options, in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        n_bins: Number of bins of `ece`, `ece_mass`, `debiased_ece` and `floor`.
        n_resamples: As for `bootstrap`, like `seed` and `coverage`.
        seed: Equal seeds give equal results.
        coverage: Coverage aimed at, in (0, 1).
        groups: (N,) group (task, document) of every row, of any type that sorts: whole groups are
            drawn, as rows of one group are not independent.

    Raises:
        ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.

    Example:
        >>> summary = summarise([0.95, 0.85, 0.75, 0.65], [1, 1, 0, 1], n_resamples=200)
        >>> summary.accuracy.estimate, round(summary.gap.estimate, 4)
        (0.75, 0.05)
        >>> summary.ece.low <= summary.ece.high
        True
    """
    claimed, outcome = _checks.outcomes(confidence, correct)
    n_bins = _checks.integer("n_bins", n_bins)
    n_resamples = _checks.integer("n_resamples", n_resamples)
    seed = _checks.integer("seed", seed, minimum=0)
    coverage = _checks.number("coverage", coverage, maximum=1 - 1e-9, strict=True)
    code = None if groups is None else group_codes(groups, len(claimed))
    n_units = len(claimed) if code is None else int(code.max()) + 1
    floor = metrics.calibration_floor(claimed, n_bins, seed=seed)
    order = np.argsort(claimed)  # the metrics that sort are quick with sorted rows
    claimed, outcome = claimed[order], outcome[order]
    code = None if code is None else code[order]
    estimates = {
        "accuracy": float(outcome.mean()),
        "confidence": float(claimed.mean()),
        "gap": metrics.signed_gap(claimed, outcome),
        "ece": metrics.expected_calibration_error(claimed, outcome, n_bins),
        "ece_mass": metrics.expected_calibration_error(claimed, outcome, n_bins, binning="mass"),
        "debiased_ece": metrics.debiased_ece(claimed, outcome, n_bins),
        "smooth_ece": metrics.smooth_ece(claimed, outcome),
        "nll": metrics.binary_nll(claimed, outcome),
        "brier": metrics.binary_brier(claimed, outcome),
        "auroc": metrics.auroc(claimed, outcome),
        "aurc": metrics.aurc(claimed, outcome),
    }
    draws = {name: np.full(1, np.nan) for name in estimates}
    if n_units > 1:
        cells = gather(claimed, outcome, n_bins, code)
        parts = [measure(cells, counts) for counts in resample(cells, n_resamples, seed)]
        draws = {name: np.concatenate([part[name] for part in parts]) for name in estimates}
    return Summary(
        n=len(claimed),
        **{k: percentile_interval(v, draws[k], coverage) for k, v in estimates.items()},
        floor=floor,
        n_bins=n_bins,
        n_resamples=n_resamples,
        seed=seed,
        coverage=coverage,
    )
