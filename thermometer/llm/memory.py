"""How many tokens fit into the memory of a device, and what its refusal looks like.

Nothing here allocates anything.
"""

from pathlib import Path
from typing import Any

import torch

SHARE = 0.4
"""Part of the memory that the model leaves, to be filled by one forward pass."""
LEAST, MOST, MOST_ON_CPU = 1024, 32768, 4096
"""Budgets beyond these are no faster; a processor's caches favour small ones."""


def token_budget(model: Any, device: torch.device, total: int | None = None) -> int:
    """Tokens of one forward pass, padding included, that a device should take.

    The largest power of two b with b x bytes <= `SHARE` x (total - weights), within [1,024, 32,768]
    (4,096 on a CPU), where bytes = e (12 D + 4 I): a token's states, queries, keys, values and
    copies of them, D wide, and the inner states of a block, I wide, of e bytes each. It is the
    device's whole memory that counts, not what is free at the moment: all ranks, and a later run
    that resumes, must make the same plan. What is not there is found out when it is missing, and
    the work is halved.

    Args:
        model: A transformers model.
        device: Where it will run.
        total: Bytes of memory there; by default as the system says.
    """
    config = model.config.get_text_config(decoder=True)
    wide = int(config.hidden_size)
    inner = getattr(config, "intermediate_size", None)
    inner = max(inner) if isinstance(inner, list | tuple) else inner or 4 * wide
    size = model.dtype.itemsize * (12 * wide + 4 * inner)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    room = SHARE * ((total_memory(device) if total is None else total) - weights)
    most = MOST_ON_CPU if device.type == "cpu" else MOST
    fitting = 1 << max(0, int(room / size).bit_length() - 1) if room > 0 else 0
    return min(most, max(LEAST, fitting))


def total_memory(device: torch.device) -> int:
    """Bytes of memory of a device; 16 GiB where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(x for x in lines if x.startswith("MemTotal:")).split()[1])
    except (OSError, StopIteration, ValueError):
        return 1 << 34


def ran_out(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def give_back(device: torch.device) -> None:
    """Return what the allocator holds unused, before the next try."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
