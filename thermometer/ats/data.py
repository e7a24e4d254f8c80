"""Token sequences for adaptive temperature scaling: prompts with replies, as tensors."""

import random
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from thermometer import _checks, _files, forward
from thermometer.language_model import LanguageModel
from thermometer.tasks import load_split
from thermometer.templates import Prompt
from thermometer.tokenization import encode_prompts


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt and the response that should follow it.

    Args:
        prompt: Not empty.
        response: Not empty.
        task: What it belongs to, for measuring; may be empty.

    Raises:
        ValueError: For an empty prompt or response.

    Example:
        >>> Pair("What is the capital of France?", "Paris").response
        'Paris'
    """

    prompt: str
    response: str
    task: str = ""

    def __post_init__(self) -> None:
        for name in ("prompt", "response"):
            if not getattr(self, name).strip():
                raise _checks.fail(name, "a non-empty string", repr(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A pair as tokens.

    Args:
        ids: Of prompt and response together, special tokens included.
        start: Index of the first token of the response, at least 1.

    Raises:
        ValueError: If there is no token before or after `start`.
    """

    ids: tuple[int, ...]
    start: int

    def __post_init__(self) -> None:
        if not 1 <= self.start < len(self.ids):
            raise _checks.fail("start", f"in [1, {len(self.ids)})", self.start)


@dataclass(frozen=True)
class PairFormat:
    """How a pair is written for the model; part of the checkpoint.

    Args:
        chat: The prompt is a user's message and the response the assistant's; otherwise they follow
            each other, with a blank between unless the prompt ends in white space.
        end: Whether the end-of-text token after the response is learned too.
        max_length: Longest pair in tokens; responses are cut there.

    Raises:
        ValueError: For a `max_length` below 2.
    """

    chat: bool = True
    end: bool = True
    max_length: int = 1024

    def __post_init__(self) -> None:
        length = _checks.integer("max_length", self.max_length, minimum=2)
        object.__setattr__(self, "max_length", length)


def load_pairs(
    source: str | Path,
    *,
    prompt: str = "prompt",
    response: str = "response",
    context: str | None = None,
    task: str | None = "task",
    split: str = "train",
    limit: int | None = None,
    seed: int = 0,
) -> list[Pair]:
    """Load pairs, in the order of the source.

    Alpaca's columns are ``prompt="instruction", context="input", response="output"``.

    Args:
        source: A ``.jsonl`` or ``.jsonl.gz`` file, or the id or folder of a `datasets` repository.
        prompt: Field with the prompt.
        response: Field with the response; of a list of accepted ones the first is taken.
        context: Field with a text to go before the prompt, a line apart, where it is not empty.
        task: Field with the name of the task, if rows have it.
        split: Of a repository.
        limit: Largest number of pairs, sampled by `seed`, order kept.
        seed: For `limit`.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: For a malformed row; the message names file and row. Or if there is no row.
    """
    pairs: list[Pair] = []
    for number, row in enumerate(_rows(source, split), start=1):
        try:
            before = _text(row, context) if context is not None and row.get(context) else ""
            text = f"{before}\n{_text(row, prompt)}" if before else _text(row, prompt)
            name = row.get(task) if task is not None else None
            pairs.append(Pair(text, _text(row, response), str(name or "")))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{source}, row {number}: {error}") from error
    if not pairs:
        raise _checks.fail("source", "a source with at least one row", repr(str(source)))
    if limit is None or len(pairs) <= _checks.integer("limit", limit):
        return pairs
    chosen = random.Random(seed).sample(range(len(pairs)), limit)  # noqa: S311
    return [pairs[row] for row in sorted(chosen)]


