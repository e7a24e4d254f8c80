"""A table of tasks with known temperatures, and a `fit` that knows where to read them."""

import numpy as np
from torch import nn

from thermometer.calibrator import Calibrator
from thermometer.checkpoint import TrainingRecord
from thermometer.network import ThermometerConfig
from thermometer.scaling import fit_temperature
from thermometer.tables import OutputTable

TEMPERATURES = {f"task {i:02d}": t for i, t in enumerate(np.geomspace(0.5, 6, 12))}


def make_table(n=60, seed=0, temperatures=TEMPERATURES):
    """Labels drawn from softmax(scores / temperature); the first feature is log temperature."""
    rng = np.random.default_rng(seed)
    ids, tasks, labels, scores, features = [], [], [], [], []
    for name, temperature in temperatures.items():
        for i in range(n):
            row = rng.normal(size=4) * 4
            if i % 3 == 0:
                row[3] = -np.inf
            odds = np.exp((row - row.max()) / temperature)
            ids.append(f"{name}/{i}")
            tasks.append(name)
            labels.append(int(rng.choice(4, p=odds / odds.sum())))
            scores.append(row)
            features.append([np.log(temperature), *rng.normal(size=3)])
    made = {"scores": {"model": "synthetic", "dtype": "float32"}}
    return OutputTable.from_arrays(ids, tasks, labels, scores, features, made)


class Known(nn.Module):
    """A thermometer that predicts exp(sign * first feature)."""

    config = ThermometerConfig.features_only()

    def __init__(self, sign):
        super().__init__()
        self.sign = sign

    def inputs(self, features, scores=None, groups=None, models=0, reference_scores=None):
        return {"features": features}

    def predict(self, inputs, groups=None, model=0):
        return -self.sign * inputs["features"][None, :, 0]


def make_fit(sign=1.0):
    """A `fit` whose thermometer knows the temperatures, or (sign -1) their inverses."""

    def fit(table):
        pooled = fit_temperature(table.require("scores"), table.labels).temperature
        return Calibrator(Known(sign), TrainingRecord(table.task_names, pooled))

    return fit
