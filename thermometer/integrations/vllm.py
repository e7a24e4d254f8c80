"""Calibrated temperatures in vLLM: a logits processor for each of its two model runners.

Since its version 0.32, vLLM has had two interfaces that know nothing of one another: of the model
runner V1 and of the model runner V2, which refuses to start with a class of the first kind. So
neither is registered as an entry point; name the one of your runner::

    LLM(model, logits_processors=["thermometer.integrations.vllm:TemperatureV2"])
    SamplingParams(extra_args={"thermometer_temperature": 1.7})

In HTTP requests the temperature goes into ``vllm_xargs``. Loaded and driven on a CPU by the loaders
and data structures of vLLM 0.33.0, but never run in an engine, which needs a GPU. Without vLLM this
module can be imported, and its classes then have no base.
"""

from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thermometer import _checks

ARGUMENT = "thermometer_temperature"
"""Name of the temperature in `SamplingParams.extra_args`."""


def _base(module: str) -> Any:
    """The class `LogitsProcessor` of a module of vLLM; `object` if there is no such module."""
    try:
        return import_module(module).LogitsProcessor
    except ImportError:
        return object


def temperature_of(sampling_params: Any) -> float:
    """The temperature that a request asks for; 1 if it does not.

    Args:
        sampling_params: vLLM's `SamplingParams`.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is not finite and > 0.
    """
    value = (sampling_params.extra_args or {}).get(ARGUMENT, 1.0)
    return _checks.number(ARGUMENT, value, 0.0, float(np.finfo(np.float32).max), strict=True)


class TemperatureV1(_base("vllm.v1.sample.logits_processor")):  # type: ignore[misc]
    """Divides the logits of each request by its temperature, in vLLM's model runner V1.

    Args:
        vllm_config: Of the engine; not used.
        device: Where the logits are.
        is_pin_memory: Not used.
    """

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._device = device
        self._temperatures: dict[int, float] = {}  # by row; rows without one are left alone
        self._rows = torch.empty(0, dtype=torch.int64)
        self._divisors = torch.empty(0, 1)

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse a request whose temperature is no positive number."""
        try:
            temperature_of(sampling_params)
        except TypeError as error:
            raise ValueError(str(error)) from error  # what vLLM turns into an answer to the client

    def is_argmax_invariant(self) -> bool:
        """False, although it is: else vLLM would skip it whenever a whole batch is greedy.

        Returned log-probabilities would then depend on a request's neighbours.
        """
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow requests as they leave, enter and change rows, in this order."""
        if batch_update is None:
            return
        found = self._temperatures
        for row in batch_update.removed:
            found.pop(row, None)
        for row, params, *_ in batch_update.added:
            _put(found, row, temperature_of(params))
        for source, target, direction in batch_update.moved:
            there, here = found.pop(target, 1.0), found.pop(source, 1.0)
            _put(found, target, here)
            if direction.name == "SWAP":
                _put(found, source, there)
        self._rows = torch.tensor(list(found), dtype=torch.int64, device=self._device)
        self._divisors = torch.tensor(list(found.values()), device=self._device)[:, None]

    def apply(self, logits: Tensor) -> Tensor:
        """(R, V) logits, the rows of requests with a temperature divided in place."""
        if self._temperatures:
            logits[self._rows] /= self._divisors
        return logits


class TemperatureV2(_base("vllm.v1.worker.gpu.sample.logits_processor")):  # type: ignore[misc]
    """Divides the logits of each request by its temperature, in vLLM's model runner V2.

    It runs before vLLM's own temperature, min-p, top-k and top-p.

    Args:
        vllm_config: Of the engine; not used.
        req_states: Of the running requests: `device` and `max_num_reqs` are read.
    """

    def __init__(self, vllm_config: Any, req_states: Any) -> None:
        self._wanted = np.ones(req_states.max_num_reqs, dtype=np.float32)  # by slot
        self._divisors = torch.ones(req_states.max_num_reqs, device=req_states.device)
        self._staged = False

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse a request whose temperature is no positive number."""
        TemperatureV1.validate_params(sampling_params)

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """Remember the temperature of a slot; whether there is anything to do for it."""
        self._wanted[req_idx] = temperature_of(sampling_params)
        self._staged = True
        return bool(self._wanted[req_idx] != 1)

    def apply_staged_writes(self) -> None:
        """Bring new temperatures to the device."""
        if self._staged:
            self._divisors.copy_(torch.from_numpy(self._wanted))
            self._staged = False

    def apply(self, logits: Tensor, ctx: Any) -> Tensor:
        """(R, V) float32 logits, each row divided in place by the temperature of its request."""
        if (self._wanted[ctx.idx_mapping_np] != 1).any():  # known without waiting for the device
            logits /= self._divisors[ctx.expanded_idx_mapping.long()][:, None]
        return logits


def _put(temperatures: dict[int, float], row: int, temperature: float) -> None:
    if temperature == 1:
        temperatures.pop(row, None)
    else:
        temperatures[row] = temperature
