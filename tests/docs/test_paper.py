"""The `paper` preset is the published method, step by step, in arithmetic of its own.

Sections 1.1, 1.3 and 1.4 of the notes on Shen et al. (ICML 2024) and their code.
"""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import gammaln, logsumexp
from worlds import world

from thermometer.network import Thermometer, ThermometerConfig
from thermometer.training import TrainingConfig, train

NETWORK = ThermometerConfig.paper(6)


def literal_step(table, training):
    """Loss of the first step and the weights after it, in float64."""
    torch.manual_seed(training.seed)
    start = Thermometer(NETWORK, table.features.shape[1]).state_dict()
    p = {name: value.double().requires_grad_() for name, value in start.items()}
    torch.manual_seed(training.seed * 1000)
    rows = torch.randperm(len(table))[round(0.2 * len(table)) :].numpy()
    x = torch.from_numpy(table.features[rows]).double()
    logits, labels = torch.from_numpy(table.scores[rows]), table.labels[rows]
    outputs = []
    for i in range(3):
        branch = f"members.0.branches.{i}"
        hidden = torch.relu(x @ p[f"{branch}.1.weight"].T + p[f"{branch}.1.bias"])
        outputs.append(hidden @ p[f"{branch}.4.weight"].T + p[f"{branch}.4.bias"])
    z = torch.cat(outputs, 1) @ p["members.0.combine.weight"].T + p["members.0.combine.bias"]
    inverse = torch.log1p(torch.exp(z)).mean()
    scaled = inverse * logits
    entropy = (scaled.logsumexp(1) - scaled[torch.arange(len(rows)), labels]).mean()
    k, theta, tau = 1.25, 4.0, 1 / inverse
    log_gamma = (k - 1) * tau.log() - tau / theta - float(gammaln(k)) - k * np.log(theta)
    loss = entropy - 0.01 * log_gamma
    loss.backward()
    after = {}
    for name, value in p.items():  # AdamW's first step: the moments are corrected to g and g^2
        if value.grad is None:  # the scale of the answering model, which is no weight
            continue
        direction = value.grad / (value.grad.abs() + 1e-8)
        after[name] = (value * (1 - 1e-3 * 1e-4) - 1e-3 * direction).detach()
    return float(loss.detach()), after, float(inverse.detach()), rows


def test_one_step_is_the_published_one(tmp_path):
    table, _ = world(1, 90, seed=5)
    training = replace(TrainingConfig.paper(seed=3), max_steps=1, validate_every=1)
    loss, after, inverse, rows = literal_step(table, training)
    scaled = inverse * table.scores[rows]
    nll = (logsumexp(scaled, axis=1) - scaled[np.arange(len(rows)), table.labels[rows]]).mean()
    assert 0.001 < loss - nll < 0.1  # the prior is there, and small

    quiet = {"accelerator": "cpu", "enable_progress_bar": False}
    calibrator = train(table, NETWORK, training, trainer=quiet, log_dir=tmp_path)
    with (tmp_path / "member-0" / "metrics.csv").open() as file:
        (logged,) = [float(r["train_loss"]) for r in csv.DictReader(file) if r["train_loss"]]
    assert logged == pytest.approx(loss, rel=1e-5)
    found = calibrator.thermometer.state_dict()
    assert set(found) - set(after) == {"model_temperatures", "anchor", "shrinkage"}  # of the scores
    for name, value in after.items():
        np.testing.assert_allclose(found[name], value, atol=2e-6, err_msg=name)


def test_the_preset_has_the_published_numbers():
    training = TrainingConfig.paper()
    assert (training.learning_rate, training.weight_decay) == (1e-3, 1e-4)
    assert (training.max_steps, training.validate_every, training.batch_size) == (5000, 50, 128)
    assert (training.prior_weight, training.tasks_per_step) == (0.01, 1)
    assert (training.sample_weight, training.patience, training.validation) == (0.0, 0, "rows")
