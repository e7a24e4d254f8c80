"""Score statistics as inputs of a network: put on one scale, which is learned once and kept.

Several answering models each have a scale of their own, so that what is usual for one and what is
usual for another read alike. Nothing here is trained; `score_statistics` has the formulas.
"""

import torch
from torch import Tensor, nn

from thermometer.networks.score_statistics import (
    N_CONTEXT,
    N_SAMPLE,
    context_statistics,
    sample_statistics,
)

_FARTHEST = 5.0  # standard deviations; beyond, a number is only known to be far


class ScoreInputs(nn.Module):
    """Statistics of scores, each with mean 0 and deviation 1 over the training rows of its model.

    Values are cut at five deviations, so that scores unlike any of the training cannot throw the
    network out of all bounds. Scores come in divided by the one temperature of their model.

    Args:
        n_models: Number A of answering models.

    Example:
        >>> inputs = ScoreInputs()
        >>> z, tasks, models = torch.randn(6, 4), torch.tensor([0, 0, 0, 1, 1, 1]), torch.zeros(6)
        >>> inputs.fit(z, tasks, models.long())
        >>> sample, context = inputs.both(z, tasks, models.long())
        >>> sample.shape, context.shape
        (torch.Size([6, 12]), torch.Size([6, 40]))
    """

    sample_shift: Tensor
    sample_gain: Tensor
    context_shift: Tensor
    context_gain: Tensor

    def __init__(self, n_models: int = 1) -> None:
        super().__init__()
        for name, width in (("sample", N_SAMPLE), ("context", N_CONTEXT)):
            self.register_buffer(f"{name}_shift", torch.zeros(n_models, width))
            self.register_buffer(f"{name}_gain", torch.ones(n_models, width))

    @torch.no_grad()
    def fit(self, z: Tensor, groups: Tensor, models: Tensor) -> None:
        """Learn the scale of every number for every model.

        Args:
            z: (N, K) scores of the training over the temperature of their model, ``-inf`` in short
                rows.
            groups: (N,) int64 from 0, the task of each row; no group has rows of two models.
            models: (N,) int64 in [0, A), the model of each row.
        """
        sample = sample_statistics(z, 1.0)
        context = context_statistics(z, groups, sample, 1.0)
        for model in range(len(self.sample_shift)):
            for name, of_all in (("sample", sample), ("context", context)):
                values = of_all[models == model]
                scale = values.std(dim=0, correction=0)
                getattr(self, f"{name}_shift")[model] = values.mean(dim=0)
                # What never differs says nothing: it becomes 0, whatever it is later.
                gain = torch.where(scale > 1e-4, 1 / scale, 0.0)
                getattr(self, f"{name}_gain")[model] = gain

    def sample(self, z: Tensor, models: Tensor) -> Tensor:
        """(N, 12) numbers of each row by itself."""
        return self._scaled("sample", sample_statistics(z, 1.0), models)

    def context(self, z: Tensor, groups: Tensor, models: Tensor) -> Tensor:
        """(N, 40) numbers of each row's group, and of the row without the group's bias."""
        return self.both(z, groups, models)[1]

    def both(self, z: Tensor, groups: Tensor, models: Tensor) -> tuple[Tensor, Tensor]:
        """`sample` and `context`, of which the second needs the first."""
        sample = sample_statistics(z, 1.0)
        context = context_statistics(z, groups, sample, 1.0)
        return self._scaled("sample", sample, models), self._scaled("context", context, models)

    def _scaled(self, name: str, values: Tensor, models: Tensor) -> Tensor:
        shift, gain = getattr(self, f"{name}_shift"), getattr(self, f"{name}_gain")
        scaled: Tensor = (values - shift[models]) * gain[models]
        return scaled.clamp(-_FARTHEST, _FARTHEST)
