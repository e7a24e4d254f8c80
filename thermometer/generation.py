"""Text from a language model: batched lines, and sampling at a temperature of each prompt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from thermometer import _checks
from thermometer.language_model import LanguageModel
from thermometer.templates import Prompt, Template


class GumbelNoise(LogitsProcessor):  # type: ignore[misc]
    """Adds Gumbel noise to next-token scores.

    With E_v independent and exponential, argmax_v (score_v - log E_v) has the distribution
    softmax(score): a sample at temperature 1 (Gumbel 1954, "Statistical Theory of Extreme Values";
    Maddison, Tarlow and Minka 2014, "A* Sampling").
    Every row has a seed; equal ones give equal noise.

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
        drawn = [torch.empty(width, dtype=torch.float32) for _ in self._generators]
        pairs = zip(drawn, self._generators, strict=True)
        waiting = [numbers.exponential_(generator=generator) for numbers, generator in pairs]
        return scores - torch.stack(waiting).log().to(scores.device)


def repeated_cache(model: Any, ids: Tensor, mask: Tensor, pad_id: int) -> Any | None:
    """The cache of a causal model for prompts up to their last token, equal ones read once.

    `ids` and `mask` are (B, L) int64, padded on the left. With the cache `generate` reads the last
    tokens only. It is `None` if no two prompts are equal, one is of a single token, or the model
    keeps a state that cannot be repeated (recurrent layers, encoder-decoders).
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


class TemperatureLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
    r"""Divides the next-token scores of each prompt by the prompt's own temperature.

    Row by row it returns log softmax(scores / temperature) in float32: the calibrated
    log-probabilities. ``-inf`` stays, the order of tokens does not change (two that differ by less
    than float32 resolves may become equal), and since the result is normalised, beams are compared
    by the calibrated probability of their whole text. One temperature per prompt is enough however
    many rows `generate` makes of it: `num_return_sequences` and `num_beams` repeat each prompt's
    row in place, and so are its temperatures here.

    `generate` applies it after its own penalties and constraints and before its temperature, top-k,
    top-p and min-p, which therefore see calibrated scores. It samples among the 50 best tokens
    unless told otherwise: pass ``top_k=0`` for the whole calibrated distribution.

    Continuous batching (`generate_batch`, ``cache_implementation="paged"``) takes no processor of
    the user's, and ignores one without a word; it has temperatures per request of its own, see
    docs/generation.md.

    Args:
        temperatures: (B,) in the order of the prompts, or one for all; finite and > 0. For example
            what `Calibrator.temperature` returned.

    Raises:
        ValueError: For temperatures that are not positive and finite; and in use, if the number of
            rows is no multiple of B, or rows that would share a temperature hold different prompts,
            so that there are more prompts than temperatures.

    Example:
        >>> processor = TemperatureLogitsProcessor([0.5, 2.0])
        >>> ids, scores = torch.tensor([[7], [8]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> [[round(p, 3) for p in row] for row in processor(ids, scores).exp().tolist()]
        [[0.881, 0.119], [0.622, 0.378]]
    """

    supports_continuous_batching = False

    def __init__(self, temperatures: ArrayLike) -> None:
        array = _checks.array("temperatures", temperatures, np.float64)
        if array.ndim > 1 or not array.size:
            raise _checks.fail("temperatures", "a number or a vector", f"shape {array.shape}")
        with np.errstate(over="ignore", under="ignore"):
            rounded = array.astype(np.float32)
        if (bad := ~((rounded > 0) & np.isfinite(rounded))).any():
            where = f" at row {int(np.flatnonzero(bad)[0])}" if array.ndim else ""
            raise _checks.fail("temperatures", "finite and > 0", f"{array[bad].flat[0]}{where}")
        self.temperatures = torch.from_numpy(rounded)
        self._length: dict[int, int] = {}  # of the rows in the last call, by thread

    def __repr__(self) -> str:
        return f"TemperatureLogitsProcessor({self.temperatures.tolist()})"

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Calibrated log-probabilities.

        Args:
            input_ids: (R, L) int64, the tokens so far; R = B times the rows of each prompt.
            scores: (R, V) next-token scores, logits or (in beam search) log-probabilities.

        Returns:
            (R, V) float32 log-probabilities.
        """
        if input_ids.ndim != 2 or scores.ndim != 2:
            hint = "(in continuous batching pass `temperature` to each request instead)"
            got = f"shapes {tuple(input_ids.shape)} and {tuple(scores.shape)}"
            raise _checks.fail("scores", f"a matrix with one row of tokens for each {hint}", got)
        exact = scores.float()
        gap = exact - exact.amax(dim=-1, keepdim=True)  # <= 0: no temperature makes it overflow
        return gap.div_(self._divisor(input_ids).to(scores.device)).log_softmax(dim=-1)

    def _divisor(self, input_ids: Tensor) -> Tensor:
        """(R, 1) temperatures, those of a prompt repeated for all its rows."""
        if not self.temperatures.ndim:
            return self.temperatures.reshape(1, 1)
        rows, length = input_ids.shape
        prompts = len(self.temperatures)
        got = f"{prompts} temperatures for {rows} rows"
        if rows % prompts or not rows:
            raise _checks.fail("temperatures", "one for each prompt", got)
        repeats = rows // prompts
        thread = get_ident()
        # The rows of a prompt differ once it is continued.
        starts = self._length.get(thread) != length - 1
        self._length[thread] = length
        if starts and repeats > 1:
            groups = input_ids.reshape(prompts, repeats, length)
            if bool((groups != groups[:, :1]).any()):
                raise _checks.fail("temperatures", "one for each prompt", f"{got} of more prompts")
        return self.temperatures.repeat_interleave(repeats)[:, None]


MAX_NEW_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Line:
    """What a model says to a prompt.

    Args:
        text: Without white space around it; empty if the model has nothing to say.
        cut_at: Number of tokens that it was cut at, or `None` if it ended by itself.
    """

    text: str
    cut_at: int | None = None


def generate_lines(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    *,
    seeds: Sequence[int] | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> Iterator[tuple[list[int], list[Line]]]:
    r"""Continue prompts, each to the end of its first line that is not empty.

    What is generated counts towards the token budget of the model.

    Args:
        lm: The model.
        prompts: At least one; options do not matter.
        seeds: One for each prompt, to sample at temperature 1; `None` takes the likeliest tokens.
        max_new_tokens: Where a line is cut that does not end.

    Yields:
        Indices into `prompts` and what is said to them, the longest prompts first; every index
        stands in exactly one.

    Raises:
        ValueError: For no prompts, a model cut to its first layers, or a prompt that leaves no room
            for `max_new_tokens` in the model's context. The message names the question.
    """
    lm.require_scores()
    _checks.integer("max_new_tokens", max_new_tokens)
    if not prompts:
        raise _checks.fail("prompts", "at least one prompt", "none")
    trees = lm.encode(prompts, Template(chat=prompts[0].chat))
    for tree in trees:
        if lm.max_length is not None and tree.n_prompt_tokens + max_new_tokens > lm.max_length:
            limit = f"{lm.max_length - max_new_tokens} tokens long"
            got = f"{tree.n_prompt_tokens} tokens for question {tree.id}"
            expected = f"at most {limit} (the model's context less `max_new_tokens`)"
            raise _checks.fail("prompt", expected, got)
    lengths = [tree.n_prompt_tokens + max_new_tokens for tree in trees]
    for unit in lm.plan_units(lengths):
        rows = [[*trees[i].prefix, *trees[i].tail] for i in unit.rows]
        noise = None if seeds is None else GumbelNoise([seeds[i] for i in unit.rows])
        yield list(unit.rows), _first_lines(lm, rows, max_new_tokens, noise)


def lines_of(lm: LanguageModel, prompts: Sequence[Prompt], **options: Any) -> list[Line]:
    """What is said to each prompt, in their order; `options` as for `generate_lines`."""
    said: dict[int, Line] = {}
    for rows, lines in generate_lines(lm, prompts, **options):
        said.update(zip(rows, lines, strict=True))
    return [said[row] for row in range(len(prompts))]


@torch.inference_mode()
def _first_lines(
    lm: LanguageModel, rows: Sequence[Sequence[int]], max_new_tokens: int, noise: GumbelNoise | None
) -> list[Line]:
    """Continue one batch of prompts, given as ids, padded on the left, so that all end alike."""
    width = max(map(len, rows))
    own = lm.model.generation_config
    ends = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
    pad_id = next((i for i in (lm.tokenizer.pad_token_id, *ends) if i is not None), 0)
    ids = torch.tensor([[pad_id] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    ids, mask = ids.to(lm.device), mask.to(lm.device)
    line_end = _EndOfLine(lm.tokenizer, len(rows))
    with lm.alone:
        made = lm.model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=repeated_cache(lm.model, ids, mask, pad_id),
            generation_config=GenerationConfig(
                max_new_tokens=max_new_tokens,
                do_sample=False,
                eos_token_id=own.eos_token_id,
                pad_token_id=pad_id,
                bos_token_id=own.bos_token_id,
                decoder_start_token_id=own.decoder_start_token_id,
            ),
            logits_processor=LogitsProcessorList([] if noise is None else [noise]),
            stopping_criteria=StoppingCriteriaList([line_end]),
        )[:, 1 if lm.is_encoder_decoder else width :]
    texts = lm.tokenizer.batch_decode(made, skip_special_tokens=True)
    lines = []
    for text, row, done in zip(texts, made.tolist(), line_end.done, strict=True):
        cut_at = None if done or not set(ends).isdisjoint(row) else max_new_tokens
        lines.append(Line(text.strip().partition("\n")[0].strip(), cut_at))
    return lines


class _EndOfLine(StoppingCriteria):  # type: ignore[misc]
    """Ends a row at the first line break after something that is not blank."""

    def __init__(self, tokenizer: Any, n_rows: int) -> None:
        self._tokenizer = tokenizer
        self._begun = [False] * n_rows
        self.done = [False] * n_rows

    def __call__(self, input_ids: Tensor, _scores: Any, **_options: Any) -> Tensor:
        for row, piece in enumerate(self._tokenizer.batch_decode(input_ids[:, -1:])):
            head, line_break, _ = piece.partition("\n")
            self._begun[row] |= bool(head.strip())
            self.done[row] |= bool(line_break) and self._begun[row]
        return torch.tensor(self.done, device=input_ids.device)
