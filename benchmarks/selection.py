"""Choose among networks and trainings by tasks that were held out in training, never by test tasks.

Every member of a thermometer leaves a part of the tasks out of its training, and all members
together leave out each task once: a cross-validation that costs nothing more. The choice is made
inside the training tasks, so that it may be repeated in every fold of an outer one. Early stopping
looks at the same tasks: good for a choice, a little flattering as a figure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from thermometer import _checks
from thermometer.calibrator import Calibrator
from thermometer.data import TaskData, rows_of, set_aside
from thermometer.network import ThermometerConfig
from thermometer.objective import scaled_nll
from thermometer.tables import OutputTable
from thermometer.training import TrainingConfig, train

Tables = OutputTable | Sequence[OutputTable]


@dataclass(frozen=True, eq=False)
class Selected:
    """The best of several candidates.

    Args:
        name: Of the candidate.
        calibrator: Trained with it on all tasks.
        held_out_nll: Of every candidate, see `held_out_nll`.
    """

    name: str
    calibrator: Calibrator
    held_out_nll: dict[str, float]


def train_best(
    tables: Tables,
    candidates: Mapping[str, tuple[ThermometerConfig, TrainingConfig]],
    *,
    trainer: Mapping[str, Any] | None = None,
) -> Selected:
    """Train every candidate and keep the one of least NLL on the tasks held out in training.

    Args:
        tables: As for `train`.
        candidates: Network and training by name, see `presets.resolve`.
        trainer: As for `train`.

    Raises:
        ValueError: If there is no candidate, or one validates on rows instead of tasks.
    """
    how = '`{"mine": resolve("scores", {}, {})}`'
    _checks.instance("candidates", candidates, Mapping, how)
    for pair in candidates.values():
        _checks.instance("candidates", pair, tuple, f"in a dict like {how}")
    if not candidates:
        raise _checks.fail("candidates", "at least one candidate", "none")
    for name, (_, training) in candidates.items():
        if training.validation == "rows":
            expected = f"with validation by tasks in {name!r}"
            raise _checks.fail("candidates", expected, "'rows'")
    losses: dict[str, float] = {}
    best: tuple[str, Calibrator] | None = None
    for name, (network, training) in candidates.items():
        calibrator = train(tables, network, training, trainer=trainer)
        losses[name] = held_out_nll(calibrator, tables, training)
        if best is None or losses[name] < losses[best[0]]:
            best = name, calibrator
    assert best is not None
    return Selected(*best, losses)


@torch.no_grad()
def held_out_nll(calibrator: Calibrator, tables: Tables, training: TrainingConfig) -> float:
    """NLL of tasks, each by the members that did not train on it; tasks weigh equally.

    Args:
        calibrator: As `train` made it from `tables`.
        tables: Of the training.
        training: With which it was made; its validation is by tasks.
    """
    network = calibrator.thermometer
    rows = rows_of(tables, network.config.needs)
    groups, models = torch.from_numpy(rows.tasks), torch.from_numpy(rows.models)
    inputs = network.inputs(**rows.given, groups=groups, models=models)
    b = network.predict_views(inputs, groups).mean(dim=0)
    data = TaskData.from_rows(rows, inputs)
    by, fraction = training.validation, training.validation_fraction
    found, n_members = [], network.config.n_members
    for member in range(n_members):
        _, kept = set_aside(data, by, fraction, member, n_members, training.seed)
        found += [
            scaled_nll(data.scores[r], data.labels[r], b[member, r]).mean() for r in kept.rows
        ]
    return float(torch.stack(found).mean())
