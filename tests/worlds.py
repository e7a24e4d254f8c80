"""Tables in which the right temperature of every row is known and can be read from its features."""

import numpy as np

from thermometer.tables import OutputTable

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
