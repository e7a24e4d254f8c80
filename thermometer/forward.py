"""One batch of token trees through a model, computing only what is needed.

A tree is one row: its prefix, then the branches one after another, each branch attending to the
prefix and to itself only, at the positions it would have alone. What several prompts begin with may
come from a cache; the row then begins after it. Where a model cannot do that (recurrent layers, a
short sliding window, no 4-D masks), each branch becomes a row of its own.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from thermometer.tokenization import TokenTree

HEAD_ELEMENTS = 1 << 24
"""Largest number of float32 logits, and of converted weights, that exist at once (64 MiB each)."""
CPU_SHARE = 8
"""On a CPU they are so many times fewer: what its caches hold is faster there."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Token trees as padded tensors, R rows of length L, after C cached columns.

    Args:
        input_ids: (R, L) int64, right-padded.
        position_ids: (R, L) int64.
        attention_mask: (1 or R, 1, L, C + L) bool, query by key; `None` where every token sees all
            those to its left, which right padding does not disturb.
        features: (B, 2) int64: row and column of each tree's last prompt token.
        sources: (P, 2) int64: row and column of each position whose next token is wanted.
        targets: (M, 2) int64: index into `sources`, and the wanted token's id.
        segment_ids: (M, 2) int64: tree and option that the wanted token belongs to.
        n_tokens: Number of tokens without padding.
        n_pairs: Number of pairs of a token and one that it attends to.
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor | None
    features: Tensor
    sources: Tensor
    targets: Tensor
    segment_ids: Tensor
    n_tokens: int
    n_pairs: int

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in tensors.items()}
        return replace(self, **moved)

    def model_inputs(self, dtype: torch.dtype) -> dict[str, Any]:
        """Keyword arguments of a transformers model that computes in `dtype`."""
        mask = self.attention_mask
        inputs = {"input_ids": self.input_ids, "use_cache": False}
        if mask is not None:
            # As an addend, which every attention code takes. Without a mask the positions are those
            # that the model counts itself, and not every model takes any.
            addend = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
            inputs["attention_mask"] = addend.masked_fill_(~mask, torch.finfo(dtype).min)
            inputs["position_ids"] = self.position_ids
        return inputs


