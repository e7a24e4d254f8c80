"""Summaries: metrics from counts against copied rows, cells against rows, intervals, edge cases."""

import json
import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer import metrics
from thermometer.metrics import intervals
from thermometer.metrics.intervals import Interval, bootstrap, gather, measure, resample
from thermometer.metrics.summary import Summary, summarise

BY_NAME = {
    "accuracy": lambda c, y: float(y.mean()),
    "confidence": lambda c, y: float(c.mean()),
    "gap": metrics.signed_gap,
    "ece": lambda c, y: metrics.expected_calibration_error(c, y, 10),
    "ece_mass": lambda c, y: metrics.expected_calibration_error(c, y, 10, binning="mass"),
    "debiased_ece": lambda c, y: metrics.debiased_ece(c, y, 10),
    "smooth_ece": metrics.smooth_ece,
    "nll": metrics.binary_nll,
    "brier": metrics.binary_brier,
    "auroc": metrics.auroc,
    "aurc": metrics.aurc,
}
INTERVALS = [f.name for f in fields(Summary) if f.type == "Interval" or f.type is Interval]


def simulate(seed, n, power=1.5):
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    return confidence, (rng.random(n) < confidence**power).astype(float)


def near(name, value):
    return pytest.approx(value, abs=2e-4 if name == "smooth_ece" else 1e-12, nan_ok=True)


def test_every_metric_has_an_interval():
    assert list(BY_NAME) == INTERVALS


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.51, 0.9, 1.0]), st.booleans()),
        min_size=2,
        max_size=30,
    ),
    st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_metrics_of_counts_are_metrics_of_copied_rows(rows, seed):
    confidence, correct = (np.array(column, float) for column in zip(*rows, strict=True))
    cells = gather(confidence, correct, n_bins=10)
    counts = np.concatenate(list(resample(cells, 5, seed)))
    values = measure(cells, counts)
    places = np.unique(confidence)
    for row, drawn in enumerate(counts.astype(int)):
        assert drawn.sum() == len(rows)
        claimed = np.repeat(np.tile(places, 2), drawn)
        outcome = np.repeat(np.repeat([1.0, 0.0], len(places)), drawn)
        for name, metric in BY_NAME.items():
            assert values[name][row] == near(name, metric(claimed, outcome)), name


def test_whole_groups_are_drawn():
    confidence, correct = simulate(0, 60)
    groups = np.random.default_rng(1).integers(4, size=60)
    cells = gather(confidence, correct, 10, groups)
    counts = np.concatenate(list(resample(cells, 20, seed=3)))
    chosen = np.random.default_rng(3).multinomial(4, np.full(4, 1 / 4), 20)
    values = measure(cells, counts)
    for row, times in enumerate(chosen):
        rows = np.repeat(np.arange(60), times[groups])
        for name, metric in BY_NAME.items():
            assert values[name][row] == near(name, metric(confidence[rows], correct[rows])), name


def test_estimates_are_those_of_the_metrics():
    confidence, correct = simulate(1, 300)
    summary = summarise(confidence, correct, n_resamples=10)
    for name, metric in BY_NAME.items():
        theirs = metric(confidence, correct)
        assert getattr(summary, name).estimate == pytest.approx(theirs, rel=1e-9), name
    assert summary.n == 300
    assert summary.floor == metrics.calibration_floor(confidence, 10)


@pytest.mark.parametrize("groups", [None, np.arange(400) % 40])
def test_intervals_are_those_of_the_bootstrap(groups):
    confidence, correct = simulate(2, 400)
    summary = summarise(confidence, correct, n_resamples=2000, groups=groups)
    for name in ("accuracy", "ece", "debiased_ece", "nll", "auroc", "aurc"):
        ours = getattr(summary, name)
        theirs = bootstrap(
            BY_NAME[name], confidence, correct, n_resamples=800, seed=9, groups=groups
        )
        width = theirs.high - theirs.low
        assert ours.low == pytest.approx(theirs.low, abs=0.12 * width), name
        assert ours.high == pytest.approx(theirs.high, abs=0.12 * width), name


