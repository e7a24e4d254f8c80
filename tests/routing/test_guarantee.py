"""The guarantee: exact chances by enumeration, the stated risk over many worlds, refusals."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from simulation import CalibrationMap, Segment, map_with_ece

from thermometer.recalibrators.confidence import PlattScaling
from thermometer.routing import guaranteed_threshold, guaranteed_thresholds
from thermometer.routing.guarantee import fewest_labels, needed_labels

MODEST = Segment(shape=(5.0, 1.0))


def draw(segment, n, rng):
    confidence = rng.beta(*segment.shape, n)
    return confidence, rng.random(n) < segment.calibration(confidence)


def by_loop(confidence, correct, grid, risk, delta):
    """Test after test, from the highest threshold down to the last that a row is not above of."""
    taken, n_taken = None, 0
    tested = [t for t in grid if t >= min(confidence)] or [min(confidence)]
    for threshold in sorted(set(tested), reverse=True):
        accepted = [y for c, y in zip(confidence, correct, strict=True) if c >= threshold]
        p = stats.binom.cdf(sum(1 - y for y in accepted), len(accepted), risk)
        if p > delta:
            break
        if len(accepted) > n_taken:
            taken, n_taken = threshold, len(accepted)
    return taken


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=60),
    st.lists(st.floats(0, 1), min_size=1, max_size=8),
    st.floats(0.05, 0.9),
    st.floats(0.05, 0.9),
)
@settings(max_examples=150, deadline=None)
def test_the_threshold_is_that_of_a_loop_over_binomial_tests(rows, grid, risk, delta):
    confidence, correct = zip(*rows, strict=True)
    found = guaranteed_threshold(confidence, correct, risk=risk, delta=delta, grid=grid)
    assert found.threshold == by_loop(confidence, correct, grid, risk, delta)
    assert found.enough == (found.threshold is not None)
    at = max(*grid, min(confidence)) if found.threshold is None else found.threshold
    accepted = [y for c, y in rows if c >= at]
    assert (found.n_labels, found.n_accepted) == (len(rows), len(accepted))
    assert found.n_wrong == len(accepted) - sum(accepted)
    assert found.enough or len(rows) >= 0


@pytest.mark.parametrize("chances", [(0.9, 0.6, 0.2), (0.55, 0.95, 0.1), (0.59, 0.59, 0.59)])
def test_the_chance_of_a_violation_summed_over_every_possible_data_set(chances):
    """Six rows of three confidences: all 6^6 data sets with their probabilities.

    In the second world the most confident answers are not the safest: no shape is assumed.
    """
    values, law = (0.9, 0.6, 0.3), (0.3, 0.4, 0.3)
    risk, delta = 0.4, 0.4
    true_risk = {}
    for at in values:
        above = [(q, p) for v, q, p in zip(values, law, chances, strict=True) if v >= at]
        true_risk[at] = sum(q * (1 - p) for q, p in above) / sum(q for q, _ in above)
    cells = [
        (v, y, q * (p if y else 1 - p))
        for v, q, p in zip(values, law, chances, strict=True)
        for y in (0, 1)
    ]
    total = violated = given_one = 0.0
    for multiset in itertools.combinations_with_replacement(range(6), 6):
        ways = math.factorial(6)
        for cell in range(6):
            ways //= math.factorial(multiset.count(cell))
        mass = ways * math.prod(cells[i][2] for i in multiset)
        found = guaranteed_threshold(
            [cells[i][0] for i in multiset],
            [cells[i][1] for i in multiset],
            risk=risk,
            delta=delta,
            grid=values,
        )
        total += mass
        if found.enough:
            given_one += mass
            violated += mass * (true_risk[found.threshold] > risk)
    assert total == pytest.approx(1)
    assert given_one > 0.1
    assert violated <= delta


@pytest.mark.parametrize(
    ("segment", "risk", "n_unlabelled"),
    [
        (MODEST, 0.1, None),
        (MODEST, 0.1, 500),
        (Segment(map_with_ece(0.1), (4.0, 2.0)), 0.3, None),
        (Segment(CalibrationMap(2.0), (3.0, 2.0)), 0.1, 500),
    ],
)
def test_the_stated_risk_is_exceeded_no_more_often_than_stated(segment, risk, n_unlabelled):
    """150 data sets each; the benchmark has 1,000 of more worlds."""
    rng = np.random.default_rng(7)
    delta, n_sets, violated, shares = 0.1, 150, 0, []
    for _ in range(n_sets):
        confidence, correct = draw(segment, 1000, rng)
        others = None if n_unlabelled is None else rng.beta(*segment.shape, n_unlabelled)
        found = guaranteed_threshold(confidence, correct, risk=risk, delta=delta, unlabelled=others)
        if found.enough:
            truth = segment.selective_risk(found.threshold)
            violated += truth.risk > risk
            shares.append(truth.share)
    assert violated <= stats.binom.ppf(0.999, n_sets, delta)
    assert len(shares) > 0.8 * n_sets


def test_where_every_threshold_is_unsafe_it_seldom_says_otherwise():
    """At the very edge of the risk, where the bound is tight: all answers are wrong 10.1 %."""
    rng = np.random.default_rng(3)
    found = [
        guaranteed_threshold(
            rng.random(400), rng.random(400) < 0.899, risk=0.1, delta=0.2, grid=[0.5, 0.0]
        ).enough
        for _ in range(600)
    ]
    assert 0.1 < np.mean(found) < stats.binom.ppf(0.999, 600, 0.2) / 600


def test_with_two_thousand_labels_it_accepts_most_of_what_an_oracle_would():
    risk, rng = 0.1, np.random.default_rng(1)
    thresholds = np.linspace(0.5, 0.99, 2000)
    oracle = next(
        MODEST.selective_risk(t).share for t in thresholds if MODEST.selective_risk(t).risk <= risk
    )
    shares = []
    for _ in range(60):
        found = guaranteed_threshold(*draw(MODEST, 2000, rng), risk=risk, delta=0.1)
        truth = MODEST.selective_risk(found.threshold).share if found.enough else 0.0
        shares.append(truth)
        if found.enough:
            assert found.share.low <= truth <= found.share.high
    assert np.mean(shares) > 0.8 * oracle


def test_the_labels_of_the_rows_that_lay_the_grid_are_not_read():
    rng = np.random.default_rng(0)
    confidence, correct = draw(MODEST, 1000, rng)
    drawn = np.random.default_rng(4).permutation(1000)[:100]
    flipped = correct.copy()
    flipped[drawn] = ~flipped[drawn]
    one, two = (
        guaranteed_threshold(confidence, y, risk=0.1, delta=0.1, seed=4) for y in (correct, flipped)
    )
    assert one == two
    assert one.n_labels == 900


def test_no_threshold_lies_below_what_was_labelled():
    """Of all the labelled answers none is below 0.8: nothing is promised of 0.05."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.8, 1.0, 2000)
    correct = rng.random(2000) < 0.95
    spare = {
        "none": {},
        "unlabelled": {"unlabelled": rng.random(5000)},
        "grid": {"grid": np.arange(1, 10) / 10},
        "below": {"grid": [0.1, 0.5]},
        "zero": {"grid": [0.0]},
    }
    for name, keywords in spare.items():
        found = guaranteed_threshold(confidence, correct, risk=0.1, **keywords)
        assert found.threshold >= confidence.min(), name
        assert found.bands().action(0.05) == "review", name
    below = guaranteed_threshold(confidence, correct, risk=0.1, grid=[0.1, 0.5])
    assert below.threshold == confidence.min()
    one = guaranteed_threshold(np.ones(400), np.ones(400))
    assert one.threshold == 1
    assert one.bands().action(0.999) == "review"


