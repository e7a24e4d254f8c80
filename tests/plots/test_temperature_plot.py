"""The picture of temperatures: points where they should be, names apart, awkward data."""

import numpy as np
import pytest

from thermometer.plots.curves import draw_temperatures


def texts(figure):
    return " ".join(text.get_text() for axis in figure.axes for text in axis.texts)


def test_temperatures_lie_where_they_should():
    best = {"law": 2.0, "maths": 1.0, "history": 1.5}
    predicted = {"maths": 1.1, "law": 2.0, "history": 1.2}
    figure = draw_temperatures(predicted, best)
    (axis,) = figure.axes
    points = axis.collections[-1].get_offsets()
    np.testing.assert_allclose(points, [(2.0, 2.0), (1.0, 1.1), (1.5, 1.2)])
    error = (abs(np.log(1.1)) + abs(np.log(1.2 / 1.5))) / 3
    assert f"3 tasks\nmean |log ratio| {error:.3f}" in texts(figure)
    assert {"law", "maths", "history"} <= {text.get_text() for text in axis.texts}
    many = {str(i): 1 + i / 10 for i in range(30)}
    assert len(draw_temperatures(many, many).axes[0].texts) == 1


def test_names_stay_apart():
    best = {f"a long task name {i}": 1.0 + i / 400 for i in range(4)}
    best["at the far end"] = 4.0
    figure = draw_temperatures(best, best)
    axis = figure.axes[0]
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axis.texts]
    frame = axis.get_window_extent()
    for i, box in enumerate(boxes):
        assert box.x0 >= frame.x0 - 2
        assert box.x1 <= frame.x1 + 2
        assert not any(box.shrunk(0.9, 0.5).overlaps(b.shrunk(0.9, 0.5)) for b in boxes[:i])


@pytest.mark.parametrize("best", [{"a": 1.0}, {"a": 100.0, "b": 0.01}, {"a": 1.0, "b": 3.0}])
def test_any_range_has_ticks(best):
    figure = draw_temperatures(best, best)
    axis = figure.axes[0]
    low, high = axis.get_xlim()
    assert sum(low <= tick <= high for tick in axis.get_xticks()) >= 1
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("predicted", "best", "message"),
    [
        ({}, {}, "none at all"),
        ({"a": 1.0}, {"b": 1.0}, r"\['a', 'b'\]"),
        ({"a": 0.0}, {"a": 1.0}, r"predicted\['a'\]"),
        ({"a": 1.0}, {"a": float("nan")}, r"oracle\['a'\]"),
    ],
)
def test_bad_temperatures_are_refused(predicted, best, message):
    with pytest.raises(ValueError, match=message):
        draw_temperatures(predicted, best)


def test_tasks_without_a_best_temperature_stand_at_the_edge_and_count_for_nothing():
    best = {"law": 2.0, "maths": 1.0, "all right": 0.01, "all wrong": 100.0}
    predicted = {"law": 2.2, "maths": 1.1, "all right": 0.7, "all wrong": 9.0}
    bounded = ("all right", "all wrong")
    figure = draw_temperatures(predicted, best, at_bound=bounded, pooled=1.5)
    (axis,) = figure.axes
    low, high = axis.get_xlim()
    assert 0.5 < low < 0.7
    assert 9 < high < 12
    right, left, points = (c.get_offsets().tolist() for c in axis.collections[-3:])
    assert right[0] == pytest.approx([high, 9.0], rel=0.05)
    assert left[0] == pytest.approx([low, 0.7], rel=0.05)
    assert points == [[2.0, 2.2], [1.0, 1.1]]
    said = texts(figure)
    assert f"2 tasks\nmean |log ratio| {np.log(1.1):.3f}" in said
    assert "triangles: 2 without an oracle" in said
    assert "pooled: 1.5" in said
    only = draw_temperatures({"a": 1.0}, {"a": 100.0}, at_bound=["a"])
    only.draw_without_rendering()
    with pytest.raises(ValueError, match="at_bound"):
        draw_temperatures(predicted, best, at_bound=["history"])
