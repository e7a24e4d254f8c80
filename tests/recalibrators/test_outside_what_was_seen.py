"""Where answers were not seen no recalibrator goes on; near those seen it says what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from thermometer import recalibrators
from thermometer.monitoring import Monitor
from thermometer.recalibrators.recommend import recommend

MADE = (
    recalibrators.PlattScaling(),
    recalibrators.PlattScaling(epsilon=0.01),
    recalibrators.IsotonicCalibration(),
    recalibrators.IsotonicCalibration(centred=True),
    recalibrators.HistogramBinning(),
    recalibrators.HistogramBinning(binning="width"),
    recalibrators.StatedConfidenceCalibration(),
)
every = pytest.mark.parametrize("made", MADE, ids=repr)
ANYWHERE = [0, 1e-9, 0.05, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.9999999, 1 - 1e-12, 1]


def drawn(confidence, chance, seed=0):
    rng = np.random.default_rng(100 + seed)
    return np.asarray(confidence, float), (rng.random(len(confidence)) < chance).astype(float)


@every
@pytest.mark.parametrize("value", [1.0, np.float32(0.9999999), 0.5, 0.0, np.float32(0.9)])
def test_answers_of_one_confidence_say_their_rate_of_every_confidence(made, value):
    """All at 1.0, 64 % right, made 0.0018 of 0.999."""
    confidence, correct = drawn(np.full(400, value), 0.64)
    found = clone(made).fit(confidence, correct).recalibrate(ANYWHERE)
    assert np.ptp(found) < 1e-9
    assert found[0] == pytest.approx(correct.mean(), abs=0.005)


@pytest.mark.parametrize("refit_with", MADE, ids=repr)
def test_a_refit_of_a_monitor_on_one_confidence(refit_with, tmp_path):
    confidence, correct = drawn(np.ones(400), 0.7)
    ids = [str(i) for i in range(400)]
    monitor = Monitor(tmp_path / "m.db")
    monitor.record_many(ids, confidence)
    monitor.label_many(ids, correct.astype(bool))
    monitor.refit(refit_with)
    for one in (monitor, Monitor(tmp_path / "m.db")):  # what was seen is kept in the file
        found = one.apply([0.05, 0.99, 0.999, 0.9999999, 1.0])
        np.testing.assert_allclose(found, correct.mean(), atol=0.005)


@every
@given(
    rows=st.lists(st.tuples(st.floats(0.3, 0.95), st.booleans()), min_size=1, max_size=40),
    new=st.floats(0, 1),
)
@settings(deadline=None, max_examples=40)
def test_beyond_what_was_fitted_it_is_the_nearest_that_was(made, rows, new):
    confidence, correct = zip(*rows, strict=True)
    fitted = clone(made).fit(confidence, correct)
    nearest = min(max(new, min(confidence)), max(confidence))
    assert fitted.recalibrate([new]) == fitted.recalibrate([nearest])


@every
@given(
    low=st.floats(0, 0.6),
    high=st.sampled_from([0.9, 0.99, 0.9999, 0.9999999, 1.0]),
    share=st.floats(0, 1),
    chance=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
@settings(deadline=None, max_examples=40)
def test_in_a_gap_it_is_on_the_line_from_one_edge_to_the_other(made, low, high, share, chance):
    confidence, correct = drawn([low] * 50 + [high] * 50, np.repeat(chance, 50))
    fitted = clone(made).fit(confidence, correct)
    at_low, at_high = fitted.recalibrate([low, high])
    between = fitted.recalibrate([(1 - share) * low + share * high])[0]
    assert between == pytest.approx((1 - share) * at_low + share * at_high, abs=1e-9)


@every
def test_what_is_near_one_is_near_it_however_far_its_log_odds(made):
    """A few unsure answers that are wrong said of 0.999 what they say of 0.9."""
    confidence, correct = drawn(
        np.r_[np.linspace(0.5, 0.9, 10), np.ones(390)], np.r_[np.zeros(10), np.full(390, 0.64)]
    )
    found = clone(made).fit(confidence, correct).recalibrate([0.995, 0.999, 0.9999, 0.9999999, 1])
    np.testing.assert_allclose(found, correct[10:].mean(), atol=0.06)
    twins, right = drawn([0.999, 0.9999999] * 200, 0.64, seed=1)
    found = clone(made).fit(twins, right).recalibrate(ANYWHERE)
    np.testing.assert_allclose(found, right.mean(), atol=0.1)


def worlds(seed):
    rng = np.random.default_rng(seed)
    above = rng.uniform(0.8, 1, 400)
    ends = np.r_[rng.uniform(0, 0.01, 200), rng.uniform(0.99, 1, 200)]
    far = 1 - 10.0 ** -rng.uniform(1, 12, 400)
    clusters = np.repeat([0.5, 0.95, 0.999, 0.9999999], 100)
    return {
        "above 0.8": (above, above - 0.2),
        "both ends": (ends, np.where(ends < 0.5, 0.4, 0.7)),
        "far log-odds": (far, np.full(400, 0.64)),
        "clusters": (clusters, np.repeat([0.4, 0.6, 0.65, 0.7], 100)),
        "all right": (above, np.ones(400)),
        "all wrong": (above, np.zeros(400)),
        "separated": (above, above > 0.9),
    }


@every
@pytest.mark.parametrize("seed", range(3))
def test_near_many_labels_it_says_about_what_they_say(made, seed):
    """The 40 nearest labels within 0.02, and 4.5 standard errors: 1 of 100,000 by chance."""
    for name, (confidence, chance) in worlds(seed).items():
        confidence, correct = drawn(confidence, chance, seed)
        fitted = clone(made).fit(confidence, correct)
        for new in [*ANYWHERE, *np.linspace(0.8, 1, 9)]:
            seen = np.clip(new, confidence.min(), confidence.max())
            distance = np.abs(confidence - seen)
            near = distance <= np.sort(distance)[39]
            if distance[near].max() > 0.02 or (name == "separated" and abs(seen - 0.9) < 0.03):
                continue
            n = near.sum()
            rate = (correct[near].sum() + 1) / (n + 2)
            margin = 4.5 * np.sqrt(rate * (1 - rate) / n)
            assert abs(fitted.recalibrate([new])[0] - rate) < margin, (name, new)


def test_the_last_answer_does_not_decide_over_an_end_of_isotonic_calibration():
    """One wrong answer at the lowest confidence made 0.001 of all below."""
    confidence = np.linspace(0.8, 1, 400)
    correct = np.tile([0, 1, 1, 1], 100)  # the lowest is wrong, the highest right
    for centred in (False, True):
        isotonic = recalibrators.IsotonicCalibration(centred).fit(confidence, correct)
        low, high = isotonic.recalibrate([0.1, 1.0])
        assert 0.6 < low < 0.8
        assert 0.7 < high < 0.9
    wrong = recalibrators.IsotonicCalibration().fit(confidence, np.arange(400) >= 30)
    assert wrong.recalibrate([0.8])[0] == pytest.approx(1 / 60)  # 30 answers, all wrong
    assert wrong.recalibrate([1.0])[0] == pytest.approx(1 - 1 / 740)


@every
def test_few_answers_that_are_all_right_are_no_certainty(made):
    for confidence in ([1.0] * 5, [0.2, 0.9, 0.99, 0.999999, 1.0]):
        found = clone(made).fit(confidence, np.ones(5)).recalibrate(ANYWHERE)
        assert found.max() <= 0.9
        assert found.min() >= 0.5


@pytest.mark.parametrize("sign", [1, -1])
def test_where_a_threshold_separates_platt_scaling_keeps_to_its_targets(sign):
    rng = np.random.default_rng(0)
    confidence = 1 - 10.0 ** -rng.uniform(0, 7, 100)
    correct = confidence > 0.9 if sign > 0 else confidence < 0.9
    platt = recalibrators.PlattScaling().fit(confidence, correct)
    n_right = correct.sum()
    found = platt.recalibrate(confidence)
    assert found.max() == pytest.approx((n_right + 1) / (n_right + 2))
    assert found.min() == pytest.approx(1 / (100 - n_right + 2))
    confidence[0], correct[0] = (0.5, True) if sign > 0 else (0.5, False)  # no longer
    platt.fit(confidence, correct)
    assert (platt.least_, platt.most_) == (0, 1)


def test_ranges_travel_with_what_is_saved(tmp_path):
    for number, made in enumerate(MADE):
        fitted = clone(made).fit(*drawn(np.full(50, 0.9), 0.6))
        fitted.save_pretrained(tmp_path / str(number))
        loaded = recalibrators.load(tmp_path / str(number))
        assert loaded.seen_.tolist() == [0.9, 0.9]
        np.testing.assert_array_equal(loaded.recalibrate([0.1, 1]), fitted.recalibrate([0.9, 0.9]))


def test_a_recommendation_on_one_confidence_gives_its_rate():
    confidence, correct = drawn(np.ones(400), 0.64)
    found = recommend(confidence=confidence, correct=correct, n_resamples=50)
    assert found.best != "none"
    np.testing.assert_allclose(
        found.apply(confidence=[0.05, 0.999, 1.0]), correct.mean(), atol=0.005
    )


def test_a_temperature_of_a_few_right_answers_is_no_certainty():
    """Five right answers drove it to a bound, and every confidence to 1."""
    five = recalibrators.TemperatureScaling().fit([[2.0, 0.0]] * 5, [0] * 5)
    np.testing.assert_allclose(five.predict_proba([[2.0, 0.0]]), [[6 / 7, 1 / 7]])
    assert five.at_bound_
    assert "all labels are top options" in five.notes_[0]
    ragged = [[2.0, 0.0, 0.0], [0.0, 2.0, -np.inf]] * 3
    three = recalibrators.TemperatureScaling().fit(ragged, [0, 1] * 3)
    grid = np.geomspace(0.1, 10, 4001)
    top, other = 7 / 8, 1 / 8
    loss = [
        2 * np.log(np.exp(2 / t) + 2) + 2 * np.log(np.exp(2 / t) + 1) - 4 * top * 2 / t
        for t in grid
    ]
    assert other == 1 - top
    assert three.temperature_ == pytest.approx(grid[np.argmin(loss)], rel=2e-3)
    of_tasks = recalibrators.TemperatureScaling(per_task=True)
    of_tasks.fit([[2.0, 0.0]] * 8, [0] * 7 + [1], ["right"] * 4 + ["mixed"] * 4)
    assert of_tasks.predict_proba([[2.0, 0.0]], ["right"])[0, 0] == pytest.approx(5 / 6)
    assert of_tasks.tasks_at_bound_ == ("right",)


@every
def test_a_fit_that_fails_leaves_the_one_before(made):
    fitted = clone(made).fit([0.2, 0.8, 0.9, 0.95], [0, 1, 1, 1])
    before = fitted.recalibrate(ANYWHERE)
    for confidence, correct in (([0.5], [0.5]), ([0.5], [0, 1]), ([2.0], [1])):
        with pytest.raises(ValueError, match="to be"):
            fitted.fit(confidence, correct)
    np.testing.assert_array_equal(fitted.recalibrate(ANYWHERE), before)