class _Row:
    """One row of a batch while it is put together."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.positions: list[int] = []
        self.segments: list[int] = []

    def append(self, tokens: Sequence[int], start: int, segment: int) -> int:
        """Add tokens at positions from `start`; returns the column of the first."""
        column = len(self.tokens)
        self.tokens += tokens
        self.positions += range(start, start + len(tokens))
        self.segments += [segment] * len(tokens)
        return column


def collate(
    trees: Sequence[TokenTree],
    pad_id: int,
    *,
    forked: bool,
    scores: bool,
    cached: Sequence[int] = (),
) -> Batch:
    """Lay token trees out as tensors.

    Args:
        trees: At least one.
        pad_id: Fills the rows on the right; its value never matters.
        forked: One row per tree; otherwise a row for each branch that must be read.
        scores: Whether the branches are wanted at all.
        cached: How many leading tokens of each tree come from a cache, in columns before the row's
            own, padded on the right; only with `forked`. Empty if there is no cache.
    """
    rows: list[_Row] = []
    features: list[tuple[int, int]] = []
    sources: dict[tuple[int, int], int] = {}
    targets: list[tuple[int, int]] = []
    segment_ids: list[tuple[int, int]] = []
    for index, tree in enumerate(trees):
        past = cached[index] if cached else 0
        row = _Row()
        rows.append(row)
        row.append(tree.prefix[past:], past, 0)
        end = len(tree.prefix) - 1
        row.append(tree.tail, end + 1, 1)
        features.append((len(rows) - 1, len(row.tokens) - 1))
        for option, branch in enumerate(tree.branches if scores else ()):
            read = branch[:-1]  # the last token is predicted, never read
            if not forked and read and len(row.tokens) > len(tree.prefix):
                row = _Row()
                rows.append(row)
                row.append(tree.prefix, 0, 0)
            column = row.append(read, end + 1, option + 2)
            columns = [end - past, *range(column, column + len(read))]
            for source, token in zip(columns, branch, strict=True):
                key = (len(rows) - 1, source)
                targets.append((sources.setdefault(key, len(sources)), token))
                segment_ids.append((index, option))
    length = max(len(row.tokens) for row in rows)

    def padded(name: str, value: int) -> Tensor:
        lists = (getattr(row, name) for row in rows)
        return torch.tensor([items + [value] * (length - len(items)) for items in lists])

    def pairs(items: list[tuple[int, int]]) -> Tensor:
        return torch.tensor(items, dtype=torch.int64).reshape(-1, 2)

    return Batch(
        padded("tokens", pad_id),
        padded("positions", 0),
        _mask(padded("segments", -1), cached),
        pairs(features),
        pairs(list(sources)),
        pairs(targets),
        pairs(segment_ids),
        n_tokens=sum(len(row.tokens) for row in rows),
        n_pairs=sum(sum(row.positions) + len(row.positions) for row in rows),
    )


def _mask(segments: Tensor, cached: Sequence[int]) -> Tensor | None:
    """Which key each query sees, (1 or R, 1, L, C + L); `None` for all those to its left."""
    # (R, L): 0 for the trunk of a tree, which all the row sees, else a branch; -1 for padding.
    length = segments.shape[1]
    forks = ((segments > 0) & (segments != segments.amax(dim=1, keepdim=True))).any()
    if not (forks or cached):
        return None
    mask = torch.ones(length, length, dtype=torch.bool).tril()[None]
    if forks:
        own = segments[:, :, None] == segments[:, None, :]  # (R, L, L): query, key
        mask = mask & (own | (segments == 0)[:, None, :])
    if cached:
        lengths = torch.tensor(cached)  # of each row, how many of the C columns are its own
        past = torch.arange(int(lengths.max())) < lengths[:, None]  # (R, C)
        past = past[:1] if bool(past.all()) else past
        height = max(len(past), len(mask))
        past = past[:, None].expand(height, length, -1)
        mask = torch.cat([past, mask.expand(height, -1, -1)], dim=2)
    return mask[:, None]


def whole(weight: Tensor) -> Tensor:
    """A weight itself, gathered if it is spread over processes that run tensor parallel."""
    if not isinstance(weight, DTensor):
        return weight
    with torch.inference_mode(False), torch.no_grad():
        gathered: Tensor = weight.full_tensor()
    return gathered


class Head:
    """The output head of a causal LM, evaluated in float32 at few positions.

    logits = (h W' + b) * scale, soft-capped where the model does so. The vocabulary is walked in
    chunks, so that the whole (P, V) matrix never exists.
    """

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        self._embedding = model.get_output_embeddings()
        # Weights that are spread over processes are gathered once, so that each has them all.
        spread = isinstance(self._embedding.weight, DTensor)
        self._gathered = self._parts() if spread else None
        scale = float(getattr(config, "logit_scale", None) or 1.0)  # Cohere
        self._scale = scale / float(getattr(config, "logits_scaling", None) or 1.0)  # Granite
        cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
        self._cap: float | None = cap or getattr(config, "logits_soft_cap", None)  # RecurrentGemma

    def _parts(self) -> tuple[Tensor, Tensor | None]:
        bias = getattr(self._embedding, "bias", None)
        return whole(self._embedding.weight), None if bias is None else whole(bias)

    @staticmethod
    def _step(weight: Tensor, *sizes: int) -> int:
        """How many tokens of the vocabulary to compute at once, with so many numbers for each."""
        most = HEAD_ELEMENTS // (CPU_SHARE if weight.device.type == "cpu" else 1)
        return max(1, most // max(1, *sizes))

    def _logits(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        logits = hidden @ weight.float().T
        return self._finish(logits if bias is None else logits + bias.float())

    def _finish(self, logits: Tensor) -> Tensor:
        if self._scale != 1:
            logits = logits * self._scale
        return logits if self._cap is None else torch.tanh(logits / self._cap) * self._cap

    def token_logprobs(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """(M,) float32 log-probabilities of wanted tokens.

        Args:
            hidden: (P, D) hidden states after the final norm, any float dtype.
            targets: (M, 2) int64: row of `hidden`, token id.
        """
        weight, bias = self._gathered or self._parts()
        hidden = hidden.to(weight.device).float()
        targets = targets.to(weight.device)
        # Weights of another dtype are converted part by part, too.
        width = 0 if weight.dtype == torch.float32 else hidden.shape[1]
        step = self._step(weight, len(hidden), width)
        total = hidden.new_full((len(hidden),), -torch.inf)
        for first in range(0, len(weight), step):
            part = slice(first, first + step)
            logits = self._logits(hidden, weight[part], None if bias is None else bias[part])
            total = torch.logaddexp(total, logits.logsumexp(dim=1))
        wanted = (hidden[targets[:, 0]] * weight[targets[:, 1]].float()).sum(dim=1)
        if bias is not None:
            wanted = wanted + bias[targets[:, 1]].float()
        return self._finish(wanted) - total[targets[:, 0]]


def sum_by_option(logprobs: Tensor, segment_ids: Tensor, n_trees: int, n_options: int) -> Tensor:
    """(B, K) float32 log-likelihoods: the sum of each option's token log-probabilities.

    Options that a tree does not have are ``-inf``.
    """
    scores = logprobs.new_zeros(n_trees, n_options)
    present = torch.zeros_like(scores, dtype=torch.bool)
    index = (segment_ids[:, 0], segment_ids[:, 1])
    scores.index_put_(index, logprobs, accumulate=True)
    present[index] = True
    return scores.masked_fill(~present, -torch.inf)


@dataclass(frozen=True, slots=True)
class Work:
    """Counts that add up over forward passes.

    Args:
        prompts: Prompts that were read.
        input_tokens: Tokens of these prompts and of the options that were read, each prompt once.
        tokens: Tokens that were computed, without padding; fewer where a prefix was shared.
        padding: Positions that were computed for nothing.
        pairs: Pairs of a token and one that it attends to.
        sources: Positions at which the output head was evaluated.

    Example:
        >>> total = Work(2, 200, 120, 6) + Work(1, 100, 60, 3)
        >>> total.prompts, total.reused, round(total.padded, 3)
        (3, 0.4, 0.048)
    """

    prompts: int = 0
    input_tokens: int = 0
    tokens: int = 0
    padding: int = 0
    pairs: int = 0
    sources: int = 0

    @classmethod
    def of_batch(cls, batch: Batch, prompts: int = 0, input_tokens: int = 0) -> "Work":
        """What a forward pass over a batch computes."""
        padding = batch.input_ids.numel() - batch.n_tokens
        sources = len(batch.sources)
        return cls(prompts, input_tokens, batch.n_tokens, padding, batch.n_pairs, sources)

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    @property
    def reused(self) -> float:
        """Share of the input's tokens, in [0, 1], that came from a shared prefix."""
        return max(0.0, 1 - self.tokens / self.input_tokens) if self.input_tokens else 0.0

    @property
    def padded(self) -> float:
        """Share of the computed positions, in [0, 1], that were padding."""
        computed = self.tokens + self.padding
        return self.padding / computed if computed else 0.0


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What the operations of a model depend on.

    Args:
        blocks: Number of weights that every token is multiplied by.
        head: Number of weights of the output head.
        attention: Blocks times heads times width of a head.
    """

    blocks: int
    head: int
    attention: int

    @classmethod
    def of(cls, model: Any) -> "ModelSize":
        """The size of a transformers model."""
        config = model.config.get_text_config(decoder=True)
        output = model.get_output_embeddings()
        embeddings = {id(e.weight) for e in (model.get_input_embeddings(), output) if e is not None}
        weights = sum(p.numel() for p in model.parameters() if id(p) not in embeddings)
        heads = getattr(config, "num_attention_heads", None) or 0
        width = getattr(config, "head_dim", None) or (config.hidden_size // heads if heads else 0)
        layers = getattr(config, "num_hidden_layers", 0)
        head = 0 if output is None else output.weight.numel()
        return cls(weights, head, layers * heads * width)

    def operations(self, work: Work) -> float:
        """Floating-point operations of some work, padding left out.

        2 (blocks x tokens + head x sources) + 4 attention x pairs: a multiplication and an addition
        for each weight, and for each pair of tokens in the products of queries with keys and of
        attention with values (Kaplan et al. 2020, their formula with the attended length counted).
        In a mixture of experts all experts are counted, so that the figure is too high.

        Example:
            >>> ModelSize(10, 5, 2).operations(Work(tokens=3, pairs=6, sources=1))
            118.0
        """
        linear = self.blocks * work.tokens + self.head * work.sources
        return 2.0 * linear + 4.0 * self.attention * work.pairs


@dataclass(frozen=True, slots=True)
class Summary:
    """What one run of an extraction computed, over all ranks.

    Args:
        work: Counts.
        seconds: Time in the forward passes, summed over the ranks.
        operations: Floating-point operations, see `ModelSize.operations`.
        devices: The name of each rank's device.
    """

    work: Work
    seconds: float
    operations: float
    devices: tuple[str, ...] = ("cpu",)

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the input, read in a second by one device."""
        return self.work.input_tokens / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON values: counts and shares."""
        return {
            **asdict(self.work),
            "padding_share": round(self.work.padded, 4),
            "reused_share": round(self.work.reused, 4),
            "seconds": round(self.seconds, 3),
            "tokens_per_second": round(self.tokens_per_second, 1),
            "operations": self.operations,
            "devices": list(self.devices),
        }

    def __str__(self) -> str:
        work = self.work
        return (
            f"{work.prompts:,} prompts, {work.input_tokens:,} tokens, {work.reused:.0%} of them "
            f"from shared prefixes, {work.padded:.1%} padding, {self.seconds:,.1f} s, "
            f"{self.tokens_per_second:,.0f} tokens/s, {self.operations / 1e12:,.3g} TFLOP"
        )
