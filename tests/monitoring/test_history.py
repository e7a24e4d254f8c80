"""Blocks of the history against the metrics of their rows."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer import metrics
from thermometer.metrics.intervals import wilson
from thermometer.monitoring.history import History


def stream(n, seed=0):
    rng = np.random.default_rng(seed)
    c = rng.beta(4, 2, n)
    return c, (rng.random(n) < c - 0.1).astype(float)


def filled(history, c, y, batch):
    for start in range(0, len(c), batch):
        rows = slice(start, start + batch)
        numbers = list(range(len(c)))[rows]
        history.add(c[rows], y[rows], [n + 1 for n in numbers], [n / 10 for n in numbers])
    return history


@given(st.integers(1, 700), st.integers(1, 90), st.sampled_from([2, 4, 6]))
@settings(max_examples=40, deadline=None)
def test_blocks_hold_every_answer_once_and_their_metrics_are_true(n, batch, most):
    c, y = stream(n)
    history = filled(History(size=20, most=most), c, y, batch)
    points = history.points()
    assert len(points) <= most
    assert [p.first for p in points] == [1, *(p.last + 1 for p in points[:-1])]
    assert points[-1].last == n == sum(p.n for p in points)
    for p in points:
        rows = slice(p.first - 1, p.last)
        assert p.ece == pytest.approx(metrics.expected_calibration_error(c[rows], y[rows], 10))
        assert p.gap.estimate == pytest.approx(metrics.signed_gap(c[rows], y[rows]))
        assert p.accuracy.estimate == pytest.approx(y[rows].mean())
        assert p.confidence == pytest.approx(c[rows].mean())
        assert (p.first_time, p.last_time) == ((p.first - 1) / 10, (p.last - 1) / 10)
        assert p.gap.high - p.gap.low == pytest.approx(p.accuracy.high - p.accuracy.low)


def test_smooth_error_and_floor_are_close_to_those_of_the_rows():
    c, y = stream(4000)
    (point,) = (
        History(size=4000, most=2).points()
        or filled(History(size=4000, most=2), c, y, 1000).points()
    )
    assert point.smooth_ece == pytest.approx(metrics.smooth_ece(c, y), abs=2e-3)
    assert point.floor == pytest.approx(metrics.calibration_floor(c, 10, 2000), rel=0.05)


def test_any_split_of_the_rows_gives_the_same_sums():
    c, y = stream(500)
    one = filled(History(size=20, most=8), c, y, 500)
    many = filled(History(size=20, most=8), c, y, 1)
    for a, b in zip(one.blocks, many.blocks, strict=True):
        assert a == pytest.approx(b, abs=1e-9)


def test_it_says_which_blocks_have_changed():
    c, y = stream(100)
    history = History(size=10, most=8)
    history.add(c[:35], y[:35], list(range(1, 36)), [0.0] * 35)
    assert history.first_changed == 0
    history.first_changed = len(history.blocks)
    history.add(c[35:42], y[35:42], list(range(36, 43)), [0.0] * 7)
    assert history.first_changed == 3
    history.first_changed = len(history.blocks)
    history.add(c[42:100], y[42:100], list(range(43, 101)), [0.0] * 58)
    assert history.first_changed == 0  # neighbours were joined
    assert history.size == 20


@pytest.mark.parametrize(("right", "n"), [(0, 5), (3, 7), (50, 50), (400, 1000)])
def test_the_interval_of_a_share_is_that_of_wilson(right, n):
    ours = wilson(right, n)
    low, high = reference.wilson(right, n)
    assert ours.estimate == right / n
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-12)
