"""One network of a thermometer, from what its view reads to b = -log temperature."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from thermometer.networks.config import ThermometerConfig
from thermometer.networks.pooling import Pool
from thermometer.networks.score_inputs import WIDTHS

LIMIT = math.log(1e3)
"""Temperatures stay within [1/1000, 1000]: beyond, probabilities are one-hot or uniform anyway."""


class Member(nn.Module):
    """One network from what it reads to b = -log temperature.

    Args:
        config: Shape of the network.
        view: The sources that it reads, joined by ``+``.
        n_inputs: Width R of the features, after the projection.
    """

    def __init__(self, config: ThermometerConfig, view: str, n_inputs: int = 0) -> None:
        super().__init__()
        self._output = config.output
        self.sources = tuple(view.split("+"))
        widths = {"features": n_inputs, "model": 1, **WIDTHS}
        # Hidden states are no part of what is pooled: tasks are too few to learn from their means.
        self.pooled = tuple(name for name in self.sources if name in WIDTHS)
        self.pool: Pool | None = None
        width = sum(widths[name] for name in self.sources)
        if config.pool_size and self.pooled:
            self.pool = Pool(sum(widths[name] for name in self.pooled), config.pool_size)
            width += config.pool_size + 1
        activation = nn.ReLU if config.activation == "relu" else nn.SiLU
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(config.input_dropout),
                nn.Linear(width, config.hidden_size),
                activation(inplace=True),
                nn.Dropout(config.dropout),
                nn.Linear(config.hidden_size, 1),
            )
            for _ in range(config.n_branches)
        )
        self.combine = nn.Linear(config.n_branches, 1)

    @torch.no_grad()
    def start_at(self, temperature: float) -> None:
        """Make the untrained network predict one temperature for everything.

        The paper's network starts at random, and so does any with a `softplus` output.
        """
        if self._output == "log":
            for branch in self.branches:
                branch[-1].weight.zero_()  # type: ignore[index]
                branch[-1].bias.zero_()  # type: ignore[index]
            self.combine.bias.fill_(LIMIT * math.atanh(-math.log(temperature) / LIMIT))

    def forward(self, inputs: Mapping[str, Tensor], groups: Tensor) -> Tensor:
        """(N, ...) numbers by source, and (N,) int64 groups, to (N,) b within [-LIMIT, LIMIT]."""
        row, pooled = self.read(inputs)
        if self.pool is not None:
            row = torch.cat([row, self.pool(pooled, groups)], dim=1)
        outputs = torch.cat([branch(row) for branch in self.branches], dim=1)
        return self.bounded(self.combine(outputs).squeeze(1))

    def read(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(N, R) numbers of each row by itself, and those that are pooled."""
        row = torch.cat([inputs[name] for name in self.sources], dim=1)
        pooled = [inputs[name] for name in self.pooled]
        same = self.pooled == self.sources
        return row, row if same or not pooled else torch.cat(pooled, dim=1)

    def bounded(self, value: Tensor) -> Tensor:
        """Any last numbers as b within [-LIMIT, LIMIT]."""
        if self._output == "log":
            return LIMIT * torch.tanh(value / LIMIT)
        # log softplus(z) is z for very negative z, where softplus itself would underflow.
        log_softplus = nn.functional.softplus(value.clamp(min=-20)).log()
        return torch.where(value < -20, value, log_softplus).clamp(-LIMIT, LIMIT)
