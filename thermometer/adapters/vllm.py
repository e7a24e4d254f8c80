"""vLLM: temperature processors for both of its runners, and output tables from its outputs."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thermometer import _checks
from thermometer.adapters.api_formats import field, opened
from thermometer.tasks import question_row
from thermometer.templates import Template
from thermometer.tokenization import TokenTree
from thermometer.types import Task

ARGUMENT = "thermometer_temperature"
"""Name of the temperature in `SamplingParams.extra_args`."""


def _base(module: str) -> Any:
    """The class `LogitsProcessor` of a module of vLLM; `object` if there is no such module."""
    try:
        return import_module(module).LogitsProcessor
    except ImportError:
        return object


def temperature_of(sampling_params: Any) -> float:
    """The temperature in vLLM's `SamplingParams`, 1 by default; an error unless it is > 0."""
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
        self._divisors = torch.empty(0, 1, dtype=torch.float32)

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
        divisors = torch.tensor(list(found.values()), dtype=torch.float32, device=self._device)
        self._divisors = divisors[:, None]

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
        self._divisors = torch.from_numpy(self._wanted).to(req_states.device, copy=True)
        self._staged = False

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """As in `TemperatureV1`."""
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


MAX_OPTIONS = 128
"""vLLM returns log-probabilities of at most so many tokens that are asked for by name."""


def score_prompt(tree: TokenTree) -> dict[str, list[int]]:
    """The prompt after which options are scored, as vLLM's `TokensPrompt`."""
    return {"prompt_token_ids": list(tree.prefix)}


def score_params(tree: TokenTree) -> dict[str, Any]:
    """Keywords of `SamplingParams` that bring the log-probability of every option.

    The engine must return them as they are: its `logprobs_mode` is to be ``raw_logprobs``, which is
    the default.

    Raises:
        ValueError: For an option of several tokens, or more options than vLLM scores.

    Example:
        >>> score_params(TokenTree("q", (1, 5), ((7,), (8,))))["logprob_token_ids"]
        [7, 8]
    """
    if not 0 < len(tree.branches) <= MAX_OPTIONS:
        got = f"{len(tree.branches)} in question {tree.id}"
        raise _checks.fail("options", f"1 to {MAX_OPTIONS}", got)
    if any(len(branch) > 1 for branch in tree.branches):
        expected = "single tokens (use the letter style)"
        raise _checks.fail("options", expected, f"others in {tree.id}")
    return {
        "max_tokens": 1,
        "temperature": 0.0,
        "logprob_token_ids": [branch[0] for branch in tree.branches],
        "detokenize": False,
    }


def option_scores(tree: TokenTree, output: Any) -> list[float]:
    """Log-probabilities of the options in vLLM's `RequestOutput` for `score_prompt`.

    Args:
        tree: Of the question.
        output: The object, its fields as a dict, or these as JSON text.

    Raises:
        ValueError: If there is none for an option, one that is no finite log-probability, or if
            they are of no distribution: their probabilities sum to more than 1.
    """
    completions = field(opened(output), "outputs") or [None]
    listed = (field(completions[0], "logprobs") or [None])[0] or {}
    found = {int(token): field(entry, "logprob") for token, entry in listed.items()}
    scores = []
    for number, (token, *_) in enumerate(tree.branches):
        value = found.get(token)
        if value is None or not math.isfinite(value) or value > 0:
            raise ValueError(
                f"Expected a log-probability of option {number} of question {tree.id} "
                f"(token {token}), but got {value}; is the engine's logprobs_mode raw_logprobs?"
            )
        scores.append(float(value))
    _checks.mass([str(number) for number in tree.branches], scores, f" for question {tree.id}")
    return scores


def feature_prompt(tree: TokenTree) -> dict[str, list[int]]:
    """The whole prompt, at whose last token the feature is read."""
    return {"prompt_token_ids": [*tree.prefix, *tree.tail]}


def provenance(model: str, template: Template, **more: Any) -> dict[str, Any]:
    """What identifies features or scores made by vLLM; `more` adds keys such as `dtype`.

    Without a fingerprint of the weights, which vLLM does not give, models are told apart by name:
    use the name by which `LanguageModel.from_pretrained` knows the model.
    """
    return {
        "model": model,
        "num_layers": None,
        "layer": -1,
        "position": "last",
        "template": asdict(template),
        "template_digest": template.digest,
        "engine": "vllm",
        **more,
    }


def batch_of(
    task: Task,
    trees: Sequence[TokenTree],
    *,
    scored: Sequence[Any] | None = None,
    pooled: Sequence[Any] | None = None,
) -> dict[str, Any]:
    """The questions of a task and vLLM's responses as a batch for `write_table`.

    Args:
        task: Its questions.
        trees: Their tokens, in the same order.
        scored: `RequestOutput`s in the same order, or `None`.
        pooled: `PoolingRequestOutput`s of the whole prompts, or `None`: the last hidden state,
            pooled at the last token and not normalised.

    Raises:
        ValueError: As `option_scores`.
    """
    rows = [question_row(question, task.name) for question in task.questions]
    names = ("id", "task", "question", "choices", "answer", "context")
    batch: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}
    batch["n_prompt_tokens"] = [tree.n_prompt_tokens for tree in trees]
    if scored is not None:
        batch["scores"] = [option_scores(t, out) for t, out in zip(trees, scored, strict=True)]
        batch["option_mass"] = [math.fsum(map(math.exp, row)) for row in batch["scores"]]
    if pooled is not None:
        batch["features"] = [
            _checks.array("features", out.outputs.data, np.float32) for out in pooled
        ]
    return batch
