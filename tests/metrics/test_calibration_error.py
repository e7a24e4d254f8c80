"""Errors over bins against literal loops and what is known of their expectations."""

import math

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer import metrics
from thermometer.metrics import calibration_error

# Many of these are equal, and many lie on edges of bins.
confidences = st.floats(0, 1) | st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0])
outcomes = st.lists(st.tuples(confidences, st.booleans()), min_size=1, max_size=40)
binnings = st.sampled_from(["width", "mass"])


def bins_of(confidence, n_bins, binning):
    bins = reference.width_bins if binning == "width" else reference.mass_bins
    return bins(confidence, n_bins)


@given(outcomes, st.integers(1, 30), binnings, st.sampled_from(["l1", "l2", "max"]))
@settings(deadline=None)
def test_ece_equals_the_loop(rows, n_bins, binning, norm):
    confidence, correct = zip(*rows, strict=True)
    bins = bins_of(confidence, n_bins, binning)
    ours = metrics.expected_calibration_error(
        confidence, correct, n_bins, binning=binning, norm=norm
    )
    theirs = reference.ece_of_bins(confidence, correct, bins, norm)
    assert ours == pytest.approx(theirs, abs=1e-12)
    if (binning, norm) == ("width", "l1"):
        assert ours == pytest.approx(reference.ece(confidence, correct, n_bins), abs=1e-12)


@given(outcomes, st.integers(1, 30), binnings)
@settings(deadline=None)
def test_bins_equal_the_loop_and_keep_equals_together(rows, n_bins, binning):
    confidence = [c for c, _ in rows]
    index = metrics.bin_index(confidence, n_bins, binning=binning)
    assert index.tolist() == bins_of(confidence, n_bins, binning)
    order = np.argsort(confidence)
    assert (np.diff(index[order]) >= 0).all()
    if binning == "mass" and len(set(confidence)) == len(confidence):
        sizes = np.bincount(index, minlength=n_bins)
        assert sizes.max() - sizes.min() <= 1


@given(outcomes, st.integers(1, 20), binnings)
@settings(deadline=None)
def test_debiased_ece_equals_the_loop(rows, n_bins, binning):
    confidence, correct = zip(*rows, strict=True)
    bins = bins_of(confidence, n_bins, binning)
    ours = metrics.debiased_ece(confidence, correct, n_bins, binning=binning)
    theirs = reference.debiased_ece(confidence, correct, bins)
    assert ours**2 == pytest.approx(theirs**2, abs=1e-12, nan_ok=True)


@given(outcomes, st.integers(1, 20), binnings)
@settings(deadline=None)
def test_norms_are_in_order(rows, n_bins, binning):
    confidence, correct = zip(*rows, strict=True)
    l1, l2, largest = (
        metrics.expected_calibration_error(confidence, correct, n_bins, binning=binning, norm=norm)
        for norm in ("l1", "l2", "max")
    )
    assert 0 <= l1 <= l2 + 1e-12 <= largest + 2e-12 <= 1 + 3e-12
    debiased = metrics.debiased_ece(confidence, correct, n_bins, binning=binning)
    counts = np.bincount(metrics.bin_index(confidence, n_bins, binning=binning))
    if not (counts == 1).any():
        assert debiased <= l2 + 1e-7


def test_the_square_of_the_debiased_error_has_no_bias_and_that_of_the_plain_one_has():
    """Bins of width 1/5 whose right answers are too few by 0.1: the true square is 0.01."""
    rng = np.random.default_rng(0)
    confidence = np.repeat([0.3, 0.5, 0.7, 0.9], 25)
    plain, corrected = [], []
    for _ in range(2000):
        correct = rng.random(100) < confidence - 0.1
        plain.append(metrics.expected_calibration_error(confidence, correct, 5, norm="l2") ** 2)
        gap = reference.gaps(confidence, correct, confidence)
        corrected.append(sum(m / 100 * ((a - c) ** 2 - a * (1 - a) / (m - 1)) for m, c, a in gap))
        ours = metrics.debiased_ece(confidence, correct, 5)
        assert ours == pytest.approx(math.sqrt(max(corrected[-1], 0.0)), abs=1e-7)
    error = np.std(corrected) / math.sqrt(2000)
    assert np.mean(corrected) == pytest.approx(0.01, abs=4 * error)
    assert 4 * error < 0.001
    assert np.mean(plain) > 0.017


