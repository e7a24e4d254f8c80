"""Training: known temperatures are found on unseen tasks, and nothing leaks into validation."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
import recovery
import torch
import yaml
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from safetensors.torch import load_file

from thermometer import training as module
from thermometer.data import RandomTasks, TaskData, rows_of, set_aside
from thermometer.network import ThermometerConfig
from thermometer.objective import scaled_nll
from thermometer.scaling import fit_temperature, scale_scores
from thermometer.training import TrainingConfig

TINY = ThermometerConfig(("features",), n_components=4, n_members=2, hidden_size=8)
SHORT = TrainingConfig(max_steps=20, validate_every=5, patience=0)


def train(*arguments, trainer=None, **keywords):
    """`train` without a progress bar."""
    options = {"enable_progress_bar": False, **(trainer or {})}
    return module.train(*arguments, trainer=options, **keywords)


@pytest.fixture(scope="module")
def small_table():
    return recovery.make(n_tasks=6, n_rows=20, seed=1)[0]


def recovered(network, training, n_rows):
    """Typical error of the log temperature on unseen tasks, and that of the pooled one."""
    seen, _ = recovery.make(n_tasks=30, n_rows=n_rows, seed=0)
    unseen, truth = recovery.make(n_tasks=12, seed=1, prefix="unseen")
    calibrator = train(seen, network, training)
    calibration = calibrator.calibrate(unseen)
    error = np.log(calibration.temperature) - truth
    pooled = np.log(calibrator.pooled_temperature) - truth
    rows = np.arange(len(unseen))
    nll = {
        "thermometer": -np.log(calibration.probs[rows, unseen.labels]).mean(),
        "pooled": -np.log(
            scale_scores(unseen.scores, calibrator.pooled_temperature)[rows, unseen.labels]
        ).mean(),
        "truth": -np.log(scale_scores(unseen.scores, np.exp(truth))[rows, unseen.labels]).mean(),
    }
    of_tasks = [
        abs(
            np.log(calibrator.calibrate(unseen.of_tasks([name])).task_temperature)
            - truth[unseen.tasks == name].mean()
        )
        for name in unseen.task_names
    ]
    return np.sqrt((error**2).mean()), np.sqrt((pooled**2).mean()), np.mean(of_tasks), nll


@pytest.mark.parametrize(
    ("network", "training", "n_rows"),
    [
        pytest.param(
            replace(ThermometerConfig.features_only(), n_members=3),
            TrainingConfig.features_only(),
            80,
            id="features",
        ),
        pytest.param(
            ThermometerConfig.paper(64),
            replace(TrainingConfig.paper(), max_steps=300),
            160,
            id="paper",
        ),
    ],
)
def test_known_temperatures_are_recovered_on_unseen_tasks(network, training, n_rows):
    """Root mean squared error of log temperature below 0.35; the pooled one is off by 0.55.

    Of tasks, by less than 0.25 on average; and of the loss that the pooled temperature has more
    than the true ones have, six tenths are gained.
    """
    error, pooled, of_tasks, nll = recovered(network, training, n_rows)
    assert pooled > 0.5
    assert error < 0.35
    assert of_tasks < 0.25
    gained = (nll["pooled"] - nll["thermometer"]) / (nll["pooled"] - nll["truth"])
    assert gained > 0.6


def weights(calibrator):
    return calibrator.thermometer.state_dict()


def test_the_same_seed_gives_the_same_weights_and_leaves_the_generator_alone(small_table):
    torch.manual_seed(5)
    first = weights(train(small_table, TINY, SHORT))
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), after)
    second = weights(train(small_table, TINY, SHORT))  # from another state of the generator
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = weights(train(small_table, TINY, replace(SHORT, seed=1)))
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_members_differ(small_table):
    state = weights(train(small_table, TINY, SHORT))
    name = "branches.0.1.weight"
    assert not torch.equal(state[f"members.0.{name}"], state[f"members.1.{name}"])


def test_several_tables_are_one(small_table):
    halves = [small_table.select(np.arange(60)), small_table.select(np.arange(60, 120))]
    whole = weights(train(small_table, TINY, SHORT))
    joined = weights(train(halves, TINY, SHORT))
    assert all(torch.equal(whole[name], joined[name]) for name in whole)


def test_the_result_knows_where_it_comes_from(small_table):
    calibrator = train(small_table, TINY, SHORT, trainer={"accelerator": "cpu"})
    assert calibrator.train_tasks == small_table.task_names
    assert calibrator.record.features == {"model": "small"}
    assert calibrator.target == {"model": "large"}
    pooled = fit_temperature(small_table.scores, small_table.labels).temperature
    assert calibrator.pooled_temperature == pytest.approx(pooled)
    settings = yaml.safe_load(calibrator.record.training)
    assert ThermometerConfig(**settings["network"]) == TINY
    assert TrainingConfig(**settings["training"]) == SHORT
    assert settings["trainer"] == {"enable_progress_bar": False, "accelerator": "cpu"}
    assert not calibrator.thermometer.training
    assert not any(p.requires_grad for p in calibrator.thermometer.parameters())


def test_one_line_shows_how_far_it_is(small_table, capsys):
    module.train(small_table, TINY, SHORT)
    printed = capsys.readouterr().out.strip()
    assert re.fullmatch(r"training 2 networks \S* 100% 0:00:\d\d 0:00:00", printed)
    train(small_table, TINY, SHORT)
    assert capsys.readouterr().out == ""


class Watch(Callback):
    def __init__(self):
        self.threads = set()

    def on_train_batch_end(self, *_):
        self.threads.add(torch.get_num_threads())


def test_one_thread_is_enough(small_table):
    before, watch = torch.get_num_threads(), Watch()
    torch.set_num_threads(3)
    try:
        train(small_table, TINY, SHORT, trainer={"callbacks": [watch], "accelerator": "cpu"})
        assert (watch.threads, torch.get_num_threads()) == ({1}, 3)
    finally:
        torch.set_num_threads(before)


def test_a_bar_of_ones_own(small_table, capsys):
    module.train(small_table, TINY, SHORT, trainer={"callbacks": TQDMProgressBar()})
    assert "val_nll" in capsys.readouterr().out


def test_missing_labels_features_and_scores_are_refused(small_table):
    labels = small_table.labels.copy()
    labels[7] = -1
    with pytest.raises(ValueError, match=f"no label for question {small_table.ids[7]}"):
        train(replace(small_table, labels=labels), TINY, SHORT)
    with pytest.raises(ValueError, match="table with features"):
        train(replace(small_table, features=None), TINY, SHORT)
    with pytest.raises(ValueError, match="table with scores"):
        train(replace(small_table, scores=None), TINY, SHORT)
    with pytest.raises(ValueError, match="at least one table"):
        train([], TINY, SHORT)


def test_tables_of_different_provenance_are_refused(small_table):
    other = replace(small_table, ids=tuple(f"x{i}" for i in small_table.ids), provenance={})
    with pytest.raises(ValueError, match="of one provenance"):
        train([small_table, other], TINY, SHORT)


class Count(Callback):
    """What a user's own callback sees."""

    def __init__(self):
        self.steps = []
        self.tasks = []
        self.rows = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.tasks.append(batch)

    def on_fit_end(self, trainer, pl_module):
        self.steps.append(trainer.global_step)


