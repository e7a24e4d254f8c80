"""Prompts as token trees: a prefix that is read once and one branch for each option.

An option's tokens come from tokenising prompt and option *together* and cutting off what they
share, because " A", "A" and the "A" after a line break are different tokens, and because some
tokenizers merge the end of the prompt with the beginning of the option. A `TokenStore` packs the
trees of very many prompts, at four bytes a token.
"""

import hashlib
import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

from thermometer import _checks
from thermometer.templates import Norm, Prompt

_BLANK = re.compile(r"(?<=[^\W\d_]) (?=[^\W\d_])")
_END = 300  # characters in which such a blank is sought


@dataclass(frozen=True, slots=True)
class TokenTree:
    """The tokens of one prompt.

    Args:
        id: Of the question.
        prefix: Ids of the prompt up to where the branches leave it, special tokens included.
        branches: For each option the ids that follow `prefix`; empty if none is scored.
        tail: The rest of the prompt's own ids after `prefix`. Only where the tokenizer merges the
            end of the prompt with an option is it not empty.
        divisors: What each option's log-likelihood is divided by.
        prior: For the `unconditional` norm: the same options after the bare word "Answer:".
    """

    id: str
    prefix: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...] = ()
    tail: tuple[int, ...] = ()
    divisors: tuple[int, ...] = ()
    prior: "TokenTree | None" = None

    @property
    def n_prompt_tokens(self) -> int:
        """Number of tokens of the prompt itself."""
        return len(self.prefix) + len(self.tail)

    @property
    def depth(self) -> int:
        """Positions that the longest path needs; the last token of a branch is only predicted."""
        longest = max((len(branch) - 1 for branch in self.branches), default=0)
        return len(self.prefix) + max(longest, len(self.tail))

    @property
    def n_rows(self) -> int:
        """Rows that a forward pass needs where branches cannot share one."""
        return max(1, bool(self.tail) + sum(len(branch) > 1 for branch in self.branches))

    @property
    def n_tokens(self) -> int:
        """Number of tokens that a forward pass over the whole tree computes."""
        return self.n_prompt_tokens + sum(len(branch) - 1 for branch in self.branches)

    @property
    def extending(self) -> tuple[int, ...]:
        """Options that begin with another one, whose probability that other one's contains.

        Example:
            >>> TokenTree("q", (1,), ((2,), (2, 3), (4,))).extending
            (1,)
        """
        if len({branch[0] for branch in self.branches}) == len(self.branches):
            return ()
        longer = _checks.extensions(self.branches)
        return tuple(i for i, branch in enumerate(self.branches) if branch in longer)

    def n_read(self, scores: bool) -> int:
        """Number of tokens to compute, with or without the branches."""
        return self.n_tokens if scores else self.n_prompt_tokens


def encode_prompts(
    tokenizer: Any, prompts: Sequence[Prompt], norm: Norm = "none", max_length: int | None = None
) -> list[TokenTree]:
    """Token trees of prompts, in order.

    Args:
        tokenizer: A transformers tokenizer.
        prompts: Rendered questions.
        norm: Fills `TokenTree.divisors`; `none` and `unconditional` divide by 1.
        max_length: The model's context; `None` if it has no limit.

    Raises:
        ValueError: If a prompt is longer than the context, an option has no token of its own, or
            two options of a question have the same tokens. The message names the question.
    """
    texts = [_with_chat(tokenizer, prompt) if prompt.chat else prompt.text for prompt in prompts]
    start = _start_tokens(tokenizer)
    encoded = _ids(tokenizer, texts)
    joined = iter(_joined_ids(tokenizer, texts, encoded, prompts))
    priors = _priors(encode_prompts, tokenizer, prompts, norm)
    trees = []
    for prompt, own, prior in zip(prompts, encoded, priors, strict=True):
        wholes = [next(joined) for _ in prompt.options]
        shared = min([_shared_length(own, whole) for whole in wholes], default=len(own))
        branches = tuple(tuple(whole[shared:]) for whole in wholes)
        # A chat template writes its own BOS, and so may a prompt that somebody rendered before.
        begins = prompt.chat or own[: len(start)] == start
        prefix = (*([] if begins else start), *own[:shared])
        trees.append(_tree(prompt, prefix, branches, tuple(own[shared:]), norm, prior))
    check_lengths(trees, max_length)
    return trees


