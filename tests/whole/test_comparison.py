"""Comparison: every number against literal loops, every resample against rows drawn one by one."""

import math
import time

import numpy as np
import pytest
import reference
from synthetic import make_table

from thermometer import metrics
from thermometer.comparison import LOWER_IS_BETTER, METRICS, Outcomes, Predicted, compare
from thermometer.metrics.intervals import task_counts
from thermometer.scaling import fit_temperature

PAIRS = [("good", "uncalibrated"), ("good", "pooled")]


def softmax(row, temperature):
    odds = [math.exp((s - max(row)) / temperature) if s > -math.inf else 0.0 for s in row]
    return [o / sum(odds) for o in odds]


@pytest.fixture(scope="module")
def table():
    return make_table(n=30).select(np.random.default_rng(1).permutation(360))


@pytest.fixture(scope="module")
def temperatures(table):
    noise = np.random.default_rng(2).normal(size=len(table)) * 0.1
    good = np.exp(table.features[:, 0] + noise)
    return {"uncalibrated": np.ones(360), "pooled": np.full(360, 1.7), "good": good}


@pytest.fixture(scope="module")
def result(table, temperatures):
    return run(table, temperatures)


def run(table, temperatures, **options):
    options = {"baseline": "pooled", "pairs": PAIRS, "n_resamples": 200, **options}
    return compare(table.scores, table.labels, table.tasks, temperatures, **options)


def literal(table, temperature, rows):
    """Every metric of some rows, by loops that share nothing with the package."""
    probs = [softmax(table.scores[i].tolist(), temperature[i]) for i in rows]
    labels = [int(table.labels[i]) for i in rows]
    confidence = [max(p) for p in probs]
    correct = [float(p.index(max(p)) == y) for p, y in zip(probs, labels, strict=True)]
    return {
        "accuracy": sum(correct) / len(rows),
        "nll": reference.nll(probs, labels),
        "brier": reference.brier(probs, labels),
        "ece_10": reference.ece(confidence, correct, 10),
        "ece_15": reference.ece(confidence, correct, 15),
        "gap": (sum(confidence) - sum(correct)) / len(rows),
    }


def test_tasks_means_and_all_rows_equal_the_loops(table, temperatures, result):
    for name, temperature in temperatures.items():
        rows = [np.flatnonzero(table.tasks == task) for task in result.task_names]
        each = [literal(table, temperature, r) for r in rows]
        whole = literal(table, temperature, range(360))
        method = result.methods[name]
        for key in whole:
            values = [numbers[key] for numbers in each]
            assert result.per_task[name][key].tolist() == pytest.approx(values, abs=1e-12)
            mean = sum(values) / 12
            assert method.mean_over_tasks[key].estimate == pytest.approx(mean, abs=1e-12)
            assert method.all_rows[key].estimate == pytest.approx(whole[key], abs=1e-12)
        assert method.diagram.n == 360
        assert method.diagram.ece == pytest.approx(whole["ece_10"])
        task_temperature = [len(r) / sum(1 / temperature[i] for i in r) for r in rows]
        assert result.temperature[name].tolist() == pytest.approx(task_temperature)


def test_resamples_equal_drawing_the_rows_of_whole_tasks():
    table = make_table(n=20, temperatures={"a": 0.5, "b": 2.0, "c": 5.0})
    starts = [0, 20, 40, 45]  # tasks of different sizes
    table = table.select(np.arange(45))
    outcomes = Outcomes.measure(table.scores, table.labels, np.full(45, 1.3), np.array(starts[:3]))
    counts = task_counts(3, n_resamples=6, seed=5)
    draws = outcomes.all_rows(counts)
    assert tuple(draws) == METRICS
    for i, count in enumerate(counts):
        tasks = np.repeat(np.arange(3), count.astype(int))
        rows = np.concatenate([np.arange(starts[task], starts[task + 1]) for task in tasks])
        drawn = outcomes.confidence[rows], outcomes.correct[rows]
        assert draws["nll"].draws[i] == pytest.approx(outcomes.nll[rows].mean())
        assert draws["accuracy"].draws[i] == pytest.approx(drawn[1].mean())
        assert draws["gap"].draws[i] == pytest.approx(metrics.signed_gap(*drawn))
        for n_bins in (10, 15):
            ece = metrics.expected_calibration_error(*drawn, n_bins)
            assert draws[f"ece_{n_bins}"].draws[i] == pytest.approx(ece)
        assert draws["smooth_ece"].draws[i] == pytest.approx(metrics.smooth_ece(*drawn), abs=3e-4)


