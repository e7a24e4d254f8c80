"""Thresholds from costs: the cheapest action by enumeration, hindsight by trying every pair."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import Segment, map_with_ece

from thermometer.routing import Costs

costs = st.builds(
    Costs,
    wrong_accept=st.floats(0.01, 100),
    review=st.floats(0, 100),
    right_reject=st.floats(0, 100),
)


def cheapest(each, p):
    """Costs of accepting, reviewing and rejecting an answer that is right with chance p."""
    return np.array([(1 - p) * each.wrong_accept, each.review, p * each.right_reject])


@given(costs, st.floats(0, 1))
@settings(max_examples=300)
def test_the_closed_form_takes_the_cheapest_action(each, p):
    reject, accept = each.thresholds
    assert 0 <= reject <= accept <= 1
    action = 0 if p >= accept else 2 if p < reject else 1
    paid = cheapest(each, p)
    assert paid[action] <= paid.min() + 1e-9 * paid.max()
    assert each.expected([p])[0] == pytest.approx(paid)


def total(each, confidence, correct, reject, accept):
    paid = 0.0
    for c, y in zip(confidence, correct, strict=True):
        if c >= accept:
            paid += (1 - y) * each.wrong_accept
        elif c < reject:
            paid += y * each.right_reject
        else:
            paid += each.review
    return paid / len(confidence)


@given(
    costs,
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0]), st.integers(0, 1)),
        min_size=1,
        max_size=12,
    ),
)
@settings(max_examples=100, deadline=None)
def test_hindsight_is_the_best_of_all_pairs_of_thresholds(each, rows):
    confidence, correct = zip(*rows, strict=True)
    found = each.check(confidence, correct, n_resamples=10)
    edges = [*sorted(set(confidence)), np.inf]
    pairs = itertools.combinations_with_replacement(edges, 2)
    least = min(total(each, confidence, correct, *pair) for pair in pairs)
    assert found.hindsight == pytest.approx(least, abs=1e-9)
    reached = total(each, confidence, correct, *found.hindsight_thresholds)
    assert reached == pytest.approx(least, abs=1e-9)
    assert found.hindsight_thresholds[0] <= found.hindsight_thresholds[1]
    assert found.cost.estimate == pytest.approx(total(each, confidence, correct, *each.thresholds))
    assert found.cost.estimate >= found.hindsight - 1e-9
    for value, pair in (
        (found.accept_all, (0.0, 0.0)),
        (found.review_all, (0.0, np.inf)),
        (found.reject_all, (np.inf, np.inf)),
    ):
        assert value == pytest.approx(total(each, confidence, correct, *pair))


def test_calibrated_confidence_pays_and_overconfidence_shows():
    rng = np.random.default_rng(0)
    each = Costs(wrong_accept=10, review=1, right_reject=3)
    confidence = rng.beta(4, 2, 20_000)
    honest = each.check(confidence, rng.random(20_000) < confidence, n_resamples=300)
    assert honest.cost.low <= honest.cost.estimate <= honest.cost.high
    assert honest.cost.estimate < min(honest.accept_all, honest.review_all, honest.reject_all)
    assert honest.hindsight > honest.cost.low
    over = Segment(map_with_ece(0.15)).calibration(confidence)
    exaggerated = each.check(confidence, rng.random(20_000) < over, n_resamples=300)
    assert exaggerated.hindsight < exaggerated.cost.low
    # The true cost of the closed form under calibration, by its formula.
    expected = each.expected(confidence).min(axis=1).mean()
    assert honest.cost.estimate == pytest.approx(expected, abs=0.03)


def test_a_confidence_at_a_threshold_is_not_rejected_but_accepted():
    each = Costs(wrong_accept=10, review=1, right_reject=4)
    assert each.check([0.25], [1]).cost.estimate == 1
    assert each.check([0.9], [1]).cost.estimate == 0


def test_bands_from_costs_keep_to_the_safe_side():
    each = Costs(wrong_accept=10, review=1, right_reject=4)
    edges = each.bands(width=0.3)
    assert (edges.reject_until, edges.accept_until) == each.thresholds == (0.25, 0.9)
    assert edges.accept_above > 0.9
    assert edges.reject_below < 0.25
    never = Costs(wrong_accept=1, review=0, right_reject=0)
    assert never.thresholds == (1.0, 1.0)  # whatever is free is done
    assert Costs(wrong_accept=1, review=5, right_reject=0).thresholds == (1.0, 1.0)
    assert Costs(wrong_accept=1, review=0, right_reject=1).thresholds == (0.0, 1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 1, 1), "`wrong_accept`"),
        ((1, -1, 1), "`review`"),
        ((1, 1, float("inf")), "`right_reject`"),
    ],
)
def test_bad_costs_are_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        Costs(*values)
    with pytest.raises(ValueError, match="`confidence`"):
        Costs(1, 1, 1).expected([1.5])
    with pytest.raises(ValueError, match="`correct`"):
        Costs(1, 1, 1).check([0.5], [0.5])
