"""Temperatures per task: quantiles against sorting, rows where they should be, awkward data."""

import numpy as np
import pytest

from thermometer.pictures.temperature_spread import (
    draw_task_temperatures,
    prepare_task_temperatures,
)


def names(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_quantiles_are_those_of_the_sorted_values():
    values = np.random.default_rng(0).lognormal(size=21)
    spread = prepare_task_temperatures({"law": values, "one": [2.0]})
    ordered = np.sort(values)
    assert spread.tasks == ("law", "one")
    assert spread.count.tolist() == [21, 1]
    np.testing.assert_allclose(spread.quantiles[0], ordered[[1, 5, 10, 15, 19]])
    assert spread.quantiles[1].tolist() == [2.0] * 5


def test_rows_show_their_task():
    spread = {"law": [2.0, 3.0, 4.0], "maths": [5.0], "history": [0.5, 1.0, 1.0]}
    figure = draw_task_temperatures(spread, best={"history": 0.8, "law": 2.2}, pooled=1.5)
    assert names(figure) == ["maths", "law", "history"]
    (axis,) = figure.axes
    assert axis.get_xscale() == "log"
    top, bottom = sorted(axis.get_ylim(), reverse=True)
    assert axis.yaxis_inverted()
    assert top > 2
    assert bottom < 0
    outer, inner, median, best = axis.collections
    lines = [(segment[:, 0].tolist(), segment[0, 1]) for segment in outer.get_segments()]
    assert lines == [
        ([5.0, 5.0], 0),
        ([pytest.approx(2.1), pytest.approx(3.9)], 1),
        ([pytest.approx(0.55), pytest.approx(1.0)], 2),
    ]
    assert inner.get_segments()[1][:, 0].tolist() == [2.5, 3.5]
    np.testing.assert_allclose(median.get_offsets(), [(5.0, 0), (3.0, 1), (1.0, 2)])
    np.testing.assert_allclose(best.get_offsets(), [(2.2, 1), (0.8, 2)])
    assert axis.lines[0].get_xdata() == [1.5, 1.5]
    assert legend(figure) == [
        "middle 90 %",
        "middle half",
        "median",
        "best (with labels)",
        "one for all: 1.5",
    ]
    assert names(draw_task_temperatures(spread, order="given")) == list(spread)
    prepared = draw_task_temperatures(prepare_task_temperatures(spread))
    assert names(prepared) == names(figure)
    assert legend(prepared) == ["middle 90 %", "middle half", "median"]


def test_tasks_without_a_best_temperature_point_out_of_the_plot():
    spread = {"law": [2.0, 3.0], "all right": [1.0], "all wrong": [4.0]}
    best = {"law": 2.0, "all right": 0.01, "all wrong": 100.0}
    figure = draw_task_temperatures(
        spread, best=best, at_bound=["all right", "all wrong"], order="given"
    )
    (axis,) = figure.axes
    low, high = axis.get_xlim()
    assert 0.5 < low < 1
    assert 4 < high < 6
    right, left = axis.collections[-2:]
    assert right.get_offsets().tolist() == [[1.0, 2.0]]  # in widths of the axis, and in rows
    assert left.get_offsets().tolist() == [[0.0, 1.0]]
    assert legend(figure)[-2:] == ["best (with labels)", "no best"]


@pytest.mark.parametrize("values", [[1.0], [0.01, 100.0], [1e-6, 1e6], [3.0, 3.0]])
def test_any_range_has_ticks(values):
    figure = draw_task_temperatures({"a": values})
    low, high = figure.axes[0].get_xlim()
    assert any(low <= tick <= high for tick in figure.axes[0].get_xticks())
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperatures": {}}, "at least one task"),
        ({"temperatures": {"a": []}}, r"temperatures\['a'\]` to be a vector of numbers > 0"),
        ({"temperatures": {"a": [1.0, 0.0]}}, "0.0 at row 1"),
        ({"temperatures": {"a": [np.inf]}}, "inf at row 0"),
        ({"temperatures": {"a": [1.0]}, "best": {"b": 1.0}}, r"`best`.*\['b'\]"),
        ({"temperatures": {"a": [1.0]}, "best": {"a": 0.0}}, r"best\['a'\]"),
        ({"temperatures": {"a": [1.0]}, "at_bound": ["a"]}, r"`at_bound`.*\['a'\]"),
        ({"temperatures": {"a": [1.0]}, "pooled": 0.0}, "`pooled`"),
        ({"temperatures": {"a": [1.0]}, "order": "name"}, "`order`"),
    ],
)
def test_bad_temperatures_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_task_temperatures(**arguments)
