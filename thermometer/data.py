"""Labelled tables as training data: rows of one or several answering models, drawn by task.

Answering models are distinguished by the provenance of their scores. Each has a pooled temperature
of its own; divided by it and multiplied by the anchor, their geometric mean, scores of all models
are on one scale. The whole table lies on the device, and the rows of each step are drawn there.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from thermometer import _checks
from thermometer.scaling import fit_temperature, label_doubts
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
        temperatures: The pooled temperature of each model.
        targets: Provenance of the scores of each model.
        source: Provenance of the features.
        reference_scores: (N, K) of the reference model as it gave them, or `None`.
        reference_temperatures: Its pooled temperature beside each answering model, or 1.
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
        """The arguments of `Thermometer.inputs`, as tensors; `None` is not read."""
        names = ("features", "scores", "reference_scores")
        columns = {name: getattr(self, name) for name in names}
        return {k: None if v is None else torch.from_numpy(v) for k, v in columns.items()}


def rows_of(tables: OutputTable | Sequence[OutputTable], needs: frozenset[str]) -> Rows:
    """The rows of one or several tables, models in the order in which they first appear.

    Args:
        tables: Labelled, with scores; features and reference scores of one provenance, if read.
        needs: Of `features`, `scores` and `reference_scores`, what is read.

    Raises:
        ValueError: If there is no table, or one lacks something or differs in provenance.

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
        for doubt in label_doubts(table.require("scores"), table.labels, table.tasks):
            warnings.warn(doubt, stacklevel=3)
    scores, temperatures = _scores(of_models, "scores")
    anchor = float(np.exp(np.mean(np.log(temperatures))))
    scales = [1.0 if len(of_models) == 1 else anchor / t for t in temperatures]
    sizes, n_tasks = zip(*((len(table), len(table.task_names)) for table in of_models), strict=True)
    tasks = [np.unique(table.tasks, return_inverse=True)[1] for table in of_models]
    features, reference, of_reference = None, None, (1.0,) * len(of_models)
    if "features" in needs:
        features = np.concatenate([table.require("features") for table in of_models])
    if "reference_scores" in needs:
        reference, of_reference = _scores(of_models, "reference_scores")
    provenance = of_models[0].provenance
    return Rows(
        features,
        scores,
        scores * np.repeat(scales, sizes)[:, None],
        np.concatenate([table.labels for table in of_models]),
        np.concatenate(tasks) + np.repeat(np.cumsum((0, *n_tasks[:-1])), sizes),
        np.repeat(np.arange(len(of_models)), sizes),
        tuple(name for table in of_models for name in table.task_names),
        temperatures,
        tuple(dict(table.provenance.get("scores") or {}) for table in of_models),
        dict(provenance.get("features") or {}),
        reference,
        of_reference,
        {} if reference is None else dict(provenance.get("reference_scores") or {}),
    )


def _by_model(tables: Sequence[OutputTable]) -> list[OutputTable]:
    """One table for each provenance of scores, that is for each answering model."""
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


def _scores(
    of_models: Sequence[OutputTable], name: str
) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """Scores of all tables, padded to one width, and their pooled temperatures."""
    found = [table.require(name) for table in of_models]
    width = max(table.require("scores").shape[1] for table in of_models)
    padded = [
        np.pad(scores, ((0, 0), (0, width - scores.shape[1])), constant_values=-np.inf)
        for scores in found
    ]
    fits = [fit_temperature(s, t.labels) for s, t in zip(found, of_models, strict=True)]
    if bounds := [fit.temperature for fit in fits if fit.at_bound]:
        why = "say nothing of the labels" if bounds[0] > 1 else "are right in every row"
        warnings.warn(
            f"The pooled temperature of `{name}` ends at its bound, {bounds[0]:g}: the highest "
            f"scores {why}",
            stacklevel=4,
        )
    return np.concatenate(padded), tuple(fit.temperature for fit in fits)