def test_max_steps_is_respected_for_each_member_and_callbacks_are_kept(small_table):
    count = Count()
    training = replace(SHORT, max_steps=7)
    calibrator = train(small_table, TINY, training, trainer={"callbacks": [count]})
    assert count.steps == [7, 7]
    assert "Count" in yaml.safe_load(calibrator.record.training)["trainer"]["callbacks"][0]


def test_patience_stops_early(small_table):
    count = Count()
    training = replace(
        SHORT, max_steps=400, validate_every=2, patience=2, learning_rate=0.1, seed=0
    )
    train(small_table, TINY, training, trainer={"callbacks": [count]})
    assert max(count.steps) < 400


@pytest.mark.parametrize(("tasks_per_step", "expected"), [(0, 4), (1, 1), (3, 3), (100, 4)])
def test_tasks_per_step(small_table, tasks_per_step, expected):
    """Two of the six tasks are set aside by a single member with a fraction of a third."""
    count = Count()
    training = replace(
        SHORT, max_steps=12, tasks_per_step=tasks_per_step, validation_fraction=1 / 3
    )
    train(small_table, replace(TINY, n_members=1), training, trainer={"callbacks": count})
    assert all(len(batch) == len(set(batch)) == expected for batch in count.tasks)
    assert {task for batch in count.tasks for task in batch} == {0, 1, 2, 3}


