"""Tables of several answering models as the rows of one training.

A model is told from another by the provenance of its scores. Every model has one temperature of
its own; divided by it and multiplied by the anchor, their geometric mean, scores of all models are
on one scale. Nothing here trains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thermometer import _checks
from thermometer.scaling import fit_temperature
from thermometer.tables import OutputTable


@dataclass(frozen=True, eq=False)
class Rows:
    """N labelled rows of A answering models.

    Args:
        features: (N, D), or `None`.
        scores: (N, K) as the models gave them, ``-inf`` in short rows.
        common: (N, K) the same on one scale.
        labels: (N,) int64.
        tasks: (N,) int64, task and model of each row, from 0.
        models: (N,) int64, the model of each row.
        task_names: Of the numbers in `tasks`.
        temperatures: The one temperature of each model.
        targets: Provenance of the scores of each model.
        source: Provenance of the features.
        reference_scores: (N, K) of the reference model as it gave them, or `None`.
        reference_temperatures: Its one temperature, for each answering model; 1 if there are none.
        reference: Provenance of the reference scores.
    """

    features: NDArray[np.float32] | None
    scores: NDArray[np.float64]
    common: NDArray[np.float64]
    labels: NDArray[np.int64]
    tasks: NDArray[np.int64]
    models: NDArray[np.int64]
    task_names: tuple[str, ...]
    temperatures: tuple[float, ...]
    targets: tuple[dict[str, Any], ...]
    source: dict[str, Any]
    reference_scores: NDArray[np.float64] | None
    reference_temperatures: tuple[float, ...]
    reference: dict[str, Any]

    @property
    def given(self) -> dict[str, Tensor | None]:
        """What a network makes its inputs of, as tensors; `None` is not read."""
        names = ("features", "scores", "reference_scores")
        columns = {name: getattr(self, name) for name in names}
        return {k: None if v is None else torch.from_numpy(v) for k, v in columns.items()}


def rows_of(tables: OutputTable | Sequence[OutputTable], needs: frozenset[str]) -> Rows:
    """The rows of one or several tables, models in the order in which they first appear.

    Args:
        tables: Labelled, with scores; features of one provenance, if they are read.
        needs: Of `features`, `scores` and `reference_scores`, what is read.

    Raises:
        ValueError: If there is no table, one lacks labels, scores or what is read, or tables of
            different features or reference models are given.

    Example:
        >>> def table(model, scores):
        ...     ids, tasks, made = ["a", "b"], ["t", "t"], {"scores": {"model": model}}
        ...     return OutputTable.from_arrays(ids, tasks, [0, 1], scores, provenance=made)
        >>> rough, fine = table("rough", [[8.0, 0], [4, 0]]), table("fine", [[2.0, 0], [1, 0]])
        >>> rows = rows_of([rough, fine], frozenset())
        >>> rows.models.tolist(), rows.task_names, np.allclose(rows.common[:2], rows.common[2:])
        ([0, 0, 1, 1], ('t', 't'), True)
    """
    of_models = _by_model([tables] if isinstance(tables, OutputTable) else tables)
    for table in of_models:
        if not table.labelled:
            row = int((table.labels < 0).nonzero()[0][0])
            raise _checks.fail("tables", "labelled", f"no label for question {table.ids[row]}")
    temperatures = tuple(
        fit_temperature(table.require("scores"), table.labels).temperature for table in of_models
    )
    anchor = float(np.exp(np.mean(np.log(temperatures))))
    scales = [1.0 if len(of_models) == 1 else anchor / t for t in temperatures]
    width = max(table.require("scores").shape[1] for table in of_models)
    scores = [_padded(table.require("scores"), width) for table in of_models]
    sizes = [len(table) for table in of_models]
    names = [table.task_names for table in of_models]
    first = np.cumsum([0, *(len(of_model) for of_model in names)])
    features = None
    if "features" in needs:
        features = np.concatenate([table.require("features") for table in of_models])
    other, of_other = None, (1.0,) * len(of_models)
    if "reference_scores" in needs:
        found = [table.require("reference_scores") for table in of_models]
        other = np.concatenate([_padded(values, width) for values in found])
        of_other = tuple(
            fit_temperature(values, table.labels).temperature
            for values, table in zip(found, of_models, strict=True)
        )
    return Rows(
        features,
        np.concatenate(scores),
        np.concatenate([s * scale for s, scale in zip(scores, scales, strict=True)]),
        np.concatenate([table.labels for table in of_models]),
        np.concatenate(
            [
                np.unique(table.tasks, return_inverse=True)[1] + start
                for table, start in zip(of_models, first, strict=False)
            ]
        ),
        np.repeat(np.arange(len(of_models)), sizes),
        tuple(name for of_model in names for name in of_model),
        temperatures,
        tuple(dict(table.provenance.get("scores") or {}) for table in of_models),
        dict(of_models[0].provenance.get("features") or {}),
        other,
        of_other,
        {} if other is None else dict(of_models[0].provenance.get("reference_scores") or {}),
    )


def number_of(targets: Sequence[Mapping[str, Any]], model: str | int) -> int:
    """The place of an answering model, given by its name or place.

    Raises:
        ValueError: If there is no such model, or several of one name.

    Example:
        >>> number_of([{"model": "7B"}, {"model": "70B"}], "70B")
        1
    """
    names = [str(target.get("model")) for target in targets]
    if isinstance(model, str):
        if names.count(model) != 1:
            expected = f"the name of one answering model, of {', '.join(map(repr, names))}"
            raise _checks.fail("model", expected, repr(model))
        return names.index(model)
    place = _checks.integer("model", model, minimum=0)
    if place >= len(names):
        raise _checks.fail("model", f"less than {len(names)}", place)
    return place


def _by_model(tables: Sequence[OutputTable]) -> list[OutputTable]:
    """One table for each provenance of scores."""
    if not tables:
        raise _checks.fail("tables", "at least one table", "none")
    parts: list[list[OutputTable]] = []
    for table in tables:
        if not isinstance(table, OutputTable):
            got = f"{type(table).__name__}, from which `extract` makes one"
            raise TypeError(f"Expected `tables` to be an OutputTable or several, but got {got}")
        for name in ("features", "reference_scores"):
            if table.provenance.get(name) != tables[0].provenance.get(name):
                expected = f"of one provenance of {name}"
                raise _checks.fail("tables", expected, f"{tables[0]}, {table}")
        same = [p for p in parts if p[0].provenance.get("scores") == table.provenance.get("scores")]
        if same:
            same[0].append(table)
        else:
            parts.append([table])
    return [OutputTable.concatenate(part) for part in parts]


def _padded(scores: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    missing = ((0, 0), (0, width - scores.shape[1]))
    return np.pad(scores, missing, constant_values=-np.inf)
