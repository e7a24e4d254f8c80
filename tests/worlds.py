"""Tables in which the right temperature of every row is known and can be read from its features."""

import numpy as np

from thermometer.network import ThermometerConfig
from thermometer.tables import OutputTable
from thermometer.training import TrainingConfig

QUIET = {"enable_progress_bar": False}
SCORES = ThermometerConfig(("scores+debiased",), n_members=2, hidden_size=16)
SHORT = TrainingConfig(max_steps=150)
N_FEATURES = 24
N_OPTIONS = 4


def world(n_tasks=30, n=100, *, seed=0, prefix="task", spread=0.0, provenance=None):
    """A table and the (N,) temperatures by which its scores are too large.

    Labels are drawn from softmax(scores / temperature). The log temperature of a task is uniform
    in [log 0.5, log 5]; those of its rows differ from it by `spread` standard deviations. Features
    are a linear mixture of the log temperature with seven numbers that mean nothing, and a little
    noise; the mixture is the same in all worlds.
    """
    mixture = np.random.default_rng(1234).normal(size=(8, N_FEATURES))
    rng = np.random.default_rng(seed)
    of_task = rng.uniform(np.log(0.5), np.log(5), size=n_tasks).repeat(n)
    log_temperature = of_task + spread * rng.normal(size=n_tasks * n)
    meaning = np.column_stack([log_temperature, rng.normal(size=(n_tasks * n, 7))])
    features = 2 + meaning @ mixture + 0.1 * rng.normal(size=(n_tasks * n, N_FEATURES))
    true = rng.normal(size=(n_tasks * n, N_OPTIONS)) * 2
    odds = np.exp(true)
    labels = (rng.random(len(true))[:, None] > (odds / odds.sum(1, keepdims=True)).cumsum(1)).sum(1)
    temperature = np.exp(log_temperature)
    table = OutputTable.from_arrays(
        [f"{prefix} {i // n:02d}/{i % n}" for i in range(n_tasks * n)],
        [f"{prefix} {i // n:02d}" for i in range(n_tasks * n)],
        labels,
        true * temperature[:, None],
        features,
        provenance or {},
    )
    return table, temperature


def shapes(n_tasks=24, n=60, seed=0):
    """Tasks whose best temperature shows in the spread of their scores, and nowhere else."""
    rng = np.random.default_rng(seed)
    log_temperature = rng.uniform(np.log(0.5), np.log(5), n_tasks).repeat(n)
    true = rng.normal(size=(n_tasks * n, 4)) * 2
    odds = np.exp(true)
    draws = rng.random(len(true))[:, None]
    labels = (draws > (odds / odds.sum(1, keepdims=True)).cumsum(1)).sum(1)
    names = [f"t{i // n:02d}" for i in range(n_tasks * n)]
    table = OutputTable.from_arrays(
        [f"{name}/{i}" for i, name in enumerate(names)],
        names,
        labels,
        true * np.exp(log_temperature)[:, None],
        rng.normal(size=(n_tasks * n, 6)),
        {"features": {"model": "small"}, "scores": {"model": "large"}},
    )
    return table, np.exp(log_temperature)


def answers(model, scale, level=2.0, n_tasks=24, n=50, seed=0, first=0, n_features=5):
    """A model whose tasks have log temperatures around log `scale`, told by the spread of scores.

    `level` is how far true scores spread: how much the model knows. Returns the true temperatures.
    """
    rng = np.random.default_rng(seed)
    log_temperature = np.log(scale) + rng.uniform(-0.7, 0.7, n_tasks).repeat(n)
    true = rng.normal(size=(n_tasks * n, 4)) * level
    labels = (true + rng.gumbel(size=true.shape)).argmax(axis=1)
    tasks = [f"task {first + i // n:02d}" for i in range(n_tasks * n)]
    table = OutputTable.from_arrays(
        [f"{task}/{i % n}" for i, task in enumerate(tasks)],
        tasks,
        labels,
        true * np.exp(log_temperature)[:, None],
        rng.normal(size=(n_tasks * n, n_features)),
        {"features": {"model": "small"}, "scores": {"model": model}},
    )
    return table, np.exp(log_temperature)
