"""Scaling and the fitted temperature against literal loops, a dense grid and known truths."""

import math
import time
from itertools import pairwise

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from thermometer import metrics
from thermometer.scaling import TemperatureFit, fit_temperature, fit_to_reference, scale_scores

matrices = (
    st.tuples(st.integers(1, 8), st.integers(2, 6))
    .flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(-1e4, 1e4)))
    .filter(lambda rows: np.abs(rows.sum(axis=1) - 1).max() > 1e-3)  # else refused as probabilities
)
temperatures = st.floats(1e-2, 1e2)


def sample(temperature, n=4000, n_options=4, seed=0, ragged=False):
    """Scores whose labels are drawn from softmax(scores / temperature)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, n_options)) * 1.5 * temperature
    if ragged:
        short = rng.random(n) < 0.5
        scores[short, -1] = -np.inf
        scores[short & (rng.random(n) < 0.5), -2] = -np.inf
    cumulative = scale_scores(scores, temperature).cumsum(axis=1)
    return scores, (rng.random((n, 1)) * cumulative[:, -1:] >= cumulative).sum(axis=1)


@given(matrices, temperatures)
@settings(deadline=None)
def test_scaling_equals_the_loop(scores, temperature):
    ours = scale_scores(scores, temperature)
    theirs = [reference.softmax(row, temperature) for row in scores.tolist()]
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-300)
    assert ours.dtype == np.float64


@given(matrices, temperatures)
@settings(deadline=None)
def test_the_highest_score_keeps_the_highest_probability(scores, temperature):
    probs = scale_scores(scores, temperature)
    top = probs[np.arange(len(scores)), scores.argmax(axis=1)]
    np.testing.assert_array_equal(top, probs.max(axis=1))
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-12)


@given(matrices)
@settings(deadline=None)
def test_temperature_one_is_the_identity(scores):
    probs = scale_scores(scores, 1.0)
    with np.errstate(divide="ignore"):
        again = scale_scores(np.log(np.maximum(probs, 1e-300)), 1.0)
    np.testing.assert_allclose(again, probs, rtol=1e-9, atol=1e-290)


@given(matrices)
@settings(deadline=None)
def test_confidence_falls_as_temperature_rises(scores):
    confidences = [scale_scores(scores, t).max(axis=1) for t in (0.1, 1.0, 3.0, 50.0)]
    for colder, warmer in pairwise(confidences):
        assert (warmer <= colder + 1e-12).all()


def test_one_temperature_per_row():
    scores = np.random.default_rng(0).normal(size=(5, 3))
    divisors = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
    rows = [scale_scores(scores[[i]], divisors[i])[0] for i in range(5)]
    np.testing.assert_array_equal(scale_scores(scores, divisors), rows)


def test_padding_has_probability_zero_and_changes_nothing():
    scores = np.array([[1.0, 2.0, -np.inf], [0.0, 1.0, 2.0]])
    probs = scale_scores(scores, [0.1, 7.0])
    assert probs[0, 2] == 0
    np.testing.assert_array_equal(probs[0, :2], scale_scores(scores[:1, :2], 0.1)[0])


def test_extreme_scores_do_not_overflow():
    probs = scale_scores([[1e308, -1e308], [1e4, 1e4 - 1]], [1e-2, 1e2])
    assert probs[0].tolist() == [1.0, 0.0]
    assert probs[1, 0] == pytest.approx(1 / (1 + math.exp(-0.01)))
    assert scale_scores(np.empty((0, 3)), 1.0).shape == (0, 3)
    assert scale_scores(np.float32([[1, 0]]), np.float32(2)).dtype == np.float64


@pytest.mark.parametrize(
    ("temperature", "message"),
    [
        (0.0, "`temperature` to be finite and > 0, but got 0.0"),
        (-1.0, "got -1.0"),
        (math.inf, "got inf"),
        ([1.0, math.nan], "got nan at row 1"),
        ([1.0, -2.0], "got -2.0 at row 1"),
        ([1.0, 1.0, 1.0], "a vector of length 2"),
        ([[1.0], [1.0]], "a vector of length 2"),
    ],
)
def test_bad_temperatures_are_refused(temperature, message):
    with pytest.raises(ValueError, match=message):
        scale_scores([[1.0, 0.0], [0.0, 1.0]], temperature)


def test_probabilities_are_refused_and_their_logarithms_are_not():
    probs = np.array([[0.2, 0.8, 0.0], [0.5, 0.25, 0.25]])
    with pytest.raises(ValueError, match=r"`scores` to be unnormalised.* Take their logarithms"):
        scale_scores(probs, 2.0)
    with pytest.raises(ValueError, match="unnormalised"):  # padded, and rounded by a float32
        scale_scores([[0.2, 0.8, -np.inf], [0.5, 0.25, 0.25001]], 2.0)
    np.testing.assert_allclose(scale_scores(np.log(probs[1:]), 1.0), probs[1:])
    for scores in (np.eye(3), [[0.2, 0.8], [0.5, 0.6]], [[0.2, 0.8]], [[-0.5, 1.5], [0.25, 0.75]]):
        scale_scores(scores, 2.0)


def test_bad_scores_are_refused():
    with pytest.raises(ValueError, match="nan at row 1, option 0"):
        scale_scores([[1.0, 0.0], [math.nan, 1.0]], 1.0)
    with pytest.raises(ValueError, match="at least two options"):
        scale_scores([[1.0, -math.inf]], 1.0)


@pytest.mark.parametrize("truth", [0.02, 0.2, 0.5, 1.0, 3.0, 10.0, 50.0])
@pytest.mark.parametrize("ragged", [False, True])
def test_the_true_temperature_is_recovered(truth, ragged):
    fit = fit_temperature(*sample(truth, ragged=ragged))
    assert fit.temperature == pytest.approx(truth, rel=0.08)  # standard error is about 2 %
    assert not fit.at_bound
    assert fit.n == 4000


@given(st.integers(0, 10_000), st.floats(0.05, 20), st.integers(2, 6), st.booleans())
@settings(max_examples=25, deadline=None)
def test_no_temperature_of_a_dense_grid_is_better(seed, truth, n_options, ragged):
    scores, labels = sample(truth, n=30, n_options=max(n_options, 4), seed=seed, ragged=ragged)
    fit = fit_temperature(scores, labels)
    grid = np.geomspace(1e-2, 1e2, 801)
    losses = [reference.nll_at(scores.tolist(), labels, t) for t in grid]
    assert fit.nll <= min(losses) + 1e-12
    step = grid[1] / grid[0]
    assert grid[np.argmin(losses)] / step <= fit.temperature <= grid[np.argmin(losses)] * step
    at_fit = reference.nll_at(scores.tolist(), labels, fit.temperature)
    assert fit.nll == pytest.approx(at_fit, rel=1e-10, abs=1e-12)


def test_the_loss_is_that_of_the_metrics():
    scores, labels = sample(2.0, n=500)
    fit = fit_temperature(scores, labels)
    probs = scale_scores(scores, fit.temperature)
    assert fit.nll == pytest.approx(metrics.nll(probs, labels), rel=1e-12)


def test_a_closed_form():
    scores, labels = [[3.0, 0.0]] * 5, [0, 0, 0, 0, 1]  # sigmoid(3 / t) = 4/5
    fit = fit_temperature(scores, labels)
    assert fit.temperature == pytest.approx(3 / math.log(4), rel=1e-9)


def test_shifting_a_row_changes_nothing_and_stretching_all_stretches_the_temperature():
    scores, labels = sample(1.5, n=300)
    fit = fit_temperature(scores, labels)
    shifted = fit_temperature(scores + np.arange(300.0)[:, None], labels)
    assert shifted.temperature == pytest.approx(fit.temperature, rel=1e-9)
    assert fit_temperature(scores * 5, labels).temperature == pytest.approx(
        5 * fit.temperature, rel=1e-9
    )


def test_weights_are_repetitions():
    scores, labels = sample(2.0, n=200)
    counts = np.random.default_rng(1).integers(0, 4, size=200)
    weighted = fit_temperature(scores, labels, counts)
    repeated = fit_temperature(scores.repeat(counts, axis=0), labels.repeat(counts))
    assert weighted.temperature == pytest.approx(repeated.temperature, rel=1e-9)
    assert weighted.nll == pytest.approx(repeated.nll, rel=1e-12)
    assert weighted.n == (counts > 0).sum()
    scaled = fit_temperature(scores, labels, counts * 1e-3)
    assert scaled.temperature == pytest.approx(weighted.temperature, rel=1e-9)


def test_one_sided_labels_end_at_a_bound():
    scores = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
    right = fit_temperature(scores, [0, 1])
    assert right == TemperatureFit(pytest.approx(0.001), pytest.approx(0, abs=1e-12), True, 2)
    wrong = fit_temperature(scores, [1, 0])
    assert wrong.at_bound
    assert wrong.temperature == pytest.approx(1000)
    far_apart = fit_temperature(scores * 1e6, [0, 1])  # no slope is left anywhere
    assert far_apart.at_bound
    assert far_apart.temperature == pytest.approx(0.001)
    tied = fit_temperature([[1.0, 1.0, 0.0]], [0])
    assert tied.temperature == pytest.approx(0.001)
    assert tied.nll == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("scores", "labels", "weights", "message"),
    [
        (np.empty((0, 2)), np.empty(0, int), None, "at least one row of positive weight"),
        ([[1.0, 0.0]], [0], [0.0], "at least one row of positive weight"),
        ([[1.0, 0.0]], [0], [-1.0], "at least 0, but got -1.0 at row 0"),
        ([[1.0, 0.0]], [0], [1.0, 1.0], "`weights` to be a vector of length 1"),
        ([[2.0, 2.0], [1.0, 1.0]], [0, 1], None, "equal ones in every row"),
        ([[1.0, 0.0], [1.0, math.nan]], [0, 0], None, "nan at row 1"),
        ([[1.0, 0.0]], [2], None, "`labels` to be in .* 2 at row 0"),
        ([[1.0, 0.0, -math.inf]], [2], None, "`labels` to be in .* 2 at row 0"),
        ([[1.0, 0.0]], [-1], None, "`labels`"),
    ],
)
def test_what_cannot_be_fitted_is_refused(scores, labels, weights, message):
    with pytest.raises(ValueError, match=message):
        fit_temperature(scores, labels, weights)


def test_fitting_a_task_takes_milliseconds():
    scores, labels = sample(2.0, n=250)
    start = time.perf_counter()
    for _ in range(50):
        fit_temperature(scores, labels)
    assert (time.perf_counter() - start) / 50 < 0.02  # measured 0.0005 s


def test_arguments_are_not_changed():
    scores, labels = sample(2.0, n=20, ragged=True)
    weights = np.ones(20)
    before = scores.copy(), labels.copy(), weights.copy()
    fit_temperature(scores, labels, weights)
    scale_scores(scores, weights)
    for now, then in zip((scores, labels, weights), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("ragged", [False, True])
def test_the_confidence_of_a_reference_is_met_where_both_answer_alike(ragged):
    """The literal cross-entropy, row by row, minimised by another method."""
    scores, _ = sample(1.0, n=300, ragged=ragged, seed=5)
    noise = np.random.default_rng(6).normal(size=scores.shape)
    others = (scores + noise) * 0.5
    fit = fit_to_reference(scores * 3, others)
    pairs = [
        (3 * s[np.isfinite(s)], r[np.isfinite(s)])
        for s, r in zip(scores, others, strict=True)
        if s.argmax() == r.argmax()
    ]

    def loss(log_temperature):
        z = math.exp(log_temperature)
        return np.mean([-softmax(r) @ log_softmax(s / z) for s, r in pairs])

    found = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9})
    assert fit.n == len(pairs) < 300
    assert fit.temperature == pytest.approx(math.exp(found.x), rel=1e-5)
    assert fit.nll == pytest.approx(found.fun, rel=1e-9)


def test_of_the_same_scores_the_reference_gives_their_factor():
    scores, _ = sample(1.0, n=50)
    assert fit_to_reference(scores * 7, scores).temperature == pytest.approx(7)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([[0.0, 3.0]], "same preferred option as `scores` in some row, but got none"),
        ([[3.0, 0.0, 1.0]], r"`reference_scores` to be of shape \(1, 2\) \(as `scores`\)"),
        ([[3.0, 0.0], [1.0, 0.0]], r"of shape \(1, 2\)"),
        ([[3.0, math.nan]], "`reference_scores`"),
    ],
)
def test_references_that_tell_nothing_are_refused(others, message):
    with pytest.raises(ValueError, match=message):
        fit_to_reference([[4.0, 0.0]], others)