def test_debiased_ece_equals_the_code_of_its_authors():
    """uncertainty-calibration 0.1.4 (Kumar): `unbiased_l2_ce(bin(data, get_equal_prob_bins(...)))`.

    Their bins of width 1/10 open on the left, too; one thousand confidences lie on no edge.
    """
    rng = np.random.default_rng(11)
    confidence = rng.random(1000)
    correct = rng.random(1000) < confidence**2
    assert metrics.debiased_ece(confidence, correct, 10) == pytest.approx(0.158619828411, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_top_label_ece_equals_the_loop(seed):
    rng = np.random.default_rng(seed)
    probs = rng.multinomial(20, [0.1, 0.2, 0.3, 0.4], size=80) / 20  # many on edges of bins
    labels = rng.integers(4, size=80)
    ours = metrics.top_label_ece(probs, labels)
    assert ours == pytest.approx(reference.top_label_ece(probs, labels, 10), abs=1e-12)
    top = metrics.top_label(probs, labels)
    assert ours >= metrics.expected_calibration_error(*top, 10) - 1e-12


def test_top_label_ece_sees_options_that_cancel_each_other():
    probs = [[0.75, 0.25]] * 4 + [[0.25, 0.75]] * 4  # "A" is right half the time, "B" always
    labels = [0, 0, 1, 1, 1, 1, 1, 1]
    assert metrics.expected_calibration_error(*metrics.top_label(probs, labels)) == 0
    assert metrics.top_label_ece(probs, labels) == pytest.approx(0.25)


def test_edges_close_bins_on_the_right():
    for n_bins in (1, 3, 7, 10, 15, 49, 100):
        for k in range(1, n_bins + 1):
            edge = k / n_bins
            inside = [k - 1, k - 1, min(k, n_bins - 1)]
            near = [np.nextafter(edge, 0), edge, min(np.nextafter(edge, 2), 1.0)]
            assert metrics.bin_index(near, n_bins).tolist() == inside
    assert metrics.bin_index([0.0, 5e-324], 10).tolist() == [0, 0]


def test_ties_stay_in_one_bin_of_equal_mass_and_leave_others_empty():
    confidence = [0.2] * 2 + [0.9] * 6 + [0.95] * 2
    assert metrics.bin_index(confidence, 5, binning="mass").tolist() == [0] * 2 + [2] * 6 + [4] * 2
    correct = [0, 0, 1, 1, 1, 0, 0, 0, 1, 1]
    ours = metrics.expected_calibration_error(confidence, correct, 5, binning="mass")
    assert ours == pytest.approx(0.2 * 0.2 + 0.6 * 0.4 + 0.2 * 0.05)
    assert metrics.bin_index([0.5] * 9, 4, binning="mass").tolist() == [2] * 9
    assert metrics.bin_index([0.5], 3, binning="mass").tolist() == [1]


@pytest.mark.parametrize("binning", ["width", "mass"])
def test_edge_cases_are_defined(binning):
    def errors(confidence, correct):
        norms = ("l1", "l2", "max")
        return [
            metrics.expected_calibration_error(confidence, correct, binning=binning, norm=norm)
            for norm in norms
        ] + [metrics.debiased_ece(confidence, correct, binning=binning)]

    assert errors([0.25], [True]) == pytest.approx([0.75] * 3 + [math.nan], nan_ok=True)
    assert errors([0.8, 0.8], [1, 1]) == pytest.approx([0.2] * 4)  # all right: no variance
    assert errors([0.8, 0.8], [0, 0]) == pytest.approx([0.8] * 4)
    assert errors([0.0, 0.0, 1.0, 1.0], [0, 0, 1, 1]) == [0] * 4
    assert errors([0.0, 0.0, 1.0, 1.0], [1, 1, 0, 0]) == [1] * 4
    assert errors([0.5, 0.5], [1, 0]) == [0] * 4  # the negative square is 0
    assert math.isnan(metrics.debiased_ece([0.1, 0.9], [0, 1]))  # a row in each bin
    with_lone = metrics.debiased_ece([0.05, 0.9, 0.9], [1, 1, 1], 10)
    assert with_lone == pytest.approx(0.1)  # the lone row is left out


def test_pieces_of_many_rows_add_up():
    rng = np.random.default_rng(2)
    confidence = rng.random(70_000)
    correct = rng.random(70_000) < 0.5
    gap = np.bincount(metrics.bin_index(confidence, 15), confidence - correct)
    ours = metrics.expected_calibration_error(confidence, correct)
    assert ours == pytest.approx(np.abs(gap).sum() / 70_000, abs=1e-12)
    half = confidence.astype(np.float32)
    assert metrics.expected_calibration_error(half, correct) == (
        metrics.expected_calibration_error(half.astype(float), correct.astype(float))
    )


def test_an_error_in_a_later_piece_names_the_row():
    confidence = np.full(100_000, 0.5)
    confidence[77_777] = np.nan
    with pytest.raises(ValueError, match="`confidence` to be finite, but got nan at row 77777"):
        metrics.expected_calibration_error(confidence, np.ones(100_000))
    outcome = np.ones(100_000)
    outcome[99_999] = 0.5
    with pytest.raises(ValueError, match=r"`correct` to be 0 or 1 .* got 0.5 at row 99999"):
        metrics.expected_calibration_error(np.full(100_000, 0.5), outcome)


@pytest.mark.parametrize("metric", [metrics.expected_calibration_error, metrics.debiased_ece])
def test_bad_settings_are_refused(metric):
    with pytest.raises(ValueError, match="n_bins"):
        metric([0.5], [1], 0)
    with pytest.raises(TypeError, match="n_bins"):
        metric([0.5], [1], 2.0)
    with pytest.raises(ValueError, match="`binning` to be one of 'mass', 'width', but got 'equal'"):
        metric([0.5], [1], binning="equal")


def test_bad_norms_and_bins_of_options_are_refused():
    with pytest.raises(ValueError, match="`norm` to be one of 'l1', 'l2', 'max', but got 'L1'"):
        metrics.expected_calibration_error([0.5], [1], norm="L1")
    with pytest.raises(ValueError, match="n_bins"):
        metrics.top_label_ece([[0.5, 0.5]], [0], 0)


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


def test_floor_of_many_rows_is_that_of_few_drawn_one_by_one(monkeypatch):
    confidence = np.random.default_rng(0).beta(6, 0.5, 20_000)
    one_by_one = metrics.calibration_floor(confidence, n_simulations=400)
    monkeypatch.setattr(calibration_error, "_MANY", 1000)
    in_cells = metrics.calibration_floor(confidence, n_simulations=400, seed=1)
    # The mean of 400 has a standard error of 1.3 %.
    assert in_cells == pytest.approx(one_by_one, rel=0.06)
    assert metrics.calibration_floor(np.repeat([0.0, 1.0], 1000)) == 0
