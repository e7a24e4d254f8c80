"""Metrics against literal loops, other libraries, published reference values and edge cases."""

import math
import time

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from thermometer import calibration_error, metrics
from thermometer.scaling import scale_scores
from thermometer.smooth_calibration import residual_density, smooth_ece_of

outcomes = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def simulate(seed, n, kind):
    """The data on which relplot's own code was run (docs: methods, section 5)."""
    rng = np.random.default_rng(seed)
    f, u = rng.random(n), rng.random(n)
    if kind == "wave":
        return f, u < np.clip(f - 0.2 * np.sin(2 * np.pi * f), 0, 1)
    if kind == "calibrated":
        return f, u < f
    return np.full(n, 0.9), u < 0.6


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
    theirs = brier_score_loss(labels, probs, scale_by_half=False)
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


@given(outcomes, st.integers(1, 30))
@settings(deadline=None)
def test_ece_equals_the_loop(rows, n_bins):
    confidence, correct = zip(*rows, strict=True)
    ours = metrics.expected_calibration_error(confidence, correct, n_bins)
    assert ours == pytest.approx(reference.ece(confidence, correct, n_bins), abs=1e-12)


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


def test_edges_close_bins_on_the_right():
    for n_bins in (1, 3, 7, 10, 15, 49, 100):
        for k in range(1, n_bins + 1):
            edge = k / n_bins
            inside = [k - 1, k - 1, min(k, n_bins - 1)]
            near = [np.nextafter(edge, 0), edge, min(np.nextafter(edge, 2), 1.0)]
            assert metrics.bin_index(near, n_bins).tolist() == inside
    assert metrics.bin_index([0.0, 5e-324], 10).tolist() == [0, 0]


def test_certainty_is_in_the_last_bin_where_other_libraries_go_wrong():
    confidence, correct = [0.95, 1.0], [1, 0]
    assert metrics.expected_calibration_error(confidence, correct, 10) == pytest.approx(0.475)
    theirs = binary_calibration_error(torch.tensor(confidence), torch.tensor(correct), n_bins=10)
    assert float(theirs) == pytest.approx(0.525)  # torchmetrics#3510: 1.0 in a bin of its own


def test_ece_equals_torchmetrics_inside_the_bins():
    confidence, correct = simulate(3, 3000, "wave")
    theirs = binary_calibration_error(torch.tensor(confidence), torch.tensor(correct).long(), 15)
    ours = metrics.expected_calibration_error(confidence, correct)
    assert ours == pytest.approx(float(theirs), abs=1e-6)


# The values of relplot 1.0.3: smooth ECE, at bandwidth 0.05, and binned ECE with 10 bins.
RELPLOT = [
    ((0, 200, "wave"), 0.124721, 0.141982, 0.150807),
    ((0, 2000, "wave"), 0.107854, 0.117241, 0.117150),
    ((1, 10_000, "calibrated"), 0.0131537, 0.0088600, 0.0126313),
    ((2, 5000, "constant"), 0.3000, 0.3000, 0.3000),
]


@pytest.mark.parametrize(("data", "smooth", "at_005", "binned"), RELPLOT)
def test_reference_values_of_relplot(data, smooth, at_005, binned):
    confidence, correct = simulate(*data)
    assert metrics.smooth_ece(confidence, correct) == pytest.approx(smooth, abs=5e-4)
    assert metrics.smooth_ece(confidence, correct, 0.05) == pytest.approx(at_005, abs=8e-4)
    ours = metrics.expected_calibration_error(confidence, correct, 10)
    assert ours == pytest.approx(binned, abs=5e-7)


@pytest.mark.parametrize("bandwidth", [0.02, 0.125, 0.6])
def test_smooth_ece_equals_the_sum_of_reflections(bandwidth):
    confidence, correct = (array[:40] for array in simulate(5, 200, "wave"))
    slow = reference.smooth_ece_at(confidence, correct, bandwidth)
    assert metrics.smooth_ece(confidence, correct, bandwidth) == pytest.approx(slow, abs=2e-6)


def test_smooth_ece_is_the_fixed_point():
    confidence, correct = simulate(0, 200, "wave")
    ours = metrics.smooth_ece(confidence, correct)
    assert metrics.smooth_ece(confidence, correct, ours) == pytest.approx(ours, abs=1e-8)
    some = (confidence[:25], correct[:25])
    assert metrics.smooth_ece(*some) == pytest.approx(reference.smooth_ece(*some), abs=4e-4)


def test_smooth_ece_at_the_ends():
    assert metrics.smooth_ece([1.0, 0.0], [1, 0]) == 0
    assert metrics.smooth_ece([1.0], [0]) == pytest.approx(1.0)
    assert metrics.smooth_ece([0.0, 0.0], [1, 1]) == pytest.approx(1.0)
    assert metrics.smooth_ece([0.999], [1]) == pytest.approx(0.001)


