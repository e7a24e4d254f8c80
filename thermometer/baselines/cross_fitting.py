"""Every recalibrator that suits some data, judged on rows that it was not fitted on.

The rows are dealt into folds; each fold is recalibrated by what the other folds taught.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.baselines.histogram import HistogramBinning
from thermometer.baselines.isotonic import IsotonicCalibration
from thermometer.baselines.platt import PlattScaling
from thermometer.baselines.probabilities import with_confidence
from thermometer.baselines.protocol import ConfidenceRecalibrator, ScoreRecalibrator, Vector
from thermometer.baselines.stated import StatedConfidenceCalibration
from thermometer.baselines.temperature import TemperatureScaling
from thermometer.scaling import scale_scores

NONE = "none"
_LEAST = 1e-6  # a probability below costs as much as this one: 13.8 nats
_ROWS_PER_VALUE = 5  # of numbers that are said over and over

Folds = NDArray[np.int64]
Estimator = ScoreRecalibrator | ConfidenceRecalibrator


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """One candidate on N rows, each recalibrated without having been fitted.

    Args:
        name: What the candidate is called.
        loss: (N,) -log p of what came true, in nats; p counts as at least 1e-6.
        confidence: (N,) probability of the answer.
        estimator: Fitted on all rows; `None` for the candidate that changes nothing.
    """

    name: str
    loss: Vector
    confidence: Vector
    estimator: Estimator | None


def deal_folds(
    outcome: NDArray[np.float64], n_folds: int, seed: int, groups: ArrayLike | None = None
) -> Folds:
    """The fold of every row, (N,) int64 in [0, n_folds).

    Rows of each outcome are shuffled and dealt in turn, so that folds have equally many of each up
    to one. Groups are dealt whole, large ones first, each to the fold with the fewest rows.

    Raises:
        ValueError: If there are fewer rows, or groups, than folds.
    """
    n = len(outcome)
    rng = np.random.default_rng(seed)
    folds = np.empty(n, np.int64)
    if groups is None:
        if n < n_folds:
            raise _checks.fail("n_folds", f"at most {n}, the number of rows", n_folds)
        shuffled = rng.permutation(n)
        folds[shuffled[np.argsort(outcome[shuffled], kind="stable")]] = np.arange(n) % n_folds
        return folds
    names = np.asarray(groups)
    if names.shape != (n,):
        raise _checks.fail("groups", f"a vector of length {n}", f"shape {names.shape}")
    _, member, sizes = np.unique(names, return_inverse=True, return_counts=True)
    if len(sizes) < n_folds:
        raise _checks.fail("n_folds", f"at most {len(sizes)}, the number of groups", n_folds)
    shuffled = rng.permutation(len(sizes))
    load, fold_of = np.zeros(n_folds, np.int64), np.empty(len(sizes), np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of[group] = load.argmin()
        load[fold_of[group]] += sizes[group]
    return np.asarray(fold_of[member], np.int64)


def from_confidence(confidence: Vector, correct: Vector, folds: Folds) -> list[CrossFitted]:
    """Candidates for (N,) checked confidences and outcomes, the preferred first."""
    found = [CrossFitted(NONE, _loss_of_binary(confidence, correct), confidence, None)]
    for name, estimator in _confidence_recalibrators(confidence):
        out_of_fold = _cross_fit(estimator, confidence, correct, folds)
        loss = _loss_of_binary(out_of_fold, correct)
        found.append(CrossFitted(name, loss, out_of_fold, estimator.fit(confidence, correct)))
    return found


def from_scores(scores: Vector, labels: NDArray[np.int64], folds: Folds) -> list[CrossFitted]:
    """Candidates for (N, K) checked scores and (N,) labels, the preferred first.

    Recalibrators of confidence are applied to the answer, see `with_confidence`.
    """
    probs = scale_scores(scores, 1.0)
    n_options = np.isfinite(scores).sum(axis=1)
    each, answer = np.arange(len(labels)), scores.argmax(axis=1)
    confidence, correct = probs[each, answer], (answer == labels).astype(np.float64)

    def candidate(name: str, new: Vector, estimator: Estimator | None) -> CrossFitted:
        return CrossFitted(name, _loss(new[each, labels]), new[each, answer], estimator)

    found = [candidate(NONE, probs, None)]
    scaled = np.empty_like(probs)
    for fold in np.unique(folds):
        held, rest = folds == fold, folds != fold
        scaled[held] = (
            TemperatureScaling().fit(scores[rest], labels[rest]).predict_proba(scores[held])
        )
    found.append(candidate("temperature", scaled, TemperatureScaling().fit(scores, labels)))
    for name, estimator in _confidence_recalibrators(confidence):
        out_of_fold = _cross_fit(estimator, confidence, correct, folds)
        new = with_confidence(probs, out_of_fold, n_options)
        found.append(candidate(name, new, estimator.fit(confidence, correct)))
    return found


def _confidence_recalibrators(confidence: Vector) -> Iterator[tuple[str, ConfidenceRecalibrator]]:
    """Those that suit the confidences, the preferred first."""
    stated = len(np.unique(confidence.round(6))) * _ROWS_PER_VALUE <= len(confidence)
    yield "platt", PlattScaling(epsilon=0.01) if stated else PlattScaling()
    if stated:
        yield "stated", StatedConfidenceCalibration()
    yield "isotonic", IsotonicCalibration()
    yield "histogram", HistogramBinning()


def _cross_fit(
    estimator: ConfidenceRecalibrator, confidence: Vector, correct: Vector, folds: Folds
) -> Vector:
    """(N,) recalibrated confidences, each by a fit to the other folds."""
    result = np.empty(len(confidence))
    for fold in np.unique(folds):
        held, rest = folds == fold, folds != fold
        result[held] = estimator.fit(confidence[rest], correct[rest]).recalibrate(confidence[held])
    return result


def _loss_of_binary(confidence: Vector, correct: Vector) -> Vector:
    return _loss(np.where(correct == 1, confidence, 1 - confidence))


def _loss(probability: Vector) -> Vector:
    return -np.log(np.maximum(probability, _LEAST))
