"""The test of gaps: exact tails, false alarms as often as it says, power, and its corrections."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from thermometer.segments.gaps import adjusted, gap_tests


def exact(right, n, other, m):
    """Twice the chance of a difference as large, both binomial with the pooled accuracy."""
    p = (right + other) / (n + m)
    seen = right / n - other / m
    total = 0.0
    for k in range(n + 1):
        of_k = math.comb(n, k) * p**k * (1 - p) ** (n - k)
        for j in range(m + 1):
            difference = k / n - j / m
            if difference * math.copysign(1, seen) >= abs(seen) - 1e-12:
                total += of_k * math.comb(m, j) * p**j * (1 - p) ** (m - j)
    return min(1, 2 * total)


@pytest.mark.parametrize(
    ("right", "n", "other", "m"),
    [(0, 12, 7, 12), (11, 12, 9, 12), (12, 50, 34, 50), (38, 50, 31, 50), (20, 20, 10, 20)],
)
def test_equal_confidences_give_the_tail_of_two_binomials(right, n, other, m):
    correct = np.r_[np.ones(right), np.zeros(n - right), np.ones(other), np.zeros(m - other)]
    result = gap_tests(np.full(n + m, 0.6), correct, [0] * n + [1] * m)
    assert result[0].difference == pytest.approx(other / m - right / n)
    assert result[0].p_value == pytest.approx(exact(right, n, other, m), rel=1e-6)
    assert result[0].p_value == pytest.approx(result[1].p_value)
    table = [[right, n - right], [other, m - other]]
    assert result[0].p_value == pytest.approx(fisher_exact(table)[1], rel=0.5)


def outcomes(rng, chance):
    return (rng.random(len(chance)) < chance).astype(float)


def calibrated(rng, n, m):
    confidence = rng.uniform(0.25, 1, n + m)
    return confidence, outcomes(rng, confidence)


def sure(rng, n, m):
    """Of a dozen answers often none is wrong, so that their gaps vary less than they should."""
    confidence = rng.uniform(0.9, 1, n + m)
    return confidence, outcomes(rng, confidence)


def high_against_low(rng, n, m):
    confidence = np.r_[rng.uniform(0.95, 1, n), rng.uniform(0.4, 0.6, m)]
    return confidence, outcomes(rng, confidence)


def equally_overconfident(rng, n, m):
    """The same gap of 0.2, at different confidences."""
    confidence = np.r_[rng.uniform(0.85, 1, n), rng.uniform(0.4, 0.7, m)]
    return confidence, outcomes(rng, confidence - 0.2)


def meaningless(rng, n, m):
    """Stated confidences that say nothing about the answers, many of them exactly 1."""
    confidence = rng.choice([0.2, 1.0], n + m)
    return confidence, outcomes(rng, np.full(n + m, 0.6))


@pytest.mark.parametrize(
    "world", [calibrated, sure, high_against_low, equally_overconfident, meaningless]
)
@pytest.mark.parametrize(("n", "m"), [(12, 12), (25, 300)])
def test_false_alarms_are_as_rare_as_the_level(world, n, m):
    rng = np.random.default_rng(0)
    groups = np.repeat([0, -1], [n, m])
    p = np.array([gap_tests(*world(rng, n, m), groups)[0].p_value for _ in range(800)])
    assert (p <= 0.05).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 800)
    assert (p <= 0.01).mean() <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 800)


def test_a_planted_gap_is_found():
    rng = np.random.default_rng(0)
    groups = np.repeat([0, -1], [100, 900])
    found = 0
    for _ in range(200):
        confidence = rng.uniform(0.4, 0.95, 1000)
        chance = confidence - 0.2 * (groups == 0)
        result = gap_tests(confidence, outcomes(rng, chance), groups)[0]
        found += result.p_value <= 0.01 and result.difference > 0
    assert found / 200 > 0.85  # of a normal test of difference 0.2 and deviation 0.049: 0.93


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_data_have_a_p_value_that_the_order_of_rows_does_not_change(data):
    n = data.draw(st.integers(2, 60))
    confidence = np.array(
        data.draw(st.lists(st.sampled_from([0, 0.3, 0.9, 1]), min_size=n, max_size=n))
    )
    correct = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    groups = np.array(data.draw(st.lists(st.integers(-1, 2), min_size=n, max_size=n)))
    results = gap_tests(confidence, correct, groups, 3)
    order = np.random.default_rng(0).permutation(n)
    again = gap_tests(confidence[order], correct[order], groups[order], 3)
    gap = confidence - correct
    for group, (first, second) in enumerate(zip(results, again, strict=True)):
        inside = groups == group
        if not inside.any() or inside.all():
            assert math.isnan(first.p_value)
            assert math.isnan(first.difference)
            continue
        assert 0 <= first.p_value <= 1
        assert first.p_value == pytest.approx(second.p_value, abs=1e-6)
        assert first.difference == pytest.approx(gap[inside].mean() - gap[~inside].mean())


def test_a_large_difference_has_a_small_p_value_without_warnings():
    correct = np.repeat([1, 0], 5000)
    first, second = gap_tests(np.full(10000, 0.5), correct, 1 - correct)
    assert first.difference == -1
    assert 0 <= first.p_value < 1e-200
    assert second.p_value < 1e-200


def test_corrections_by_hand():
    p = [0.01, math.nan, 0.04, 0.03, 0.5]
    assert adjusted(p)[[0, 2, 3, 4]] == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert math.isnan(adjusted(p)[1])
    by_rate = adjusted(p, "benjamini-hochberg")
    assert by_rate[[0, 2, 3, 4]] == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert math.isnan(by_rate[1])
    assert adjusted([]).shape == (0,)
    assert adjusted([0.6, 0.7]).max() == 1
    with pytest.raises(ValueError, match="correction"):
        adjusted(p, "bonferroni")


@pytest.mark.parametrize(
    ("groups", "n_groups", "message"),
    [([0], None, "groups"), ([0, 3], 2, "groups"), ([-2, 0], None, "groups"), ([0, 0], 0, "n_g")],
)
def test_groups_are_checked(groups, n_groups, message):
    with pytest.raises(ValueError, match=message):
        gap_tests([0.5, 0.5], [1, 0], groups, n_groups)
    with pytest.raises(ValueError, match="integers"):
        gap_tests([0.5, 0.5], [1, 0], [0.0, 1.0])
