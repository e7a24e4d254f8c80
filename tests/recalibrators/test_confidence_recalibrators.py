"""Recalibrators of confidences against literal loops, scikit-learn, known worlds and edge cases."""

import math

import numpy as np
import pytest
import reference_baselines as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier
from sklearn.calibration import _SigmoidCalibration
from sklearn.exceptions import NotFittedError
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict

from thermometer import metrics, recalibrators

KINDS = (
    recalibrators.PlattScaling,
    recalibrators.IsotonicCalibration,
    recalibrators.HistogramBinning,
    recalibrators.StatedConfidenceCalibration,
)
MADE = (
    *(kind() for kind in KINDS),
    recalibrators.IsotonicCalibration(centred=True),
    recalibrators.HistogramBinning(n_bins=7, binning="width"),
)
every = pytest.mark.parametrize("made", MADE, ids=repr)
# Few different confidences among them, so that there are ties; 0 and 1 too.
confidences = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
outcomes = st.lists(st.tuples(confidences, st.booleans()), min_size=1, max_size=30)


def sample(n=400, seed=0, power=2.0):
    """Confidences right with probability confidence**power."""
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    return confidence, (rng.random(n) < confidence**power).astype(int)


@every
@given(rows=outcomes, new=st.lists(st.floats(0, 1), min_size=1, max_size=10))
@settings(deadline=None, max_examples=15)
def test_results_are_probabilities_whose_logarithm_is_finite(made, rows, new):
    confidence, correct = zip(*rows, strict=True)
    fitted = clone(made).fit(confidence, correct)
    probs = fitted.predict_proba([*new, 0.0, 1.0])
    assert probs.shape == (len(new) + 2, 2)
    assert probs.dtype == np.float64
    assert (probs[:, 1] > 0).all()
    assert (probs[:, 1] < 1).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    np.testing.assert_array_equal(probs[:, 1], fitted.recalibrate([*new, 0.0, 1.0]))


@every
@given(rows=outcomes, random=st.randoms())
@settings(deadline=None, max_examples=15)
def test_row_order_does_not_matter(made, rows, random):
    shuffled = random.sample(rows, len(rows))
    grid = np.linspace(0, 1, 21)
    here = clone(made).fit(*zip(*rows, strict=True)).recalibrate(grid)
    there = clone(made).fit(*zip(*shuffled, strict=True)).recalibrate(grid)
    np.testing.assert_allclose(here, there, atol=1e-6)


@given(outcomes)
@settings(deadline=None, max_examples=40)
def test_isotonic_never_turns_an_order_round_and_platt_follows_its_slope(rows):
    confidence, correct = zip(*rows, strict=True)
    grid = np.linspace(0, 1, 50)
    for made in (
        recalibrators.IsotonicCalibration(),
        recalibrators.IsotonicCalibration(centred=True),
    ):
        assert (np.diff(made.fit(confidence, correct).recalibrate(grid)) >= -1e-12).all()
    platt = recalibrators.PlattScaling().fit(confidence, correct)
    assert (np.diff(platt.recalibrate(grid)) * np.sign(platt.slope_) >= -1e-12).all()


def test_each_is_a_scikit_learn_classifier():
    confidence, correct = sample()
    for made in MADE:
        assert is_classifier(made)
        assert made.reads == "confidence"
        copy = clone(made)
        assert repr(copy) == repr(made)
        with pytest.raises(NotFittedError):
            copy.predict_proba(confidence)
        with pytest.raises(NotFittedError):
            copy.recalibrate(confidence)
        assert copy.fit(confidence[:, None], correct) is copy
        flat = clone(made).fit(confidence, correct)
        column = copy.recalibrate(confidence[:, None])
        np.testing.assert_array_equal(column, flat.recalibrate(confidence))
        held_out = cross_val_predict(made, confidence, correct, cv=4, method="predict_proba")
        assert held_out.shape == (400, 2)
        assert metrics.nll(held_out, correct) < math.log(2)
        assert copy.score(confidence, correct) > 0.7


def test_a_parameter_can_be_searched_for():
    confidence, correct = sample()
    search = GridSearchCV(
        recalibrators.HistogramBinning(), {"n_bins": [1, 10]}, scoring="neg_log_loss", cv=4
    )
    assert search.fit(confidence[:, None], correct).best_params_ == {"n_bins": 10}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [7, 300])
