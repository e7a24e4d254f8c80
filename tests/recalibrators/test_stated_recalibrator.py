"""Stated confidence: the shrunken rates against the formula, and whether shrinking helps."""

import numpy as np
import pytest
import reference_baselines as reference

from thermometer.recalibrators.confidence import PlattScaling, StatedConfidenceCalibration

NAN = float("nan")
VALUES = np.array([0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99, 1.0])
SAID = np.array([2, 2, 4, 2, 14, 12, 30, 20, 4, 10]) / 100
# Overconfident, with habits: the round 0.9 and 1.0 are said for want of anything better.
RATES = np.array([0.35, 0.4, 0.45, 0.5, 0.5, 0.6, 0.45, 0.8, 0.9, 0.55])


def sample(n, seed):
    rng = np.random.default_rng(seed)
    index = rng.choice(len(VALUES), size=n, p=SAID)
    return VALUES[index], (rng.random(n) < RATES[index]).astype(int)


def expected_nll(rates):
    """Of new answers of the world above."""
    return float(-(SAID * (RATES * np.log(rates) + (1 - RATES) * np.log1p(-rates))).sum())


def counts(stated, correct):
    values = sorted(set(stated))
    right = [int(correct[stated == v].sum()) for v in values]
    return values, right, [int((stated == v).sum()) for v in values]


@pytest.mark.parametrize(("n", "seed"), [(60, 0), (300, 1), (5000, 2)])
def test_rates_strength_and_curve_are_those_of_the_formula(n, seed):
    stated, correct = sample(n, seed)
    fitted = StatedConfidenceCalibration().fit(stated, correct)
    values, right, count = counts(stated, correct)
    assert fitted.values_.tolist() == values
    assert fitted.counts_.tolist() == count
    gradient = reference.platt_gradient(stated, correct, fitted.slope_, fitted.intercept_, 0.005)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    curve = [
        reference.sigmoid(fitted.slope_ * reference.logit(min(v, 0.995)) + fitted.intercept_)
        for v in values
    ]
    s = fitted.strength_
    np.testing.assert_allclose(
        fitted.recalibrate(values),
        [(k + s * f) / (m + s) for k, m, f in zip(right, count, curve, strict=True)],
        rtol=1e-9,
    )
    # Strengths a tenth away, and all far away, explain the counts no better.
    reached = reference.beta_binomial(right, count, curve, s)
    for other in (s / 1.15, s * 1.15, *np.geomspace(0.5, 1e5, 12)):
        if 0.5 <= other <= 1e5:
            assert reference.beta_binomial(right, count, curve, other) < reached + 2e-6


def test_shrunken_rates_beat_raw_rates_and_platt_scaling_on_small_samples():
    losses = {"shrunken": [], "raw": [], "platt": []}
    for seed in range(60):
        stated, correct = sample(250, seed)
        losses["shrunken"].append(
            expected_nll(StatedConfidenceCalibration().fit(stated, correct).recalibrate(VALUES))
        )
        platt = PlattScaling(epsilon=0.005).fit(stated, correct)
        losses["platt"].append(expected_nll(platt.recalibrate(VALUES)))
        count = np.array([(stated == v).sum() for v in VALUES])
        right = np.array([correct[stated == v].sum() for v in VALUES])
        least = 1 / (2 * np.maximum(count, 1))
        raw = np.where(count, right / np.maximum(count, 1), correct.mean())
        losses["raw"].append(expected_nll(np.clip(raw, least, 1 - least)))
    means = {name: np.mean(values) for name, values in losses.items()}
    best = expected_nll(RATES)
    assert means["shrunken"] - best < 0.75 * (means["raw"] - best)
    assert means["shrunken"] - best < 0.75 * (means["platt"] - best)


def test_it_is_platt_scaling_where_the_curve_tells_all_and_the_rates_where_it_tells_nothing():
    rng = np.random.default_rng(0)
    stated = rng.choice(VALUES[:-1], size=3000)
    smooth = rng.random(3000) < stated**2
    fitted = StatedConfidenceCalibration().fit(stated, smooth)
    assert fitted.strength_ > 200
    wild = rng.random(3000) < np.where(np.isin(stated, VALUES[::2]), 0.9, 0.1)
    fitted = StatedConfidenceCalibration().fit(stated, wild)
    assert fitted.strength_ < 5
    values, right, count = counts(stated, wild)
    raw = np.array(right) / np.array(count)
    np.testing.assert_allclose(fitted.recalibrate(values), raw, atol=0.02)
    assert fitted.notes_[0].startswith("answers stated at 0.75 are right less often (0.0")


def test_what_could_not_be_parsed_has_a_rate_of_its_own():
    stated = np.array([0.9] * 40 + [NAN] * 10)
    correct = np.array([1] * 30 + [0] * 20)
    fitted = StatedConfidenceCalibration().fit(stated, correct)
    assert fitted.n_unparsed_ == 10
    assert fitted.recalibrate([NAN])[0] == pytest.approx((10 * 0.6 + 0) / (10 + 10))
    assert fitted.recalibrate([NAN, 0.9])[1] == pytest.approx(0.75, abs=0.02)
    never = StatedConfidenceCalibration().fit(stated[:40], correct[:40])
    assert never.recalibrate([NAN])[0] == pytest.approx(0.75)
    with pytest.raises(ValueError, match="`confidence` to be a number in some row, but got NaN"):
        StatedConfidenceCalibration().fit([NAN, NAN], [0, 1])
    with pytest.raises(ValueError, match=r"in \[0, 1\], but got 90.0 at row 1"):
        StatedConfidenceCalibration().fit([NAN, 90], [0, 1])


def test_unseen_numbers_lie_between_their_neighbours():
    stated = np.array([0.7] * 200 + [0.8] * 200 + [0.9] * 200)
    correct = np.array([1] * 60 + [0] * 140 + [1] * 150 + [0] * 50 + [1] * 120 + [0] * 80)
    fitted = StatedConfidenceCalibration().fit(stated, correct)
    low, between, middle = fitted.recalibrate([0.7, 0.75, 0.8])
    assert low < between < middle
    near = fitted.recalibrate([0.8 - 1e-5, 0.8, 0.8 + 1e-5])
    np.testing.assert_allclose(near, middle, atol=1e-3)
    below, lowest, highest, above = fitted.recalibrate([0.6, 0.7, 0.9, 1.0])
    assert (below, above) == (lowest, highest)  # nothing is extrapolated
    np.testing.assert_array_equal(fitted.recalibrate(np.float32([0.7, 0.9])), fitted.rates_[[0, 2]])


def test_a_curve_that_would_fall_is_flat():
    stated = np.array([0.5] * 100 + [0.9] * 100)
    correct = np.array([1] * 80 + [0] * 20 + [1] * 30 + [0] * 70)
    fitted = StatedConfidenceCalibration().fit(stated, correct)
    assert fitted.slope_ == 0
    assert reference.sigmoid(fitted.intercept_) == pytest.approx(0.55, abs=0.005)
    assert fitted.recalibrate([0.5])[0] > fitted.recalibrate([0.9])[0]


def test_counts_that_no_strength_explains_better_follow_the_curve():
    fitted = StatedConfidenceCalibration().fit([0.9], [1])
    assert fitted.strength_ == pytest.approx(1e5)
