"""Run a transformers model over batches of token trees, from any number of threads.

`CausalRunner` reads prompts and scores continuations, and computes once what prompts begin with;
`DecoderRunner` is for encoder-decoders, of which only the first decoder step is run. A fast way is
used only after a self-test on the model at hand, at run time, agreed with the plain way.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from thermometer import _threads, forward
from thermometer.forward import Work
from thermometer.tokenization import TokenTree


class _Frozen(DynamicLayer):  # type: ignore[misc]
    """The keys and values of one block for G prefixes of up to P tokens."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self.rows: Tensor | None = None
        self.width = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Keys and values of prefixes and rows, (R, H, P + L, D)."""
        return self._after(self.keys, key_states), self._after(self.values, value_states)

    def _after(self, old: Tensor, new: Tensor) -> Tensor:
        assert self.rows is not None
        old = old[:, :, : self.width]
        if len(self.rows) == 1:
            old = old[int(self.rows[0])].expand(len(new), -1, -1, -1)
        else:
            old = old[self.rows.to(old.device)]
        return torch.cat([old, new], dim=-2)


class PrefixCache(DynamicCache):  # type: ignore[misc]
    """What a model has computed of G prefixes, for rows that begin with them.

    It remembers who reads it next, and so belongs to one call of `LanguageModel.compute`.
    `computed` is the cache that a forward pass over the prefixes, padded on the right, has filled;
    `TypeError` if it has anything but keys and values of all positions.
    """

    def __init__(self, computed: Any, prefixes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.place = {prefix: i for i, prefix in enumerate(prefixes)}
        length = max(map(len, prefixes))
        for layer in computed.layers:
            if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
                raise TypeError(f"Expected a cache of keys and values, but got {layer!r}")
            if layer.keys.shape[-2] != length:
                raise TypeError(f"Expected keys of {length} tokens, but got {layer!r}")
            self.layers.append(_Frozen(layer.keys, layer.values))

    def read_by(self, beginnings: Sequence[tuple[int, ...]]) -> "PrefixCache":
        """Say with which of the prefixes each row of the next batch begins; returns itself."""
        places = [self.place[beginning] for beginning in beginnings]
        rows = torch.tensor(places if len(set(places)) > 1 else places[:1])
        for layer in self.layers:
            layer.rows, layer.width = rows, max(map(len, beginnings))
        return self


Kept = dict[tuple[tuple[int, ...], ...], PrefixCache]
"""What a call keeps from one pass to the next: the cache of the prefixes of the last one."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one forward pass says.

    Args:
        hidden: (B, D) hidden state of each prompt, or `None` if not asked for.
        logprobs: (M,) float32 log-probabilities of all the tokens of all branches, or `None`.
        segment_ids: (M, 2) int64: tree and option that each of them belongs to.
        work: What was computed.
    """

    hidden: Tensor | None
    logprobs: Tensor | None
    segment_ids: Tensor
    work: Work


class CausalRunner:
    """Runs a causal LM, by the fastest way that is proven right for this very model.

    Threads may run it at once: what a pass needs is in its arguments, or kept by thread. A model
    that keeps something of its own between passes is run by one thread at a time, see `alone`.

    Args:
        model: A transformers causal LM.
        filler: Token id that fills rows on the right; its value never matters.
        tap: The block whose output is the feature; by default the last hidden state is.
        mean: Whether the state of a prompt is the mean over its tokens, or that of the last.
        scores: Whether scores will be asked for.
        name: For the warning.

    Attributes:
        alone: Entered around a pass, and around passes of the model that belong together: a lock if
            the model keeps something of its own between them, as some recurrent ones do.
        longest_together: Prompts longer than so many tokens are run one by one, since the others of
            a batch would be computed with other frequencies; `None` if there is no such limit.
    """

    def __init__(
        self, model: Any, filler: int, *, tap: Any | None, mean: bool, scores: bool, name: str
    ) -> None:
        self._model = model
        # Some models do not say which part of them is the stack below the output head.
        self._base = model.model if model.base_model is model else model.base_model
        self._filler = filler
        self._tapped: dict[int, list[Tensor]] = {}  # by thread
        self._mean = mean
        config = model.config.get_text_config()
        names = ("sliding_window", "attention_chunk_size", "window_size", "attention_window_size")
        sizes = [getattr(config, name, None) for name in names]
        if getattr(config, "use_sliding_window", None) is False:  # Qwen declares one, ignores it
            sizes = []
        self._window = min((size for size in sizes if isinstance(size, int)), default=None)
        # Frequencies of these kinds depend on the longest position of a pass, which rewrites them.
        rope = getattr(config, "rope_parameters", None) or {}
        ropes = [r for r in (rope, *rope.values()) if isinstance(r, Mapping)]
        rewrites = any(str(r.get("rope_type")) in ("dynamic", "longrope") for r in ropes)
        self.alone: Any = _threads.Lock() if rewrites else nullcontext()
        long = [r for r in ropes if r.get("rope_type") == "longrope"]
        limits = [int(r["original_max_position_embeddings"]) for r in long]
        self.longest_together = min(limits, default=None)
        self.head: forward.Head | None = None
        self.shares_rows = False
        self.shares_prefixes = False
        if tap is not None:
            tap.register_forward_hook(self._keep)
        self._self_test(scores, name)

    def _keep(self, _module: Any, _inputs: Any, output: Any) -> None:
        if (tapped := self._tapped.get(get_ident())) is not None:
            tapped[:] = [output[0] if isinstance(output, tuple) else output]

    @contextmanager
    def _pass(self) -> Iterator[list[Tensor]]:
        """While this thread runs the model: what the tapped block said, if there is one."""
        thread, tapped = get_ident(), list[Tensor]()
        outer = self._tapped.get(thread)  # of a pass within which this one is made
        self._tapped[thread] = tapped
        try:
            with self.alone:
                yield tapped
        finally:
            if outer is None:
                del self._tapped[thread]
            else:
                self._tapped[thread] = outer

    def forks(self, tree: TokenTree) -> bool:
        """Whether all branches of a tree may share one row.

        Not beyond an attention window: the mask that keeps branches apart replaces the model's own.
        """
        return self.shares_rows and (self._window is None or tree.n_tokens <= self._window)

    def caches(self, tree: TokenTree) -> bool:
        """Whether the beginning of a tree may come from a cache; within the same limits.

        Not where states are averaged: a cache has none.
        """
        most = self.longest_together
        apart = most is not None and tree.depth > most
        return self.shares_prefixes and not self._mean and not apart and self.forks(tree)

    def run(
        self,
        trees: Sequence[TokenTree],
        *,
        features: bool,
        scores: bool,
        shared: Sequence[int] = (),
        prefixes: Sequence[tuple[int, ...]] = (),
        kept: Kept | None = None,
    ) -> Reading:
        """One forward pass.

        Args:
            trees: Prompts.
            features: Whether hidden states are wanted.
            scores: Whether the branches are.
            shared: How many leading tokens of each tree come from a cache. Empty for none.
            prefixes: What the cache holds, more than these trees need perhaps. It is computed in a
                pass before this one.
            kept: Where that cache is put, and found by the next pass of the same call.
        """
        past, work = None, Work()
        if prefixes:
            past, work = self._cached(tuple(prefixes), {} if kept is None else kept)
            past.read_by([t.prefix[:size] for t, size in zip(trees, shared, strict=True)])
        forked = all(self.forks(tree) for tree in trees)
        batch = forward.collate(trees, self._filler, forked=forked, scores=scores, cached=shared)
        work += Work.of_batch(batch, len(trees), sum(tree.n_read(scores) for tree in trees))
        inputs = batch.to(self._model.device).model_inputs(self._model.dtype)
        inputs["past_key_values"] = past
        logprobs = None
        if scores and self.head is None:
            with self._pass() as tapped:
                output = self._model(**inputs, output_hidden_states=True)
            states = output.hidden_states[-1]
            batch = batch.to(output.logits.device)
            logits = output.logits[batch.sources[:, 0], batch.sources[:, 1]].float()
            logprobs = logits.log_softmax(dim=1)[batch.targets[:, 0], batch.targets[:, 1]]
        else:
            with self._pass() as tapped:
                states = self._base(**inputs).last_hidden_state
            batch = batch.to(states.device)
            if scores and self.head is not None:
                final = states[batch.sources[:, 0], batch.sources[:, 1]]
                logprobs = self.head.token_logprobs(final, batch.targets)
        states = tapped[0] if tapped else states
        hidden = self._hidden(states, batch.features) if features else None
        return Reading(hidden, logprobs, batch.segment_ids, work)

    def _hidden(self, states: Tensor, last: Tensor) -> Tensor:
        """(B, D) of the prompts that begin a row of (R, L, D) states and end at `last`, (B, 2).

        A mean leaves out the first token: many models put a state there that is the same for every
        prompt and hundreds of times as large as others (Xiao et al. 2023, arXiv 2309.17453).
        """
        if not self._mean:
            row, column = last.to(states.device).T
            return states[row, column]
        return torch.stack(
            [states[r, min(1, c) : c + 1].float().mean(dim=0) for r, c in last.tolist()]
        )

    def _cached(
        self, prefixes: tuple[tuple[int, ...], ...], kept: Kept
    ) -> tuple[PrefixCache, Work]:
        """The cache of some prefixes, and what it cost: nothing if it is at hand."""
        work = Work()
        if prefixes not in kept:
            kept.clear()  # before the next one takes memory
            trees = [TokenTree("", prefix) for prefix in prefixes]
            batch = forward.collate(trees, self._filler, forked=True, scores=False)
            inputs = batch.to(self._model.device).model_inputs(self._model.dtype)
            with self._pass():
                computed = self._base(**{**inputs, "use_cache": True}).past_key_values
            kept[prefixes] = PrefixCache(computed, prefixes)
            work = Work.of_batch(batch)
        return kept[prefixes], work

    @torch.inference_mode()
    def _self_test(self, scores: bool, name: str) -> None:
        """Compare the fast ways with plain rows and the model's own logits, on a few tokens."""
        vocabulary = self._model.config.get_text_config().vocab_size
        tokens = [int(t) for t in np.linspace(3, vocabulary - 1, 12)]
        branches = tuple(tuple(tokens[i : i + n]) for i, n in ((4, 1), (5, 4), (4, 2), (9, 3)))
        trees = [TokenTree("probe", tuple(tokens[:n]), branches if scores else ()) for n in (4, 7)]
        exact = self._model.dtype == torch.float32  # else logits come rounded to a coarse grid
        plain = self.run(trees, features=True, scores=scores)
        kept = self._kept_by_model()
        if scores:
            self.head = forward.Head(self._model)
            sparing = self.run(trees, features=True, scores=True)
            if _agree(sparing, plain, 1e-3 if exact else 0.5):
                plain = sparing
            else:
                self.head = None
                warnings.warn(
                    f"The output head of {name} is of an unknown kind; all its logits are "
                    "computed, which needs more memory",
                    stacklevel=5,
                )
        self.shares_rows = True
        self.shares_rows = self._proves(trees, plain, exact)
        if self.shares_rows and not self._mean:
            prefixes = [tree.prefix[:size] for tree, size in zip(trees, (2, 5), strict=True)]
            cached: dict[str, Any] = {"shared": (2, 5), "prefixes": prefixes}
            self.shares_prefixes = self._proves(trees, plain, exact, **cached)
        if any(self._kept_by_model().get(place) is not tensor for place, tensor in kept.items()):
            self.alone = _threads.Lock()

    def _kept_by_model(self) -> dict[tuple[int, str], Tensor]:
        """Tensors of all modules by name; another one in the place of one is state of a pass."""
        return {
            (number, name): value
            for number, module in enumerate(self._model.modules())
            for name, value in (*vars(module).items(), *module.named_buffers(recurse=False))
            if isinstance(value, Tensor)
        }

    def _proves(
        self, trees: Sequence[TokenTree], plain: Reading, exact: bool, **cached: Any
    ) -> bool:
        """Whether rows that fork, after tokens from a cache if given, say what plain rows say."""
        try:
            found = self.run(trees, features=True, scores=plain.logprobs is not None, **cached)
        except Exception:  # attention code that takes no 4-D mask or cache fails in its own way
            return False
        return _agree(found, plain, 1e-3 if exact else 0.25)


