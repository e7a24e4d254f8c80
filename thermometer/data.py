"""Tables as training data: batches of one task, on the device where the network is.

The whole table lives on the device. A batch is only the number of a task; its rows are drawn there,
so that no step copies anything from the host. Nothing here knows about networks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from thermometer import _checks
from thermometer.tables import OutputTable


@dataclass(eq=False)
class TaskData:
    """Rows of several tasks as tensors.

    Args:
        inputs: (N, R) float32, what the network reads.
        scores: (N, K) float32, ``-inf`` in short rows.
        labels: (N,) int64.
        rows: For each task the (n,) int64 indices of its rows.
    """

    inputs: Tensor
    scores: Tensor
    labels: Tensor
    rows: list[Tensor]

    def to(self, device: torch.device) -> "TaskData":
        """The same data on another device."""
        return TaskData(
            self.inputs.to(device),
            self.scores.to(device),
            self.labels.to(device),
            [row.to(device) for row in self.rows],
        )
