"""Hidden states of all tokens from a frozen language model, and its logits in chunks.

A `TokenReader` is a plain object that holds a `LanguageModel`; no network owns it, so that no state
dict has its weights. Nothing here knows about temperatures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from thermometer import _checks
from thermometer.ats.data import TokenPair
from thermometer.llm import forward
from thermometer.llm.language_model import LanguageModel


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
        self._prove()

    def pairs(self, pairs: Sequence[TokenPair]) -> Reading:
        """Read pairs; the sources are the tokens before each token of a response."""
        hidden, mask = self._states([pair.ids[:-1] for pair in pairs])
        places = [
            (row, column)
            for row, pair in enumerate(pairs)
            for column in range(pair.start - 1, len(pair.ids) - 1)
        ]
        targets = [token for pair in pairs for token in pair.ids[pair.start :]]
        return self._reading(hidden, mask, places, targets)

    def prompts(self, rows: Sequence[Sequence[int]]) -> Reading:
        """Read prompts; the source of each is its last token."""
        hidden, mask = self._states([tuple(row) for row in rows])
        places = [(row, len(ids) - 1) for row, ids in enumerate(rows)]
        return self._reading(hidden, mask, places, [-1] * len(rows))

    def logits(self, reading: Reading) -> Iterator[Tensor]:
        """Chunks of the logits at the sources of a reading."""
        return self.vocabulary.chunks(reading.at_sources(reading.hidden))

    def _reading(
        self, hidden: Tensor, mask: Tensor, places: list[tuple[int, int]], targets: list[int]
    ) -> Reading:
        where = hidden.device
        sources = torch.tensor(places, dtype=torch.int64, device=where).reshape(-1, 2)
        return Reading(hidden, mask, sources, torch.tensor(targets, device=where))

    def _states(self, rows: list[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
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
        return hidden, torch.arange(hidden.shape[1], device=where) < lengths[:, None]

    def _run(self, rows: list[tuple[int, ...]]) -> list[Tensor]:
        ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        where = self.lm.device
        # Not inference mode: a network that is being trained cannot use what comes out of that.
        with torch.no_grad(), torch.autocast(where.type, enabled=False):
            states = self._base(
                input_ids=ids.to(where), attention_mask=mask.to(where), use_cache=False
            ).last_hidden_state
        return [state[: len(row)] for state, row in zip(states, rows, strict=True)]

    @torch.no_grad()
    def _prove(self) -> None:
        """Compare the logits with the model's own on a few tokens."""
        size = self.lm.model.config.get_text_config().vocab_size
        ids = torch.linspace(3, size - 1, 6).long()
        own = self.lm.model(input_ids=ids[None].to(self.lm.device)).logits[0].float()
        states = self._run([tuple(ids.tolist())])[0]
        found = torch.cat(list(self.vocabulary.chunks(states)), dim=1).to(own.device)
        margin = 1e-3 if self.lm.dtype == "float32" else 0.5  # logits come rounded to a grid
        if found.shape != own.shape or not (found - own).abs().max() <= margin:
            raise _checks.fail("lm", "a model with a plain output head", self.lm)
