"""Segments: groups of columns, few false names, planted ones found, chance told from error."""

import json
import math
from io import StringIO

import numpy as np
import pandas as pd
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from thermometer.metrics import calibration_floor, expected_calibration_error
from thermometer.metrics.calibration_error import ece_floor
from thermometer.metrics.intervals import Interval, bootstrap, ece_interval
from thermometer.segments.columns import cut
from thermometer.segments.gaps import adjusted, gap_interval
from thermometer.segments.report import segments, verdict_of

MINUS = "\N{MINUS SIGN}"


def calibrated(rng, n):
    confidence = rng.uniform(0.25, 1, n)
    return confidence, (rng.random(n) < confidence).astype(float)


@pytest.fixture(scope="module")
def planted():
    """2,000 answers, calibrated but for those on law, which claim 0.25 too much."""
    rng = np.random.default_rng(1)
    topic = rng.choice(["law", "art", "sport", "go"], 2000, p=[0.1, 0.3, 0.3, 0.3])
    confidence = rng.uniform(0.4, 0.95, 2000)
    correct = rng.random(2000) < confidence - 0.25 * (topic == "law")
    return confidence, correct, {"topic": topic, "length": rng.integers(5, 500, 2000)}


@pytest.fixture(scope="module")
def report(planted):
    return segments(*planted, n_resamples=100)


def test_the_numbers_of_a_segment_are_those_of_its_rows(planted, report):
    confidence, correct, by = planted
    for segment in report:
        if segment.column == "topic":
            rows = by["topic"] == segment.value
        else:
            low, high = map(int, segment.value.split(" to "))
            rows = (by["length"] >= low) & (by["length"] <= high)
        sure, right = confidence[rows], correct[rows]
        assert segment.n == rows.sum()
        assert segment.accuracy == pytest.approx(right.mean())
        assert segment.confidence == pytest.approx(sure.mean())
        assert segment.gap.estimate == pytest.approx(sure.mean() - right.mean())
        others = confidence[~rows].mean() - correct[~rows].mean()
        assert segment.difference == pytest.approx(segment.gap.estimate - others)
        assert segment.ece.estimate == pytest.approx(reference.ece(sure, right, 10))
        chosen = [c if y else 1 - c for c, y in zip(sure, right, strict=True)]
        assert segment.nll == pytest.approx(-np.log(chosen).mean())
    assert sum(s.n for s in report if s.column == "topic") == report.n == 2000
    assert sum(s.n for s in report if s.column == "length") == 2000


def test_the_planted_segment_comes_first_and_alone(report):
    assert len(report) == report.n_tested == 9
    worst = report.segments[0]
    assert (worst.name, worst.verdict, worst.differs) == ("topic = law", "overconfident", True)
    assert not worst.within_floor
    assert {s.verdict for s in report if s is not worst} <= {
        "like the rest",
        "better than the rest",
    }
    gaps = [segment.sure_gap for segment in report]
    assert gaps == sorted(gaps, reverse=True)
    assert report.verdict.startswith("1 of 9 segments differs from the rest")
    assert f"Worst is topic = law: overconfident by {worst.gap.estimate:.3f} on" in report.verdict


def test_on_calibrated_data_few_families_hold_any_false_name():
    rng = np.random.default_rng(0)
    named = {"holm": 0, "benjamini-hochberg": 0}
    for _ in range(120):
        confidence, correct = calibrated(rng, 600)
        by = {
            "topic": rng.integers(8, size=600).astype(str),
            "confidence itself": confidence,
            "few": rng.choice(["a", "b"], 600, p=[0.04, 0.96]),
        }
        p_values = [s.p_value for s in segments(confidence, correct, by, n_resamples=1)]
        for correction in named:
            named[correction] += bool((adjusted(p_values, correction) <= 0.05).any())
    # Each family has some 15 tests; all hypotheses are true, so both corrections bound the same.
    assert max(named.values()) / 120 <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 120)


