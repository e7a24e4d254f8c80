"""A stream of prompts: every one sees only the past, and the past is forgotten."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import QUIET, shapes

from thermometer.adaptation import TemperatureStream, for_model
from thermometer.calibrator import Calibrator
from thermometer.checkpoint import TrainingRecord
from thermometer.network import Thermometer, ThermometerConfig
from thermometer.training import TrainingConfig, resolve, train


@pytest.fixture(scope="module")
def calibrator():
    table, _ = shapes()
    network, _ = resolve("scores", {"n_members": 2, "hidden_size": 16}, {})
    return train(table, network, TrainingConfig(max_steps=150), trainer=QUIET)


def test_each_prompt_is_calibrated_in_the_context_of_the_window(calibrator):
    table, _ = shapes(n_tasks=1, n=30, seed=7)
    found = TemperatureStream(calibrator, window=10).push(scores=table.scores)
    for row in (0, 4, 9, 10, 29):
        past = table.select(np.arange(max(0, row - 9), row + 1))
        assert found.temperature[row] == pytest.approx(calibrator.temperature(past)[-1], rel=1e-4)


def test_the_running_temperature_is_a_weighted_harmonic_mean(calibrator):
    table, _ = shapes(n_tasks=1, n=12, seed=8)
    stream = TemperatureStream(calibrator, half_life=3.0)
    parts = [stream.push(scores=table.scores[:5]), stream.push(scores=table.scores[5:])]
    temperature = np.concatenate([part.temperature for part in parts])
    running = np.concatenate([part.task_temperature for part in parts])
    for row in range(12):
        weight = 0.5 ** ((row - np.arange(row + 1)) / 3.0)
        expected = weight.sum() / (weight / temperature[: row + 1]).sum()
        assert running[row] == pytest.approx(expected)


def test_a_change_of_subject_is_followed(calibrator):
    table, truth = shapes(n_tasks=12, n=60, seed=9)
    cold, hot = (table.task_names[i] for i in (np.argmin(truth[::60]), np.argmax(truth[::60])))
    stream = TemperatureStream(calibrator, window=20, half_life=10)
    before = stream.push(scores=table.of_tasks([cold]).scores)
    after = stream.push(scores=table.of_tasks([hot]).scores)
    ratio = after.task_temperature[-1] / before.task_temperature[-1]
    true_ratio = truth[::60].max() / truth[::60].min()
    assert np.log(ratio) == pytest.approx(np.log(true_ratio), abs=0.7)
    assert ratio > 2


def test_numbers_of_options_may_change(calibrator):
    stream = TemperatureStream(calibrator, window=4)
    for k in (4, 2, 5, 3):
        assert stream.push(scores=np.eye(k)[:1] * 3).temperature[0] > 0


def test_wrong_calls_are_refused(calibrator):
    with pytest.raises(ValueError, match="`scores` to be given"):
        TemperatureStream(calibrator).push(features=[[1.0]])
    with pytest.raises(ValueError, match="of one length"):
        TemperatureStream(calibrator).push(scores=[[1.0, 2.0]], features=np.ones((2, 3)))
    with pytest.raises(ValueError, match="window"):
        TemperatureStream(calibrator, window=0)


def test_wrong_features_are_refused_and_leave_the_stream_as_it_was():
    config = ThermometerConfig(("scores+features",), n_components=2, n_members=1)
    calibrator = Calibrator(Thermometer(config, n_features=3), TrainingRecord(["t"], 1.0))
    stream, untouched = TemperatureStream(calibrator), TemperatureStream(calibrator)
    good = {"scores": [[2.0, 0.0]], "features": [[1.0, 2.0, 3.0]]}
    stream.push(**good)
    untouched.push(**good)
    for wrong in ([[1.0, 2.0]], [1.0, 2.0, 3.0], [[1.0, np.nan, 3.0]]):
        with pytest.raises(ValueError, match="`features` to be"):
            stream.push(scores=[[0.0, 9.0]], features=wrong)
    found, expected = stream.push(**good), untouched.push(**good)
    assert np.array_equal(found.temperature, expected.temperature)
    assert np.array_equal(found.task_temperature, expected.task_temperature)


def test_a_stream_is_of_the_answering_model_that_was_chosen():
    table, _ = shapes(n_tasks=8, n=20)
    hot = replace(
        table, scores=table.scores * 4, provenance={**table.provenance, "scores": {"model": "hot"}}
    )
    network, _ = resolve("scores", {"n_members": 1, "hidden_size": 8}, {})
    both = train([table, hot], network, TrainingConfig(max_steps=10), trainer=QUIET)
    chosen, task = for_model(both, "hot"), hot.of_tasks(["t03"])
    found = TemperatureStream(chosen).push(scores=task.scores).temperature
    assert found[-1] == pytest.approx(chosen.temperature(task)[-1], rel=1e-4)
