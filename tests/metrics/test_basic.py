"""Losses, accuracy, AUROC and the gap closed, and what all metrics of outcomes refuse."""

import math
from functools import partial

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from thermometer import metrics
from thermometer.scaling import scale_scores

outcomes = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@pytest.fixture
def multiple_choice():
    rng = np.random.default_rng(7)
    probs = scale_scores(rng.normal(size=(60, 4)) * 2, 1.0)
    return probs, rng.integers(4, size=60)


def test_nll_and_brier_equal_the_loops_and_sklearn(multiple_choice):
    probs, labels = multiple_choice
    assert metrics.nll(probs, labels) == pytest.approx(reference.nll(probs, labels), rel=1e-12)
    assert metrics.nll(probs, labels) == pytest.approx(log_loss(labels, probs), rel=1e-12)
    assert metrics.brier(probs, labels) == pytest.approx(reference.brier(probs, labels), rel=1e-12)
    theirs = sum(brier_score_loss(labels == k, probs[:, k]) for k in range(4))
    assert metrics.brier(probs, labels) == pytest.approx(theirs, rel=1e-12)


def test_accuracy_and_top_label(multiple_choice):
    probs, labels = multiple_choice
    confidence, correct = metrics.top_label(probs, labels)
    assert confidence.dtype == correct.dtype == np.float64
    assert metrics.accuracy(probs, labels) == np.mean(probs.argmax(axis=1) == labels)
    assert metrics.signed_gap(confidence, correct) == pytest.approx(
        confidence.mean() - metrics.accuracy(probs, labels)
    )
    assert metrics.accuracy([[0.5, 0.5, 0.0]], [1]) == 0  # the first of equals counts


def test_an_impossible_label_costs_a_finite_amount():
    assert metrics.nll([[1.0, 0.0]], [1]) == pytest.approx(-math.log(np.finfo(float).tiny))
    assert metrics.nll([[1.0, 0.0]], [0]) == 0
    assert metrics.brier([[1.0, 0.0]], [1]) == 2


@given(outcomes)
@settings(max_examples=50, deadline=None)
def test_binary_losses_equal_the_loops(rows):
    confidence, correct = zip(*rows, strict=True)
    ours = metrics.binary_brier(confidence, correct)
    assert ours == pytest.approx(reference.binary_brier(confidence, correct), abs=1e-12)
    ours = metrics.binary_nll(confidence, correct)
    assert ours == pytest.approx(reference.binary_nll(confidence, correct), rel=1e-9)


def test_binary_losses_at_the_ends():
    assert metrics.binary_nll([1.0, 0.0], [1, 0]) == 0
    assert metrics.binary_brier([1.0, 0.0], [1, 0]) == 0
    for confidence, correct in ((1.0, 0), (0.0, 1)):
        ours = metrics.binary_nll([confidence], [correct])
        assert ours == pytest.approx(-math.log(np.finfo(float).tiny))
        assert metrics.binary_brier([confidence], [correct]) == 1
    assert metrics.binary_nll([np.nextafter(1, 0)], [0]) == pytest.approx(36.7368, abs=1e-4)
    assert metrics.binary_nll([1e-300], [1]) == pytest.approx(690.7755, abs=1e-4)


def test_brier_of_two_conventions(multiple_choice):
    probs, labels = multiple_choice
    assert metrics.brier(probs, labels, "mean") == metrics.brier(probs, labels) / 4
    two = np.array([[0.3, 0.7], [0.9, 0.1]])
    assert metrics.brier(two, [1, 1], "mean") == pytest.approx(
        metrics.binary_brier(two[:, 1], [1, 1])
    )
    with pytest.raises(ValueError, match="`convention` to be one of 'mean', 'sum', but got 'K'"):
        metrics.brier(probs, labels, "K")


@given(outcomes, st.randoms())
@settings(deadline=None)
def test_row_order_does_not_matter(rows, random):
    shuffled = random.sample(rows, len(rows))
    for metric in (metrics.expected_calibration_error, metrics.smooth_ece, metrics.auroc):
        here = metric(*zip(*rows, strict=True))
        there = metric(*zip(*shuffled, strict=True))
        assert here == pytest.approx(there, abs=1e-8, nan_ok=True)


@given(outcomes)
@settings(deadline=None)
def test_no_binned_error_is_below_the_signed_gap_and_all_lie_in_range(rows):
    confidence, correct = zip(*rows, strict=True)
    gap = abs(metrics.signed_gap(confidence, correct))
    assert gap - 1e-12 <= metrics.expected_calibration_error(confidence, correct) <= 1 + 1e-12
    assert gap - 1e-8 <= metrics.smooth_ece(confidence, correct) <= 1