def encode_pairs(tokenizer: Any, pairs: Sequence[Pair], style: PairFormat) -> list[TokenPair]:
    """Tokens of pairs, in order; pairs whose prompt alone fills `max_length` are left out.

    Prompt and response are tokenised together and parted where the prompt's own tokens end.

    Raises:
        ValueError: If no pair is left, or as `tokenization.encode_prompts`.
    """
    end: str = (tokenizer.eos_token or "") if style.end else ""
    prompts = []
    for number, pair in enumerate(pairs):
        blank = "" if style.chat or pair.prompt[-1].isspace() else " "
        options = (f"{blank}{pair.response}{end}",)
        prompts.append(Prompt(str(number), pair.prompt, options, style.chat))
    found = []
    for tree in encode_prompts(tokenizer, prompts):
        ids = (*tree.prefix, *tree.branches[0])[: style.max_length]
        if len(tree.prefix) < len(ids):
            found.append(TokenPair(ids, len(tree.prefix)))
    if len(found) < len(pairs):
        warnings.warn(
            f"Left out {len(pairs) - len(found)} of {len(pairs)} pairs whose prompt has "
            f"{style.max_length} tokens or more",
            stacklevel=2,
        )
    if not found:
        raise _checks.fail("pairs", "at least one that is short enough", "none")
    return found


def token_pairs(
    tokenizer: Any, pairs: Sequence[Pair] | Sequence[TokenPair], style: PairFormat
) -> list[TokenPair]:
    """`encode_pairs` of texts; tokens as they are.

    Raises:
        TypeError: If texts and tokens are mixed.
    """
    texts = [pair for pair in pairs if isinstance(pair, Pair)]
    tokens = [pair for pair in pairs if isinstance(pair, TokenPair)]
    if len(texts) == len(pairs):
        return encode_pairs(tokenizer, texts, style)
    if len(tokens) == len(pairs):
        return tokens
    raise TypeError("Expected `pairs` to be all Pair or all TokenPair, but got a mixture")


def _rows(source: str | Path, split: str) -> Iterable[Mapping[str, Any]]:
    name = str(source)
    if not name.endswith((".jsonl", ".jsonl.gz")):
        rows: Iterable[Mapping[str, Any]] = load_split(name, None, split)
        return rows
    if not Path(source).is_file():
        raise FileNotFoundError(f"Expected `source` to be a file, but there is no {source}")
    return (row for _, row in _files.read_lines(Path(source), constants=True))


def _text(row: Mapping[str, Any], field: str) -> str:
    if field not in row:
        raise _checks.fail("row", f"an object with {field!r}", sorted(row))
    value = row[field]
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, str):
        raise _checks.fail(field, "a string", repr(value))
    return value


