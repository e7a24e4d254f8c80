"""Smooth reliability: the line against direct sums, its band against coverage, and the picture."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer import metrics
from thermometer.plots.reliability import draw_smooth_reliability, prepare_smooth_reliability

outcomes = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=12)


def data(seed, n, shift=0.0):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.3, 1, n)
    return confidence, rng.random(n) < confidence - shift


def kernel(t, c, s):
    """Gaussian of deviation s around c, at t, with its mirror images at 0 and 1, one by one."""
    total = 0.0
    for period in range(-3, 4):
        for image in (2 * period + c, 2 * period - c):
            total += math.exp(-0.5 * ((t - image) / s) ** 2)
    return total / (s * math.sqrt(2 * math.pi))


def line(t, confidence, correct, s):
    weights = [kernel(t, c, s) for c in confidence]
    return math.fsum(w * y for w, y in zip(weights, correct, strict=True)) / math.fsum(weights)


@pytest.mark.parametrize("bandwidth", [0.02, 0.05, 0.3])
def test_the_line_is_the_kernel_regression(bandwidth):
    confidence, correct = data(0, 60, 0.1)
    diagram = prepare_smooth_reliability(confidence, correct, 2, bandwidth=bandwidth)
    for at in range(128, 257, 16):
        expected = line(diagram.grid[at], confidence, correct, bandwidth)
        assert diagram.line[at] == pytest.approx(expected, abs=2e-3)
    assert diagram.bandwidth == bandwidth


def test_the_line_is_that_of_relplot():
    """`prepare_rel_diagram` of relplot 1.0.3 (which means 200 resampled lines) on the same rows."""
    rng = np.random.default_rng(0)
    f, u = rng.random(2000), rng.random(2000)
    y = u < np.clip(f - 0.2 * np.sin(2 * np.pi * f), 0, 1)
    diagram = prepare_smooth_reliability(f, y, 2, bandwidth=0.1083984375)
    at = [0.10050251, 0.20100503, 0.30150754, 0.50251256, 0.70351759, 0.90452261]
    mu = [0.01427260, 0.05662587, 0.15121575, 0.50309425, 0.84815750, 0.99077213]
    np.testing.assert_allclose(np.interp(at, diagram.grid, diagram.line), mu, atol=1.5e-3)


@given(outcomes)
@settings(deadline=None, max_examples=60)
def test_lines_and_bands_are_shares(rows):
    confidence, correct = map(np.array, zip(*rows, strict=True))
    diagram = prepare_smooth_reliability(confidence, correct, n_resamples=5)
    for values in (diagram.line, diagram.line_low, diagram.line_high):
        known = values[np.isfinite(values)]
        assert ((known >= 0) & (known <= 1)).all()
    at = np.abs(diagram.grid[:, None] - confidence).min(axis=1) < diagram.bandwidth
    assert np.isfinite(diagram.line[at]).all()
    if correct.all() or not correct.any():
        np.testing.assert_allclose(diagram.line[at], float(correct[0]), atol=1e-6)
    assert diagram.smooth_ece.estimate == metrics.smooth_ece(confidence, correct)
    step = np.diff(diagram.grid)
    area = (diagram.density[:-1] + diagram.density[1:]) @ step / 2
    assert area == pytest.approx(1, abs=0.02)
    assert 0.01 <= diagram.bandwidth <= 0.05


def test_the_bandwidth_is_the_smooth_ece_within_its_ends():
    confidence, correct = data(1, 4000, 0.03)
    diagram = prepare_smooth_reliability(confidence, correct, 2)
    assert diagram.bandwidth == metrics.smooth_ece(confidence, correct)
    assert prepare_smooth_reliability(*data(1, 4000, 0.3), 2).bandwidth == 0.05
    assert prepare_smooth_reliability([0.5, 0.5], [0, 1], 2).bandwidth == 0.01
    for bad in (0.001, float("nan"), 2.0):
        with pytest.raises(ValueError, match=r"`bandwidth` to be a number in \[0.01, 1\]"):
            prepare_smooth_reliability([0.5], [1], bandwidth=bad)


def test_the_band_covers_the_expected_line_about_as_often_as_it_says():
    """The line of infinitely many rows, by quadrature, at four points of 60 data sets."""
    dense = np.linspace(0.3, 1, 4001)
    points = (128, 160, 192, 224)
    weights = np.array([[kernel(p / 256, c, 0.05) for c in dense[::20]] for p in points])
    expected = weights @ (dense[::20] - 0.1) / weights.sum(axis=1)
    covered = []
    for seed in range(60):
        d = prepare_smooth_reliability(*data(seed, 300, 0.1), 60, seed, bandwidth=0.05)
        at = list(points)
        covered.append((d.line_low[at] <= expected) & (expected <= d.line_high[at]))
    assert 0.88 <= np.mean(covered) <= 0.98  # aims at 0.95; 60 resamples and 300 rows are few


def test_the_interval_of_the_error_is_that_of_the_slow_bootstrap():
    confidence, correct = data(2, 300, 0.15)
    fast = prepare_smooth_reliability(confidence, correct, 400).smooth_ece
    rng = np.random.default_rng(9)
    rows = rng.integers(300, size=(150, 300))
    slow = [metrics.smooth_ece(confidence[r], correct[r]) for r in rows]
    low, high = np.quantile(slow, [0.025, 0.975])
    assert fast.low == pytest.approx(low, abs=0.012)
    assert fast.high == pytest.approx(high, abs=0.012)


def test_equal_seeds_give_equal_bands_and_rows_may_be_shuffled():
    confidence, correct = data(3, 200)
    one, two = (prepare_smooth_reliability(confidence, correct, 30, 7) for _ in range(2))
    np.testing.assert_array_equal(one.line_low, two.line_low)
    other = prepare_smooth_reliability(confidence, correct, 30, 8)
    assert (one.line_low != other.line_low).any()
    order = np.random.default_rng(0).permutation(200)
    shuffled = prepare_smooth_reliability(confidence[order], correct[order], 30, 7)
    np.testing.assert_allclose(one.line, shuffled.line, atol=1e-9)
    narrow = prepare_smooth_reliability(confidence, correct, 30, 7, coverage=0.5)
    assert np.nanmean(narrow.line_high - narrow.line_low) < np.nanmean(one.line_high - one.line_low)


@pytest.mark.parametrize(
    ("confidence", "correct"), [([], []), ([np.nan], [1]), ([0.5], [2]), ([0.5], [1, 0])]
)
def test_bad_outcomes_are_refused(confidence, correct):
    with pytest.raises(ValueError, match="Expected"):
        prepare_smooth_reliability(confidence, correct)
    with pytest.raises(ValueError, match="n_resamples"):
        prepare_smooth_reliability([0.5], [1], 0)
    with pytest.raises(ValueError, match="coverage"):
        prepare_smooth_reliability([0.5], [1], coverage=1.0)


def test_the_picture_shows_the_line_where_confidences_are():
    diagram = prepare_smooth_reliability(*data(4, 500, 0.2), 50)
    figure = draw_smooth_reliability({"before": diagram, "after": diagram}, title="law")
    assert [axis.get_title() for axis in figure.axes] == ["before", "", "after", ""]
    square, strip, other = figure.axes[:3]
    band, drawn = square.collections
    points = np.array(drawn.get_segments())
    assert points[:, :, 0].min() == pytest.approx(diagram.lowest, abs=1 / 256)
    assert points[:, :, 0].max() == pytest.approx(diagram.highest, abs=1 / 256)
    shown = np.isin(diagram.grid, points[:, 0, 0])
    np.testing.assert_array_equal(points[:, 0, 1], diagram.line[shown])
    thick, dense = drawn.get_linewidths(), diagram.density[shown]
    assert np.corrcoef(thick, dense)[0, 1] > 0.95
    corners = np.concatenate([path.vertices for path in band.get_paths()])
    assert set(corners[:, 1]) <= {*diagram.line_low, *diagram.line_high}
    area = strip.collections[0].get_paths()[0].vertices
    assert area[:, 1].max() == diagram.density.max()
    (note,) = square.texts
    error = diagram.smooth_ece
    assert note.get_text() == (
        f"smooth ECE {error.estimate:.3f}\n({error.low:.3f} to {error.high:.3f})\nn = 500"
    )
    legend = [text.get_text() for text in strip.get_legend().texts]
    assert legend == [
        f"accuracy {diagram.accuracy:.3f}",
        f"confidence {diagram.mean_confidence:.3f}",
    ]
    assert list(drawn.get_colors()[-1]) != list(other.collections[1].get_colors()[-1])


@pytest.mark.parametrize(
    ("confidence", "correct"),
    [([0.7], [1]), ([0.0, 1.0], [1, 0]), ([1.0] * 9, [1] * 9), ([0.0], [0]), ([0.5, 0.5], [0, 1])],
)
def test_awkward_data_can_be_drawn(confidence, correct):
    diagram = prepare_smooth_reliability(confidence, correct, 10)
    figure = draw_smooth_reliability(diagram)
    figure.draw_without_rendering()
    assert len(figure.axes[0].collections[-1].get_segments())
    assert np.isnan(diagram.smooth_ece.low) == (len(confidence) == 1)


def test_no_diagram_is_refused():
    with pytest.raises(ValueError, match="at least one diagram"):
        draw_smooth_reliability({})
