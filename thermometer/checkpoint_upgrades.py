"""What older formats of checkpoints become in the present one."""

from collections.abc import Mapping
from typing import Any

import torch


def upgraded(
    version: int,
    network: Mapping[str, Any],
    weights: Mapping[str, torch.Tensor],
    temperature: float,
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Network and weights of any format up to the present one, as those of the present one.

    Args:
        version: The format.
        network: Of `config.json`.
        weights: Of `model.safetensors`.
        temperature: The `pooled_temperature` of `config.json`.
    """
    if version < 2:
        network, weights = _from_1(network, weights, temperature)
    if version < 3:
        network, weights = _from_2(network, weights)
    return dict(network), dict(weights)


def _from_1(
    network: Mapping[str, Any], weights: Mapping[str, torch.Tensor], temperature: float
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Network and weights of format 1, which knew one answering model, as those of format 2."""
    kept = {k: v for k, v in weights.items() if k not in ("start", "score_inputs.reference")}
    for name in ("sample_shift", "sample_gain", "context_shift", "context_gain"):
        if (key := f"score_inputs.{name}") in kept:
            kept[key] = kept[key][None]
    kept |= {"references": torch.tensor([temperature]), "anchor": torch.tensor(temperature)}
    kept["trust"] = torch.ones(1)
    return {**network, "n_models": 1}, kept


def _from_2(
    network: Mapping[str, Any], weights: Mapping[str, torch.Tensor]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Network and weights of format 2, which pooled nothing and scaled scores and context alike."""
    read = "+".join(str(view) for view in network.get("views", ())).split("+")
    kept = {}
    for key, value in weights.items():
        new = key.replace("score_inputs.sample_", "score_inputs.scores_")
        source = new.removeprefix("score_inputs.").rsplit("_", 1)[0]
        if not new.startswith("score_inputs.") or source in read:
            kept[new] = value
    return {**network, "pooling": "none", "pool_size": 32}, kept
