"""Tasks whose temperature is a smooth function of their features, to be found on unseen tasks."""

import numpy as np

from thermometer.tables import OutputTable

WIDTH = 80
MIX = np.random.default_rng(99).normal(size=(6, WIDTH)) / np.sqrt(6)


def log_temperature(place):
    """The truth: between temperatures of 0.6 and 6, curved."""
    return 0.65 + 0.8 * np.tanh(place[..., 0]) + 0.35 * np.cos(2 * place[..., 1])


def make(n_tasks=30, n_rows=80, seed=0, prefix="task", labelled=True):
    """A table, and the log temperature of each row.

    Tasks are places in a plane; features are a linear image of the place, of four directions that
    say nothing, and of a little noise. Labels are drawn from softmax(scores / temperature).
    """
    rng = np.random.default_rng(seed)
    places = np.stack([rng.uniform(-1.6, 1.6, n_tasks), rng.uniform(-1.2, 1.2, n_tasks)], axis=1)
    n = n_tasks * n_rows
    place = np.repeat(places, n_rows, axis=0) + 0.05 * rng.normal(size=(n, 2))
    latent = np.concatenate([place, 0.5 * rng.normal(size=(n, 4))], axis=1)
    features = latent @ MIX + 0.02 * rng.normal(size=(n, WIDTH))
    truth = log_temperature(place)
    scores = 4 * rng.normal(size=(n, 4))
    scores[::3, 3] = -np.inf
    noise = rng.gumbel(size=(n, 4))
    labels = (scores / np.exp(truth)[:, None] + noise).argmax(axis=1)
    names = [f"{prefix} {i // n_rows:02d}" for i in range(n)]
    ids = [f"{name}/{i}" for i, name in enumerate(names)]
    table = OutputTable.from_arrays(
        ids,
        names,
        labels if labelled else None,
        scores,
        features,
        {"features": {"model": "small"}, "scores": {"model": "large"}},
    )
    return table, truth
