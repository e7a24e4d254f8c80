"""Risk and coverage: curves, limits and key of the picture."""

import numpy as np
import pytest

from thermometer import metrics
from thermometer.plots.curves import draw_risk_coverage


def outcomes(seed, n=500, digits=9):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.2, 1, n).round(digits)
    return confidence, rng.random(n) < confidence


def lines(figure):
    """Data of the lines by name; those without a name by number."""
    return {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}


def test_curves_are_those_of_the_metric_and_named_with_their_area():
    rows = {"sure": outcomes(0), "stated": outcomes(1, digits=1)}
    curves = {name: metrics.risk_coverage(*values) for name, values in rows.items()}
    areas = {name: metrics.aurc(*values) for name, values in rows.items()}
    figure = draw_risk_coverage(curves, aurc=areas)
    drawn = lines(figure)
    for name, curve in curves.items():
        points = drawn[f"{name}, AURC {areas[name]:.3f}"]
        np.testing.assert_array_equal(points, np.c_[curve.coverage, curve.risk])
    marks = [line.get_markevery() for line in figure.axes[0].lines[:2]]
    assert marks[0] == []
    assert marks[1] == list(range(len(curves["stated"].risk)))
    plain = draw_risk_coverage(curves["sure"])
    texts = [text.get_text() for text in plain.legends[0].get_texts()]
    assert texts == ["confidence", "random order", "perfect order"]


def test_limits_are_the_curves_of_no_and_of_perfect_knowledge():
    confidence, correct = outcomes(2)
    figure = draw_risk_coverage({"a": metrics.risk_coverage(confidence, correct)})
    drawn = lines(figure)
    wrong = 1 - correct.mean()
    np.testing.assert_allclose(drawn["random order"][:, 1], wrong)
    perfect = metrics.risk_coverage(np.linspace(1, 0, 500), np.sort(correct)[::-1])
    x, y = drawn["perfect order"].T
    at = np.interp(x, perfect.coverage, perfect.risk)
    np.testing.assert_allclose(y, at, atol=0.004)
    assert y[-1] == pytest.approx(wrong)


def test_limits_are_drawn_once_for_each_accuracy():
    confidence, correct = outcomes(3)
    curve = metrics.risk_coverage(confidence, correct)
    squared = metrics.risk_coverage(confidence**2, correct)
    assert len(draw_risk_coverage({"a": curve, "b": squared}).axes[0].lines) == 4
    other = metrics.risk_coverage(*outcomes(4))
    figure = draw_risk_coverage({"a": curve, "b": other})
    assert len(figure.axes[0].lines) == 6
    assert len(figure.legends[0].get_texts()) == 4


def test_the_first_few_answers_do_not_set_the_height():
    confidence = np.linspace(1, 0, 1000)
    correct = np.arange(1000) % 10 > 0  # the first one is wrong
    figure = draw_risk_coverage(metrics.risk_coverage(confidence, correct))
    assert figure.axes[0].get_ylim() == pytest.approx((0, 0.1 * 1.12), abs=0.02)


@pytest.mark.parametrize("correct", [[1, 1, 1], [0, 0, 0]])
@pytest.mark.parametrize("confidence", [[0.5, 0.5, 0.5], [0.0, 0.5, 1.0]])
def test_awkward_data_can_be_drawn(confidence, correct):
    figure = draw_risk_coverage(metrics.risk_coverage(confidence, correct))
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_ylim()
    assert low == 0 < high <= 1


def test_bad_curves_are_refused():
    with pytest.raises(ValueError, match="at least one curve"):
        draw_risk_coverage({})
    with pytest.raises(ValueError, match=r"`aurc`.*\['b'\]"):
        draw_risk_coverage(metrics.risk_coverage([0.5], [1]), aurc={"b": 0.1})
