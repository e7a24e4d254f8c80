"""Tables as training data: batches drawn by task, on the device where the network is.

The whole table lives on the device. What a loader hands over is only the numbers of some tasks;
their rows are drawn on the device, so that no step copies anything from the host.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from thermometer.networks.answering_models import Rows


@dataclass(eq=False)
class TaskData:
    """Rows of several tasks as tensors.

    Args:
        inputs: (N, R) float32 by source, what the members read; `fair` is of the whole task.
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
        """Rows of a training, and what the members read of them."""
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

        Returns:
            (n,) indices of rows, and (n,) which of `tasks`, from 0, each is of.
        """
        drawn = []
        for task in tasks:
            rows = self.rows[task]
            drawn.append(rows[torch.randperm(len(rows), device=rows.device)[:batch_size]])
        sizes = torch.tensor([len(rows) for rows in drawn], device=self.labels.device)
        owners = torch.repeat_interleave(torch.arange(len(drawn), device=sizes.device), sizes)
        return torch.cat(drawn), owners


def random_groups(owners: Tensor) -> Tensor:
    """Rows of each task in groups of one random size: what may be at hand of a task.

    The logarithm of the size is uniform between that of 1 and of the task, so that single prompts
    are practised as much as hundreds.

    Args:
        owners: (n,) int64, the task of each row, from 0 and rising.

    Returns:
        (n,) int64, the group of each row, from 0.

    Example:
        >>> groups = random_groups(torch.tensor([0, 0, 0, 1, 1]))
        >>> bool(groups[2] < groups[3])  # tasks are never mixed
        True
    """
    sizes = torch.bincount(owners)
    starts = sizes.cumsum(0) - sizes
    group_size = (sizes ** torch.rand(len(sizes), device=owners.device)).round().long()
    place = torch.arange(len(owners), device=owners.device) - starts[owners]
    n_groups = (sizes + group_size - 1) // group_size
    offset = n_groups.cumsum(0) - n_groups
    return offset[owners] + place // group_size[owners]


def set_aside(
    data: TaskData, by: str, fraction: float, member: int, n_members: int, seed: int = 0
) -> tuple[TaskData, TaskData]:
    """Training and validation data of one member.

    Args:
        data: All rows.
        by: `rows`: a random `fraction` of every task's rows is for validation; `tasks`: whole
            tasks are, of all answering models, the member's part in `n_members`, or a `fraction` if
            there is one member.
        fraction: In (0, 1).
        member: From 0.
        n_members: Of the thermometer.
        seed: Of the order of tasks, the same for all members; rows come from torch's generator.
            Where there is but one task, its rows are split.
    """
    tasks = sorted(set(data.names))
    n_tasks = len(tasks)
    if by == "rows" or n_tasks < 2:
        shuffled = [rows[torch.randperm(len(rows))] for rows in data.rows]
        cuts = [min(max(1, round(len(rows) * fraction)), len(rows) - 1) for rows in shuffled]
        seen = [rows[cut:] for rows, cut in zip(shuffled, cuts, strict=True)]
        kept = [rows[:cut] for rows, cut in zip(shuffled, cuts, strict=True) if cut]
        of_kept = tuple(name for name, cut in zip(data.names, cuts, strict=True) if cut)
        if not kept:
            kept, of_kept = seen, data.names
        return replace(data, rows=seen), replace(data, rows=kept, names=of_kept)
    order = torch.randperm(n_tasks, generator=torch.Generator().manual_seed(seed)).tolist()
    if n_members > 1:
        tested = order[member % n_tasks :: n_members]
    else:
        tested = order[: max(1, round(n_tasks * fraction))]
    tested = tested if len(tested) < n_tasks else order[:1]
    of_tested = {tasks[number] for number in tested}
    parts = []
    for validates in (False, True):
        chosen = [i for i, name in enumerate(data.names) if (name in of_tested) == validates]
        rows, its_names = [data.rows[i] for i in chosen], tuple(data.names[i] for i in chosen)
        parts.append(replace(data, rows=rows, names=its_names))
    return parts[0], parts[1]


class TaskBatches(LightningDataModule):
    """Endless training batches of `tasks_per_step` tasks; one validation batch of all tasks."""

    def __init__(self, n_tasks: int, n_validation_tasks: int, tasks_per_step: int) -> None:
        super().__init__()
        self._n_tasks = n_tasks
        self._n_validation_tasks = n_validation_tasks
        self._tasks_per_step = min(tasks_per_step or n_tasks, n_tasks)

    def train_dataloader(self) -> DataLoader[list[int]]:
        """Numbers of the tasks of each step."""
        return DataLoader(_RandomTasks(self._n_tasks, self._tasks_per_step), batch_size=None)

    def val_dataloader(self) -> DataLoader[list[int]]:
        """All validation tasks, once."""
        tasks: list[list[int]] = [list(range(self._n_validation_tasks))]
        return DataLoader(tasks, batch_size=None)  # type: ignore[arg-type]


class _RandomTasks(IterableDataset[list[int]]):
    def __init__(self, n_tasks: int, size: int) -> None:
        self._n_tasks = n_tasks
        self._size = size

    def __iter__(self) -> Iterator[list[int]]:
        while True:
            yield torch.randperm(self._n_tasks)[: self._size].tolist()
