"""Curves: literal loops agree, all labels are a half's own fit, all prompts are the task's mean."""

import numpy as np
import pytest
import reference
from synthetic import make_fit, make_table

from thermometer.comparison import compare
from thermometer.curves import few_labels, unlabelled
from thermometer.held_out import hold_out
from thermometer.pictures.curve_plot import draw_curve
from thermometer.protocols import Protocol
from thermometer.scaling import fit_temperature

NAMES = ("vanilla", "pooled", "platt", "thermometer", "thermometer_task")


@pytest.fixture(scope="module")
def held():
    table = make_table(n=60)
    protocol = Protocol(folds=3)
    return hold_out(table, {"t": table}, NAMES, protocol, make_fit(), progress=False)["t"]


def measured(held, rows, temperature):
    scores, labels = held.table.scores[rows].tolist(), held.table.labels[rows].tolist()
    probs = [
        reference.softmax([s for s in row if s > -np.inf], t)
        for row, t in zip(scores, temperature, strict=True)
    ]
    confidence = [max(p) for p in probs]
    correct = [float(p.index(max(p)) == y) for p, y in zip(probs, labels, strict=True)]
    return reference.nll(probs, labels), reference.ece(confidence, correct, 10)


def test_few_labels_by_literal_loops(held):
    sizes = (0, 10, None)
    curve = few_labels(held, sizes, n_repeats=2, n_resamples=50, seed=3)
    rng = np.random.default_rng(3)
    sums = {name: np.zeros(2) for name in (*sizes, "pooled", "thermometer")}
    for task in held.table.task_names:
        rows = np.flatnonzero(held.table.tasks == task)
        for _ in range(2):
            drawn = rng.permutation(rows)
            pool, rest = drawn[:30], drawn[30:]
            for size in sizes:
                used = pool[:size]
                own = (
                    fit_temperature(held.table.scores[used], held.table.labels[used]).temperature
                    if size != 0
                    else held.methods["pooled"][rest[0]]
                )
                sums[size] += measured(held, rest, [own] * 30)
            for name in ("pooled", "thermometer"):
                sums[name] += measured(held, rest, held.methods[name][rest])
    for k, measure in enumerate(("nll", "ece_10")):
        points = curve.varying["own labels"][measure]
        expected = [sums[size][k] / 24 for size in sizes]
        assert [point.estimate for point in points] == pytest.approx(expected)
        for name in ("pooled", "thermometer"):
            level = sums[name][k] / 24
            assert curve.constant[name][measure].estimate == pytest.approx(level)
            paired = curve.differences[f"own labels - {name}"][measure]
            assert [p.estimate for p in paired] == pytest.approx([e - level for e in expected])
    assert set(curve.constant) == {"vanilla", "pooled", "thermometer", "thermometer_task"}


def test_more_labels_help_and_a_known_temperature_cannot_be_beaten(held):
    curve = few_labels(held, (5, 15, None), n_repeats=5, n_resamples=100)
    few, some, many = (p.estimate for p in curve.varying["own labels"]["nll"])
    assert few > some > many
    to_known = curve.differences["own labels - thermometer"]["nll"]
    assert all(point.estimate > 0 for point in to_known)  # the truth is the best in the mean


def test_no_labels_is_one_temperature_exactly(held):
    curve = few_labels(held, (0,), n_repeats=2, n_resamples=20)
    (point,) = curve.differences["own labels - pooled"]["nll"]
    assert (point.estimate, point.low, point.high) == (0, 0, 0)


def test_all_prompts_are_the_temperature_of_the_task(held):
    curve = unlabelled(held, (1, 10, None), n_repeats=3, n_resamples=50)
    all_of_them = curve.varying["thermometer, per task"]
    assert set(curve.constant) == {"vanilla", "pooled", "thermometer"}
    whole = compare(
        held.table.scores,
        held.table.labels,
        held.table.tasks,
        {"task": held.methods["thermometer_task"]},
        baseline="task",
        n_resamples=50,
    )
    for measure in ("nll", "ece_10"):
        task = whole.methods["task"].mean_over_tasks[measure]
        assert all_of_them[measure][-1].estimate == pytest.approx(task.estimate)
        assert all_of_them[measure][-1].low == pytest.approx(task.low)
    beyond = unlabelled(held, (1000,), n_repeats=1, n_resamples=20)
    assert beyond.varying["thermometer, per task"]["nll"][0].estimate == pytest.approx(
        all_of_them["nll"][-1].estimate
    )


def test_curves_repeat_with_their_seed(held):
    one, again, other = (
        few_labels(held, (5,), n_repeats=1, n_resamples=20, seed=s) for s in (1, 1, 2)
    )
    assert one == again
    assert one != other


def test_wrong_requests_are_refused(held):
    with pytest.raises(ValueError, match=r"`sizes` to be an integer of at least 0, but got -1"):
        few_labels(held, (-1,))
    with pytest.raises(ValueError, match="at least one number"):
        few_labels(held, ())
    with pytest.raises(ValueError, match="at least 1, but got 0"):
        unlabelled(held, (0,))
    table = make_table(n=3)
    tiny = hold_out(table, {"t": table}, ["vanilla"], Protocol(folds=2), progress=False)["t"]
    with pytest.raises(ValueError, match="at least four rows a task, but got 3 of 'task 00'"):
        few_labels(tiny, (1,))
    with pytest.raises(ValueError, match="with a `thermometer`, but got vanilla, pooled"):
        unlabelled(tiny, (1,))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_shows_the_points_and_cuts_ruinous_ones(held, theme):
    curve = few_labels(held, (0, 2, 15, None), n_repeats=3, n_resamples=50)
    points = [p.estimate for p in curve.varying["own labels"]["nll"]]
    assert points[1] > 2 * points[0], "two labels should be ruinous, or the test shows nothing"
    axis = draw_curve(curve, "nll", x_title="labels", theme=theme).axes[0]
    assert list(axis.lines[0].get_ydata()) == points
    assert axis.get_ylim()[1] < points[1]
    cut = [f"\N{UPWARDS ARROW} {p:.3g}" for p in points if p > axis.get_ylim()[1]]
    assert [text.get_text() for text in axis.texts] == cut
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0", "2", "15", "all"]
    (legend,) = axis.figure.legends
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown == ["own labels", "pooled", "thermometer", "thermometer_task"]
    with pytest.raises(ValueError, match="measure"):
        draw_curve(curve, "brier", x_title="labels")
