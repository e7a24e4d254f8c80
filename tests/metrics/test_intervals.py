"""Intervals: coverage, pairing, whole groups, and edge cases."""

import math

import numpy as np
import pytest

from thermometer import metrics
from thermometer.metrics.intervals import bootstrap, percentile_interval, task_counts


def test_bootstrap_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        interval = bootstrap(np.mean, rng.normal(size=60), n_resamples=300, seed=seed)
        covered += interval.low <= 0 <= interval.high
    assert 0.90 <= covered / 200 <= 0.98  # 0.95 within 3 standard errors (0.015), less small-n loss


def test_bootstrap_of_a_difference_is_paired():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=100) * 10
    first, second = shared + 1 + rng.normal(size=100) * 0.1, shared
    interval = bootstrap(lambda a, b: a.mean() - b.mean(), first, second)
    assert interval.estimate == pytest.approx(1, abs=0.05)
    assert interval.high - interval.low < 0.1  # unpaired it would be about 5


def test_bootstrap_of_groups_draws_whole_groups():
    groups = np.repeat(["a", "b", "c", "d", "e", "f", "g", "h"], 50)
    values = np.repeat(np.arange(8.0), 50)

    def one_size(x):
        assert (np.unique(x, return_counts=True)[1] % 50 == 0).all()
        return x.mean()

    shuffle = np.random.default_rng(0).permutation(400)
    clustered = bootstrap(one_size, values[shuffle], groups=groups[shuffle])
    of_rows = bootstrap(np.mean, values)
    assert clustered.high - clustered.low > 4 * (of_rows.high - of_rows.low)  # root of 50 is 7


def test_bootstrap_edge_cases():
    one = bootstrap(np.mean, [3.0])
    assert one.estimate == 3
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert math.isnan(bootstrap(np.mean, [3.0, 4.0], groups=["x", "x"]).low)
    undefined = bootstrap(metrics.auroc, [0.5, 0.6, 0.7], [1, 1, 1])
    assert math.isnan(undefined.estimate)
    few = bootstrap(metrics.auroc, [0.5, 0.6, 0.7], [1, 0, 1])  # many one-sided resamples
    assert 0 <= few.low <= few.high <= 1
    same = bootstrap(np.mean, np.sqrt(np.arange(90.0)), seed=3)
    assert same == bootstrap(np.mean, np.sqrt(np.arange(90.0)), seed=3)
    assert same != bootstrap(np.mean, np.sqrt(np.arange(90.0)), seed=4)
    narrow = bootstrap(np.mean, np.sqrt(np.arange(90.0)), seed=3, coverage=0.5)
    assert same.low < narrow.low < narrow.high < same.high


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ([], {}, "at least one array"),
        ([[]], {}, "at least one row"),
        ([[1, 2], [1]], {}, "length 2"),
        ([[1, 2]], {"coverage": 1.0}, "coverage"),
        ([[1, 2]], {"n_resamples": 0}, "n_resamples"),
        ([[1, 2]], {"groups": [1]}, "groups"),
    ],
)
def test_bootstrap_refuses(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(np.mean, *arrays, **options)


def test_task_counts_resample_means_as_drawing_tasks_does():
    values = np.random.default_rng(0).normal(size=12)
    counts = task_counts(12, n_resamples=4000, seed=1)
    assert (counts.sum(axis=1) == 12).all()
    assert (counts == counts.round()).all()
    means = counts @ values / 12
    assert means.mean() == pytest.approx(values.mean(), abs=0.02)
    assert means.std() == pytest.approx(values.std() / math.sqrt(12), rel=0.05)
    drawn = bootstrap(np.mean, values, n_resamples=4000, seed=2)
    ours = percentile_interval(float(values.mean()), means)
    assert (ours.low, ours.high) == pytest.approx((drawn.low, drawn.high), abs=0.04)


def test_task_counts_are_deterministic_and_checked():
    assert (task_counts(5, 10, seed=3) == task_counts(5, 10, seed=3)).all()
    assert (task_counts(5, 10, seed=3) != task_counts(5, 10, seed=4)).any()
    with pytest.raises(ValueError, match="n_tasks"):
        task_counts(0)


def test_undefined_resamples_are_left_out():
    interval = percentile_interval(1.0, np.array([math.nan, 0.0, 2.0]), coverage=0.5)
    assert (interval.low, interval.high) == (0.5, 1.5)
    assert math.isnan(percentile_interval(math.nan, np.arange(3.0)).low)
    assert math.isnan(percentile_interval(1.0, np.array([math.nan])).high)