@given(outcomes)
@settings(max_examples=50, deadline=None)
def test_auroc_equals_the_count_of_pairs(rows):
    confidence, correct = zip(*rows, strict=True)
    if len(set(correct)) == 1:
        assert math.isnan(metrics.auroc(confidence, correct))
    else:
        ours = metrics.auroc(confidence, correct)
        assert ours == pytest.approx(reference.auroc(confidence, correct), abs=1e-12)
        assert ours == pytest.approx(roc_auc_score(correct, confidence), abs=1e-12)


def test_all_correct_and_one_sample_are_defined():
    assert metrics.signed_gap([0.25], [True]) == -0.75
    assert metrics.signed_gap([0.8, 0.9], [1, 1]) == pytest.approx(-0.15)
    assert math.isnan(metrics.auroc([0.25], [True]))
    assert metrics.binary_brier([0.25], [True]) == 0.5625


OUTCOME_METRICS = [
    metrics.expected_calibration_error,
    metrics.smooth_ece,
    metrics.signed_gap,
    metrics.auroc,
    metrics.debiased_ece,
    metrics.binary_nll,
    metrics.binary_brier,
    metrics.aurc,
    metrics.risk_coverage,
    partial(metrics.expected_calibration_error, binning="mass"),
]


@pytest.mark.parametrize("metric", OUTCOME_METRICS)
@pytest.mark.parametrize(
    ("confidence", "correct", "message"),
    [
        ([], [], "`confidence` to be a vector of at least one number"),
        ([0.5, math.nan], [0, 1], "`confidence` to be finite, but got nan at row 1"),
        ([0.5, 1.01], [0, 1], r"`confidence` to be in \[0, 1\], but got 1.01 at row 1"),
        ([-0.1], [0], "`confidence` to be .* -0.1 at row 0"),
        ([0.5, 0.5], [1], "`correct` to be a vector of length 2"),
        ([0.5, 0.5], [1, 0.5], "`correct` to be 0 or 1 in every row, but got 0.5 at row 1"),
        ([0.5, 0.5], [1, math.nan], "`correct` to be finite, but got nan at row 1"),
        ([[0.5, 0.5]], [1], "`confidence` to be a vector of shape"),
    ],
)
def test_bad_outcomes_are_refused(metric, confidence, correct, message):
    with pytest.raises(ValueError, match=message):
        metric(confidence, correct)


@pytest.mark.parametrize(
    "metric", [metrics.accuracy, metrics.nll, metrics.brier, metrics.top_label_ece]
)
@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        (np.empty((0, 2)), np.empty(0, int), "at least one row"),
        ([[0.5, 0.5], [math.nan, 1.0]], [0, 0], "nan at row 1, option 0"),
        ([[0.5, 0.5], [2.0, -1.0]], [0, 0], "2.0 at row 1, option 0"),
        ([[0.5, 0.4]], [0], "sum to one, but got 0.9 at row 0"),
        ([[0.5, 0.5]], [2], "2 at row 0"),
        ([[0.5, 0.5]], [0, 1], "`labels`"),
    ],
)
def test_bad_probabilities_are_refused(metric, probs, labels, message):
    with pytest.raises(ValueError, match=message):
        metric(probs, labels)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="bandwidth"):
        metrics.smooth_ece([0.5], [1], 0.0)


def test_oracle_gap():
    assert metrics.oracle_gap_closed(0.8, 1.3, 0.8) == 1
    assert metrics.oracle_gap_closed(1.3, 1.3, 0.8) == 0
    assert metrics.oracle_gap_closed(1.8, 1.3, 0.8) == pytest.approx(-1)
    assert math.isnan(metrics.oracle_gap_closed(0.8, 0.8, 0.8))
    with pytest.raises(ValueError, match="nll_method"):
        metrics.oracle_gap_closed(math.nan, 1.3, 0.8)


def test_arguments_are_not_changed():
    rng = np.random.default_rng(0)
    confidence = rng.random(100)
    correct = (rng.random(100) < confidence).astype(float)
    probs = np.c_[confidence, 1 - confidence]
    before = confidence.copy(), correct.copy(), probs.copy()
    metrics.brier(probs, correct.astype(int))
    metrics.top_label_ece(probs, correct.astype(int))
    for metric in OUTCOME_METRICS:
        metric(confidence, correct)
    metrics.calibration_floor(confidence)
    for now, then in zip((confidence, correct, probs), before, strict=True):
        np.testing.assert_array_equal(now, then)