def test_a_planted_segment_is_found_among_twenty():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        group = np.repeat(np.arange(20), 100)
        confidence = rng.uniform(0.4, 0.95, 2000)
        correct = rng.random(2000) < confidence + 0.04 - 0.24 * (group == 3)
        report = segments(confidence, correct, {"group": group.astype(str)}, n_resamples=1)
        found += (report.segments[0].value, report.segments[0].verdict) == ("3", "overconfident")
    assert found / 40 >= 0.8


def test_the_verdicts():
    topic, correct = [], []
    for name, right, n in (
        *(("over", 60, 200), ("much", 20, 200), ("mid", 100, 200), ("under", 190, 200)),
        ("tiny", 5, 10),
    ):
        topic += [name] * n
        correct += [1] * right + [0] * (n - right)
    report = segments([0.5] * len(topic), correct, {"topic": topic}, n_resamples=10)
    assert {s.value: s.verdict for s in report} == {
        "over": "overconfident",
        "much": "overconfident",
        "mid": "like the rest",
        "under": "underconfident",
        "tiny": "too few",
    }
    assert [s.value for s in report][-1] == "tiny"
    assert math.isnan(report.segments[-1].p_adjusted)


@pytest.mark.parametrize(
    ("low", "estimate", "high", "difference", "verdict"),
    [
        (0.1, 0.2, 0.3, 0.1, "overconfident"),
        (-0.3, -0.2, -0.1, -0.1, "underconfident"),
        (-0.3, -0.2, -0.1, -0.5, "underconfident"),  # the rest is off the other way, and more
        (-0.1, 0.0, 0.1, -0.3, "better than the rest"),  # calibrated, the rest overconfident
        (0.1, 0.2, 0.3, -0.3, "better than the rest"),
        (-0.3, -0.2, -0.1, 0.3, "better than the rest"),
        (-0.1, 0.15, 0.4, 0.3, "overconfident"),  # as far off as the rest, the other way
        (-0.4, -0.15, 0.1, -0.2, "underconfident"),
    ],
)
def test_the_verdict_on_a_segment_that_differs(low, estimate, high, difference, verdict):
    assert verdict_of(Interval(estimate, low, high), difference, 0.05, 0.95) == verdict
    assert verdict_of(Interval(estimate, low, high), difference, 0.06, 0.95) == "like the rest"
    assert verdict_of(Interval(estimate, low, high), difference, math.nan, 0.95) == "too few"


def test_too_few_answers_outside_are_not_tested_either():
    groups = {"g": ["a"] * 190 + ["b"] * 10}
    report = segments([0.9] * 200, [1] * 190 + [0] * 10, groups, n_resamples=10)
    assert [segment.verdict for segment in report] == ["too few", "too few"]
    assert report.n_tested == 0


def test_a_gap_that_is_sure_comes_before_a_larger_one_that_is_not():
    correct = [1] * 60 + [0] * 40 + [1] * 25 + [0] * 25 + [1] * 900 + [0] * 100
    topic = ["many"] * 100 + ["few"] * 50 + ["fine"] * 1000
    report = segments([0.9] * 1150, correct, {"topic": topic}, n_resamples=10)
    many, few, _ = report
    assert (many.value, few.value) == ("few", "many")  # 0.4 on 50 is surer than 0.3 on 100
    again = segments(
        [0.9] * 1120,
        correct[:100] + correct[115:135] + correct[150:],
        {"topic": topic[:120] + ["fine"] * 1000},
        n_resamples=10,
    )
    assert [segment.value for segment in again][:2] == ["many", "few"]
    assert again.segments[1].gap.estimate > again.segments[0].gap.estimate


def test_less_overconfident_than_the_rest_is_not_called_overconfident():
    correct = [0] * 80 + [1] * 20 + [1] * 70 + [0] * 30
    report = segments([0.9] * 200, correct, {"g": ["a"] * 100 + ["b"] * 100}, n_resamples=10)
    worse, better = report
    assert (worse.value, worse.verdict) == ("a", "overconfident")
    assert (better.value, better.verdict) == ("b", "better than the rest")
    assert better.gap.low > 0


