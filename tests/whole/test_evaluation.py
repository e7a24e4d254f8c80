"""Evaluation: tested tasks are unseen, labels stay hidden, known temperatures close the gap."""

import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic import TEMPERATURES, make_fit, make_table

from thermometer.calibrator import Calibrator
from thermometer.evaluation import cross_validate, evaluate
from thermometer.protocols import Protocol
from thermometer.scaling import fit_temperature
from thermometer.training import resolve, train


@pytest.fixture(scope="module")
def table():
    return make_table()


@pytest.fixture(scope="module")
def report(table):
    return cross_validate(table, make_fit(), n_resamples=200, progress=False)


def quick(table, fit, protocol=None, **options):
    return cross_validate(table, fit, protocol, n_resamples=20, progress=False, **options)


def test_every_task_is_tested_by_a_fit_that_never_saw_it(table):
    given = []

    def fit(seen):
        given.append(seen)
        return make_fit()(seen)

    result = quick(table, fit, Protocol(folds=4, seed=1))
    assert [task.task for task in result.tasks] == sorted(TEMPERATURES)
    assert len(given) == 4
    for task in result.tasks:
        seen = given[task.fold]
        assert task.task not in seen.task_names
        assert len(seen.task_names) == 9
        assert not task.seen
        pooled = fit_temperature(seen.scores, seen.labels).temperature
        assert task.pooled_temperature == pooled
        odds = np.exp(table.scores[table.tasks == task.task] / pooled)
        chosen = odds[np.arange(60), table.labels[table.tasks == task.task]] / odds.sum(axis=1)
        assert task.metrics["pooled"]["nll"] == pytest.approx(-np.log(chosen).mean())
    assert {task.fold for task in result.tasks} == {0, 1, 2, 3}


class Blind(Calibrator):
    def temperature(self, rows):
        assert (rows.labels == -1).all()
        assert not set(rows.task_names) & set(self.train_tasks)
        return super().temperature(rows)


def test_predictions_see_no_labels(table):
    def fit(seen):
        made = make_fit()(seen)
        return Blind(made.thermometer, made.record)

    quick(table, fit)


def test_a_fit_that_saw_the_tested_tasks_is_caught(table):
    with pytest.raises(ValueError, match="trained on task"):
        quick(table, lambda seen: make_fit()(table))


def test_known_temperatures_close_the_gap(report):
    closed = report.methods["thermometer"].mean_over_tasks["gap_closed"]
    assert closed.estimate > 0.8
    assert closed.low > 0.5
    for baseline in ("uncalibrated", "pooled"):
        difference = report.difference("thermometer", baseline)
        assert difference.mean_over_tasks["nll"].high < 0
        assert difference.mean_over_tasks["smooth_ece"].high < 0
        assert difference.all_rows["nll"].high < 0
    assert report.methods["thermometer"].mean_over_tasks["log_ratio"].estimate < 0.3
    for task in report.tasks:
        assert task.temperature == pytest.approx(TEMPERATURES[task.task], rel=1e-6)
        assert task.n == 60
        assert task.n_options == pytest.approx(11 / 3)


def test_opposite_temperatures_are_reported_as_worse(table):
    result = quick(table, make_fit(sign=-1.0))
    assert result.methods["thermometer"].mean_over_tasks["gap_closed"].estimate < 0
    assert "rises" in result.verdict
    assert "further from the oracle" in result.verdict
    assert "worse than the uncalibrated one on" in result.verdict


def test_task_temperature_is_the_mean_over_the_task(table):
    noisy = replace(table, features=table.features.copy())
    noisy.features[:, 0] += np.random.default_rng(0).normal(size=len(table)) * 0.2
    result = quick(noisy, make_fit())
    predicted = make_fit()(noisy).temperature(noisy)
    for task in result.tasks:
        rows = noisy.tasks == task.task
        expected = 60 / sum(1 / value for value in predicted[rows])
        assert task.temperature == pytest.approx(expected)
        probs = np.exp(noisy.scores[rows] / task.temperature)
        chosen = probs[np.arange(60), noisy.labels[rows]] / probs.sum(axis=1)
        nll = task.metrics["thermometer_task"]["nll"]
        assert nll == pytest.approx(-np.log(chosen).mean(), rel=1e-6)
        assert nll != pytest.approx(task.metrics["thermometer"]["nll"], rel=1e-6)


