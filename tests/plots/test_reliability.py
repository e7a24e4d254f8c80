"""Reliability: the numbers against loops, and figures that can be drawn for awkward data."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer import metrics
from thermometer.plots.curves import draw_temperatures
from thermometer.plots.reliability import draw_reliability, prepare_reliability

outcomes = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.25, 1, 400)
    return confidence, rng.random(400) < confidence - 0.15


def texts(figure):
    return " ".join(
        text.get_text() for axis in figure.axes for text in (*axis.texts, axis.title)
    ) + " ".join(t.get_text() for a in figure.axes if a.get_legend() for t in a.get_legend().texts)


@given(outcomes, st.integers(1, 20))
@settings(deadline=None)
def test_bins_equal_the_loop(rows, n_bins):
    confidence, correct = zip(*rows, strict=True)
    diagram = prepare_reliability(confidence, correct, n_bins)
    assert diagram.n == diagram.count.sum() == len(rows)
    for b in range(n_bins):
        low, high = b / n_bins, (b + 1) / n_bins
        assert diagram.bin_edges[b] == low
        inside = [r for r in rows if low < r[0] <= high or (b == 0 and r[0] == 0)]
        assert diagram.count[b] == len(inside)
        if not inside:
            assert np.isnan(diagram.bin_accuracy[b])
            assert np.isnan(diagram.bin_low[b])
            continue
        right = sum(r[1] for r in inside)
        assert diagram.bin_accuracy[b] == pytest.approx(right / len(inside))
        assert diagram.bin_confidence[b] == pytest.approx(sum(r[0] for r in inside) / len(inside))
        interval = diagram.bin_low[b], diagram.bin_high[b]
        assert interval == pytest.approx(reference.wilson(right, len(inside)), abs=1e-12)
        assert 0 <= interval[0] < interval[1] <= 1


def test_wilson_equals_a_published_value():
    # 81 of 263: (0.2553, 0.3662), Newcombe 1998, "Two-sided confidence intervals", table I
    diagram = prepare_reliability(np.full(263, 0.5), np.arange(263) < 81, n_bins=1)
    assert diagram.bin_low[0] == pytest.approx(0.2553, abs=5e-5)
    assert diagram.bin_high[0] == pytest.approx(0.3662, abs=5e-5)


def test_overall_numbers_are_those_of_the_metrics(data):
    diagram = prepare_reliability(*data, n_bins=10)
    assert diagram.ece == metrics.expected_calibration_error(*data, 10)
    assert diagram.smooth_ece == metrics.smooth_ece(*data)
    gap = diagram.mean_confidence - diagram.accuracy
    assert gap == pytest.approx(metrics.signed_gap(*data))
    kept = diagram.count > 0
    gaps = np.abs(diagram.bin_accuracy - diagram.bin_confidence)[kept]
    assert diagram.count[kept] @ gaps / diagram.n == pytest.approx(diagram.ece)


@pytest.mark.parametrize(
    ("confidence", "correct"), [([], []), ([np.nan], [1]), ([0.5], [2]), ([1.5], [1])]
)
def test_bad_outcomes_are_refused(confidence, correct):
    with pytest.raises(ValueError, match="Expected"):
        prepare_reliability(confidence, correct)


def test_the_picture_says_the_numbers(data, tmp_path):
    before, after = prepare_reliability(*data), prepare_reliability(data[0] - 0.15, data[1])
    figure = draw_reliability({"before": before, "after": after}, title="law")
    assert [axis.get_title() for axis in figure.axes] == ["before", "", "after", ""]
    said = texts(figure)
    for diagram in (before, after):
        assert f"ECE {diagram.ece:.3f}" in said
        assert f"smooth ECE {diagram.smooth_ece:.3f}" in said
        assert f"accuracy {diagram.accuracy:.3f}" in said
        assert f"confidence {diagram.mean_confidence:.3f}" in said
    points = figure.axes[0].collections[-1].get_offsets()
    kept = before.count > 0
    np.testing.assert_allclose(points[:, 0], before.bin_confidence[kept])
    np.testing.assert_allclose(points[:, 1], before.bin_accuracy[kept])
    bars = [patch.get_height() for patch in figure.axes[1].patches]
    np.testing.assert_allclose(bars, before.count / before.n)
    figure.savefig(tmp_path / "picture.png", dpi=100)
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_panels_have_different_colours_and_wrap(data):
    diagram = prepare_reliability(*data)
    figure = draw_reliability({str(i): diagram for i in range(5)}, columns=3)
    assert figure.get_size_inches().tolist() == [12.0, 10.0]
    accents = {tuple(axis.collections[-1].get_facecolor()[0]) for axis in figure.axes[::2]}
    assert len(accents) == 5


@pytest.mark.parametrize(
    ("confidence", "correct"),
    [([0.7], [1]), ([0.0, 1.0], [1, 0]), ([1.0] * 9, [1] * 9), ([0.0], [0])],
)
def test_awkward_data_can_be_drawn(confidence, correct):
    draw_reliability(prepare_reliability(confidence, correct)).draw_without_rendering()


def test_no_diagram_is_refused():
    with pytest.raises(ValueError, match="at least one diagram"):
        draw_reliability({})


def test_drawing_changes_no_setting_of_matplotlib(data):
    before = dict(mpl.rcParams)
    figure = draw_reliability(prepare_reliability(*data))
    draw_temperatures({"a": 1.0}, {"a": 2.0})
    assert dict(mpl.rcParams) == before
    assert figure.get_facecolor() == (1, 1, 1, 1)


def test_matplotlib_is_imported_only_to_draw_and_pyplot_never():
    code = (
        "import sys, thermometer.plots.reliability as r\n"
        "assert 'matplotlib' not in sys.modules\n"
        "r.draw_reliability(r.prepare_reliability([0.5], [1]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
