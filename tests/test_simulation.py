"""The simulator: its stated truths are those of its events, and of independent integrals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from scipy.special import expit, logit

from thermometer import metrics
from thermometer.simulation import (
    CalibrationMap,
    Change,
    Segment,
    conversations,
    map_with_ece,
    simulate,
    simulate_conversations,
)

SHAPES = [(4.0, 2.0), (1.0, 1.0), (1.0, 3.0), (20.0, 2.5)]
MAPS = [CalibrationMap(), CalibrationMap(0.4), CalibrationMap(2.0, -0.5), CalibrationMap(1.0, 0.8)]


def by_quadrature(f, shape, low=0.0):
    law = stats.beta(*shape)
    return quad(lambda c: law.pdf(c) * f(c), low, 1, limit=400, points=[(low + 1) / 2])[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("calibration", MAPS)
def test_truths_of_a_segment_are_integrals(shape, calibration):
    segment = Segment(calibration, shape)
    ece = by_quadrature(lambda c: abs(c - float(calibration(c))), shape)
    assert segment.ece() == pytest.approx(ece, abs=1e-6)
    for threshold in (0.0, 0.3, 0.9):
        wrong = by_quadrature(lambda c: 1 - float(calibration(c)), shape, threshold)
        risk, share = segment.selective_risk(threshold)
        assert share == pytest.approx(stats.beta(*shape).sf(threshold), abs=1e-9)
        assert risk == pytest.approx(wrong / share, abs=1e-6)
    assert segment.selective_risk(1.0) == (0.0, 0.0)


@given(
    st.floats(0.001, 0.15),
    st.sampled_from(SHAPES),
    st.sampled_from(["intercept", "slope"]),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_wanted_error_is_reached_on_the_wanted_side(ece, shape, by, overconfident):
    try:
        found = map_with_ece(ece, shape, by=by, overconfident=overconfident)
    except ValueError:
        assert by == "slope" or ece > 0.1  # confidences near an end leave little room
        return
    assert Segment(found, shape).ece() == pytest.approx(ece, abs=1e-8)
    sure = float(found(0.9))
    assert sure < 0.9 if overconfident else sure > 0.9
    assert (found.slope == 1) == (by == "intercept")
    assert (found.intercept == 0) == (by == "slope")


def test_no_map_has_more_error_than_there_is_room_for():
    assert map_with_ece(0.0) == CalibrationMap()
    with pytest.raises(ValueError, match=r"below 0\.6667, the most by intercept"):
        map_with_ece(0.7)
    with pytest.raises(ValueError, match="the most by slope"):
        map_with_ece(0.3, by="slope")


def test_outcomes_follow_their_chances_and_the_stated_error():
    stream = simulate(400_000, Segment(map_with_ece(0.08, by="slope")), seed=3)
    for bin_ in range(10):
        rows = (stream.probability * 10).astype(int) == bin_
        if rows.sum() < 1000:
            continue
        mean = stream.probability[rows].mean()
        sigma = np.sqrt(mean * (1 - mean) / rows.sum())
        assert abs(stream.correct[rows].mean() - mean) < 5 * sigma
    measured = metrics.expected_calibration_error(stream.confidence, stream.correct, 30)
    assert measured == pytest.approx(stream.ece(0), abs=0.004)
    assert metrics.signed_gap(stream.confidence, stream.correct) == pytest.approx(
        stream.gap(0), abs=0.004
    )
    law = stats.beta(4, 2)
    assert stats.kstest(stream.confidence[:20_000], law.cdf).pvalue > 1e-4


def test_a_sudden_change_begins_at_its_event_and_a_gradual_one_comes_in_steps():
    bad = CalibrationMap(intercept=-2.0)
    sudden = simulate(1000, changes=[Change(600, bad)])
    assert (sudden.probability[:600] == sudden.confidence[:600]).all()
    assert sudden.probability[600:] == pytest.approx(bad(sudden.confidence[600:]))
    gradual = simulate(1000, changes=[Change(200, bad, over=400)])
    c = gradual.confidence
    for event in (0, 200, 300, 500, 600, 999):
        come = min(max((event - 200) / 400, 0), 1)
        expected = (1 - come) * c[event] + come * float(bad(c[event]))
        assert gradual.probability[event] == pytest.approx(expected)
    assert gradual.ece(400) == pytest.approx(gradual.ece(999) / 2, rel=1e-9)
    assert gradual.ece(200) == 0


def test_confidences_can_change_with_or_without_their_worth():
    moved = simulate(40_000, changes=[Change(20_000, shape=(2.0, 4.0))])
    assert moved.confidence[:20_000].mean() == pytest.approx(4 / 6, abs=0.006)
    assert moved.confidence[20_000:].mean() == pytest.approx(2 / 6, abs=0.006)
    assert (moved.probability == moved.confidence).all()
    assert moved.ece(30_000) == 0
    both = [Change(0, CalibrationMap(0.5), (1.0, 1.0), over=10_000)]
    half = simulate(10_001, changes=both).ece(5_000)
    # Half of the way: half of the shift, under half of each law.
    means = [
        by_quadrature(lambda c: abs(c - float(CalibrationMap(0.5)(c))) / 2, shape)
        for shape in ((4.0, 2.0), (1.0, 1.0))
    ]
    assert half == pytest.approx(np.mean(means), abs=1e-6)


def test_segments_have_their_own_maps_shares_and_changes():
    traffic = {
        "law": Segment(map_with_ece(0.1), share=1.0),
        "art": Segment(map_with_ece(0.1, overconfident=False), share=3.0),
    }
    stream = simulate(40_000, traffic, changes=[Change(0, CalibrationMap(), segment="art")])
    assert np.mean(stream.segment == "law") == pytest.approx(0.25, abs=0.01)
    assert stream.ece(0, "law") == pytest.approx(0.1)
    assert stream.ece(0, "art") == 0
    assert stream.ece(0) == pytest.approx(0.025)
    art = stream.segment == "art"
    assert (stream.probability[art] == stream.confidence[art]).all()
    assert not (stream.probability[~art] == stream.confidence[~art]).any()


def test_opposite_segments_cancel_where_nobody_tells_them_apart():
    opposite = {
        "high": Segment(map_with_ece(0.1), share=1.0),
        "low": Segment(map_with_ece(0.1, overconfident=False), share=1.0),
    }
    stream = simulate(200_000, opposite, seed=1)
    assert stream.gap(0) == pytest.approx(0, abs=1e-9)
    assert stream.ece(0) < 0.02
    pooled = metrics.expected_calibration_error(stream.confidence, stream.correct, 20)
    assert pooled == pytest.approx(stream.ece(0), abs=0.006)


def test_labels_come_late_or_never():
    stream = simulate(50_000, rate=2.0, delay=30.0, delay_spread=0.5, unlabelled=0.2)
    wait = stream.label_time - stream.time
    known = np.isfinite(wait)
    assert known.mean() == pytest.approx(0.8, abs=0.01)
    assert wait[known].mean() == pytest.approx(30, rel=0.02)
    assert wait[known].std() == pytest.approx(15, rel=0.03)
    assert np.diff(stream.time).mean() == pytest.approx(0.5, rel=0.03)
    assert (np.diff(stream.time) >= 0).all()
    right = stream.correct[known].mean()
    assert right == pytest.approx(stream.correct[~known].mean(), abs=0.02)
    always = simulate(100, delay=7.0, delay_spread=0.0)
    assert always.label_time == pytest.approx(always.time + 7)
    assert (simulate(100).label_time == simulate(100).time).all()
    assert np.isnan(simulate(100, unlabelled=1.0).label_time).all()


def test_equal_arguments_give_equal_streams():
    one, same, other = (simulate(500, delay=3.0, seed=seed) for seed in (1, 1, 2))
    for name in ("confidence", "correct", "segment", "time", "label_time", "probability"):
        assert (getattr(one, name) == getattr(same, name)).all()
    assert (one.confidence != other.confidence).all()
    assert len(one) == 500


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: simulate(0), "`n`"),
        (lambda: simulate(5, {}), "`traffic` to be at least one segment"),
        (lambda: simulate(5, rate=0.0), "`rate`"),
        (lambda: simulate(5, delay=-1.0), "`delay`"),
        (lambda: simulate(5, unlabelled=1.5), "`unlabelled`"),
        (lambda: simulate(5, changes=[Change(1, CalibrationMap(), segment="x")]), "'all'"),
        (lambda: Change(3), "`calibration` to be given, or else `shape`, but got neither"),
        (lambda: Change(-1, CalibrationMap()), "`at`"),
        (lambda: Segment(shape=(0.5, 2.0)), "`shape`"),
        (lambda: Segment(shape=(2.0, 2.0, 1.0)), "`shape` to be two numbers"),
        (lambda: Segment(share=0.0), "`share`"),
        (lambda: CalibrationMap(slope=0.0), "`slope`"),
        (lambda: CalibrationMap(intercept=float("nan")), "`intercept`"),
        (lambda: simulate(5).ece(0, "x"), "`segment`"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_conversations_are_calibrated_and_wander_as_stated():
    drawn = simulate_conversations(300, 1000, centre=0.7, spread=0.6, persistence=0.9, noise=0.4)
    z = logit(drawn.probability) - logit(0.7)
    assert z.mean() == pytest.approx(0, abs=0.02)
    assert z.std() == pytest.approx(0.6, rel=0.02)
    assert z[:, 0].std() == pytest.approx(0.6, rel=0.15)  # stationary from the first answer on
    lagged = (z[:, 1:] * z[:, :-1]).mean() / z.var()
    assert lagged == pytest.approx(0.9, abs=0.01)
    c, p, y = (a.ravel() for a in (drawn.confidence, drawn.probability, drawn.correct))
    for rows in np.array_split(np.argsort(c), 12):
        assert p[rows].mean() == pytest.approx(c[rows].mean(), abs=0.006)
        assert y[rows].mean() == pytest.approx(c[rows].mean(), abs=0.015)
    # E[expit(z) given x] by the normal law itself.
    law = stats.norm(0.5 * 0.36 / 0.52, np.sqrt(0.36 * 0.16 / 0.52))
    expected = quad(lambda v: law.pdf(v) * expit(logit(0.7) + v), -6, 6)[0]
    assert conversations._worth(np.array([0.5]), logit(0.7), 0.6, 0.4)[0] == pytest.approx(expected)


def test_conversations_without_noise_show_the_truth_and_bad_numbers_are_refused():
    drawn = simulate_conversations(3, 50, noise=0.0)
    assert drawn.confidence == pytest.approx(drawn.probability)
    assert (simulate_conversations(3, 50).correct == simulate_conversations(3, 50).correct).all()
    for name, value in [("centre", 1.0), ("spread", 0.0), ("persistence", 1.0), ("noise", -1.0)]:
        with pytest.raises(ValueError, match=f"`{name}`"):
            simulate_conversations(3, 50, **{name: value})
