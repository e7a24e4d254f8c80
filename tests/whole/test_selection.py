"""The choice of network and training looks at tasks held out in training, and at no others."""

from dataclasses import replace

import numpy as np
import pytest
from selection import held_out_nll, train_best
from worlds import QUIET, shapes

from thermometer.network import ThermometerConfig
from thermometer.scaling import fit_temperature, scale_scores
from thermometer.training import TrainingConfig, resolve, train

SHORT = TrainingConfig(max_steps=100)
SCORES = ThermometerConfig(("scores+debiased",), n_members=3, hidden_size=16)
NOISE = ThermometerConfig(("features",), n_components=4, n_members=3, hidden_size=16)


def mean_nll(table, probs):
    """Mean over tasks, written out."""
    losses = -np.log(probs[np.arange(len(table)), table.labels])
    return np.mean([losses[table.tasks == name].mean() for name in table.task_names])


def test_the_network_that_reads_what_matters_is_chosen():
    """In this world features are noise, and the scores say everything."""
    table, _ = shapes()
    found = train_best(table, {"noise": (NOISE, SHORT), "scores": (SCORES, SHORT)}, trainer=QUIET)
    assert found.name == "scores"
    assert found.calibrator.reads == {"scores"}
    assert found.held_out_nll["scores"] < found.held_out_nll["noise"] - 0.05
    unseen, _ = shapes(n_tasks=12, seed=1)
    loss = mean_nll(unseen, found.calibrator.calibrate(unseen).probs)
    assert found.held_out_nll["scores"] == pytest.approx(loss, abs=0.1)


def test_members_that_say_one_temperature_have_its_loss():
    table, _ = shapes(n_tasks=6, n=30)
    network = ThermometerConfig(("scores",), n_members=2, hidden_size=4)
    training = replace(SHORT, max_steps=1, learning_rate=1e-12)
    calibrator = train(table, network, training, trainer=QUIET)
    pooled = fit_temperature(table.scores, table.labels).temperature
    expected = mean_nll(table, scale_scores(table.scores, pooled))
    assert held_out_nll(calibrator, table, training) == pytest.approx(expected, rel=1e-5)


def test_without_candidates_or_held_out_tasks_there_is_no_choice():
    table, _ = shapes(n_tasks=3, n=20)
    with pytest.raises(ValueError, match="at least one candidate"):
        train_best(table, {})
    with pytest.raises(ValueError, match="by tasks in 'paper'"):
        train_best(table, {"paper": resolve("paper", {}, {})})
    for names in (["scores", "paper"], {"mine": "scores"}):
        with pytest.raises(TypeError, match=r"`candidates` to be a .*resolve\(\"scores\""):
            train_best(table, names)