def test_an_ece_at_its_floor_is_told_from_a_bad_one():
    rng = np.random.default_rng(0)
    confidence, correct = calibrated(rng, 30 * 100)
    report = segments(
        confidence, correct, {"g": np.arange(3000) % 100}, n_resamples=10, n_ranges=100
    )
    assert len(report) == 100
    assert sum(s.within_floor for s in report) >= 88  # 95 expected, deviation 2.2
    assert np.mean([s.ece.estimate for s in report]) > 0.1
    assert np.mean([s.ece.estimate - s.floor for s in report]) == pytest.approx(0, abs=0.015)


def test_small_values_join_and_missing_ones_are_a_segment():
    values = ["big"] * 30 + ["x"] * 5 + ["y"] * 5 + [None] * 3 + [math.nan] * 2
    column = cut("c", values)
    assert column.labels == ("(missing)", "(other: 2 values)", "big")
    assert np.bincount(column.codes).tolist() == [5, 10, 30]
    assert cut("c", values[:35]).labels == ("big", "x")  # a single one keeps its name
    for same in (pd.Series(values), pd.Series(values, dtype="category"), np.array(values, object)):
        again = cut("c", same)
        assert again.labels == column.labels
        assert (again.codes == column.codes).all()


def test_numbers_are_cut_into_ranges_and_ties_stay_together():
    ten = cut("c", np.arange(200) % 10)
    assert ten.labels == tuple("0123456789")
    tied = cut("c", [1] * 500 + list(range(2, 102)))
    assert set(tied.labels) == {"1", "2 to 101"} or "1" in tied.labels
    assert (tied.codes[:500] == tied.codes[0]).all()
    assert cut("c", [0.5, 0.25] * 40 + [math.nan] * 20).labels == ("(missing)", "0.25", "0.5")
    assert cut("c", np.array([True, False] * 20)).labels == ("False", "True")
    whole = cut("c", pd.array([1, 2, None] * 20, dtype="Int64"))
    assert whole.labels == ("(missing)", "1", "2")
    close = cut("c", 1 + np.arange(100) * 1e-7)
    assert len(close.labels) == 5


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6) | st.integers(-50, 50).map(float) | st.just(math.nan), min_size=1)
)
def test_every_number_is_in_exactly_the_range_that_its_group_names(values):
    column = cut("c", np.array(values), min_size=1, n_ranges=4)
    assert len(set(column.labels)) == len(column.labels)
    array = np.array(values)
    for code in range(len(column.labels)):
        inside = array[column.codes == code]
        outside = array[column.codes != code]
        assert len(inside)
        if column.labels[code] != "(missing)":
            between = (outside >= inside.min()) & (outside <= inside.max())
            assert not between.any()


def test_the_interval_of_the_gap():
    interval = gap_interval([0.9] * 10 + [0.5] * 10, [1] * 15 + [0] * 5)
    low, high = reference.wilson(15, 20)
    assert interval.estimate == pytest.approx(-0.05)
    assert (interval.low, interval.high) == pytest.approx((0.7 - high, 0.7 - low))
    narrow = gap_interval([0.9] * 10 + [0.5] * 10, [1] * 15 + [0] * 5, coverage=0.5)
    assert interval.low < narrow.low < narrow.high < interval.high


def test_the_interval_of_the_ece_is_that_of_the_bootstrap():
    rng = np.random.default_rng(0)
    confidence, correct = calibrated(rng, 300)
    ours = ece_interval(confidence, correct, 10, n_resamples=2000, seed=1)
    ece = expected_calibration_error
    theirs = bootstrap(lambda c, y: ece(c, y, 10), confidence, correct, n_resamples=2000, seed=2)
    assert ours.estimate == pytest.approx(theirs.estimate)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)
    assert math.isnan(ece_interval([0.5], [1]).low)


