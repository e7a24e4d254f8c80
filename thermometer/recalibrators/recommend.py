"""Which recalibrator suits labelled data, or how many labels would tell.

Candidates are compared by cross-fitting on the data itself, with paired intervals.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks, metrics
from thermometer._files import plain
from thermometer.metrics.intervals import Interval, Resampled, group_codes, task_counts
from thermometer.recalibrators.base import (
    ConfidenceRecalibrator,
    ScoreRecalibrator,
    Vector,
    with_confidence,
)
from thermometer.recalibrators.confidence import (
    HistogramBinning,
    IsotonicCalibration,
    PlattScaling,
    StatedConfidenceCalibration,
)
from thermometer.recalibrators.scores import TemperatureScaling
from thermometer.reports import render
from thermometer.reports.blocks import Cell, Document, Table, Verdict, difference, percent, row
from thermometer.scaling import scale_scores

NONE = "none"
_LEAST = 1e-6  # a probability below costs as much as this one: 13.8 nats
_ROWS_PER_VALUE = 5  # of numbers that are said over and over

Folds = NDArray[np.int64]
Estimator = ScoreRecalibrator | ConfidenceRecalibrator


class _CrossFitted(NamedTuple):
    """A candidate on N rows, each recalibrated by a fit to the others."""

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
    member = group_codes(groups, n)
    sizes = np.bincount(member)
    if len(sizes) < n_folds:
        raise _checks.fail("n_folds", f"at most {len(sizes)}, the number of groups", n_folds)
    shuffled = rng.permutation(len(sizes))
    load, fold_of = np.zeros(n_folds, np.int64), np.empty(len(sizes), np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of[group] = load.argmin()
        load[fold_of[group]] += sizes[group]
    return np.asarray(fold_of[member], np.int64)


def _from_confidence(confidence: Vector, correct: Vector, folds: Folds) -> list[_CrossFitted]:
    """Candidates for (N,) checked confidences and outcomes, the preferred first."""

    def candidate(name: str, new: Vector, estimator: Estimator | None) -> _CrossFitted:
        return _CrossFitted(name, _loss(np.where(correct == 1, new, 1 - new)), new, estimator)

    recalibrated = _recalibrated(confidence, correct, folds)
    return [candidate(NONE, confidence, None), *(candidate(*one) for one in recalibrated)]


def _from_scores(scores: Vector, labels: NDArray[np.int64], folds: Folds) -> list[_CrossFitted]:
    """Candidates for (N, K) checked scores and (N,) labels, the preferred first."""
    probs = scale_scores(scores, 1.0)
    n_options = np.isfinite(scores).sum(axis=1)
    each, answer = np.arange(len(labels)), scores.argmax(axis=1)
    confidence, correct = probs[each, answer], (answer == labels).astype(np.float64)

    def candidate(name: str, new: Vector, estimator: Estimator | None) -> _CrossFitted:
        return _CrossFitted(name, _loss(new[each, labels]), new[each, answer], estimator)

    scaled, scaling = np.empty_like(probs), TemperatureScaling()
    for fold in np.unique(folds):
        held, rest = folds == fold, folds != fold
        scaled[held] = scaling.fit(scores[rest], labels[rest]).predict_proba(scores[held])
    return [
        candidate(NONE, probs, None),
        candidate("temperature", scaled, scaling.fit(scores, labels)),
        *(
            candidate(name, with_confidence(probs, out_of_fold, n_options), estimator)
            for name, out_of_fold, estimator in _recalibrated(confidence, correct, folds)
        ),
    ]


def _recalibrated(
    confidence: Vector, correct: Vector, folds: Folds
) -> Iterator[tuple[str, Vector, ConfidenceRecalibrator]]:
    """Recalibrators that suit the confidences, the preferred first: out of fold, and fitted."""
    stated = len(np.unique(confidence.round(6))) * _ROWS_PER_VALUE <= len(confidence)
    suited: dict[str, ConfidenceRecalibrator] = {
        "platt": PlattScaling(epsilon=0.01) if stated else PlattScaling(),
        **({"stated": StatedConfidenceCalibration()} if stated else {}),
        "isotonic": IsotonicCalibration(),
        "histogram": HistogramBinning(),
    }
    for name, estimator in suited.items():
        out = np.empty(len(confidence))
        for fold in np.unique(folds):
            held, rest = folds == fold, folds != fold
            estimator.fit(confidence[rest], correct[rest])
            out[held] = estimator.recalibrate(confidence[held])
        yield name, out, estimator.fit(confidence, correct)


def _loss(probability: Vector) -> Vector:
    return -np.log(np.maximum(probability, _LEAST))


_METHODS = {
    "temperature": "pooled temperature",
    "platt": "Platt scaling",
    "stated": "the calibration of stated confidence",
    "isotonic": "isotonic calibration",
    "histogram": "histogram binning",
}


@dataclass(frozen=True, eq=False)
class Candidate:
    """What one recalibrator reaches on rows that it was not fitted on.

    Args:
        nll: Mean negative log-likelihood, in nats: of right or wrong where confidences were given,
            of the options where scores were.
        versus_best: `nll` minus that of the candidate with the lowest, paired.
        versus_none: `nll` minus that of the uncalibrated confidences; below 0 is a gain.
        auroc: Of the recalibrated confidence against right or wrong, see `metrics.auroc`.
        estimator: Fitted on all rows; `None` for the candidate "none".
    """

    nll: Interval
    versus_best: Interval
    versus_none: Interval
    auroc: float
    estimator: Estimator | None


@dataclass(frozen=True, eq=False)
class Recommendation:
    """The recalibrator to use, and why.

    Args:
        best: Name of the recommended candidate; "none" means to leave everything as it is.
        reason: The same in plain words.
        enough: Whether the data can tell: either the recommended candidate is clearly better than
            "none", or none could be better by much.
        labels_needed: Rough number of labelled rows that could tell, where these cannot.
        candidates: By name, the preferred first.
        reads: What was given, "confidence" or "scores".
        n: Number of rows.
        coverage: Coverage of the intervals.
    """

    best: str
    reason: str
    enough: bool
    labels_needed: int | None
    candidates: Mapping[str, Candidate]
    reads: Literal["confidence", "scores"]
    n: int
    coverage: float

    @property
    def estimator(self) -> Estimator | None:
        """The recommended recalibrator, fitted on all rows; `None` if none is recommended."""
        return self.candidates[self.best].estimator

    def apply(
        self, *, confidence: ArrayLike | None = None, scores: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Recalibrate new confidences, (N,) to (N,), or new scores, (N, K) to (N, K) probabilities.

        Raises:
            ValueError: If the other kind was recommended for, or the argument is malformed.
        """
        given = {"confidence": confidence, "scores": scores}
        values = given.pop(self.reads)
        if values is None or any(other is not None for other in given.values()):
            raise _checks.fail(self.reads, "given, and nothing else", "other arguments")
        if self.reads == "confidence":
            if isinstance(self.estimator, ConfidenceRecalibrator):
                return self.estimator.recalibrate(values)
            return _checks.unit_interval("confidence", values).copy()
        logits = _checks.score_matrix("scores", values)
        if isinstance(self.estimator, ScoreRecalibrator):
            return self.estimator.predict_proba(logits)
        probs = scale_scores(logits, 1.0)
        if self.estimator is None:
            return probs
        recalibrated = self.estimator.recalibrate(probs.max(axis=1))
        return with_confidence(probs, recalibrated, np.isfinite(logits).sum(axis=1))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the estimators, for JSON; NaN is `None`."""
        fields = {**vars(self), "candidates": {}}
        for name, one in self.candidates.items():
            intervals = {k: asdict(v) for k, v in vars(one).items() if isinstance(v, Interval)}
            fields["candidates"][name] = {**intervals, "auroc": one.auroc}
        result: dict[str, Any] = plain(fields)
        return result

    def document(self) -> Document:
        """What is shown: one row per candidate, and the reason for the choice."""
        rows = [
            row(
                Cell(name, *(("recommended", "best") if name == self.best else ())),
                *(candidate.nll, difference(candidate.versus_none), candidate.auroc),
            )
            for name, candidate in self.candidates.items()
        ]
        header = ("recalibrator", "NLL", "against none", "AUROC")
        table = Table("Recalibrators, on answers they were not fitted on", header, rows)
        note = f"Below the numbers: {percent(self.coverage)} intervals."
        shown = (table.short(note=note), Verdict([self.reason]))
        return Document("Recommendation", page=(table, Verdict([self.reason])), terminal=shown)

    def __str__(self) -> str:
        return render.to_text(self.document())


def recommend(
    *,
    confidence: ArrayLike | None = None,
    correct: ArrayLike | None = None,
    scores: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    n_folds: int = 5,
    n_resamples: int = 1000,
    seed: int = 0,
    coverage: float = 0.95,
    worth: float = 0.01,
) -> Recommendation:
    """Say which recalibrator suits the data, why, and whether the data are enough to say so.

    Give either `confidence` and `correct`, or `scores` and `labels`. The candidates are, in this
    order: none (leave it), the pooled temperature (for scores), Platt scaling, the calibration of
    stated confidence (if there are at least five rows for each different confidence; Platt scaling
    then has epsilon 0.01), isotonic calibration, histogram binning. For scores the last four
    recalibrate the confidence of the answer and keep the proportions of the other options. Each
    fold is recalibrated by a fit to the others.

    The rule: of all candidates whose NLL is not clearly above the lowest, the first. "Clearly" is a
    paired difference whose percentile interval, from resampled rows, leaves out 0. A candidate
    other than none must also be clearly better than none. The interval covers the chance in the
    rows that are judged, not that in the rows that were fitted.

    Args:
        confidence: (N,) probabilities of the answers, in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        scores: (N, K) unnormalised option scores; ``-inf`` pads short rows on the right.
        labels: (N,) integers, the right option.
        groups: (N,) task or user of every row. Given, whole groups are folded and resampled, and
            the answer is about rows of *new* groups.
        n_folds: Number of folds; at most as many as rows, or groups.
        n_resamples: Number of resamples.
        seed: Of folds and resamples; equal seeds give equal results.
        coverage: Coverage of the intervals, in (0, 1).
        worth: Smallest gain in nats per row that matters. The default is about what a confidence of
            0.9 loses that is right in 0.855 of all cases.

    Raises:
        ValueError: If not exactly one of the two pairs is given, there are fewer rows (or groups)
            than folds, a value is malformed, or a number is out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> confidence = rng.random(3000)
        >>> correct = rng.random(3000) < confidence**3  # overconfident
        >>> recommendation = recommend(confidence=confidence, correct=correct)
        >>> recommendation.best, recommendation.enough
        ('platt', True)
        >>> recommendation.apply(confidence=[0.5]).round(1).tolist()
        [0.1]
    """
    n_folds = _checks.integer("n_folds", n_folds, minimum=2)
    seed = _checks.integer("seed", seed, minimum=0)
    coverage = _checks.number("coverage", coverage, maximum=1 - 1e-9, strict=True)
    worth = _checks.number("worth", worth, strict=True)
    found: list[_CrossFitted]
    reads: Literal["confidence", "scores"]
    if confidence is not None and correct is not None and scores is None and labels is None:
        reads, claimed = "confidence", _checks.unit_interval("confidence", confidence)
        right = _checks.binary("correct", correct, len(claimed))
        found = _from_confidence(claimed, right, deal_folds(right, n_folds, seed, groups))
    elif scores is not None and labels is not None and confidence is None and correct is None:
        reads, logits = "scores", _checks.score_matrix("scores", scores)
        answers = _checks.label_vector("labels", labels, np.isfinite(logits).sum(axis=1))
        right = (logits.argmax(axis=1) == answers).astype(np.float64)
        found = _from_scores(logits, answers, deal_folds(right, n_folds, seed, groups))
    else:
        raise _checks.fail(
            "confidence", "given with `correct`, or else `scores` with `labels`", "other arguments"
        )
    resampled = _resample([one.loss for one in found], groups, n_resamples, seed)
    lowest = min(resampled, key=lambda one: one.estimate)
    candidates = {
        one.name: Candidate(
            nll.interval(coverage),
            (nll - lowest).interval(coverage),
            (nll - resampled[0]).interval(coverage),
            metrics.auroc(one.confidence, right),
            one.estimator,
        )
        for one, nll in zip(found, resampled, strict=True)
    }
    best = choose(candidates)
    enough = best != NONE or all(c.versus_none.low > -worth for c in candidates.values())
    needed = None if enough else labels_needed(candidates, len(right), worth)
    n = len(right)
    reason = _reason(best, candidates, n, worth, needed)
    return Recommendation(best, reason, enough, needed, candidates, reads, n, coverage)


def _resample(
    losses: list[Vector], groups: ArrayLike | None, n_resamples: int, seed: int
) -> list[Resampled]:
    """Mean losses on the same resamples of rows, or of groups."""
    stacked = np.array(losses)
    n = stacked.shape[1]
    n_resamples = _checks.integer("n_resamples", n_resamples)
    if groups is None:
        rng = np.random.default_rng(seed)
        draws = np.array(
            [stacked[:, rng.integers(n, size=n)].mean(axis=1) for _ in range(n_resamples)]
        )
    else:
        member = group_codes(groups, n)
        sizes = np.bincount(member)
        sums = np.array([np.bincount(member, loss) for loss in stacked])
        counts = task_counts(len(sizes), n_resamples, seed)
        draws = counts @ sums.T / (counts @ sizes)[:, None]
    means = stacked.mean(axis=1)
    return [Resampled(float(means[i]), draws[:, i]) for i in range(len(losses))]


def choose(candidates: Mapping[str, Candidate]) -> str:
    """The first candidate that is not clearly worse than the best and clearly better than none."""
    return next(
        name
        for name, one in candidates.items()
        if one.versus_best.low <= 0 and (name == NONE or one.versus_none.high < 0)
    )


def labels_needed(candidates: Mapping[str, Candidate], n: int, worth: float) -> int:
    """Rows with which the gain of the best recalibrator, or `worth`, would be clear.

    The half-width h of an interval falls as the root of the rows, so that a gain g is clear with
    n (h / g)^2 of them; rounded up to two digits.
    """
    rival = candidates[_rival(candidates, worth)].versus_none
    gain = max(-rival.estimate, worth)
    rows = max(n * ((rival.high - rival.low) / 2 / gain) ** 2, n + 1)
    digit = 10.0 ** max(math.floor(math.log10(rows)) - 1, 0)
    return int(math.ceil(rows / digit) * digit)


def _reason(
    best: str,
    candidates: Mapping[str, Candidate],
    n: int,
    worth: float,
    needed: int | None,
) -> str:
    """Why the best is the best, or why nobody can say."""
    if best != NONE:
        return _gain(best, candidates, n)
    if needed is None:
        return f"Leave it as it is: no recalibrator could gain {worth:g} nats per row."
    name = _rival(candidates, worth)
    gain = candidates[name].versus_none
    if gain.estimate < 0:
        finding = f"{_METHODS[name]} gains {_range(gain)} nats per row, which may be chance"
    else:
        finding = f"{_METHODS[name]} does not gain, but could by up to {-gain.low:.3f} nats"
    return (
        f"{n:,} rows are too few to say: {finding}. Leave it as it is until there are about "
        f"{needed:,} labelled rows."
    )


def _rival(candidates: Mapping[str, Candidate], worth: float) -> str:
    """Of the candidates that could be better than none by `worth`, the one that seems best."""
    could = [name for name, c in candidates.items() if c.versus_none.low <= -worth]
    return min(could, key=lambda name: candidates[name].versus_none.estimate)


def _gain(best: str, candidates: Mapping[str, Candidate], n: int) -> str:
    chosen, before = candidates[best], candidates[NONE]
    words = [
        f"{_METHODS[best][0].upper()}{_METHODS[best][1:]} lowers the NLL of rows that it was not "
        f"fitted on from {before.nll.estimate:.3f} to {chosen.nll.estimate:.3f}, "
        f"by {_range(chosen.versus_none)}."
    ]
    lowest = min(candidates, key=lambda name: candidates[name].nll.estimate)
    if lowest != best:
        words.append(
            f"That {_METHODS[lowest]} is lower by another {chosen.versus_best.estimate:.4f} may be "
            f"chance on {n:,} rows; the simpler one is preferred."
        )
    words.append(f"AUROC is {before.auroc:.3f} before and {chosen.auroc:.3f} after.")
    if chosen.estimator is not None:
        words += [f"{note[0].upper()}{note[1:]}." for note in chosen.estimator.notes_]
    return " ".join(words)


def _range(gain: Interval) -> str:
    """A difference as a gain."""
    low, high = sorted((-gain.low, -gain.high))
    return f"{-gain.estimate:.3f} ({low:+.3f} to {high:+.3f})"