def test_only_held_out_tasks_are_measured(table):
    result = quick(table, make_fit(), Protocol(held_out=("task 0[0-2]",)))
    assert [task.task for task in result.tasks] == ["task 00", "task 01", "task 02"]
    assert result.n_rows == 180
    assert result.protocol["held_out"] == ["task 0[0-2]"]
    assert "held-out tasks task 0[0-2]" in result.protocol["description"]


def test_a_finished_calibrator_is_tested_on_other_tasks_only(table):
    names = table.task_names
    calibrator = make_fit()(table.of_tasks(names[:8]))
    result = evaluate(table.of_tasks(names[8:]), calibrator, n_resamples=20)
    assert len(result.tasks) == 4
    assert not result.seen
    assert "unseen tasks" in result.verdict
    with pytest.raises(ValueError, match=r"trained on 8 of 12: task 00, .* allow_seen=True"):
        evaluate(table, calibrator)
    result = evaluate(table, calibrator, allow_seen=True, n_resamples=20)
    assert result.seen == names[:8]
    assert result.verdict.startswith("No test on unseen tasks: the thermometer was trained on 8 of")
    assert "unseen" not in result.verdict.removeprefix("No test on unseen tasks")


def test_the_same_seed_gives_the_same_report(table, report):
    again = cross_validate(table, make_fit(), n_resamples=200, progress=False)
    assert replace(again, created=report.created).to_json() == report.to_json()
    other = cross_validate(table, make_fit(), n_resamples=200, seed=1, progress=False)
    ours, theirs = (r.methods["thermometer"].all_rows["nll"] for r in (report, other))
    assert ours.estimate == theirs.estimate
    assert ours.low != theirs.low


def test_it_says_what_it_was_made_from(report):
    assert report.provenance["scores"]["model"] == "synthetic"
    assert set(report.versions) == {
        *("python", "thermometer", "torch", "transformers", "lightning", "numpy")
    }
    assert report.settings == {"seed": 0, "n_resamples": 200, "coverage": 0.95}
    with pytest.raises(KeyError, match="thermometer - uncalibrated"):
        report.difference("oracle", "uncalibrated")


def test_one_task_is_measured_without_intervals(table):
    result = quick(table, make_fit(), Protocol(held_out=("task 05",)))
    assert math.isnan(result.methods["thermometer"].mean_over_tasks["nll"].low)
    assert result.verdict.startswith("On 1 unseen task (60 questions)")
    assert "nan" not in result.verdict


def test_what_cannot_be_measured_is_refused(table):
    labels = table.labels.copy()
    labels[7] = -1
    with pytest.raises(ValueError, match=r"labelled in every row.* 1 of 720 .*task 00/7"):
        quick(replace(table, labels=labels), make_fit())
    with pytest.raises(ValueError, match="with scores"):
        quick(replace(table, scores=None), make_fit())
    with pytest.raises(ValueError, match="with features"):
        evaluate(replace(table, features=None), make_fit()(table), allow_seen=True)
    with pytest.raises(TypeError, match=r"`table` to be a OutputTable .*, but got Calibrator"):
        evaluate(make_fit()(table), table)
    with pytest.raises(TypeError, match=r"`table` to be a OutputTable .* but got list"):
        quick([table, table], make_fit())
    with pytest.raises(TypeError, match=r"`calibrator` to be a Calibrator .*, but got dict"):
        evaluate(table, {"mine": make_fit()(table)})


def test_a_thermometer_of_scores_is_measured_without_features(table):
    bare = replace(table, features=None)

    def fit(seen):
        network, training = resolve("scores", {"n_members": 1}, {"max_steps": 5})
        return train(seen, network, training, trainer={"enable_progress_bar": False})

    assert len(quick(bare, fit, Protocol(folds=2)).tasks) == len(TEMPERATURES)
    names = bare.task_names
    calibrator = fit(bare.of_tasks(names[:6]))
    assert len(evaluate(bare.of_tasks(names[6:]), calibrator, n_resamples=20).tasks) == 6
    with pytest.raises(ValueError, match="with features"):
        quick(bare, make_fit())


def test_progress_can_be_seen_and_silenced(table, capsys):
    quick(table, make_fit())
    assert capsys.readouterr().out == ""
    cross_validate(table, make_fit(), Protocol(folds=2), n_resamples=20)