def encode_for_decoder(
    tokenizer: Any, prompts: Sequence[Prompt], norm: Norm = "none", max_length: int | None = None
) -> list[TokenTree]:
    """Token trees for an encoder-decoder: the encoder reads prompts, the decoder says branches.

    Only the first decoder step is run, so each option must be a single token.

    Raises:
        ValueError: As `encode_prompts`, and if an option has more than one token.
    """
    if any(prompt.chat for prompt in prompts):
        raise _checks.fail("chat", "False for an encoder-decoder model", True)
    options = [option.strip() for prompt in prompts for option in prompt.options]
    said = iter(_ids(tokenizer, options))
    read = _ids(tokenizer, [prompt.text for prompt in prompts], add_special_tokens=True)
    priors = _priors(encode_for_decoder, tokenizer, prompts, norm)
    trees = []
    for prompt, prefix, prior in zip(prompts, read, priors, strict=True):
        branches = tuple(tuple(next(said)) for _ in prompt.options)
        trees.append(_tree(prompt, tuple(prefix), branches, (), norm, prior))
        if any(len(branch) > 1 for branch in branches):
            expected = "single tokens for an encoder-decoder model (use the letter style)"
            got = f"{prompt.options} in question {prompt.id}"
            raise _checks.fail("options", expected, got)
    check_lengths(trees, max_length)
    return trees


def check_lengths(trees: Iterable[TokenTree], max_length: int | None) -> None:
    """Raise `ValueError` naming the first question that is longer than a model's context."""
    for tree in trees:
        if max_length is not None and tree.depth > max_length:
            expected = f"at most {max_length} tokens long (the model's context)"
            got = f"{tree.depth} tokens for question {tree.id}"
            raise _checks.fail("prompt", expected, got)


def extending_note(trees: Iterable[TokenTree]) -> str | None:
    """What to say of questions in which an option begins another one; `None` if there are none."""
    found = [tree.id for tree in trees if tree.extending]
    if not found:
        return None
    return (
        f"In {len(found)} questions the tokens of an option begin another one, as 1 begins 10 "
        f"(first in {found[0]}): its score holds the longer one's, and is too high. Ask for letters"
    )


def tokenizer_digest(tokenizer: Any, for_decoder: bool) -> str:
    """Hash of all that decides how prompts become token trees."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else f"{tokenizer!r} {id(tokenizer)}"
    parts = (rules, tokenizer.chat_template, tokenizer.bos_token, tokenizer.eos_token, for_decoder)
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:16]


def _priors(
    encode: Callable[[Any, list[Prompt]], list[TokenTree]],
    tokenizer: Any,
    prompts: Sequence[Prompt],
    norm: Norm,
) -> Sequence[TokenTree | None]:
    """The options after the bare word "Answer:"; in a chat it is the user's message."""
    if norm != "unconditional":
        return [None] * len(prompts)
    return encode(tokenizer, [replace(prompt, text="Answer:") for prompt in prompts])


def _tree(
    prompt: Prompt,
    prefix: tuple[int, ...],
    branches: tuple[tuple[int, ...], ...],
    tail: tuple[int, ...],
    norm: Norm,
    prior: TokenTree | None,
) -> TokenTree:
    """The tree of a prompt, unless it or an option has no tokens of its own."""
    for option, branch in zip(prompt.options, branches, strict=True):
        if not branch:
            got = f"{option!r} in question {prompt.id}"
            raise _checks.fail("options", "texts with tokens of their own", got)
    if len(set(branches)) < len(branches):
        got = f"{prompt.options} in question {prompt.id}"
        raise _checks.fail("options", "texts with different tokens", got)
    if not prefix:
        got = f"{prompt.text!r} for question {prompt.id}"
        raise _checks.fail("prompt", "at least one token long", got)
    texts = [option.strip() for option in prompt.options]
    divisors = {
        "char": tuple(len(text) for text in texts),
        "byte": tuple(len(text.encode()) for text in texts),
        "token": tuple(len(branch) for branch in branches),
    }.get(norm, (1,) * len(branches))
    return TokenTree(prompt.id, prefix, branches, tail, divisors, prior)