def test_the_normal_limit_of_many_rows_is_what_resampling_gives():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 10_000)
    correct = rng.random(10_000) < confidence - 0.4
    limit = ece_interval(confidence, correct, n_resamples=2000), ece_floor(confidence)
    drawn = (
        ece_interval(confidence[:-1], correct[:-1], n_resamples=500),
        ece_floor(confidence[:-1]),
    )
    width = drawn[0].high - drawn[0].low
    assert limit[0].high - limit[0].low == pytest.approx(width, rel=0.15)
    assert limit[0].low == pytest.approx(drawn[0].low, abs=0.15 * width)
    assert limit[1] == pytest.approx(drawn[1], rel=0.08)


def test_chance_is_the_floor_and_what_calibrated_samples_seldom_exceed():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.25, 1, 80)
    expected = ece_floor(confidence, 10, n_simulations=4000)
    assert expected.floor == pytest.approx(calibration_floor(confidence, 10, 4000, 1), abs=0.002)
    eces = [
        expected_calibration_error(confidence, rng.random(80) < confidence, 10) for _ in range(600)
    ]
    assert np.mean(np.array(eces) <= expected.ceiling) == pytest.approx(0.95, abs=0.03)
    assert ece_floor([0.0, 1.0]) == (0, 0)


def test_frames_dicts_and_texts(planted, report):
    confidence, correct, by = planted
    frame = pd.DataFrame(by | {"c": confidence, "y": correct})
    again = segments(frame["c"], frame["y"], frame[["topic", "length"]], n_resamples=100)
    assert again.to_dict() == report.to_dict()
    table = report.to_frame()
    assert len(table) == 9
    assert table["verdict"][0] == "overconfident"
    assert table["gap_low"][0] == report.segments[0].gap.low
    json.dumps(report.to_dict())
    text = str(report)
    assert max(map(len, text.splitlines())) <= 80
    assert "topic = law" in text
    assert " ".join(text.split()).endswith(report.verdict)
    console = Console(width=80, file=StringIO(), record=True)
    console.print(report)
    assert "overconfident" in console.export_text()


def test_results_are_the_same_for_the_same_seed(planted, report):
    assert segments(*planted, n_resamples=100) == report
    assert segments(*planted, n_resamples=100, seed=1) != report


def test_nothing_to_compare_is_said():
    report = segments([0.5] * 30, [1, 0] * 15, {"g": ["a"] * 30})
    assert report.segments[0].verdict == "too few"
    assert report.n_tested == 0
    assert "no test" in report.verdict
    assert math.isnan(report.to_dict()["segments"][0]["p_value"])


@pytest.mark.parametrize(
    ("by", "options", "error", "message"),
    [
        ({}, {}, ValueError, "at least one column"),
        ({"g": ["a"]}, {}, ValueError, r"by\['g'\].*length 2"),
        ([["a", "b"]], {}, TypeError, "mapping of columns or a frame"),
        ({"g": "ab"}, {}, TypeError, "column of values"),
        ({"g": [["a"], ["b"]]}, {}, ValueError, "vector"),
        ({"g": ["a", "b"]}, {"coverage": 1.0}, ValueError, "coverage"),
        ({"g": ["a", "b"]}, {"min_size": 0}, ValueError, "min_size"),
        ({"g": ["a", "b"]}, {"n_ranges": 0}, ValueError, "n_ranges"),
        ({"g": ["a", "b"]}, {"correction": "none"}, ValueError, "correction"),
    ],
)
def test_mistakes_are_named(by, options, error, message):
    with pytest.raises(error, match=message):
        segments([0.5, 0.5], [1, 0], by, **options)


def test_values_out_of_range_name_the_row():
    with pytest.raises(ValueError, match=r"`confidence`.*1.5 at row 1"):
        segments([0.5, 1.5], [1, 0], {"g": ["a", "b"]})
    with pytest.raises(ValueError, match=r"`correct`.*row 0"):
        segments([0.5, 0.5], [0.5, 0], {"g": ["a", "b"]})
