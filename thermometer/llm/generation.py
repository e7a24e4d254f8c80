"""Answers in words: a language model continues prompts, many at a time, to the end of the line.

The prompts are tokenised as they are for scores and computed by like length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from thermometer import _checks
from thermometer.llm import planning
from thermometer.llm.gumbel_noise import GumbelNoise
from thermometer.llm.language_model import LanguageModel
from thermometer.llm.repeated_prompts import repeated_cache
from thermometer.templates import Prompt, Template

MAX_NEW_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Line:
    """What a model says.

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
            raise _checks.fail(
                "prompt",
                f"at most {lm.max_length - max_new_tokens} tokens long (the model's context less "
                "`max_new_tokens`)",
                f"{tree.n_prompt_tokens} tokens for question {tree.id}",
            )
    lengths = [tree.n_prompt_tokens + max_new_tokens for tree in trees]
    for unit in planning.plan_units(lengths, lm.budget):
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
    lm: LanguageModel,
    rows: Sequence[Sequence[int]],
    max_new_tokens: int,
    noise: GumbelNoise | None,
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
    ended = [
        done or not set(ends).isdisjoint(row)
        for done, row in zip(line_end.done, made.tolist(), strict=True)
    ]
    return [
        Line(_first_line(text), None if by_itself else max_new_tokens)
        for text, by_itself in zip(texts, ended, strict=True)
    ]


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].strip()


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