@dataclass(eq=False)
class TaskData:
    """Rows of several tasks as tensors.

    Args:
        inputs: (N, R) float32 by source, that the members read; `debiased` is of the whole task.
        scores: (N, K) float32, ``-inf`` in short rows; of several answering models on one scale.
        labels: (N,) int64.
        models: (N,) int64, the answering model of each row.
        rows: For each task of each model the (n,) int64 indices of its rows.
        names: Of their tasks.
    """

    inputs: dict[str, Tensor]
    scores: Tensor
    labels: Tensor
    models: Tensor
    rows: list[Tensor]
    names: tuple[str, ...]

    @classmethod
    def from_rows(cls, rows: Rows, inputs: dict[str, Tensor]) -> "TaskData":
        """Rows of a training, and the inputs of the members for them."""
        tasks = torch.from_numpy(rows.tasks)
        return cls(
            inputs,
            torch.from_numpy(rows.common).float(),
            torch.from_numpy(rows.labels),
            torch.from_numpy(rows.models),
            [(tasks == number).nonzero().squeeze(1) for number in range(len(rows.task_names))],
            rows.task_names,
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> "TaskData":
        """The same data on another device, inputs in the dtype of the network."""
        return TaskData(
            {name: values.to(device, dtype) for name, values in self.inputs.items()},
            self.scores.to(device),
            self.labels.to(device),
            self.models.to(device),
            [row.to(device) for row in self.rows],
            self.names,
        )

    def draw(self, tasks: list[int], batch_size: int) -> tuple[Tensor, Tensor]:
        """Up to `batch_size` random rows of each task, in random order.

        The result is (n,) indices of rows, and (n,) which of `tasks`, from 0, each is of.
        """
        drawn = []
        for task in tasks:
            rows = self.rows[task]
            drawn.append(rows[torch.randperm(len(rows), device=rows.device)[:batch_size]])
        sizes = torch.tensor([len(rows) for rows in drawn], device=self.labels.device)
        segment_ids = torch.repeat_interleave(torch.arange(len(drawn), device=sizes.device), sizes)
        return torch.cat(drawn), segment_ids


def random_groups(segment_ids: Tensor) -> Tensor:
    """Rows of each task in groups of one random size, as if only so many prompts were at hand.

    The logarithm of the size is uniform between that of 1 and of the task, so that single prompts
    are practised as much as hundreds.

    `segment_ids` are (n,) int64, the task of each row, from 0 and rising; so are the groups.

    Example:
        >>> groups = random_groups(torch.tensor([0, 0, 0, 1, 1]))
        >>> bool(groups[2] < groups[3])  # tasks are never mixed
        True
    """
    sizes = torch.bincount(segment_ids)
    starts = sizes.cumsum(0) - sizes
    group_size = (sizes ** torch.rand(len(sizes), device=segment_ids.device)).round().long()
    place = torch.arange(len(segment_ids), device=segment_ids.device) - starts[segment_ids]
    n_groups = (sizes + group_size - 1) // group_size
    offset = n_groups.cumsum(0) - n_groups
    return offset[segment_ids] + place // group_size[segment_ids]


def set_aside(
    data: TaskData, by: str, fraction: float, member: int, n_members: int, seed: int = 0
) -> tuple[TaskData, TaskData]:
    """Training and validation data of one member.

    Args:
        data: All rows.
        by: `rows`: a random `fraction` of every task's rows is for validation; `tasks`: whole
            tasks are, of all answering models, the member's part in `n_members`, or a `fraction` if
            there is one member. Where there is but one task, its rows are split.
        fraction: In (0, 1).
        member: From 0.
        n_members: Of each view.
        seed: Of the order of tasks, the same for all members; rows come from torch's generator.
    """
    tasks = sorted(set(data.names))
    n_tasks = len(tasks)
    if by == "rows" or n_tasks < 2:
        shuffled = [rows[torch.randperm(len(rows))] for rows in data.rows]
        cuts = [min(max(1, round(len(rows) * fraction)), len(rows) - 1) for rows in shuffled]
        split = list(zip(shuffled, cuts, strict=True))
        training = replace(data, rows=[rows[cut:] for rows, cut in split])
        names = tuple(name for name, cut in zip(data.names, cuts, strict=True) if cut)
        validation = replace(data, rows=[rows[:cut] for rows, cut in split if cut], names=names)
        return training, validation if names else training
    order = torch.randperm(n_tasks, generator=torch.Generator().manual_seed(seed)).tolist()
    if n_members > 1:
        held_out = order[member % n_tasks :: n_members]
    else:
        held_out = order[: max(1, round(n_tasks * fraction))]
    held_out_names = {tasks[i] for i in (held_out if len(held_out) < n_tasks else order[:1])}
    parts = []
    for validates in (False, True):
        chosen = [i for i, n in enumerate(data.names) if (n in held_out_names) == validates]
        rows, names = [data.rows[i] for i in chosen], tuple(data.names[i] for i in chosen)
        parts.append(replace(data, rows=rows, names=names))
    return parts[0], parts[1]


class RandomTasks(IterableDataset[list[int]]):
    """Endless batches of the numbers of `size` random tasks; of all `n_tasks` if it is 0."""

    def __init__(self, n_tasks: int, size: int) -> None:
        self._n_tasks, self._size = n_tasks, size or n_tasks

    def __iter__(self) -> Iterator[list[int]]:
        while True:
            yield torch.randperm(self._n_tasks)[: self._size].tolist()