def test_platt_is_at_the_maximum_of_its_likelihood(seed, n):
    confidence, correct = sample(n, seed)
    confidence[:3] = [0, 1, 0.5]
    platt = recalibrators.PlattScaling().fit(confidence, correct)
    gradient = reference.platt_gradient(confidence, correct, platt.slope_, platt.intercept_, 1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_platt_equals_scikit_learns_on_log_odds():
    confidence, correct = sample(500, 3)
    log_odds = np.log(confidence / (1 - confidence))
    theirs = _SigmoidCalibration().fit(log_odds, correct).predict(log_odds)
    ours = recalibrators.PlattScaling().fit(confidence, correct).recalibrate(confidence)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)  # theirs stops earlier


def test_platt_leaves_calibrated_confidence_as_it_is():
    platt = recalibrators.PlattScaling().fit(*sample(40_000, 4, power=1.0))
    assert platt.slope_ == pytest.approx(1, abs=0.05)
    assert platt.intercept_ == pytest.approx(0, abs=0.05)
    grid = np.linspace(0.01, 0.99, 50)
    np.testing.assert_allclose(platt.recalibrate(grid), grid, atol=0.015)


def test_platt_stays_finite_where_the_likelihood_has_no_maximum():
    separable = recalibrators.PlattScaling().fit([0.6, 0.7, 0.8, 0.9], [0, 0, 1, 1])
    assert 0 < separable.slope_ < 100
    all_right = recalibrators.PlattScaling().fit([0.6, 0.7, 0.8], [1, 1, 1])
    np.testing.assert_allclose(all_right.recalibrate([0.6, 0.9]), 4 / 5, atol=1e-6)
    one_value = recalibrators.PlattScaling().fit([0.9] * 4, [1, 0, 0, 0])
    assert one_value.slope_ == 1
    right, wrong = 2 / 3, 1 / 5  # Platt's targets of one right and three wrong
    assert one_value.recalibrate([0.9])[0] == pytest.approx((right + 3 * wrong) / 4)


def test_a_falling_slope_is_disclosed():
    falling = recalibrators.PlattScaling().fit([0.6, 0.7, 0.8, 0.9], [1, 1, 1, 0])
    assert falling.slope_ < 0
    assert "surer answers were right less often" in falling.notes_[0]
    assert recalibrators.PlattScaling().fit(*sample()).notes_ == ()


def test_epsilon_bounds_what_certainty_counts_as():
    confidence, correct = sample(300, 5)
    platt = recalibrators.PlattScaling(epsilon=0.1).fit(confidence, correct)
    assert platt.recalibrate([0.9])[0] == pytest.approx(platt.recalibrate([1.0])[0], abs=1e-12)
    assert platt.recalibrate([0.8])[0] < platt.recalibrate([0.9])[0]


@given(outcomes)
@settings(deadline=None)
def test_isotonic_equals_the_max_min_formula(rows):
    # Confidences closer than 1e-9 are one to scikit-learn's arithmetic.
    confidence = [round(c, 6) for c, _ in rows]
    correct = [int(y) for _, y in rows]
    expected = reference.isotonic_with_ends(confidence, correct, at_ends=10)
    ours = recalibrators.IsotonicCalibration().fit(confidence, correct).recalibrate(confidence)
    np.testing.assert_allclose(ours, expected, atol=1e-9)


def test_isotonic_between_and_beyond_the_fitted_rows_equals_scikit_learns():
    confidence, correct = sample(300, 6)
    confidence = 0.2 + 0.6 * confidence
    grid = np.linspace(0, 1, 301)
    ordered = np.sort(confidence)
    held = confidence.clip(ordered[9], ordered[-10])
    isotonic = recalibrators.IsotonicCalibration().fit(confidence, correct)
    ours = isotonic.recalibrate(grid)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(held, correct).predict(grid)
    np.testing.assert_allclose(ours, np.clip(theirs, isotonic.least_, isotonic.most_), rtol=1e-12)
    plain = IsotonicRegression(out_of_bounds="clip").fit(confidence, correct).predict(grid)
    middle = (grid > 0.3) & (grid < 0.7)
    np.testing.assert_allclose(ours[middle], plain[middle], rtol=1e-12)


def test_ties_of_isotonic_are_disclosed_and_centring_undoes_them():
    confidence, correct = sample(1000, 7)
    plain = recalibrators.IsotonicCalibration().fit(confidence, correct)
    centred = recalibrators.IsotonicCalibration(centred=True).fit(confidence, correct)
    fitted = plain.recalibrate(confidence)
    assert plain.n_levels_ == len(np.unique(fitted)) < 100
    counts = np.unique(fitted, return_counts=True)[1]  # all confidences differ
    assert plain.share_tied_ == pytest.approx(counts[counts > 1].sum() / 1000)
    assert plain.share_tied_ > 0.9
    assert f"{plain.n_levels_} different results" in plain.notes_[0]
    assert centred.share_tied_ < 0.2
    before = metrics.auroc(confidence, correct)
    assert metrics.auroc(centred.recalibrate(confidence), correct) == pytest.approx(
        before, abs=0.01
    )
    # Within a level the mean of both maps is the same: the level's rate.
    assert centred.recalibrate(confidence).mean() == pytest.approx(correct.mean(), abs=0.01)


