"""The state of a training on disk, so that one that was killed can go on.

One safetensors file with the head, the best head so far and the optimiser's averages; counters are
in its metadata as JSON. It is written under a temporary name and then renamed. Nothing of the
language model is in it, and nothing in it is executed.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from thermometer.ats.data import TokenPair

FILE = "state.safetensors"
_COUNTERS = ("step", "best", "waited", "pooled_temperature")
_TENSORS = ("weights", "best_weights", "averages")


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where a training stands after a validation.

    Args:
        step: Optimisation steps done.
        best: Least validation loss so far.
        waited: Validations since then.
        pooled_temperature: Where the head started.
        weights: Of the head.
        best_weights: Of the head at `best`.
        averages: Of the optimiser; see `averages`.
    """

    step: int
    best: float
    waited: int
    pooled_temperature: float
    weights: Mapping[str, Tensor]
    best_weights: Mapping[str, Tensor]
    averages: Mapping[str, Tensor]


def digest(settings: Sequence[Any], fingerprint: str, *parts: Sequence[TokenPair]) -> str:
    """Hash of all that decides the course of a training.

    Args:
        settings: Dataclasses.
        fingerprint: Of the language model.
        *parts: Training and validation pairs.
    """
    content = [[asdict(item) for item in settings], fingerprint]
    hashed = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for part in parts:
        hashed.update(repr([(pair.ids, pair.start) for pair in part]).encode())
    return hashed.hexdigest()[:16]


def write(file: Path, settings: str, state: State) -> None:
    """Replace the state in a file."""
    tensors = {
        f"{kind}/{name}": tensor.detach().cpu().contiguous().clone()
        for kind in _TENSORS
        for name, tensor in getattr(state, kind).items()
    }
    counters = {name: getattr(state, name) for name in _COUNTERS}
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    save_file(tensors, temporary, {"settings": settings, "counters": json.dumps(counters)})
    os.replace(temporary, file)


def read(file: Path, settings: str) -> State:
    """Read the state of a training.

    Raises:
        ValueError: If the file is damaged, or its training had other settings or data.
    """
    groups: dict[str, dict[str, Tensor]] = {kind: {} for kind in _TENSORS}
    try:
        with safe_open(file, framework="pt") as content:
            metadata = content.metadata() or {}
            for key in content.keys():  # noqa: SIM118
                kind, name = key.split("/", 1)
                groups[kind][name] = content.get_tensor(key)
        counters = json.loads(metadata["counters"])
        state = State(
            int(counters["step"]),
            float(counters["best"]),
            int(counters["waited"]),
            float(counters["pooled_temperature"]),
            **groups,
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: damaged state of training ({error})") from error
    if metadata.get("settings") != settings:
        raise ValueError(
            f"{file}: the state of a training with other settings, model or pairs; choose another "
            "`log_dir` or remove the file"
        )
    return state


def averages(optimizer: Any, names: Sequence[str]) -> dict[str, Tensor]:
    """What AdamW remembers of each of its parameters, by their names in its order."""
    found = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, parameter in zip(names, parameters, strict=True):
        for key, value in optimizer.state[parameter].items():
            found[f"{key}/{name}"] = value
    return found


def restore(optimizer: Any, names: Sequence[str], saved: Mapping[str, Tensor]) -> None:
    """The inverse of `averages`."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    by_name = dict(zip(names, parameters, strict=True))
    for key, value in saved.items():
        kind, name = key.split("/", 1)
        parameter = by_name[name]
        where = value.device if kind == "step" else parameter.device
        optimizer.state[parameter][kind] = value.clone().to(where)
