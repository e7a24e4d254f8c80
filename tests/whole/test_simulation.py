"""The simulator of the benchmarks: its stated truths are those of independent integrals."""

import numpy as np
import pytest
import simulation
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from scipy.special import expit, logit
from simulation import CalibrationMap, Segment, map_with_ece, simulate_conversations

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
    assert simulation._worth(np.array([0.5]), logit(0.7), 0.6, 0.4)[0] == pytest.approx(expected)


def test_conversations_without_noise_show_the_truth():
    drawn = simulate_conversations(3, 50, noise=0.0)
    assert drawn.confidence == pytest.approx(drawn.probability)
    assert (simulate_conversations(3, 50).correct == simulate_conversations(3, 50).correct).all()
