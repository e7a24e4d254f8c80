"""Score statistics as inputs of a network: put on one scale, which is learned once and kept.

Nothing here is trained; `score_statistics` has the formulas.
"""

import torch
from torch import Tensor, nn

from thermometer.score_statistics import (
    N_CONTEXT,
    N_SAMPLE,
    context_statistics,
    sample_statistics,
)

_FARTHEST = 5.0  # standard deviations; beyond, a number is only known to be far


class ScoreInputs(nn.Module):
    """Statistics of scores, each with mean 0 and deviation 1 over the training rows.

    Values are cut at five deviations, so that scores unlike any of the training cannot throw the
    network out of all bounds.

    Example:
        >>> inputs = ScoreInputs()
        >>> scores = torch.randn(6, 4)
        >>> inputs.fit(scores, torch.tensor([0, 0, 0, 1, 1, 1]), reference=1.5)
        >>> inputs.sample(scores).shape, inputs.context(scores, torch.zeros(6).long()).shape
        (torch.Size([6, 12]), torch.Size([6, 40]))
    """

    reference: Tensor
    sample_shift: Tensor
    sample_gain: Tensor
    context_shift: Tensor
    context_gain: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("reference", torch.ones(()))
        for name, width in (("sample", N_SAMPLE), ("context", N_CONTEXT)):
            self.register_buffer(f"{name}_shift", torch.zeros(width))
            self.register_buffer(f"{name}_gain", torch.ones(width))

    @torch.no_grad()
    def fit(self, scores: Tensor, groups: Tensor, reference: float) -> None:
        """Learn the scale of every number.

        Args:
            scores: (N, K) of the training, ``-inf`` in short rows.
            groups: (N,) int64 from 0, the task of each row.
            reference: The temperature that suits them.
        """
        self.reference.fill_(reference)
        sample = sample_statistics(scores, reference)
        context = context_statistics(scores, groups, sample, reference)
        for name, values in (("sample", sample), ("context", context)):
            scale = values.std(dim=0, correction=0)
            getattr(self, f"{name}_shift").copy_(values.mean(dim=0))
            # What never differs says nothing: it becomes 0, whatever it is later.
            getattr(self, f"{name}_gain").copy_(torch.where(scale > 1e-4, 1 / scale, 0.0))

    def sample(self, scores: Tensor) -> Tensor:
        """(N, 12) numbers of each row by itself."""
        return self._scaled("sample", sample_statistics(scores, float(self.reference)))

    def context(self, scores: Tensor, groups: Tensor) -> Tensor:
        """(N, 40) numbers of each row's group, and of the row without the group's bias."""
        return self.both(scores, groups)[1]

    def both(self, scores: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
        """`sample` and `context`, of which the second needs the first."""
        reference = float(self.reference)
        sample = sample_statistics(scores, reference)
        context = context_statistics(scores, groups, sample, reference)
        return self._scaled("sample", sample), self._scaled("context", context)

    def _scaled(self, name: str, values: Tensor) -> Tensor:
        shift, gain = getattr(self, f"{name}_shift"), getattr(self, f"{name}_gain")
        scaled: Tensor = (values - shift) * gain
        return scaled.clamp(-_FARTHEST, _FARTHEST)