class DecoderRunner:
    """Runs an encoder-decoder LM: the encoder over the prompt, the decoder for one step.

    Args:
        model: A transformers encoder-decoder LM.
        filler: Token id that fills rows on the right.
    """

    def __init__(self, model: Any, filler: int) -> None:
        self._model = model
        self._filler = filler
        self.alone: Any = nullcontext()
        self.longest_together: int | None = None

    def forks(self, tree: TokenTree) -> bool:
        """Yes: all branches are one token long."""
        return True

    def caches(self, tree: TokenTree) -> bool:
        """No: an encoder looks ahead, so that no beginning can come from a cache."""
        return False

    def run(
        self, trees: Sequence[TokenTree], *, features: bool, scores: bool, **_: object
    ) -> Reading:
        """One forward pass; see `CausalRunner.run`."""
        batch = forward.collate(trees, self._filler, forked=True, scores=False)
        start = torch.full((len(trees), 1), self._model.config.decoder_start_token_id)
        device = self._model.device
        lengths = torch.tensor([len(tree.prefix) for tree in trees])
        mask = torch.arange(batch.input_ids.shape[1]) < lengths[:, None]
        output = self._model(
            input_ids=batch.input_ids.to(device),
            attention_mask=mask.long().to(device),
            decoder_input_ids=start.to(device),
            output_hidden_states=True,
            use_cache=False,
        )
        work = Work.of_batch(batch, len(trees), batch.n_tokens)
        hidden = output.decoder_hidden_states[-1][:, 0] if features else None
        pairs = [(i, k) for i, tree in enumerate(trees) for k in range(len(tree.branches))]
        segment_ids = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).to(output.logits.device)
        logprobs = None
        if scores:
            tokens = torch.tensor([trees[i].branches[k][0] for i, k in pairs]).to(segment_ids)
            logprobs = output.logits[:, 0].float().log_softmax(dim=1)[segment_ids[:, 0], tokens]
        return Reading(hidden, logprobs, segment_ids, work)


def _agree(found: Reading, expected: Reading, margin: float) -> bool:
    """Whether log-probabilities and hidden states (in units of their size) differ by a margin."""
    assert found.hidden is not None
    assert expected.hidden is not None
    size = expected.hidden.float().norm(dim=1)
    apart = ((found.hidden - expected.hidden).float().norm(dim=1) / size).max()
    if found.logprobs is not None and expected.logprobs is not None:
        apart = torch.maximum(apart, (found.logprobs - expected.logprobs).abs().max())
    return bool(apart <= margin)  # not so if there is a NaN
