"""One forward pass of a transformers model over a batch of token trees.

`CausalRunner` reads prompts and scores continuations; `DecoderRunner` is for encoder-decoders, of
which only the first decoder step is run. Both return hidden states and token log-probabilities;
adding these up to options is not their business.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thermometer import forward
from thermometer.tokenization import TokenTree


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one forward pass says.

    Args:
        hidden: (B, D) hidden states at the last token of each prompt, or `None` if not asked for.
        logprobs: (M,) float32 log-probabilities of all the tokens of all branches, or `None`.
        owners: (M, 2) int64: tree and option that each of them belongs to.
    """

    hidden: Tensor | None
    logprobs: Tensor | None
    owners: Tensor


class CausalRunner:
    """Runs a causal LM, by the fastest way that is proven right for this very model.

    Args:
        model: A transformers causal LM.
        pad_id: Fills rows on the right; its value never matters.
        tap: The block whose output is the feature; by default the last hidden state is.
        scores: Whether scores will be asked for. If so, the ways are tried out on a few tokens.
        name: For the warning.
    """

    def __init__(
        self, model: Any, pad_id: int, *, tap: Any | None, scores: bool, name: str
    ) -> None:
        self._model = model
        # Some models do not say which part of them is the stack below the output head.
        self._base = model.model if model.base_model is model else model.base_model
        self._pad_id = pad_id
        self._tapped: list[Tensor] = []
        self._window = _attention_window(model.config.get_text_config())
        self.head: forward.Head | None = None
        self.shares_rows = False
        if tap is not None:
            tap.register_forward_hook(self._keep)
        if scores:
            self._choose_ways(name)

    def _keep(self, _module: Any, _inputs: Any, output: Any) -> None:
        self._tapped.append(output[0] if isinstance(output, tuple) else output)

    def forks(self, tree: TokenTree) -> bool:
        """Whether all branches of a tree may share one row.

        Not beyond an attention window: the mask that keeps branches apart replaces the model's own.
        """
        return self.shares_rows and (self._window is None or tree.n_tokens <= self._window)

    def run(self, trees: Sequence[TokenTree], *, features: bool, scores: bool) -> Reading:
        """One forward pass."""
        shared = all(self.forks(tree) for tree in trees)
        batch = forward.collate(trees, self._pad_id, shared=shared, scores=scores)
        inputs = batch.to(self._model.device).model_inputs(self._model.dtype)
        self._tapped.clear()
        logprobs = None
        if scores and self.head is None:
            output = self._model(**inputs, output_hidden_states=True)
            states = output.hidden_states[-1]
            batch = batch.to(output.logits.device)
            logits = output.logits[batch.sources[:, 0], batch.sources[:, 1]].float()
            logprobs = logits.log_softmax(dim=1)[batch.targets[:, 0], batch.targets[:, 1]]
        else:
            states = self._base(**inputs).last_hidden_state
            batch = batch.to(states.device)
            if scores and self.head is not None:
                final = states[batch.sources[:, 0], batch.sources[:, 1]]
                logprobs = self.head.token_logprobs(final, batch.targets)
        if self._tapped:
            states = self._tapped.pop()
        row, column = batch.features.to(states.device).T
        return Reading(states[row, column] if features else None, logprobs, batch.owners)

    @torch.inference_mode()
    def _choose_ways(self, name: str) -> None:
        """Prove on a few tokens that the fast ways are right for this model.

        The reference is a plain row for each option and the model's own logits; where a fast way
        differs from it, or fails, it is not used.
        """
        vocabulary = self._model.config.get_text_config().vocab_size
        tokens = [int(t) for t in np.linspace(3, vocabulary - 1, 12)]
        branches = tuple(tuple(tokens[i : i + n]) for i, n in ((4, 1), (5, 4), (4, 2), (9, 3)))
        probe = [TokenTree("probe", tuple(tokens[:4]), branches)]
        exact = self._model.dtype == torch.float32  # else logits come rounded to a coarse grid
        reference = self._probe(probe)
        self.head = forward.Head(self._model)
        plain = self._probe(probe)
        if not _close(plain, reference, 1e-3 if exact else 0.5):
            self.head = None
            plain = reference
            warnings.warn(
                f"The output head of {name} is of an unknown kind; all its logits are computed, "
                "which needs more memory",
                stacklevel=4,
            )
        self.shares_rows = True
        try:
            together = self._probe(probe)
        except Exception:  # attention code that takes no 4-D mask fails in its own way
            self.shares_rows = False
        else:
            self.shares_rows = _close(together, plain, 1e-3 if exact else 0.25)

    def _probe(self, probe: Sequence[TokenTree]) -> Tensor:
        logprobs = self.run(probe, features=False, scores=True).logprobs
        assert logprobs is not None
        return logprobs


class DecoderRunner:
    """Runs an encoder-decoder LM: the encoder over the prompt, the decoder for one step.

    Args:
        model: A transformers encoder-decoder LM.
        pad_id: Fills rows on the right.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self._model = model
        self._pad_id = pad_id

    def forks(self, tree: TokenTree) -> bool:
        """Whether all branches of a tree may share one row: always, they are one token long."""
        return True

    def run(self, trees: Sequence[TokenTree], *, features: bool, scores: bool) -> Reading:
        """One forward pass."""
        batch = forward.collate(trees, self._pad_id, shared=True, scores=False)
        start = torch.full((len(trees), 1), self._model.config.decoder_start_token_id)
        device = self._model.device
        output = self._model(
            input_ids=batch.input_ids.to(device),
            attention_mask=batch.attention_mask.to(device),
            decoder_input_ids=start.to(device),
            output_hidden_states=True,
            use_cache=False,
        )
        hidden = output.decoder_hidden_states[-1][:, 0] if features else None
        pairs = [(i, k) for i, tree in enumerate(trees) for k in range(len(tree.branches))]
        owners = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).to(output.logits.device)
        if not scores:
            return Reading(hidden, None, owners)
        tokens = torch.tensor([trees[i].branches[k][0] for i, k in pairs], device=owners.device)
        logprobs = output.logits[:, 0].float().log_softmax(dim=1)[owners[:, 0], tokens]
        return Reading(hidden, logprobs, owners)


def _attention_window(config: Any) -> int | None:
    """The shortest attention window of a model's blocks, if there is any."""
    if getattr(config, "use_sliding_window", None) is False:  # Qwen declares one and ignores it
        return None
    names = ("sliding_window", "attention_chunk_size", "window_size", "attention_window_size")
    sizes = [getattr(config, name, None) for name in names]
    return min((size for size in sizes if isinstance(size, int)), default=None)


def _close(a: Tensor, b: Tensor, margin: float) -> bool:
    return bool((a - b).abs().max() <= margin)