def saturated(n):
    """Confidences as language models give them: a third of them ties, many next to 1."""
    rng = np.random.default_rng(5)
    confidence = 1 / (1 + np.exp(-rng.normal(6, 6, n)))
    confidence[: n // 3] = rng.choice([0.5, 0.9, 1.0], n // 3)
    return confidence, (rng.random(n) < 0.3 + 0.5 * confidence).astype(float)


@pytest.mark.parametrize("make", [lambda: simulate(6, 50_000), lambda: saturated(50_000)])
def test_cells_lose_nothing_that_matters(make):
    confidence, correct = make()
    cells = gather(confidence, correct, n_bins=10)
    assert len(cells.bin) < 4096 < len(np.unique(confidence))
    assert cells.count.sum() == 50_000
    whole = measure(cells, cells.count[None].astype(float))
    for name, metric in BY_NAME.items():
        expected = metric(confidence, correct)
        assert whole[name][0] == pytest.approx(expected, abs=2e-4, rel=1e-9), name
    # What is lost of the variance between resamples is the variance inside the cells.
    kept = cells.count @ cells.means**2 / 50_000
    loss = [confidence, intervals.nll_of_rows(confidence, correct), (confidence - correct) ** 2]
    lost = [(values**2).mean() - inside for values, inside in zip(loss, kept, strict=True)]
    assert 0 < lost[0] < 2**-22
    assert 0 < lost[1] < 2**-8  # (1/16)^2 nat
    assert lost[1] < 1e-4 * loss[1].var()
    assert 0 < lost[2] < 2**-20


def test_cells_give_the_same_intervals_as_rows(monkeypatch):
    confidence, correct = saturated(12_000)
    cells = summarise(confidence, correct, n_resamples=400)
    monkeypatch.setattr(intervals, "_EXACT", 1 << 20)
    rows = summarise(confidence, correct, n_resamples=400, seed=1)
    for name in INTERVALS:
        ours, theirs = getattr(cells, name), getattr(rows, name)
        width = theirs.high - theirs.low
        assert ours.low == pytest.approx(theirs.low, abs=0.2 * width), name
        assert ours.high == pytest.approx(theirs.high, abs=0.2 * width), name


def test_no_cell_spans_two_bins_or_more_than_it_says():
    confidence, correct = saturated(50_000)
    cells = gather(confidence, correct, n_bins=7)
    rows = cells.count[: len(cells.bin)] + cells.count[len(cells.bin) :]
    ordered, stops = np.sort(confidence), np.cumsum(rows)
    first, last = ordered[stops - rows], ordered[stops - 1]
    assert (metrics.bin_index(first, 7) == cells.bin).all()
    assert (metrics.bin_index(last, 7) == cells.bin).all()
    assert (last - first <= 1 / 1024).all()
    assert rows[first < last].max() <= 2 * 49
    assert rows.max() == np.unique(confidence, return_counts=True)[1].max()
    inside = (first > 1e-12) & (last < 1 - 1e-12)
    odds = [np.log(x[inside] / (1 - x[inside])) for x in (first, last)]
    assert (odds[1] - odds[0] <= 1 / 8 + 1e-3).all()


def test_an_interval_of_calibrated_data_sits_high_as_the_docstring_says():
    confidence, correct = simulate(8, 500, power=1.0)
    summary = summarise(confidence, correct)
    middle = (summary.ece.low + summary.ece.high) / 2
    assert middle > summary.ece.estimate + 0.01
    assert summary.nll.low < summary.nll.estimate < summary.nll.high


def test_equal_seeds_give_equal_summaries_however_much_is_held(monkeypatch):
    confidence, correct = simulate(3, 200)
    whole = summarise(confidence, correct, n_resamples=50, seed=4)
    assert whole == summarise(confidence, correct, n_resamples=50, seed=4)
    assert whole.nll != summarise(confidence, correct, n_resamples=50, seed=5).nll
    monkeypatch.setattr(intervals, "_HELD", 1400)
    parts = summarise(confidence, correct, n_resamples=50, seed=4)
    for name in INTERVALS:
        assert getattr(parts, name).low == pytest.approx(getattr(whole, name).low, abs=1e-12)
    narrow = summarise(confidence, correct, n_resamples=50, seed=4, coverage=0.5)
    assert whole.nll.low < narrow.nll.low < narrow.nll.high < whole.nll.high


def test_edge_cases():
    one = summarise([0.7], [1])
    assert one.n == 1
    assert one.accuracy.estimate == 1
    assert all(math.isnan(getattr(one, name).low) for name in INTERVALS)
    assert math.isnan(one.debiased_ece.estimate)
    together = summarise([0.7, 0.8], [1, 0], groups=["a", "a"])
    assert math.isnan(together.nll.high)
    right = summarise([0.7, 0.8, 1.0], [1, 1, 1], n_resamples=20)
    assert math.isnan(right.auroc.estimate)
    assert right.aurc == Interval(0, 0, 0)
    assert right.accuracy == Interval(1, 1, 1)
    wrong = summarise([0.0, 1.0], [0, 0], n_resamples=20)
    assert wrong.nll.estimate == pytest.approx(708.396 / 2, abs=1e-3)
    assert wrong.aurc == Interval(1, 1, 1)


def test_a_summary_is_json():
    given = summarise([0.7, 0.8, 1.0], [1, 1, 1], n_resamples=20).to_dict()
    assert json.loads(json.dumps(given, allow_nan=False)) == given
    assert given["auroc"] == {"estimate": None, "low": None, "high": None}
    assert given["n"] == 3
    assert given["coverage"] == 0.95


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([], []), {}, "`confidence`"),
        (([0.5, math.nan], [1, 0]), {}, "nan at row 1"),
        (([0.5], [2]), {}, "`correct`"),
        (([0.5], [1]), {"n_bins": 0}, "`n_bins`"),
        (([0.5], [1]), {"n_resamples": 0}, "`n_resamples`"),
        (([0.5], [1]), {"coverage": 1.0}, "`coverage`"),
        (([0.5], [1]), {"groups": ["a", "b"]}, "`groups` to be a vector of length 1"),
    ],
)
def test_bad_arguments_are_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        summarise(*arguments, **options)