def test_mass_bins_hold_equally_many_rows_and_never_part_equal_ones():
    confidence, correct = sample(300, 8)
    binning = recalibrators.HistogramBinning(n_bins=10).fit(confidence, correct)
    assert binning.counts_.tolist() == [30] * 10
    ordered = correct[np.argsort(confidence)].reshape(10, 30)
    expected = np.clip(ordered.mean(axis=1), 1 / 60, 1 - 1 / 60)
    np.testing.assert_allclose(
        np.sort(binning.recalibrate(confidence)), np.sort(expected.repeat(30))
    )
    few = recalibrators.HistogramBinning(n_bins=10).fit(
        [0.9] * 50 + [1.0] * 50, [1] * 80 + [0] * 20
    )
    assert few.counts_.tolist() == [50, 50]
    assert few.rates_.tolist() == [0.99, 0.6]
    assert few.share_tied_ == 0
    assert few.notes_ == ()


def test_width_bins_are_closed_on_the_right_and_empty_ones_ask_their_neighbours():
    binning = recalibrators.HistogramBinning(n_bins=5, binning="width")
    binning.fit([0.2, 0.1, 0.21, 0.9, 0.95, 0.95], [0, 1, 1, 1, 0, 1])
    assert binning.counts_.tolist() == [2, 1, 0, 0, 3]
    np.testing.assert_allclose(binning.rates_, [0.5, 0.5, 0.5 + 1 / 18, 0.5 + 2 / 18, 2 / 3])
    assert binning.recalibrate([0.2, 1.0]).tolist() == pytest.approx([0.5, 2 / 3])
    assert "2 empty bins" in binning.notes_[1]
    beyond = recalibrators.HistogramBinning(n_bins=4, binning="width").fit([0.6, 0.6], [1, 0])
    assert beyond.rates_.tolist() == [0.5] * 4


@given(outcomes, st.integers(1, 30))
@settings(deadline=None)
def test_width_bins_are_those_of_the_metrics(rows, n_bins):
    confidence, correct = zip(*rows, strict=True)
    binning = recalibrators.HistogramBinning(n_bins, binning="width").fit(confidence, correct)
    index = metrics.bin_index(confidence, n_bins)
    assert binning.counts_.tolist() == np.bincount(index, minlength=n_bins).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_malformed_arguments_are_named(kind):
    with pytest.raises(ValueError, match=r"`confidence` to be in \[0, 1\], but got 1.5 at row 1"):
        kind().fit([0.5, 1.5], [0, 1])
    with pytest.raises(ValueError, match="`confidence` to be a vector of at least one number"):
        kind().fit([], [])
    with pytest.raises(ValueError, match="`correct` to be a vector of length 2, but got length 1"):
        kind().fit([0.5, 0.6], [0])
    with pytest.raises(ValueError, match="`correct` to be 0 or 1 in every row, but"):
        kind().fit([0.5, 0.6], [0, 0.5])
    with pytest.raises(ValueError, match="`confidence` to be a vector"):
        kind().fit([[0.5, 0.5]], [0])
    fitted = kind().fit([0.5, 0.6], [0, 1])
    with pytest.raises(ValueError, match=r"in \[0, 1\], but got -0.1 at row 0"):
        fitted.recalibrate([-0.1])
    if kind is not recalibrators.StatedConfidenceCalibration:
        with pytest.raises(ValueError, match="`confidence` to be finite, but got nan at row 0"):
            fitted.recalibrate([float("nan")])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (recalibrators.PlattScaling(epsilon=0), r"`epsilon` to be a number in \(0, 0.5\]"),
        (recalibrators.IsotonicCalibration(centred="yes"), "`centred` to be a boolean"),
        (recalibrators.HistogramBinning(n_bins=0), "`n_bins` to be an integer of at least 1"),
        (recalibrators.HistogramBinning(binning="log"), "`binning` to be one of 'mass', 'width'"),
    ],
)
def test_malformed_parameters_are_named_when_fitted(made, message):
    with pytest.raises((TypeError, ValueError), match=message):
        made.fit([0.5, 0.6], [0, 1])
