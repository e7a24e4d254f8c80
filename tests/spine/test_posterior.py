"""A few labels as evidence on a predicted temperature, and how far a task is from the training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import reference
from scipy.integrate import quad
from synthetic import make_fit, make_table

from thermometer.posterior import Domain, factor_posterior, fit_spread, log_likelihoods, verdict
from thermometer.scaling import fit_temperature


def world(n, factor, seed, k=4):
    """Scores that are `factor` times as hot as predicted, and labels."""
    rng = np.random.default_rng(seed)
    temperature = rng.uniform(1, 3, n)
    scores = rng.normal(size=(n, k)) * 5
    logits = scores / (temperature * factor)[:, None] + rng.gumbel(size=(n, k))
    return scores, logits.argmax(axis=1), temperature


def test_the_posterior_is_that_of_the_formula():
    scores, labels, temperature = world(12, 1.5, seed=0)
    scores[::4, 3] = -np.inf
    labels = np.where(labels == 3, 0, labels)
    spread = 0.4

    def density(d, power=0):
        rows = [[s for s in row if s > -math.inf] for row in scores.tolist()]
        likelihood = math.exp(
            sum(
                math.log(reference.softmax(row, t * math.exp(d))[y])
                for row, y, t in zip(rows, labels, temperature, strict=True)
            )
        )
        return d**power * likelihood * math.exp(-0.5 * (d / spread) ** 2)

    mass, first, second = (quad(density, -3, 3, args=(p,), limit=200)[0] for p in (0, 1, 2))
    found = factor_posterior(scores, labels, temperature, spread)
    assert math.log(found.factor) == pytest.approx(first / mass, abs=2e-3)
    deviation = math.sqrt(second / mass - (first / mass) ** 2)
    assert found.standard_error == pytest.approx(deviation, abs=2e-3)
    assert found.low < found.factor < found.high
    assert found.n_labels == 12


def test_many_labels_are_temperature_scaling():
    scores, labels, _ = world(4000, 1.7, seed=1)
    one = np.full(4000, 2.0)
    found = factor_posterior(scores, labels, one, spread=0.5)
    assert found.factor * 2 == pytest.approx(fit_temperature(scores, labels).temperature, rel=0.01)
    assert found.standard_error < 0.05


def test_never_worse_than_either_end_in_expectation():
    """Where the spread is the true one, the posterior mean has the least error in log."""
    rng = np.random.default_rng(2)
    errors = {"prior": [], "labels": [], "posterior": []}
    for seed in range(60):
        d = rng.normal() * 0.4
        scores, labels, temperature = world(20, math.exp(d), seed=100 + seed)
        found = factor_posterior(scores, labels, temperature, spread=0.4)
        alone = fit_temperature(scores / temperature[:, None], labels).temperature
        errors["prior"].append(d**2)
        errors["labels"].append((math.log(alone) - d) ** 2)
        errors["posterior"].append((math.log(found.factor) - d) ** 2)
    means = {name: np.mean(values) for name, values in errors.items()}
    assert means["posterior"] < 0.9 * means["prior"]
    assert means["posterior"] < 0.9 * means["labels"]


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(3)
    inside = 0
    for seed in range(200):
        d = rng.normal() * 0.3
        scores, labels, temperature = world(10, math.exp(d), seed=seed)
        found = factor_posterior(scores, labels, temperature, spread=0.3, coverage=0.8)
        inside += found.low <= math.exp(d) <= found.high
    assert 0.7 < inside / 200 < 0.9


def test_the_spread_of_tasks_is_found():
    rng = np.random.default_rng(4)
    for spread in (0.15, 0.6):
        rows = []
        for seed in range(60):
            scores, labels, temperature = world(80, math.exp(rng.normal() * spread), seed=seed)
            rows.append(log_likelihoods(scores, labels, temperature))
        assert fit_spread(rows) == pytest.approx(spread, rel=0.35)


def test_wrong_arguments_are_refused():
    scores, labels, temperature = world(3, 1.0, seed=5)
    with pytest.raises(ValueError, match="`temperature` to be a vector of length 3"):
        factor_posterior(scores, labels, temperature[:2], 0.3)
    with pytest.raises(ValueError, match="labels"):
        factor_posterior(scores, [0, 9, 0], temperature, 0.3)
    with pytest.raises(ValueError, match="spread"):
        factor_posterior(scores, labels, temperature, 0.0)


def test_update_turns_a_calibration_by_its_labels():
    table = make_table(n=60)
    calibrator = make_fit()(table)
    task = table.of_tasks(["task 06"])
    wrong = replace(task, scores=task.scores * 1.6)  # hotter than the features say
    with pytest.raises(ValueError, match="`spread` to be known"):
        calibrator.update(wrong, wrong.labels)
    calibrator = calibrator.with_record(spread=0.4)
    before = calibrator.calibrate(wrong)
    none, factor = calibrator.update(wrong, np.full(60, -1))
    assert factor.n_labels == 0
    assert none.temperature == pytest.approx(before.temperature)
    some = np.where(np.arange(60) < 40, wrong.labels, -1)
    after, factor = calibrator.update(wrong, some)
    assert factor.n_labels == 40
    assert factor.factor > 1.1
    assert after.temperature == pytest.approx(before.temperature * factor.factor)
    assert after.task_temperature == pytest.approx(before.task_temperature * factor.factor)
    assert after.standard_error < 0.4
    assert after.probs.max(axis=1).mean() < before.probs.max(axis=1).mean()
    with pytest.raises(ValueError, match=r"`labels` to be of shape \(60,\)"):
        calibrator.update(wrong, [1, 2])
    with pytest.raises(ValueError, match="`scores` to be known"):
        calibrator.update(replace(wrong, scores=None), some)


def test_distances_are_those_to_the_nearest_task():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0], [2.0, 1.0]])
    domain = Domain({"scores": points})
    scaled = points / points.std(axis=0)
    nearest = [
        min(np.linalg.norm(a - b) for j, b in enumerate(scaled) if j != i)
        for i, a in enumerate(scaled)
    ]
    new = np.array([5.0, 5.0])
    expected = min(np.linalg.norm(new / points.std(axis=0) - b) for b in scaled) / max(nearest)
    assert domain.distances({"scores": new})["scores"] == pytest.approx(expected)
    assert domain.distances({"scores": points[2]})["scores"] == 0
    assert Domain({"scores": points[:2]}).distances({"scores": new}) == {}
    assert verdict({}) == (True, "")


def test_a_far_task_is_flagged_with_a_reason():
    table = make_table(n=40)
    calibrator = make_fit()(table)
    means = [table.features[table.tasks == t].mean(axis=0) for t in table.task_names]
    domain = Domain({"features": np.array(means, dtype=np.float64)})
    calibrator = calibrator.with_record(domain=domain)
    near = calibrator.calibrate(table.of_tasks(["task 03"]))
    assert near.in_domain
    assert not near.warnings
    far = calibrator.calibrate(replace(table, features=table.features + 30))
    assert far.in_domain is False
    assert far.distances["features"] > 1
    assert "the hidden states of its prompts" in far.warnings[0]
    assert make_fit()(table).calibrate(table).in_domain is None