def test_no_threshold_lies_in_a_gap_of_what_was_labelled():
    confidence = np.repeat([0.5, 1.0], 200)
    correct = np.r_[np.tile([0, 1], 100), np.ones(200)]
    found = guaranteed_threshold(confidence, correct, grid=np.linspace(0, 1, 21))
    assert found.threshold == 1.0  # 0.55 accepts the same rows, and none was between
    assert (found.n_accepted, found.n_wrong) == (200, 0)


def test_a_zero_that_was_seen_may_be_accepted():
    found = guaranteed_threshold(np.zeros(400), np.ones(400))
    assert found.threshold == 0
    assert found.share.low == found.share.high == 1


def test_ties_are_accepted_together_and_no_row_is_needed_beyond_the_grid():
    confidence = np.repeat([0.5, 0.9], 200)
    correct = np.r_[np.tile([0, 1], 100), np.ones(200)]
    found = guaranteed_threshold(confidence, correct, unlabelled=confidence)
    assert found.threshold == 0.9
    assert (found.n_accepted, found.n_wrong) == (200, 0)
    assert found.share.estimate == 0.5
    everything = guaranteed_threshold(confidence, np.ones(400), unlabelled=confidence)
    assert everything.threshold == 0.5  # none was below
    assert (everything.share.estimate, everything.share.high) == (1, 1)