class Vocabulary(forward.Head):
    """The output head of a causal LM over its whole vocabulary, a part at a time."""

    def chunks(self, hidden: Tensor) -> Iterator[Tensor]:
        """Logits in float32, also where mixed precision is on.

        Args:
            hidden: (P, D) hidden states after the final norm, any float dtype.

        Yields:
            (P, C) parts of the (P, V) logits, from left to right, at most 64 MiB each.
        """
        weight, bias = self._embedding.weight, getattr(self._embedding, "bias", None)
        where, hidden = hidden.device, hidden.to(weight.device).float()
        step = self._step(weight, len(hidden))
        for first in range(0, len(weight), step):
            part = slice(first, first + step)
            with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
                logits = self._logits(hidden, weight[part], None if bias is None else bias[part])
            yield logits.to(where)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a language model makes of a batch of B rows, padded on the right to L tokens.

    Args:
        hidden: (B, L, D) last hidden states, after the final norm, in the dtype of the model.
        mask: (B, L) bool of real tokens.
        sources: (P, 2) int64: row and column of each token whose successor is predicted.
        targets: (P,) int64: the token that came next; -1 where none is known.
    """

    hidden: Tensor
    mask: Tensor
    sources: Tensor
    targets: Tensor

    def at_sources(self, values: Tensor) -> Tensor:
        """(B, L, ...) values at the sources: (P, ...)."""
        return values[self.sources[:, 0], self.sources[:, 1]]


class TokenReader:
    """Reads token rows with a frozen causal language model.

    Args:
        lm: A whole causal model.
        cache_bytes: Keep hidden states of rows that were read, until they take so many bytes of
            main memory. The model then runs once over data that are read again and again.

    Raises:
        ValueError: For an encoder-decoder, a model cut to its first layers, or one whose logits are
            not a linear map of its last hidden state.
    """

    def __init__(self, lm: LanguageModel, cache_bytes: int = 0) -> None:
        if lm.is_encoder_decoder:
            raise _checks.fail("lm", "a causal language model", lm)
        lm.require_scores()
        self.lm = lm
        model = lm.model
        # Some models do not say which part of them is the stack below the output head.
        self._base = model.model if model.base_model is model else model.base_model
        self.vocabulary = Vocabulary(model)
        self._cache: dict[tuple[int, ...], Tensor] = {}
        self._room = _checks.integer("cache_bytes", cache_bytes, minimum=0)
        self._self_test()

    def pairs(self, pairs: Sequence[TokenPair]) -> Reading:
        """Read pairs; the sources are the tokens before each token of a response."""
        rows = [pair.ids[:-1] for pair in pairs]
        sources = [
            (row, column)
            for row, pair in enumerate(pairs)
            for column in range(pair.start - 1, len(pair.ids) - 1)
        ]
        targets = [token for pair in pairs for token in pair.ids[pair.start :]]
        return self._reading(rows, sources, targets)

    def prompts(self, rows: Sequence[Sequence[int]]) -> Reading:
        """Read prompts; the source of each is its last token."""
        sources = [(row, len(ids) - 1) for row, ids in enumerate(rows)]
        return self._reading([tuple(row) for row in rows], sources, [-1] * len(rows))

    def logits(self, reading: Reading) -> Iterator[Tensor]:
        """Chunks of the logits at the sources of a reading."""
        return self.vocabulary.chunks(reading.at_sources(reading.hidden))

    def _reading(
        self, rows: list[tuple[int, ...]], sources: list[tuple[int, int]], targets: list[int]
    ) -> Reading:
        new = [row for row in dict.fromkeys(rows) if row not in self._cache]
        fresh = dict(zip(new, self._run(new), strict=True)) if new else {}
        states = [fresh[row] if row in fresh else self._cache[row] for row in rows]
        for row, state in fresh.items():
            size = state.numel() * state.element_size()
            if size <= self._room:
                self._room -= size
                self._cache[row] = state.cpu().clone()
        where = self.lm.device
        hidden = pad_sequence([state.to(where) for state in states], batch_first=True)
        lengths = torch.tensor([len(row) for row in rows], device=where)
        mask = torch.arange(hidden.shape[1], device=where) < lengths[:, None]
        pairs = torch.tensor(sources, dtype=torch.int64, device=where).reshape(-1, 2)
        return Reading(hidden, mask, pairs, torch.tensor(targets, device=where))

    def _run(self, rows: list[tuple[int, ...]]) -> list[Tensor]:
        ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        where = self.lm.device
        # Not inference mode: a network that is being trained cannot use what comes out of that.
        with torch.no_grad(), torch.autocast(where.type, enabled=False):
            inputs = {"input_ids": ids.to(where), "attention_mask": mask.to(where)}
            with self.lm.alone:
                states = self._base(**inputs, use_cache=False).last_hidden_state
        return [state[: len(row)] for state, row in zip(states, rows, strict=True)]

    @torch.no_grad()
    def _self_test(self) -> None:
        """Compare the logits with the model's own on a few tokens."""
        size = self.lm.model.config.get_text_config().vocab_size
        ids = torch.linspace(3, size - 1, 6).long()
        with self.lm.alone:
            own = self.lm.model(input_ids=ids[None].to(self.lm.device)).logits[0].float()
        states = self._run([tuple(ids.tolist())])[0]
        found = torch.cat(list(self.vocabulary.chunks(states)), dim=1).to(own.device)
        margin = 1e-3 if self.lm.dtype == "float32" else 0.5  # logits come rounded to a grid
        if found.shape != own.shape or not (found - own).abs().max() <= margin:
            raise _checks.fail("lm", "a model with a plain output head", self.lm)