def test_smooth_ece_of_many_resamples_equals_one_by_one():
    confidence, correct = simulate(0, 600, "wave")
    correct = correct.astype(float)
    parts = [slice(0, 200), slice(200, 600)]
    density = np.array([residual_density(confidence[p], correct[p]) for p in parts])
    counts, sizes = np.array([[1.0, 1.0], [3.0, 0.0], [0.0, 1.0]]), np.array([200.0, 400.0])
    ours = smooth_ece_of(counts @ density / (counts @ sizes)[:, None])
    alone = [metrics.smooth_ece(confidence[p], correct[p]) for p in (slice(0, 600), *parts)]
    assert ours == pytest.approx(alone, abs=2e-4)


def test_smooth_ece_of_a_million_is_fast():
    confidence, correct = simulate(4, 1_000_000, "wave")
    start = time.perf_counter()
    metrics.smooth_ece(confidence, correct)
    assert time.perf_counter() - start < 1  # measured 0.02 s on one core


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
    assert metrics.expected_calibration_error([0.8, 0.9], [1, 1]) == pytest.approx(0.15)
    assert metrics.expected_calibration_error([0.25], [True]) == pytest.approx(0.75)
    assert metrics.signed_gap([0.25], [True]) == -0.75


OUTCOME_METRICS = [
    metrics.expected_calibration_error,
    metrics.smooth_ece,
    metrics.signed_gap,
    metrics.auroc,
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


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.nll, metrics.brier])
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
    with pytest.raises(ValueError, match="n_bins"):
        metrics.expected_calibration_error([0.5], [1], 0)
    with pytest.raises(TypeError, match="n_bins"):
        metrics.expected_calibration_error([0.5], [1], 2.0)
    with pytest.raises(ValueError, match="bandwidth"):
        metrics.smooth_ece([0.5], [1], 0.0)


def test_floor_of_one_bin_equals_its_expectation():
    # 8 fair coins: E|heads - 4| / 8 = sum_k C(8, k) |k - 4| / 2^8 / 8
    exact = sum(math.comb(8, k) * abs(k - 4) for k in range(9)) / 2**8 / 8
    floor = metrics.calibration_floor(np.full(8, 0.5), n_simulations=20_000, seed=1)
    assert floor == pytest.approx(exact, abs=3e-3)  # 4 standard errors of the mean are 2.4e-3


def test_floor_is_the_mean_ece_of_calibrated_outcomes():
    confidence = np.random.default_rng(0).uniform(0.25, 1, 250)
    rng = np.random.default_rng(1)
    simulated = np.mean(
        [
            metrics.expected_calibration_error(confidence, rng.random(250) < confidence, 10)
            for _ in range(2000)
        ]
    )
    floor = metrics.calibration_floor(confidence, 10, n_simulations=2000)
    assert floor == pytest.approx(simulated, rel=0.03)
    assert floor == metrics.calibration_floor(confidence, 10, n_simulations=2000)
    assert floor != metrics.calibration_floor(confidence, 10, n_simulations=2000, seed=1)
    with pytest.raises(ValueError, match="n_simulations"):
        metrics.calibration_floor(confidence, n_simulations=0)


def test_floor_does_not_depend_on_how_much_is_held_at_a_time(monkeypatch):
    confidence = np.random.default_rng(0).random(50)
    whole = metrics.calibration_floor(confidence, n_simulations=30)
    monkeypatch.setattr(calibration_error, "_DRAWS", 350)
    assert metrics.calibration_floor(confidence, n_simulations=30) == pytest.approx(whole)


def test_oracle_gap():
    assert metrics.oracle_gap_closed(0.8, 1.3, 0.8) == 1
    assert metrics.oracle_gap_closed(1.3, 1.3, 0.8) == 0
    assert metrics.oracle_gap_closed(1.8, 1.3, 0.8) == pytest.approx(-1)
    assert math.isnan(metrics.oracle_gap_closed(0.8, 0.8, 0.8))
    with pytest.raises(ValueError, match="nll_method"):
        metrics.oracle_gap_closed(math.nan, 1.3, 0.8)


def test_arguments_are_not_changed():
    confidence, correct = simulate(0, 100, "wave")
    probs = np.c_[confidence, 1 - confidence]
    before = confidence.copy(), correct.copy(), probs.copy()
    metrics.brier(probs, correct.astype(int))
    metrics.smooth_ece(confidence, correct)
    metrics.calibration_floor(confidence)
    for now, then in zip((confidence, correct, probs), before, strict=True):
        np.testing.assert_array_equal(now, then)