@given(st.floats(0.001, 0.99), st.floats(0.001, 0.99))
def test_the_fewest_labels_are_the_fewest(risk, delta):
    n = fewest_labels(risk, delta)
    assert stats.binom.cdf(0, n, risk) <= delta * (1 + 1e-9)
    assert n == 1 or stats.binom.cdf(0, n - 1, risk) > delta * (1 - 1e-9)


def test_fewest_right_answers_suffice_and_one_less_does_not():
    for n, enough in [(59, True), (58, False)]:
        found = guaranteed_threshold(np.full(n, 0.9), np.ones(n), grid=[0.5])
        assert found.enough is enough
        assert found.labels_at_least == 59
        assert found.labels_needed is None if enough else found.labels_needed > n
    assert guaranteed_threshold(np.full(40, 0.9), np.ones(40)).labels_at_least == 66  # 59 / 0.9


def test_a_refusal_makes_no_bands_and_says_how_many_labels_would_do():
    rng = np.random.default_rng(2)
    found = guaranteed_threshold(*draw(MODEST, 120, rng), risk=0.05, delta=0.05)
    assert not found.enough
    assert found.labels_needed > 120
    assert f"About {found.labels_needed:,} would probably do" in str(found)
    with pytest.raises(ValueError, match=r"by the data, but got none\. No threshold: 108 labelled"):
        found.bands()
    hopeless = guaranteed_threshold(rng.random(500), np.zeros(500))
    assert (hopeless.threshold, hopeless.labels_needed) == (None, None)
    assert hopeless.reason.endswith("None looks safe enough for more labels to help.")


@pytest.mark.parametrize(("risk", "n"), [(0.1, 100), (0.15, 60), (0.05, 300)])
def test_the_number_of_labels_named_is_one_that_works(risk, n):
    """The median of the numbers named, which aim at four times in five."""
    rng = np.random.default_rng(11)
    named = []
    while len(named) < 25:
        found = guaranteed_threshold(*draw(MODEST, n, rng), risk=risk, delta=0.1)
        if not found.enough and found.labels_needed is not None:
            named.append(found.labels_needed)
    typical = int(np.median(named))
    works = np.mean(
        [
            guaranteed_threshold(*draw(MODEST, typical, rng), risk=risk, delta=0.1).enough
            for _ in range(60)
        ]
    )
    before = np.mean(
        [
            guaranteed_threshold(*draw(MODEST, n, rng), risk=risk, delta=0.1).enough
            for _ in range(60)
        ]
    )
    assert works > 0.6
    assert works > before + 0.15


