"""One forward pass of a causal LM over a batch of token trees, computing only what is needed.

A tree is one row: its prefix, then the branches one after another, each branch attending to the
prefix and to itself only, at the positions it would have alone. So the prompt of a question is
computed once however many options it has. Where a model cannot do that (recurrent layers, a
sliding window shorter than the row, attention code without 4-D masks), each branch becomes a row of
its own. The output head runs only at the positions that predict an option's token, in float32.

Nothing here loads models or knows what a question is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thermometer.tokenization import TokenTree

HEAD_ELEMENTS = 1 << 24
"""Largest number of float32 logits that exist at once (64 MiB), whatever the vocabulary."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Token trees as padded tensors, R rows of length L.

    Args:
        input_ids: (R, L) int64, right-padded.
        position_ids: (R, L) int64.
        attention_mask: (R, L) int64 of real tokens; or (R, 1, L, L) bool, query by key, if a row
            forks, that is, has branches that must not see each other.
        features: (B, 2) int64: row and column of each tree's last prompt token.
        sources: (P, 2) int64: row and column of each position whose next token is wanted.
        targets: (M, 2) int64: index into `sources`, and the wanted token's id.
        owners: (M, 2) int64: tree and option that the wanted token belongs to.
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    features: Tensor
    sources: Tensor
    targets: Tensor
    owners: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__slots__))

    def model_inputs(self, dtype: torch.dtype) -> dict[str, Any]:
        """Keyword arguments of a transformers model that computes in `dtype`."""
        mask = self.attention_mask
        inputs = {"input_ids": self.input_ids, "attention_mask": mask, "use_cache": False}
        if mask.ndim == 4:
            # As an addend, which every attention code takes. Without forks the positions are
            # those that the model counts itself, and not every model takes any.
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


def collate(trees: Sequence[TokenTree], pad_id: int, *, shared: bool, scores: bool) -> Batch:
    """Lay token trees out as tensors.

    Args:
        trees: At least one.
        pad_id: Fills the rows on the right; its value never matters.
        shared: One row per tree; otherwise a row for each branch that must be read.
        scores: Whether the branches are wanted at all.
    """
    rows: list[_Row] = []
    features: list[tuple[int, int]] = []
    sources: dict[tuple[int, int], int] = {}
    targets: list[tuple[int, int]] = []
    owners: list[tuple[int, int]] = []
    for index, tree in enumerate(trees):
        row = _Row()
        rows.append(row)
        row.append(tree.prefix, 0, 0)
        end = len(tree.prefix) - 1
        row.append(tree.tail, end + 1, 1)
        features.append((len(rows) - 1, len(row.tokens) - 1))
        for option, branch in enumerate(tree.branches if scores else ()):
            read = branch[:-1]  # the last token is predicted, never read
            if not shared and read and len(row.tokens) > len(tree.prefix):
                row = _Row()
                rows.append(row)
                row.append(tree.prefix, 0, 0)
            column = row.append(read, end + 1, option + 2)
            columns = [end, *range(column, column + len(read))]
            for source, token in zip(columns, branch, strict=True):
                key = (len(rows) - 1, source)
                targets.append((sources.setdefault(key, len(sources)), token))
                owners.append((index, option))
    return _tensors(rows, features, list(sources), targets, owners, pad_id)


def _tensors(
    rows: list[_Row],
    features: list[tuple[int, int]],
    sources: list[tuple[int, int]],
    targets: list[tuple[int, int]],
    owners: list[tuple[int, int]],
    pad_id: int,
) -> Batch:
    length = max(len(row.tokens) for row in rows)

    def padded(name: str, value: int) -> Tensor:
        lists = (getattr(row, name) for row in rows)
        return torch.tensor([items + [value] * (length - len(items)) for items in lists])

    def pairs(items: list[tuple[int, int]]) -> Tensor:
        return torch.tensor(items, dtype=torch.int64).reshape(-1, 2)

    segments = padded("segments", -1)
    mask = (segments >= 0).long()
    if any(len({*row.segments} - {0}) > 1 for row in rows):
        own = segments[:, :, None] == segments[:, None, :]  # (R, L, L): query, key
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        mask = (causal & (own | (segments == 0)[:, None, :]))[:, None]
    return Batch(
        padded("tokens", pad_id),
        padded("positions", 0),
        mask,
        *map(pairs, (features, sources, targets, owners)),
    )


class Head:
    """The output head of a causal LM, evaluated in float32 at few positions.

    logits = (h W' + b) * scale, soft-capped where the model does so. The vocabulary is walked in
    chunks, so that the whole (P, V) matrix never exists.

    Args:
        model: A transformers causal LM; its output embeddings and config are read.
    """

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        self._embedding = model.get_output_embeddings()
        scale = float(getattr(config, "logit_scale", None) or 1.0)  # Cohere
        self._scale = scale / float(getattr(config, "logits_scaling", None) or 1.0)  # Granite
        cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
        self._cap: float | None = cap or getattr(config, "logits_soft_cap", None)  # RecurrentGemma

    def _logits(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        logits = hidden @ weight.float().T
        if bias is not None:
            logits = logits + bias.float()
        return self._finish(logits)

    def _finish(self, logits: Tensor) -> Tensor:
        logits = logits * self._scale
        return logits if self._cap is None else torch.tanh(logits / self._cap) * self._cap

    def token_logprobs(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Log-probabilities of wanted tokens.

        Args:
            hidden: (P, D) hidden states after the final norm, any float dtype.
            targets: (M, 2) int64: row of `hidden`, token id.

        Returns:
            (M,) float32.
        """
        weight, bias = self._embedding.weight, getattr(self._embedding, "bias", None)
        hidden = hidden.to(weight.device).float()
        targets = targets.to(weight.device)
        step = max(1, HEAD_ELEMENTS // max(1, len(hidden)))
        total = torch.full((len(hidden),), -torch.inf, device=weight.device)
        for first in range(0, len(weight), step):
            part = slice(first, first + step)
            logits = self._logits(hidden, weight[part], None if bias is None else bias[part])
            total = torch.logaddexp(total, logits.logsumexp(dim=1))
        wanted = (hidden[targets[:, 0]] * weight[targets[:, 1]].float()).sum(dim=1)
        if bias is not None:
            wanted = wanted + bias[targets[:, 1]].float()
        return self._finish(wanted) - total[targets[:, 0]]


def sum_by_option(logprobs: Tensor, owners: Tensor, n_trees: int, n_options: int) -> Tensor:
    """(B, K) float32 log-likelihoods: the sum of each option's token log-probabilities.

    Options that a tree does not have are ``-inf``.
    """
    scores = torch.zeros(n_trees, n_options, device=logprobs.device)
    present = torch.zeros_like(scores, dtype=torch.bool)
    index = (owners[:, 0], owners[:, 1])
    scores.index_put_(index, logprobs, accumulate=True)
    present[index] = True
    return scores.masked_fill(~present, -torch.inf)
