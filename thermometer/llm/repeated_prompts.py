"""Prompts of which many are equal, read once each before they are continued in different ways."""

from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig


def repeated_cache(model: Any, ids: Tensor, mask: Tensor, pad_id: int) -> Any | None:
    """What a causal model keeps of prompts up to their last token, each different one read once.

    Args:
        model: A transformers model.
        ids: (B, L) int64, padded on the left.
        mask: (B, L) int64 of real tokens.
        pad_id: Of the padding.

    Returns:
        A cache for `generate`, which then reads the last tokens only; or `None` where that is not
        to be had: no two prompts are equal, one is of a single token, or the model keeps a state
        that cannot be repeated (recurrent layers, encoder-decoders).
    """
    both = torch.stack([ids, mask])
    distinct, index = both.unique(dim=1, return_inverse=True)  # type: ignore[no-untyped-call]
    if model.config.is_encoder_decoder or distinct.shape[1] == len(ids):
        return None
    if (distinct[1, :, :-1].sum(dim=1) == 0).any():
        return None
    once = GenerationConfig(
        max_new_tokens=1, do_sample=False, pad_token_id=pad_id, return_dict_in_generate=True
    )
    read = {"input_ids": distinct[0, :, :-1], "attention_mask": distinct[1, :, :-1]}
    cache = model.generate(**read, generation_config=once).past_key_values
    layers = getattr(cache, "layers", [None])
    if not all(hasattr(layer, "batch_select_indices") for layer in layers):
        return None
    cache.batch_select_indices(index)
    return cache