def test_accuracy_is_the_same_to_the_last_digit(result, table):
    for scope in ("mean_over_tasks", "all_rows"):
        intervals = {str(getattr(m, scope)["accuracy"]) for m in result.methods.values()}
        assert len(intervals) == 1
    scores = np.array([[0.0, 1e-13, -1e-13], [5.0, 5.0 + 1e-15, 1.0]] * 4)  # rounding makes ties
    extremes = {"uncalibrated": np.ones(8), "flat": np.full(8, 1e3), "sharp": np.full(8, 1e-3)}
    close = compare(scores, [1, 0] * 4, ["t"] * 8, extremes, baseline="uncalibrated")
    assert {m.all_rows["accuracy"].estimate for m in close.methods.values()} == {
        np.mean(scores.argmax(axis=1) == [1, 0] * 4)
    }


def test_probabilities_of_other_options_are_refused():
    predicted = Predicted(np.full((2, 3), 1 / 3), np.zeros(2, dtype=np.int64))
    with pytest.raises(ValueError, match=r"`mine` to be probabilities of shape \(2, 2\)"):
        compare(np.eye(2), [0, 1], ["t", "t"], {"mine": predicted}, baseline="mine")


def test_an_impossible_label_costs_exactly_what_the_scores_say():
    scores = [[0.0, -3000.0], [0.0, -1.0]]
    given = compare(
        scores, [1, 0], ["t", "t"], {"uncalibrated": np.ones(2)}, baseline="uncalibrated"
    )
    expected = (3000 + math.log(1 + math.exp(-1))) / 2
    assert given.methods["uncalibrated"].all_rows["nll"].estimate == pytest.approx(expected)


def test_no_one_temperature_beats_the_topline_of_a_task(table, result):
    for i, task in enumerate(result.task_names):
        rows = table.tasks == task
        for temperature in np.geomspace(0.02, 80, 40):
            one = literal(table, np.full(360, temperature), np.flatnonzero(rows))["nll"]
            assert result.per_task["oracle"]["nll"][i] <= one + 1e-9
        assert result.oracle[i] == fit_temperature(table.scores[rows], table.labels[rows])


def test_gap_closed_is_the_ratio_of_the_means(result):
    for scope in ("mean_over_tasks", "all_rows"):
        numbers = {name: getattr(method, scope) for name, method in result.methods.items()}
        nll = {name: values["nll"].estimate for name, values in numbers.items()}
        share = (nll["pooled"] - nll["good"]) / (nll["pooled"] - nll["oracle"])
        closed = numbers["good"]["gap_closed"]
        assert closed.estimate == pytest.approx(share)
        assert closed.low < share < closed.high
        assert numbers["pooled"]["gap_closed"].estimate == 0
        assert numbers["oracle"]["gap_closed"].low == 1


def test_differences_are_paired(result):
    difference = result.differences[1]
    assert (difference.method, difference.baseline) == PAIRS[1]
    good, pooled = (result.methods[n].mean_over_tasks["nll"] for n in ("good", "pooled"))
    change = difference.mean_over_tasks["nll"]
    assert change.estimate == pytest.approx(good.estimate - pooled.estimate)
    assert change.high - change.low < 0.7 * (pooled.high - pooled.low)  # unpaired: 1.4 times it
    better = result.per_task["good"]["ece_10"] < result.per_task["pooled"]["ece_10"]
    assert difference.n_better["ece_10"] == better.sum()
    assert set(difference.all_rows) == set(LOWER_IS_BETTER)
    itself = run_itself(result)
    assert itself == (0, 0, 0)


def run_itself(result):
    table = make_table(n=10)
    ones = {"uncalibrated": np.ones(120), "same": np.ones(120)}
    pairs = [("same", "uncalibrated")]
    again = (
        run(table, ones, baseline="uncalibrated", pairs=pairs).differences[0].all_rows["smooth_ece"]
    )
    return again.estimate, again.low, again.high


def test_mean_over_tasks_covers_as_often_as_it_says():
    """Tasks drawn from one distribution: the interval is for the mean over that distribution."""
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        right = rng.random((25, 20)) < rng.uniform(0.4, 0.8, size=(25, 1))  # mean 0.6
        counts = task_counts(25, 300, seed)
        scores = np.tile([1.0, 0.0], (500, 1))
        labels = (~right).astype(int).ravel()
        outcomes = Outcomes.measure(scores, labels, np.ones(500), np.arange(0, 500, 20))
        low, high = np.quantile(outcomes.all_rows(counts)["accuracy"].draws, [0.025, 0.975])
        covered += low <= 0.6 <= high
    assert 0.85 <= covered / 60 <= 1  # 0.95 within 3 standard errors (0.028), less small-T loss


