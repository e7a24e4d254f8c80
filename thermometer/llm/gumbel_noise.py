"""Samples by greedy search: noise on the scores, so that the largest is a draw from all.

Every row has random numbers of its own, so that what is drawn depends neither on the other rows of
a batch nor on the device. Nothing here knows what is generated.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor


class GumbelNoise(LogitsProcessor):  # type: ignore[misc]
    """Adds Gumbel noise to next-token scores.

    With E_v independent and exponential, argmax_v (score_v - log E_v) has the distribution
    softmax(score): a sample at temperature 1 (Gumbel 1954, "Statistical Theory of Extreme Values";
    Maddison, Tarlow and Minka 2014, "A* Sampling").

    Args:
        seeds: One for each row, in their order. Equal seeds give equal noise.

    Example:
        >>> scores = torch.tensor([[0.7, 0.2, 0.1]]).log().repeat(20_000, 1)
        >>> drawn = GumbelNoise(range(20_000))(scores, scores).argmax(dim=1)
        >>> [round(share, 1) for share in (drawn.bincount() / 20_000).tolist()]
        [0.7, 0.2, 0.1]
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(B, V) scores with the noise of the next step."""
        width: Any = scores.shape[1]
        waiting = torch.stack(
            [torch.empty(width).exponential_(generator=g) for g in self._generators]
        )
        return scores - waiting.log().to(scores.device)