def _ids(tokenizer: Any, texts: list[str], add_special_tokens: bool = False) -> list[list[int]]:
    if not texts:
        return []
    only_ids = {"return_attention_mask": False, "return_token_type_ids": False}
    encoded = tokenizer(texts, add_special_tokens=add_special_tokens, verbose=False, **only_ids)
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def _joined_ids(
    tokenizer: Any, texts: list[str], encoded: list[list[int]], prompts: Sequence[Prompt]
) -> list[list[int]]:
    """Ids of every text followed by each of its options, as if they were tokenised as a whole.

    Where no token spans two words, only the end of a text, from the blank between two of its words,
    is tokenised again with the options, if by itself it has the tokens that the text ends with.
    """
    in_words = _splits_words(tokenizer)
    cuts = [_last_blank(text) if in_words else 0 for text in texts]
    ends = _ids(tokenizer, [text[cut:] for text, cut in zip(texts, cuts, strict=True)])
    heads = []
    for i, (own, end) in enumerate(zip(encoded, ends, strict=True)):
        if own[len(own) - len(end) :] != end:
            cuts[i], end = 0, own
        heads.append(own[: len(own) - len(end)])
    rows = [(i, option) for i, prompt in enumerate(prompts) for option in prompt.options]
    found = _ids(tokenizer, [texts[i][cuts[i] :] + option for i, option in rows])
    return [heads[i] + ids for (i, _), ids in zip(rows, found, strict=True)]


def _splits_words(tokenizer: Any) -> bool:
    """Whether a tokenizer splits a text into words first, so that no token spans two of them."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    before = getattr(backend, "pre_tokenizer", None)
    if before is None:
        return False
    pieces = [piece for piece, _ in before.pre_tokenize_str("one two three")]
    return all(sum(word in piece for word in ("one", "two", "three")) == 1 for piece in pieces)


def _last_blank(text: str) -> int:
    """Index of the last blank between two words, not quite at the end of a text; 0 for none."""
    first = max(0, len(text) - _END)
    blanks = [match.start() for match in _BLANK.finditer(text[first : len(text) - 8])]
    return first + blanks[-1] if blanks else 0


def _with_chat(tokenizer: Any, prompt: Prompt) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise _checks.fail("chat", "False for a tokenizer without a chat template", "True")
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt.text}], tokenize=False, add_generation_prompt=True
    )
    return text


def _start_tokens(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before every text, usually one BOS or nothing."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a", add_special_tokens=True)["input_ids"]
    for length in range(len(full) - len(bare) + 1):
        if full[length : length + len(bare)] == bare:
            return list(full[:length])
    return []


def _shared_length(own: list[int], whole: list[int]) -> int:
    if whole[: len(own)] == own:
        return len(own)
    pairs = enumerate(zip(own, whole, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(own), len(whole)))


class TokenStore(Sequence[TokenTree]):
    """Token trees that are packed when added and unpacked when asked for.

    A tree's `prior` belongs to the same question, so that it has the same id.

    Example:
        >>> tree = TokenTree("q", (1, 2, 3), ((4,), (5, 6)), divisors=(1, 2))
        >>> store = TokenStore([tree, TokenTree("q", (7,), prior=tree)])
        >>> len(store), store[0] == tree, store[-1].prior == tree
        (2, True, True)
    """

    def __init__(self, trees: Iterable[TokenTree] = ()) -> None:
        self._ids: list[str] = []
        self._numbers = array("i")
        self._starts = array("q")
        for tree in trees:
            self.append(tree)

    def append(self, tree: TokenTree) -> None:
        """Add a tree at the end."""
        self._ids.append(tree.id)
        self._starts.append(len(self._numbers))
        self._pack(tree)

    def _pack(self, tree: TokenTree) -> None:
        runs = (tree.prefix, tree.tail, tree.divisors, *tree.branches)
        self._numbers.extend((tree.prior is not None, len(runs), *map(len, runs)))
        for run in runs:
            self._numbers.extend(run)
        if tree.prior is not None:
            self._pack(tree.prior)

    def _unpack(self, identifier: str, start: int) -> TokenTree:
        numbers = self._numbers
        has_prior, n_runs = numbers[start : start + 2]
        sizes = numbers[start + 2 : start + 2 + n_runs]
        place = start + 2 + n_runs
        runs = []
        for size in sizes:
            runs.append(tuple(numbers[place : place + size]))
            place += size
        prefix, tail, divisors, *branches = runs
        prior = self._unpack(identifier, place) if has_prior else None
        return TokenTree(identifier, prefix, tuple(branches), tail, divisors, prior)

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[TokenTree]:
        return map(self._unpack, self._ids, self._starts)

    @overload
    def __getitem__(self, index: int) -> TokenTree: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenTree]: ...
    def __getitem__(self, index: int | slice) -> TokenTree | list[TokenTree]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._unpack(self._ids[index], self._starts[index])