def test_floor_is_that_of_the_confidences(result, table, temperatures):
    floor = result.methods["good"].floor
    assert floor["all_rows"]["ece_10"] < floor["mean_over_tasks"]["ece_10"]
    assert floor["mean_over_tasks"]["ece_10"] < floor["mean_over_tasks"]["ece_15"]
    probs = [
        softmax(r, t) for r, t in zip(table.scores.tolist(), temperatures["good"], strict=True)
    ]
    confidence = np.array([max(p) for p in probs])
    each = [
        metrics.calibration_floor(confidence[table.tasks == t], 10, seed=9)
        for t in table.task_names
    ]
    assert floor["mean_over_tasks"]["ece_10"] == pytest.approx(np.mean(each), rel=0.05)


def test_order_of_rows_does_not_matter_and_seeds_decide(table, temperatures, result):
    order = np.arange(360)[::-1]
    turned = run(table.select(order), {k: v[order] for k, v in temperatures.items()})
    before, after = (r.methods["good"].all_rows for r in (result, turned))
    for key in METRICS:
        assert before[key].estimate == pytest.approx(after[key].estimate)
        assert (before[key].low, before[key].high) == pytest.approx(
            (after[key].low, after[key].high)
        )
    again = run(table, temperatures).methods["good"]
    assert again.mean_over_tasks == result.methods["good"].mean_over_tasks
    assert again.floor == result.methods["good"].floor
    other = run(table, temperatures, seed=1).methods["good"].mean_over_tasks["nll"]
    assert other.estimate == result.methods["good"].mean_over_tasks["nll"].estimate
    assert other.low != result.methods["good"].mean_over_tasks["nll"].low


def test_tasks_without_a_best_temperature_do_not_count_in_the_ratio():
    scores = [[2.0, 0.0]] * 8
    tasks = ["all right"] * 4 + ["three right"] * 4
    flat = {"uncalibrated": np.ones(8)}
    result = compare(scores, [0] * 7 + [1], tasks, flat, baseline="uncalibrated", n_resamples=50)
    assert [fit.at_bound for fit in result.oracle] == [True, False]
    ratio = result.methods["uncalibrated"].mean_over_tasks["log_ratio"]
    assert ratio.estimate == pytest.approx(math.log(2 / math.log(3)))
    none = compare(
        scores[:4], [0] * 4, tasks[:4], {"uncalibrated": np.ones(4)}, baseline="uncalibrated"
    )
    assert math.isnan(none.methods["uncalibrated"].mean_over_tasks["log_ratio"].estimate)


def test_one_task_has_no_intervals(table, temperatures):
    one = table.tasks == "task 03"
    result = run(table.select(one), {name: t[one] for name, t in temperatures.items()})
    for scope in ("mean_over_tasks", "all_rows"):
        for name, interval in getattr(result.methods["good"], scope).items():
            # One task of few rows is too little to say that there is a gap to close.
            assert math.isfinite(interval.estimate) or name == "gap_closed", name
            assert math.isnan(interval.low), name


def test_what_cannot_be_measured_is_refused(table, temperatures):
    with pytest.raises(ValueError, match="Task 'flat': Expected `scores`"):
        compare([[1.0, 1.0]], [0], ["flat"], {"uncalibrated": [1.0]}, baseline="uncalibrated")
    with pytest.raises(ValueError, match="good"):
        run(table, {**temperatures, "good": np.ones(3)})
    with pytest.raises(ValueError, match="temperature"):
        run(table, {**temperatures, "good": np.zeros(360)})
    with pytest.raises(ValueError, match="-1 at row 0"):
        compare([[1.0, 0.0]], [-1], ["t"], {"uncalibrated": [1.0]}, baseline="uncalibrated")


def test_sixty_tasks_of_a_hundred_questions_take_seconds():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(6000, 4)), rng.integers(4, size=6000)
    tasks = np.repeat([f"{i:02d}" for i in range(60)], 100)
    used = {name: np.full(6000, 2.0) for name in ("uncalibrated", "pooled", "a", "b")}
    start = time.perf_counter()
    compare(scores, labels, tasks, used, baseline="pooled")
    assert time.perf_counter() - start < 15  # measured 2.6 s on one core
