"""Prompts with the responses that should follow them: what ATS is trained on.

From JSON lines or a `datasets` repository to texts, and from texts to tokens. Nothing here runs a
model.
"""

import gzip
import json
import random
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thermometer import _checks
from thermometer.llm.tokenization import encode_prompts
from thermometer.templates import Prompt


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
        object.__setattr__(
            self, "max_length", _checks.integer("max_length", self.max_length, minimum=2)
        )


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
    if name.endswith((".jsonl", ".jsonl.gz")):
        return _lines(Path(source))
    import datasets

    if (Path(name) / "dataset_dict.json").is_file():
        loaded = datasets.load_from_disk(name)
    else:
        loaded = datasets.load_dataset(name)
    if split not in loaded:
        raise _checks.fail("split", f"one of {sorted(loaded)} of {name}", repr(split))
    rows: Iterable[Mapping[str, Any]] = loaded[split]
    return rows


def _lines(file: Path) -> Iterator[Mapping[str, Any]]:
    if not file.is_file():
        raise FileNotFoundError(f"Expected `source` to be a file, but there is no {file}")
    open_text = gzip.open if file.suffix == ".gz" else open
    try:
        with open_text(file, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.strip())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not JSON lines ({error})") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file}: damaged gzip file ({error})") from error


def _text(row: Any, field: str) -> str:
    if not isinstance(row, Mapping) or field not in row:
        got = sorted(row) if isinstance(row, Mapping) else type(row).__name__
        raise _checks.fail("row", f"an object with {field!r}", got)
    value = row[field]
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, str):
        raise _checks.fail(field, "a string", repr(value))
    return value
