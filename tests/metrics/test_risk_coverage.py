"""Risk and coverage against literal loops over thresholds and over orders of ties."""

import itertools

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer import metrics

outcomes = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]) | st.floats(0, 1), st.booleans()),
    min_size=1,
    max_size=30,
)


@given(outcomes)
@settings(deadline=None)
def test_the_curve_equals_counting_at_every_threshold(rows):
    confidence, correct = zip(*rows, strict=True)
    curve = metrics.risk_coverage(confidence, correct)
    assert curve.threshold.tolist() == sorted(set(confidence), reverse=True)
    for coverage, risk, threshold in zip(curve.coverage, curve.risk, curve.threshold, strict=True):
        answered = [y for c, y in rows if c >= threshold]
        assert coverage == pytest.approx(len(answered) / len(rows), abs=1e-12)
        assert risk == pytest.approx(1 - sum(answered) / len(answered), abs=1e-12)
    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx(1 - np.mean(correct))


@given(st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_aurc_is_the_mean_over_all_orders_of_the_rows(rows):
    confidence, correct = zip(*rows, strict=True)
    orders = list(itertools.permutations(range(len(rows))))
    slow = reference.aurc(confidence, correct, orders)
    assert metrics.aurc(confidence, correct) == pytest.approx(slow, abs=1e-12)


def test_aurc_without_ties_is_the_mean_of_the_risks():
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(2000), rng.random(2000) < 0.7
    curve = metrics.risk_coverage(confidence, correct)
    assert metrics.aurc(confidence, correct) == pytest.approx(curve.risk.mean(), abs=1e-12)


def test_confidence_that_says_nothing_has_the_error_rate_as_its_area():
    correct = np.arange(100_000) % 4 > 0
    assert metrics.aurc(np.full(100_000, 0.5), correct) == pytest.approx(0.25, abs=1e-9)
    shuffled = np.random.default_rng(0).random(100_000)
    assert metrics.aurc(shuffled, correct) == pytest.approx(0.25, abs=0.01)


def test_the_best_and_the_worst_order():
    confidence = np.linspace(0, 1, 1000)
    correct = confidence > 0.3
    wrong = int((~correct).sum())
    best = sum(max(0, i - (1000 - wrong)) / i for i in range(1, 1001)) / 1000
    assert metrics.aurc(confidence, correct) == pytest.approx(best, abs=1e-12)
    assert metrics.aurc(1 - confidence, correct) > metrics.aurc(np.full(1000, 0.5), correct)


def test_edge_cases_are_defined():
    assert metrics.aurc([0.3], [1]) == 0
    assert metrics.aurc([0.3], [0]) == 1
    assert metrics.aurc([0.0, 1.0, 1.0], [1, 1, 1]) == 0
    assert metrics.aurc([0.0, 1.0, 1.0], [0, 0, 0]) == pytest.approx(1)
    one = metrics.risk_coverage([0.3], [True])
    assert (one.coverage.tolist(), one.risk.tolist(), one.threshold.tolist()) == ([1], [0], [0.3])
    ends = metrics.risk_coverage([0.0, 1.0], [0, 1])
    assert ends.threshold.tolist() == [1.0, 0.0]
    assert ends.risk.tolist() == [0.0, 0.5]