def test_needed_labels_by_a_plain_search():
    rng = np.random.default_rng(0)
    confidence = rng.beta(5, 1, 80)
    correct = (rng.random(80) < confidence).astype(float)
    thresholds, risk, delta = np.array([0.95, 0.8, 0.2]), 0.1, 0.05
    worth = PlattScaling().fit(confidence, correct).recalibrate(confidence)
    least = np.inf
    for threshold in thresholds:
        rate = (1 - worth[confidence >= threshold]).mean()
        m = fewest_labels(risk, delta)
        while m < 3000 and stats.binom.cdf(stats.binom.ppf(0.8, m, rate), m, risk) > delta:
            m += 1
        least = min(least, m / (confidence >= threshold).mean()) if m < 3000 else least
    found = needed_labels(confidence, correct, thresholds, risk, delta)
    assert found == pytest.approx(least, rel=0.12)
    half = needed_labels(confidence, correct, thresholds, risk, delta, used=0.5)
    assert half == pytest.approx(2 * least, rel=0.12)
    assert needed_labels(confidence, 0 * correct, thresholds, risk, delta) is None
    assert needed_labels(confidence, correct, np.array([1.0]), risk, delta) is None
    surely = needed_labels(confidence, correct, thresholds, 0.9, 0.5)
    assert surely == 81  # more than there are, since these were refused


def test_groups_share_the_chance_of_a_mistake():
    rng = np.random.default_rng(5)
    confidence, correct = draw(MODEST, 3000, rng)
    group = np.repeat(["a", "b", "few"], [1500, 1490, 10])
    spare = rng.beta(5, 1, 300)
    found = guaranteed_thresholds(
        confidence, correct, group, risk=0.12, delta=0.15, unlabelled={"b": spare}
    )
    assert list(found) == ["a", "b", "few"]
    for name, others in (("a", None), ("b", spare), ("few", None)):
        rows = group == name
        alone = guaranteed_threshold(
            confidence[rows], correct[rows], risk=0.12, delta=0.05, unlabelled=others
        )
        assert found[name].threshold == alone.threshold
        assert found[name].delta == pytest.approx(0.05)
    assert found["a"].enough
    assert not found["few"].enough


@pytest.mark.parametrize("names", [[0, 1], [None, "a"], [float("nan"), 2.0], [True, False]])
def test_groups_that_are_no_text_count_as_text(names):
    rng = np.random.default_rng(5)
    confidence, correct = draw(MODEST, 2000, rng)
    group = np.array(names * 1000, dtype=object)
    found = guaranteed_thresholds(confidence, correct, group, risk=0.12)
    text = guaranteed_thresholds(confidence, correct, [str(name) for name in group], risk=0.12)
    assert found == text
    assert set(found) == {str(name) for name in names}


def test_bands_of_a_guarantee_accept_nothing_below_it():
    rng = np.random.default_rng(0)
    found = guaranteed_threshold(*draw(MODEST, 2000, rng), risk=0.1, delta=0.1)
    edges = found.bands(reject=0.2, width=1.0)
    assert edges.accept_until == found.threshold < edges.accept_above
    assert edges.reject_until == 0.2 > edges.reject_below
    with pytest.raises(ValueError, match="`reject`"):
        found.bands(reject=0.99)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"risk": 0.0}, "`risk`"),
        ({"risk": 1.0}, "`risk`"),
        ({"delta": 0.0}, "`delta`"),
        ({"coverage": 1.0}, "`coverage`"),
        ({"seed": -1}, "`seed`"),
        ({"grid": [0.5, 2.0]}, "`grid` to be in"),
        ({"grid": []}, "`grid` to be a vector of at least one"),
        ({"unlabelled": [float("nan")]}, "`unlabelled` to be finite"),
        ({"grid": [0.5], "unlabelled": [0.5]}, "`grid` to be given without `unlabelled`"),
    ],
)
def test_bad_arguments_are_refused_by_name(keywords, message):
    with pytest.raises(ValueError, match=message):
        guaranteed_threshold([0.5, 0.6], [1, 0], **keywords)


def test_one_row_is_refused_like_any_too_few():
    found = guaranteed_threshold([0.9], [1])
    assert (found.enough, found.n_labels, found.labels_needed) == (False, 0, None)


def test_bad_groups_are_refused_by_name():
    with pytest.raises(ValueError, match="`groups` to be a vector of length 2"):
        guaranteed_thresholds([0.5, 0.6], [1, 0], ["a"])
    with pytest.raises(ValueError, match="`unlabelled` to be of the groups a, but got z"):
        guaranteed_thresholds([0.5, 0.6], [1, 0], ["a", "a"], unlabelled={"z": [0.5]})
