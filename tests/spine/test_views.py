"""Thermometers that read scores of a whole task: what they need, and what they learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from worlds import QUIET, shapes

from thermometer.calibrator import Calibrator
from thermometer.data import random_groups
from thermometer.network import Pool, Thermometer, ThermometerConfig
from thermometer.tables import OutputTable
from thermometer.training import TrainingConfig, resolve, train


@pytest.fixture(scope="module")
def trained():
    table, _ = shapes()
    config = ThermometerConfig(n_components=4, n_members=2, hidden_size=16)
    return train(table, config, TrainingConfig(max_steps=200), trainer=QUIET)


def test_temperatures_that_show_in_the_scores_are_found_on_unseen_tasks(trained):
    table, truth = shapes(n_tasks=10, seed=1)
    table = replace(table, tasks=np.char.add("new ", table.tasks))
    error = np.log(trained.temperature(table)) - np.log(truth)
    pooled = np.log(trained.pooled_temperature) - np.log(truth)
    assert np.sqrt(np.mean(error**2)) < 0.25
    assert np.sqrt(np.mean(pooled**2)) > 0.6


def test_what_is_known_of_tasks_held_out_and_of_those_of_the_training(trained):
    assert 0.02 <= trained.record.spread < 0.3
    assert set(trained.record.domain.points) == {"features", "scores", "positions", "debiased"}


def test_few_prompts_work_and_more_work_better(trained):
    table, truth = shapes(n_tasks=12, seed=2)
    errors = []
    for size in (1, 10, 60):
        part = table.select([i for i in range(len(table)) if i % 60 < size])
        error = np.log(trained.temperature(part)) - np.log(
            truth[[i % 60 < size for i in range(720)]]
        )
        errors.append(np.sqrt(np.mean(error**2)))
    assert errors[0] < 0.6
    assert errors[2] < errors[1] < errors[0]


def test_prompts_of_a_table_are_read_by_their_tasks(trained):
    table, _ = shapes(n_tasks=3, seed=3)
    together = trained.temperature(table)
    for name in table.task_names:
        rows = table.tasks == name
        alone = trained.temperature(table.select(rows))
        assert together[rows] == pytest.approx(alone, rel=1e-5)
    shuffled = np.random.default_rng(0).permutation(len(table))
    assert trained.temperature(table.select(shuffled)) == pytest.approx(
        together[shuffled], rel=1e-4
    )


def test_scores_that_are_read_must_be_given(trained):
    table, _ = shapes(n_tasks=2, seed=4)
    assert trained.reads == {"features", "scores"}
    with pytest.raises(ValueError, match="`scores` to be given, since this thermometer reads them"):
        trained.temperature(replace(table, scores=None))
    with pytest.raises(ValueError, match="`scores` to be of length 120"):
        trained.temperature(table, table.scores[:5])
    assert np.array_equal(
        trained.temperature(replace(table, scores=None), table.scores), trained.temperature(table)
    )


def test_a_checkpoint_keeps_everything(trained, tmp_path):
    trained.save_pretrained(tmp_path / "checkpoint")
    again = Calibrator.from_pretrained(tmp_path / "checkpoint")
    table, _ = shapes(n_tasks=2, seed=5)
    assert np.array_equal(again.temperature(table), trained.temperature(table))
    assert again.thermometer.config == trained.thermometer.config


def test_a_scores_only_thermometer_needs_no_features(tmp_path):
    table, _ = shapes(n_tasks=8)
    network, training = resolve("scores", {"n_members": 2}, {"max_steps": 20})
    calibrator = train(replace(table, features=None), network, training, trainer=QUIET)
    assert calibrator.reads == {"scores"}
    result = calibrator.calibrate(["any prompt"] * len(table), table.scores)
    assert result.probs.sum(axis=1) == pytest.approx(1)
    calibrator.save_pretrained(tmp_path / "c")
    again = Calibrator.from_pretrained(tmp_path / "c")
    assert np.array_equal(again.calibrate(["x"] * len(table), table.scores).probs, result.probs)


@pytest.mark.parametrize(
    ("view", "needed"),
    [
        ("features", {"features"}),
        ("scores", {"scores"}),
        ("positions", {"scores"}),
        ("debiased", {"scores"}),
        ("scores+features", {"features", "scores"}),
    ],
)
def test_every_view_asks_for_what_it_reads_and_trains(view, needed):
    table, _ = shapes(n_tasks=6, n=20)
    config = ThermometerConfig((view,), n_components=3, n_members=1, hidden_size=4)
    calibrator = train(table, config, TrainingConfig(max_steps=5), trainer=QUIET)
    assert calibrator.reads == needed
    assert (calibrator.temperature(table) > 0).all()


def test_unknown_views_are_refused():
    sources = "'debiased', 'features', 'model', 'positions', 'reference', 'scores'"
    with pytest.raises(ValueError, match=f"`views` to be one of {sources}"):
        ThermometerConfig(("scores+magic",))
    with pytest.raises(ValueError, match="at least one view"):
        ThermometerConfig(())
    with pytest.raises(TypeError, match="views"):
        ThermometerConfig("scores")
    with pytest.raises(ValueError, match="n_features"):
        Thermometer(ThermometerConfig(("features",)), 0)
    network = Thermometer(ThermometerConfig(n_components=2), 3)
    with pytest.raises(ValueError, match="`features` to be given"):
        network(scores=torch.randn(2, 3))


def test_random_groups_hold_rows_of_one_task_and_all_sizes():
    torch.manual_seed(0)
    segment_ids = torch.arange(3).repeat_interleave(torch.tensor([40, 1, 17]))
    sizes = set()
    for _ in range(60):
        groups = random_groups(segment_ids)
        assert (groups.diff() >= 0).all()
        assert (groups.diff() <= 1).all()
        for group in groups.unique():
            assert len(segment_ids[groups == group].unique()) == 1
        sizes.add(int((groups == 0).sum()))
    assert {1, 40} <= sizes
    assert len(sizes) > 10


def test_pools_are_means_over_the_rows_of_a_group():
    torch.manual_seed(0)
    pool = Pool(5, 3).double()
    rows, groups = torch.randn(9, 5).double() * 3, torch.tensor([2, 0, 2, 2, 0, 1, 0, 2, 4])
    found = pool(rows, groups).detach().numpy()
    parameters = {name: value.numpy() for name, value in pool.state_dict().items()}
    x = rows.numpy()
    z = x @ parameters["read.weight"].T + parameters["read.bias"]
    values = z / (1 + np.exp(-z))
    for row, group in enumerate(groups):
        here = groups.numpy() == int(group)
        np.testing.assert_allclose(found[row, :3], values[here].mean(axis=0), rtol=1e-12)
        assert found[row, 3] == pytest.approx(here.sum() ** -0.5)
    alone = pool.requires_grad_(False)(rows[:1].expand(50, 5), torch.zeros(50, dtype=torch.int64))
    assert float(alone[0, 3]) == pytest.approx(32**-0.5)  # of more rows it says no more


def test_what_all_prompts_of_a_task_say_is_found_by_pooling_alone():
    """A row's own scores say nothing here; their spread over the task says it all."""
    rng = np.random.default_rng(0)

    def world(n_tasks, prefix):
        level = rng.uniform(-1, 1, n_tasks).repeat(40)
        scores = rng.normal(size=(len(level), 4)) * np.exp(rng.normal(0, 1, len(level)))[:, None]
        truth = np.exp(2 * level)
        labels = (scores / truth[:, None] + rng.gumbel(size=scores.shape)).argmax(axis=1)
        scores *= np.exp(level)[:, None]
        names = [f"{prefix}{i // 40}" for i in range(len(level))]
        ids = [f"{prefix}{i}" for i in range(len(level))]
        return OutputTable.from_arrays(ids, names, labels, scores), truth * np.exp(level)

    seen, _ = world(40, "s")
    unseen, truth = world(12, "u")
    errors = {}
    for size in (0, 32):
        config = ThermometerConfig(("scores",), pool_size=size, n_members=2, hidden_size=16)
        calibrator = train(seen, config, TrainingConfig(max_steps=200), trainer=QUIET)
        error = np.log(calibrator.temperature(unseen)) - np.log(truth)
        errors[size] = np.sqrt(np.mean(error**2))
    assert errors[32] < 0.75 * errors[0]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_training_in_half_precision_says_much_the_same(precision):
    table, truth = shapes(n_tasks=16)
    config = ThermometerConfig(("scores+debiased",), n_members=2, hidden_size=16)
    calibrator = train(
        table, config, TrainingConfig(max_steps=100), trainer={**QUIET, "precision": precision}
    )
    error = np.log(calibrator.temperature(table)) - np.log(truth)
    assert np.sqrt(np.mean(error**2)) < 0.35


def test_rows_are_pooled_with_their_own_task_only():
    torch.manual_seed(0)
    network = Thermometer(ThermometerConfig.scores_only()).eval()
    scores, groups = torch.randn(40, 4) * 3, torch.arange(40) // 20
    together, alone = network(None, scores, groups), network(None, scores[20:])
    assert together[20:].detach().numpy() == pytest.approx(alone.detach().numpy(), rel=1e-4)
    assert network(None, scores)[0] != together[0]


def test_a_pool_of_less_than_nothing_is_refused():
    with pytest.raises(ValueError, match="`pool_size` to be an integer of at least 0"):
        ThermometerConfig(pool_size=-1)
