"""Keys and values of prompt beginnings, computed once and read by any number of rows.

A cache of transformers grows with what is computed after it and belongs to the rows of one batch.
This one does neither: a layer hands out its own keys and values, those of the prefix that each row
begins with, followed by the new ones, and forgets the new ones. So a unit of work needs no more
memory than its largest block. Nothing here knows what a prompt is.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import (
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)


class _Frozen(DynamicLayer):  # type: ignore[misc]
    """The keys and values of one block for G prefixes of up to P tokens."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self.rows: Tensor | None = None
        self.width = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Keys and values of prefixes and rows, (R, H, P + L, D)."""
        return self._after(self.keys, key_states), self._after(self.values, value_states)

    def _after(self, old: Tensor, new: Tensor) -> Tensor:
        assert self.rows is not None
        old = old[:, :, : self.width]
        if len(self.rows) == 1:
            old = old[int(self.rows[0])].expand(len(new), -1, -1, -1)
        else:
            old = old[self.rows.to(old.device)]
        return torch.cat([old, new], dim=-2)


class PrefixCache(DynamicCache):  # type: ignore[misc]
    """What a model has computed of G prefixes, for rows that begin with them.

    Args:
        computed: The cache that a forward pass over the prefixes, padded on the right, has filled.
        prefixes: Token ids of each.

    Raises:
        TypeError: For a cache with anything but keys and values of all positions.
    """

    def __init__(self, computed: Any, prefixes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.place = {prefix: i for i, prefix in enumerate(prefixes)}
        length = max(map(len, prefixes))
        for layer in computed.layers:
            if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
                raise TypeError(f"Expected a cache of keys and values, but got {layer!r}")
            if layer.keys.shape[-2] != length:
                raise TypeError(f"Expected keys of {length} tokens, but got {layer!r}")
            self.layers.append(_Frozen(layer.keys, layer.values))

    def read_by(self, beginnings: Sequence[tuple[int, ...]]) -> "PrefixCache":
        """Say with which of the prefixes each row of the next batch begins; returns itself."""
        places = [self.place[beginning] for beginning in beginnings]
        rows = torch.tensor(places if len(set(places)) > 1 else places[:1])
        for layer in self.layers:
            layer.rows, layer.width = rows, max(map(len, beginnings))
        return self