def test_the_log_folder_holds_curves_and_the_best_weights(small_table, tmp_path):
    training = replace(SHORT, learning_rate=0.05)
    calibrator = train(small_table, TINY, training, log_dir=tmp_path / "logs")
    state = weights(calibrator)
    for number in range(2):
        folder = tmp_path / "logs" / f"member-{number}"
        best = load_file(folder / "best.safetensors")
        assert best
        for name, value in best.items():
            assert torch.equal(state[f"members.{number}.{name}"], value)
        with (folder / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        steps = [int(row["step"]) for row in rows if row["val_nll"]]
        assert steps == [4, 9, 14, 19]
        assert [row for row in rows if row["train_loss"]]


def test_the_weights_kept_are_those_of_the_best_validation(small_table, tmp_path):
    network = replace(TINY, n_members=1)
    training = replace(SHORT, learning_rate=0.1, max_steps=60, sample_weight=1.0)
    calibrator = train(small_table, network, training, log_dir=tmp_path)
    with (tmp_path / "member-0" / "metrics.csv").open() as file:
        losses = [float(row["val_nll"]) for row in csv.DictReader(file) if row["val_nll"]]
    data = table_data(small_table)
    _, validation = set_aside(data, "tasks", 0.2, 0, 1, training.seed)
    rows = torch.cat(validation.rows)
    b = -calibrator.thermometer(torch.tensor(small_table.features)[rows]).log()
    loss = float(scaled_nll(data.scores[rows], data.labels[rows], b).mean())
    assert loss == pytest.approx(min(losses), rel=1e-5)
    assert min(losses) < losses[-1] - 1e-3  # the last weights are not the best


def test_nothing_is_written_without_a_log_folder(small_table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(small_table, TINY, SHORT)
    assert not list(tmp_path.iterdir())


def test_fewer_steps_than_between_validations_still_validate(small_table, tmp_path):
    train(small_table, TINY, replace(SHORT, max_steps=3, validate_every=50), log_dir=tmp_path)
    assert (tmp_path / "member-0" / "best.safetensors").is_file()


@pytest.mark.parametrize("validation", ["rows", "tasks"])
@pytest.mark.parametrize("n_tasks", [1, 2])
def test_one_task_and_two_tasks_are_enough(n_tasks, validation):
    table, _ = recovery.make(n_tasks=n_tasks, n_rows=30)
    calibrator = train(table, TINY, replace(SHORT, validation=validation))
    assert np.isfinite(calibrator.temperature(table)).all()


def test_a_task_of_one_row_does_not_stop_the_rest(small_table):
    table = small_table.select(np.arange(101))  # the last task has one row
    for validation in ("rows", "tasks"):
        calibrator = train(table, TINY, replace(SHORT, validation=validation))
        assert np.isfinite(calibrator.temperature(table)).all()


def test_prior_pulls_towards_temperature_one(small_table):
    network = replace(TINY, n_members=1, dropout=0.0)
    training = replace(
        SHORT, max_steps=150, validate_every=150, learning_rate=0.02, sample_weight=0.0
    )
    free = train(small_table, network, training).temperature(small_table)
    held = train(small_table, network, replace(training, prior_weight=100.0))
    assert abs(np.log(held.temperature(small_table)).mean()) < 0.2
    assert abs(np.log(free).mean()) > 0.3


def test_double_precision_trains_and_gives_float32(small_table):
    calibrator = train(small_table, TINY, SHORT, trainer={"precision": "64-true"})
    assert {p.dtype for p in calibrator.thermometer.parameters()} == {torch.float32}
    assert np.isfinite(calibrator.temperature(small_table)).all()


def test_bfloat16_mixed_precision_trains(small_table):
    calibrator = train(small_table, TINY, SHORT, trainer={"precision": "bf16-mixed"})
    assert np.isfinite(calibrator.temperature(small_table)).all()


def table_data(table):
    return TaskData.from_rows(rows_of(table, frozenset()), {})


def row_sets(data):
    return [set(rows.tolist()) for rows in data.rows]


def test_rows_set_aside_are_disjoint_and_of_every_task(small_table):
    torch.manual_seed(0)
    data = table_data(small_table)
    training, validation = set_aside(data, "rows", 0.2, 0, 1)
    for whole, mine, theirs in zip(
        row_sets(data), row_sets(training), row_sets(validation), strict=True
    ):
        assert not mine & theirs
        assert mine | theirs == whole
        assert len(theirs) == 4


@pytest.mark.parametrize("n_members", [1, 2, 3, 5, 8])
def test_tasks_set_aside_are_disjoint_and_each_is_in_turn(small_table, n_members):
    data = table_data(small_table)
    everything, tested = set().union(*row_sets(data)), set()
    for member in range(n_members):
        training, validation = set_aside(data, "tasks", 0.2, member, n_members)
        mine, theirs = set().union(*row_sets(training)), set().union(*row_sets(validation))
        assert mine
        assert theirs
        assert not mine & theirs
        assert mine | theirs == everything
        tested |= theirs
    assert n_members == 1 or tested == everything


def test_a_batch_has_the_rows_of_its_tasks_only(small_table):
    data = table_data(small_table)
    rows, segment_ids = data.draw([4, 1], batch_size=7)
    assert segment_ids.tolist() == [0] * 7 + [1] * 7
    assert len(set(rows.tolist())) == 14
    assert set(small_table.tasks[rows[:7]]) == {"task 04"}
    assert set(small_table.tasks[rows[7:]]) == {"task 01"}
    rows, _ = data.draw([0], batch_size=500)
    assert len(rows) == 20


@pytest.mark.parametrize(("size", "expected"), [(2, 2), (0, 5), (9, 5)])
def test_random_tasks_are_of_one_number_and_never_end(size, expected):
    batches = [batch for batch, _ in zip(RandomTasks(5, size), range(40), strict=False)]
    assert all(len(batch) == len(set(batch)) == expected for batch in batches)
    assert {task for batch in batches for task in batch} == set(range(5))


def test_tasks_weigh_equally_whatever_their_size():
    """A task of ten times the rows does not pull the pooled temperature of both towards its own."""
    big, _ = recovery.make(n_tasks=1, n_rows=2000, seed=2, prefix="big")
    small, _ = recovery.make(n_tasks=1, n_rows=200, seed=3, prefix="small")
    network = replace(TINY, n_components=4, n_members=1, dropout=0.0)
    tables = [replace(t, features=np.zeros_like(t.features)) for t in (big, small)]
    training = TrainingConfig(
        max_steps=200,
        batch_size=2000,
        learning_rate=0.02,
        patience=0,
        validation="rows",
        weight_decay=0.0,
    )
    calibrator = train(tables, network, training)
    table = type(big).concatenate(tables)
    share = np.where(table.tasks == "big 00", 1 / 2000, 1 / 200)
    expected = fit_temperature(table.scores, table.labels, share).temperature
    pooled = calibrator.pooled_temperature
    assert abs(np.log(pooled / expected)) > 0.1
    assert calibrator.temperature(table)[0] == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize(
    "fields",
    [
        {"sample_weight": 1.5},
        {"prior_weight": -1},
        {"tasks_per_step": -1},
        {"batch_size": 0},
        {"learning_rate": 0},
        {"weight_decay": -0.1},
        {"max_steps": 0},
        {"validate_every": 0},
        {"patience": -1},
        {"validation": "none"},
        {"validation_fraction": 0},
        {"seed": -1},
    ],
)
def test_numbers_out_of_range_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        TrainingConfig(**fields)


def test_numpy_numbers_become_plain_ones(small_table):
    training = replace(SHORT, max_steps=np.int64(3), learning_rate=np.float32(0.01))
    calibrator = train(small_table, replace(TINY, hidden_size=np.int64(4)), training)
    assert yaml.safe_load(calibrator.record.training)["training"]["max_steps"] == 3
