"""Thresholds with a finite-sample guarantee (Learn then Test), overall and per group."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrik, expit, logit

from thermometer import _checks
from thermometer.metrics.intervals import Interval
from thermometer.recalibrators.confidence import PlattScaling
from thermometer.routing.router import Bands

Vector = NDArray[np.float64]
Index = NDArray[np.int64]

_STEPS = 100  # thresholds of a grid that is made here
_STARTS = 3  # times as many rows as must all be right are accepted at the first of them,
_START_SHARE = 0.05  # and at least this share
_GRID_SHARE = 0.1  # share of labelled rows that make the grid where nothing else does
_POWER = 0.8  # chance of passing that is aimed at
_MOST = 1_000_000  # accepted answers beyond which it is called hopeless
_GROWTH = 1.02  # step of the numbers that are tried


def fewest_labels(risk: float, delta: float) -> int:
    """Accepted answers, all right, with which the test passes: log(delta) / log(1 - risk).

    With that many the chance of no wrong one, (1 - risk)^n, is at most `delta`. For small risks it
    is nearly log(1 / delta) / risk: the rule of three (Hanley and Lippman-Hand 1983).

    Example:
        >>> fewest_labels(0.05, 0.05), fewest_labels(0.01, 0.05)
        (59, 299)
    """
    risk = _checks.number("risk", risk, maximum=1 - 1e-9, strict=True)
    delta = _checks.number("delta", delta, maximum=1 - 1e-9, strict=True)
    exact = math.log(delta) / math.log1p(-risk)
    n = max(math.ceil(exact - 1e-9), 1)
    return n if (1 - risk) ** n <= delta * (1 + 1e-12) else n + 1


def needed_labels(
    confidence: Vector,
    correct: Vector,
    thresholds: Vector,
    risk: float,
    delta: float,
    used: float = 1.0,
) -> int | None:
    """A rough number of labels with which some threshold would pass four times in five.

    What a confidence is worth is estimated by a Platt curve, which few rows can bear; r is then the
    share of wrong answers that a threshold would accept. m accepted answers are enough if
    P(Bin(m, risk) <= q) <= delta, where q is the smallest number with P(Bin(m, r) <= q) >= 0.8, and
    m divided by the share accepted is the number of labels. The threshold that takes the fewest
    counts. In simulations half of the numbers named were within a factor of two of the right one.
    `used` is the share of labelled rows that are tested. The result is above the number of rows
    given, rounded up to two digits; `None` if no threshold has r below `risk`, or it takes more
    than a million accepted answers.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> confidence = rng.random(60)
        >>> correct = (rng.random(60) < confidence).astype(float)
        >>> needed_labels(confidence, correct, np.array([0.9, 0.8]), risk=0.2, delta=0.1)
        1900
    """
    n = len(confidence)
    wrong = 1.0 - PlattScaling().fit(confidence, correct).recalibrate(confidence)
    fewest = fewest_labels(risk, delta)
    steps = max(int(math.log(_MOST / fewest) / math.log(_GROWTH)), 0) + 1
    m = np.unique(np.ceil(fewest * _GROWTH ** np.arange(steps)))
    least = math.inf
    for threshold in thresholds:
        accepted = confidence >= threshold
        rate = float(wrong[accepted].mean()) if accepted.any() else 1.0
        if rate >= risk:
            continue
        bad = np.ceil(bdtrik(_POWER, m, rate))
        passing = np.flatnonzero(bdtr(bad, m.astype(np.int64), risk) <= delta)
        if len(passing):
            least = min(least, float(m[passing[0]] / accepted.mean()) / used)
    if math.isinf(least):
        return None
    labels = max(least, n / used + 1)
    digit = 10.0 ** max(math.floor(math.log10(labels)) - 1, 0)
    return int(math.ceil(labels / digit) * digit)


@dataclass(frozen=True)
class GuaranteedThreshold:
    """A threshold with its guarantee, or the refusal to give one.

    Args:
        threshold: Accept from this confidence on; `None` if the data support none.
        risk: The stated risk, the largest share of wrong answers among those accepted.
        delta: The chance, over the draw of the labelled rows, that the true share is larger.
        share: Share of answers accepted, and bounds that hold at whatever threshold was chosen;
            zeros if there is none.
        n_labels: Labelled rows that were tested.
        n_accepted: How many of them the threshold accepts. Without one: the first one tested.
        n_wrong: How many of those are wrong.
        labels_needed: Without a threshold: a rough number of labelled rows with which one would be
            found four times in five; `None` if there is one, or if none looks safe enough.
        labels_at_least: Labelled rows without which no data give a threshold, all being right.
    """

    threshold: float | None
    risk: float
    delta: float
    share: Interval
    n_labels: int
    n_accepted: int
    n_wrong: int
    labels_needed: int | None
    labels_at_least: int

    @property
    def enough(self) -> bool:
        """Whether the data support a threshold."""
        return self.threshold is not None

    @property
    def reason(self) -> str:
        """The same in plain words."""
        if self.threshold is not None:
            return (
                f"Accept from {self.threshold:.4g} on: with a chance of {1 - self.delta:.4g}, at "
                f"most {self.risk:.3g} of the accepted answers are wrong. It accepts "
                f"{self.share.estimate:.1%} of all ({self.share.low:.1%} to {self.share.high:.1%}),"
                f" and {self.n_accepted:,} of {self.n_labels:,} labelled answers tested, "
                f"{self.n_wrong:,} of them wrong."
            )
        more = "None looks safe enough for more labels to help."
        if self.labels_needed is not None:
            more = f"About {self.labels_needed:,} would probably do."
        return (
            f"No threshold: {self.n_labels:,} labelled answers do not support a risk of "
            f"{self.risk:.3g} with a chance of {1 - self.delta:.4g}. The first one tested accepts "
            f"{self.n_accepted:,}, {self.n_wrong:,} of them wrong; with fewer than "
            f"{self.labels_at_least:,} labels there never is one. {more}"
        )

    def bands(self, reject: float = 0.0, width: float = 0.75) -> Bands:
        """`Bands.around` the threshold: no answer below it is accepted, whatever the history.

        With hysteresis fewer answers are accepted than by the threshold alone. The guarantee then
        holds if those withheld are no more often right than those accepted. It holds without that
        condition, and with far more answers accepted, if the threshold was chosen on
        `held_confidence` of the same width.

        Raises:
            ValueError: If there is no threshold; the message says how many labels would do. Also
                for a `reject` above the threshold.
        """
        if self.threshold is None:
            raise _checks.fail("threshold", "supported by the data", f"none. {self.reason}")
        return Bands.around(self.threshold, reject, width)

    def __str__(self) -> str:
        return self.reason


def guaranteed_threshold(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    risk: float = 0.05,
    delta: float = 0.05,
    unlabelled: ArrayLike | None = None,
    grid: ArrayLike | None = None,
    coverage: float = 0.95,
    seed: int = 0,
) -> GuaranteedThreshold:
    """The lowest threshold that labelled data support for a stated risk, or a refusal.

    With R(t) = P(wrong given c >= t), the result has R(threshold) <= `risk` with a chance of at
    least 1 - `delta`, whatever the law of the rows, if these are independent draws from the traffic
    that will be routed. The thresholds t_1 > t_2 > ... of a grid are tested in this order, at
    level `delta` each, up to the first that fails; the last one that passed is taken (Learn then
    Test with a fixed sequence: Angelopoulos et al. 2021, arXiv 2110.01052). The test of t, with
    n answers accepted and k of them wrong, has the p-value P(Bin(n, risk) <= k).

    Proof. For a threshold fixed before these rows were seen, rows with c >= t are independent draws
    from the law of such rows, so that given their number n the k wrong ones are Bin(n, R(t)), and
    if R(t) > risk then P(p-value <= delta) <= delta. Let t* be the first threshold of the grid
    with R(t*) > risk: which one that is depends on the grid and on the law, not on the labelled
    rows. A threshold with too large a risk can be taken only if the test of t* passes, since it
    stands at t* or behind it, and that has a chance of at most delta.

    So the grid must not come from the rows that are tested. Unless `grid` is given, it stands at
    100 evenly spaced shares accepted, as found in `unlabelled`, or else in a tenth of the labelled
    rows, drawn by `seed`, whose labels are not used. The first threshold should accept three times
    as many rows as would do if all were right (log delta / log(1 - risk)), and at least 5 % of
    them; the last accepts all that made the grid. Tests of fewer rows seldom pass, and the first
    that fails ends the search.

    Nothing is promised below the labelled rows: lower thresholds are not tested, and of those that
    accept the same rows the highest is taken. Neither touches the proof. Only if the whole grid
    lies below, the lowest labelled confidence is tested in its place.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        risk: Largest share of wrong answers among those accepted, in (0, 1).
        delta: Chance of a larger one, in (0, 1).
        unlabelled: (M,) confidences of other answers of the same traffic.
        grid: Thresholds in [0, 1] fixed without these rows, in any order; the highest is tested
            first.
        coverage: Coverage of the bounds of the share accepted, in (0, 1). They are those of Massart
            (1990), F_n +- sqrt(log(2 / (1 - coverage)) / 2n), from `unlabelled` or else all rows.
        seed: Of the rows that make the grid. Do not try several: that voids the guarantee.

    Returns:
        A `GuaranteedThreshold`; if the data support no threshold, one with `enough` false, which
        says how many labels would do and refuses to make bands.

    Raises:
        ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> confidence = rng.beta(5, 1, 2000)
        >>> correct = rng.random(2000) < confidence
        >>> found = guaranteed_threshold(confidence, correct, risk=0.1, delta=0.1)
        >>> round(found.threshold, 2), round(found.share.estimate, 2)
        (0.77, 0.72)
        >>> guaranteed_threshold(confidence[:20], correct[:20]).enough
        False
    """
    claimed, outcome = _checks.outcomes(confidence, correct)
    risk = _checks.number("risk", risk, maximum=1 - 1e-9, strict=True)
    delta = _checks.number("delta", delta, maximum=1 - 1e-9, strict=True)
    coverage = _checks.number("coverage", coverage, maximum=1 - 1e-9, strict=True)
    seed = _checks.integer("seed", seed, minimum=0)
    fewest = fewest_labels(risk, delta)
    if unlabelled is not None and grid is not None:
        raise _checks.fail("grid", "given without `unlabelled`, which makes one", "both")
    everything, used = claimed, 1.0
    if grid is not None:
        thresholds = reachable = np.unique(_checks.unit_interval("grid", grid))[::-1]
    else:
        if unlabelled is not None:
            everything = drawn = _checks.unit_interval("unlabelled", unlabelled)
        else:
            rows = np.random.default_rng(seed).permutation(len(claimed))
            n_drawn = int(np.ceil(_GRID_SHARE * len(rows)))
            drawn, rows, used = claimed[rows[:n_drawn]], rows[n_drawn:], 1.0 - _GRID_SHARE
            claimed, outcome = claimed[rows], outcome[rows]
        first = _STARTS * fewest / max(len(claimed), 1)
        thresholds, reachable = _grid(drawn, first), _grid(drawn, _START_SHARE)
    lowest = claimed.min(initial=1.0)
    thresholds = thresholds[thresholds >= lowest] if thresholds[0] >= lowest else lowest[None]
    accepted, wrong = _counts(claimed, outcome, thresholds)
    passed = bdtr(wrong, accepted, risk) <= delta
    last = int(np.argmin(passed)) if not passed.all() else len(passed)
    at = int(np.searchsorted(accepted, accepted[max(last - 1, 0)]))  # the highest of its rows
    needed = None
    if not last and len(claimed):
        needed = needed_labels(claimed, outcome, reachable, risk, delta, used)
    threshold = float(thresholds[at]) if last else None
    share = _share(everything, threshold, coverage)
    counts = len(claimed), int(accepted[at]), int(wrong[at])
    at_least = int(np.ceil(fewest / used))
    return GuaranteedThreshold(threshold, risk, delta, share, *counts, needed, at_least)


def _grid(confidence: Vector, first: float) -> Vector:
    """Thresholds that accept evenly spaced shares of these confidences, the highest first."""
    shares = np.linspace(min(max(first, _START_SHARE), 1.0), 1.0, _STEPS)
    falling = np.sort(confidence)[::-1]
    thresholds = falling[np.ceil(shares * len(falling)).astype(np.int64) - 1]
    return np.unique(thresholds)[::-1]


def _counts(confidence: Vector, correct: Vector, thresholds: Vector) -> tuple[Index, Index]:
    """How many rows each threshold accepts, and how many of these are wrong."""
    order = np.argsort(-confidence)
    wrong = np.concatenate([[0.0], np.cumsum(1.0 - correct[order])])
    accepted = np.searchsorted(-confidence[order], -thresholds, side="right")
    return accepted, wrong[accepted].astype(np.int64)


def _share(confidence: Vector, threshold: float | None, coverage: float) -> Interval:
    if not threshold:
        share = 0.0 if threshold is None else 1.0
        return Interval(share, share, share)
    share = float(np.mean(confidence >= threshold))
    half = float(np.sqrt(np.log(2 / (1 - coverage)) / (2 * len(confidence))))
    return Interval(share, max(share - half, 0.0), min(share + half, 1.0))


def guaranteed_thresholds(
    confidence: ArrayLike,
    correct: ArrayLike,
    groups: ArrayLike,
    *,
    risk: float = 0.05,
    delta: float = 0.05,
    unlabelled: Mapping[str, ArrayLike] | None = None,
    coverage: float = 0.95,
    seed: int = 0,
) -> dict[str, GuaranteedThreshold]:
    """A threshold per group (kind of query), all of whose guarantees hold at once.

    Each of the G groups gets `delta` / G, so that with a chance of at least 1 - `delta` none of
    their risks is above `risk` (Bonferroni). A group whose rows are too few is refused; the others
    keep their thresholds. Give G as few groups as matter: each makes the labels needed rise.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        groups: (N,) group of every row, as text.
        risk: Largest share of wrong answers among those accepted, in every group.
        delta: Chance that any group has a larger one.
        unlabelled: Confidences of other answers by group; groups that it lacks do without.
        coverage: See `guaranteed_threshold`.
        seed: Likewise.

    Raises:
        ValueError: As `guaranteed_threshold`; also if `groups` has another length, or `unlabelled`
            names a group without labelled rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> confidence, topic = rng.beta(5, 1, 4000), np.repeat(["art", "law"], 2000)
        >>> correct = rng.random(4000) < confidence - 0.2 * (topic == "law")
        >>> found = guaranteed_thresholds(confidence, correct, topic, risk=0.1)
        >>> {name: one.enough for name, one in found.items()}
        {'art': True, 'law': False}
    """
    claimed, outcome = _checks.outcomes(confidence, correct)
    named = _checks.array("groups", groups).astype(np.str_)
    if named.shape != claimed.shape:
        raise _checks.fail("groups", f"a vector of length {len(claimed)}", f"shape {named.shape}")
    names = np.unique(named).tolist()
    delta = _checks.number("delta", delta, maximum=1 - 1e-9, strict=True) / len(names)
    others = dict(unlabelled or {})
    if unknown := sorted(set(others) - set(names)):
        raise _checks.fail("unlabelled", f"of the groups {', '.join(names)}", ", ".join(unknown))
    return {
        name: guaranteed_threshold(
            claimed[named == name],
            outcome[named == name],
            risk=risk,
            delta=delta,
            unlabelled=others.get(name),
            coverage=coverage,
            seed=seed,
        )
        for name in names
    }


def held_confidence(confidence: ArrayLike, width: float = 0.75) -> NDArray[np.float64]:
    """The highest threshold at which a router accepts each answer of a key.

    h_i = max(expit(logit(c_i) - width), min(h_(i-1), c_i)), with h_0 = 0: a router with
    `Bands.around` a threshold t and the same width accepts the i-th answer exactly if h_i >= t,
    since it has either reached the far edge or was accepted before and is not below the near one
    (rejecting plays no part). So h is a confidence that a hard cutoff reads as the router reads c.

    Give h of **one answer of each key, drawn at random**, and whether it was right, to
    `guaranteed_threshold`: these rows are independent, and the guarantee is about the answers that
    the router accepts, hysteresis included. Keys to come must be as long as those of the labels.

    Args:
        confidence: (L,) all confidences of one key in their order, in [0, 1].
        width: That of the bands, in logits.

    Returns:
        (L,) in [0, 1], never above the confidence.

    Raises:
        ValueError: If a confidence is NaN or outside [0, 1], or L is 0.

    Example:
        >>> held_confidence([0.85, 0.95, 0.85, 0.8], width=0.75).round(3).tolist()
        [0.728, 0.9, 0.85, 0.8]
    """
    claimed = _checks.unit_interval("confidence", confidence)
    width = _checks.number("width", width, maximum=1e3)
    entered = np.minimum(expit(logit(claimed) - width), claimed) if width else claimed
    held = np.empty_like(claimed)
    last = 0.0
    for place, (entry, c) in enumerate(zip(entered.tolist(), claimed.tolist(), strict=True)):
        held[place] = last = max(entry, min(last, c))
    return held
