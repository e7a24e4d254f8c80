"""A trained head with its language model: a temperature for every token, or for options."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thermometer import _checks, _threads, checkpoint
from thermometer.ats.data import Pair, PairFormat, Reading, TokenPair, TokenReader, token_pairs
from thermometer.ats.network import AtsHead, token_losses, token_statistics
from thermometer.language_model import LanguageModel
from thermometer.scaling import MAX_TEMPERATURE, MIN_TEMPERATURE
from thermometer.tables import OutputTable
from thermometer.templates import Prompt, Template
from thermometer.tokenization import encode_prompts
from thermometer.types import Task


@dataclass(frozen=True, slots=True, eq=False)
class ResponseTokens:
    """The P tokens of the responses of some pairs, each predicted from all that stands before it.

    Args:
        pair: (P,) int64 index of the pair.
        temperature: (P,) float64, by which the logits were divided.
        logprob: (P,) float64 log-probability of the token that came.
        confidence: (P,) float64 probability of the most probable token.
        correct: (P,) float64, 1 where that is the token that came, else 0.
    """

    pair: NDArray[np.int64]
    temperature: NDArray[np.float64]
    logprob: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]


_KIND = "ats"


class AtsCalibrator:
    """Divides a language model's logits by a temperature of each token.

    Made by `train` or `from_pretrained`. The most probable token stays the same.

    Args:
        head: The trained head.
        provenance: What `provenance_of` says of the language model and the format of pairs.
        pooled_temperature: The pooled temperature that training started from.
        train_tasks: Names of the tasks that it was trained on, if they had any.
        metrics: Measured quality, kept with the checkpoint.
        training: The configuration that made it, as YAML.
        language_model: By default it is loaded as `provenance` says, when first needed.

    Raises:
        ValueError: If `language_model` is not the one that the head was trained for.
    """

    def __init__(
        self,
        head: AtsHead,
        *,
        provenance: Mapping[str, Any],
        pooled_temperature: float,
        train_tasks: Sequence[str] = (),
        metrics: Mapping[str, Any] | None = None,
        training: str = "",
        language_model: LanguageModel | None = None,
    ) -> None:
        self.head = head.eval().requires_grad_(False)
        self.provenance = dict(provenance)
        self.pooled_temperature = pooled_temperature
        self.train_tasks = _checks.strings("train_tasks", train_tasks)
        self.metrics = dict(metrics or {})
        self.training = training
        self._reader: TokenReader | None = None
        if language_model is not None:
            self.language_model = language_model

    def __repr__(self) -> str:
        return f"AtsCalibrator({self.provenance.get('model')!r}, head={self.head.config})"

    @staticmethod
    def provenance_of(lm: LanguageModel, style: PairFormat) -> dict[str, Any]:
        """What identifies a language model and the format of pairs (JSON values)."""
        return {
            "model": lm.name,
            "revision": lm.revision,
            "fingerprint": lm.fingerprint,
            "dtype": lm.dtype,
            "position": "all",
            "format": asdict(style),
        }

    @property
    def style(self) -> PairFormat:
        """How pairs were written in training."""
        return PairFormat(**self.provenance["format"])

    @property
    def language_model(self) -> LanguageModel:
        """The language model; loaded when first asked for."""
        return self._loaded().lm

    @language_model.setter
    def language_model(self, lm: LanguageModel) -> None:
        if lm.fingerprint != self.provenance["fingerprint"]:
            raise _checks.fail(
                "language_model",
                f"{self.provenance['model']} with fingerprint {self.provenance['fingerprint']}",
                f"{lm.name} with {lm.fingerprint}",
            )
        self._reader = TokenReader(lm)

    def _loaded(self) -> TokenReader:
        if (reader := self._reader) is not None:
            return reader
        with _threads.PROCESS:
            if self._reader is None:  # nor has another thread loaded it meanwhile
                self.language_model = LanguageModel.from_pretrained(
                    self.provenance["model"],
                    revision=self.provenance.get("revision"),
                    dtype=self.provenance["dtype"],
                )
            assert self._reader is not None
            return self._reader

    def temperature(self, prompts: Sequence[str]) -> NDArray[np.float64]:
        """Temperature of the token that follows each prompt.

        Args:
            prompts: As users write them, if the head was trained on chats; otherwise complete.

        Returns:
            (N,) float64, > 0.

        Raises:
            TypeError: If `prompts` is one string.
            ValueError: For no prompts, or one longer than the model's context.
        """
        rows = self._encode(prompts)
        found = np.empty(len(rows))
        for unit, _, b in self._batches(rows):
            found[unit] = b.neg().exp().double().cpu().numpy()
        return found

    def logprobs(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Calibrated log-probabilities of every token after each prompt.

        Args:
            prompts: As for `temperature`, with its errors.

        Returns:
            (N, V) float32; exp of a row sums to one. The order of tokens is the model's.
        """
        return self._next_logprobs(self._encode(prompts))

    def probs(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        """Calibrated probabilities (N, V) of every token after each prompt: exp of `logprobs`."""
        found: NDArray[np.float32] = np.exp(self.logprobs(prompts))
        return found

    def responses(
        self, pairs: Sequence[Pair] | Sequence[TokenPair], *, temperature: float | None = None
    ) -> ResponseTokens:
        """What the model says of every token of given responses.

        Args:
            pairs: Texts, written as in training, or tokens.
            temperature: The same for all tokens, in place of the head's: 1 for uncalibrated ones.

        Returns:
            Tokens in the order of the pairs.

        Raises:
            ValueError: For no pairs, a prompt that leaves no room for a response, or a temperature
                outside [0.001, 1000], the limits of the head's.
        """
        if not pairs:
            raise _checks.fail("pairs", "at least one pair", "none")
        reader = self._loaded()
        tokens = token_pairs(reader.lm.tokenizer, pairs, self.style)
        if len(tokens) < len(pairs):
            got = f"{len(pairs) - len(tokens)} longer ones"
            raise _checks.fail("pairs", f"prompts below {self.style.max_length} tokens", got)
        if temperature is not None:
            _checks.number("temperature", temperature, MIN_TEMPERATURE, MAX_TEMPERATURE)
        pieces: list[NDArray[np.float64]] = [np.empty((4, 0))] * len(tokens)
        for unit in reader.lm.plan_units([len(pair.ids) for pair in tokens]):
            reading = reader.pairs([tokens[i] for i in unit.rows])
            if temperature is None:
                b = self._log_inverse(reading)
            else:
                b = torch.full_like(reading.targets, -np.log(temperature), dtype=torch.float32)
            statistics = token_statistics(reader.logits(reading), reading.targets, b)
            nll, _ = token_losses(statistics, b)
            confidence = (b.exp() * statistics.top - statistics.log_norm).exp()
            columns = (b.neg().exp(), -nll, confidence.clamp(max=1.0), statistics.correct)
            table = torch.stack([column.double() for column in columns]).cpu().numpy()
            segment_ids = reading.sources[:, 0].cpu().numpy()
            for row, index in enumerate(unit.rows):
                pieces[index] = table[:, segment_ids == row]
        index_of_pair = np.repeat(np.arange(len(tokens)), [piece.shape[1] for piece in pieces])
        return ResponseTokens(index_of_pair, *np.concatenate(pieces, axis=1))

    def table(self, tasks: Task | Sequence[Task], template: Template) -> OutputTable:
        """Calibrated option scores of multiple-choice tasks.

        A score is the calibrated log-probability of the option's token; softmax over a row's scores
        is softmax(logits / temperature) over its options, so the scores need no temperature more.

        Args:
            tasks: One or several; labels are copied.
            template: Renders them; each option must be one token: the `letter` style.

        Raises:
            ValueError: For options of several tokens.
        """
        tasks = [tasks] if isinstance(tasks, Task) else list(tasks)
        lm = self.language_model
        named = [(task.name, question) for task in tasks for question in task.questions]
        prompts = [prompt for task in tasks for prompt in template.render_task(task)]
        trees = lm.encode(prompts, template)
        for tree in trees:
            if tree.tail or any(len(branch) > 1 for branch in tree.branches):
                got = f"several in question {tree.id}"
                raise _checks.fail("template", "one whose options are one token each", got)
        logprobs = self._next_logprobs([tree.prefix for tree in trees])
        scores = np.full((len(trees), max(len(tree.branches) for tree in trees)), -np.inf)
        for row, tree in enumerate(trees):
            ids = [branch[0] for branch in tree.branches]
            scores[row, : len(ids)] = logprobs[row, ids]
        labels = [-1 if question.answer is None else question.answer for _, question in named]
        return OutputTable(
            tuple(question.id for _, question in named),
            np.array([name for name, _ in named]),
            np.array(labels, dtype=np.int64),
            scores,
            option_mass=np.exp(scores).sum(axis=1).astype(np.float32),
            provenance={"scores": {**lm.provenance(template), "recalibrated": "ats"}},
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a checkpoint folder: JSON and safetensors, in the format of all checkpoints."""
        content = checkpoint.Checkpoint(
            network={"architecture": _KIND, **self.head.architecture()},
            weights=self.head.state_dict(),
            record=checkpoint.TrainingRecord(
                self.train_tasks,
                self.pooled_temperature,
                features=self.provenance,
                targets=[self.provenance],
                metrics=self.metrics,
                training=self.training,
            ),
            card=_card(self),
        )
        checkpoint.write(content, folder)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, language_model: LanguageModel | None = None
    ) -> "AtsCalibrator":
        """Load a checkpoint folder.

        Raises:
            FileNotFoundError: If a file of the checkpoint is missing.
            ValueError: If it is malformed or damaged or no ATS checkpoint, or if `language_model`
                is not the one that it was trained for.
        """
        path = Path(folder)
        content = checkpoint.read(path)
        network, record = dict(content.network), content.record
        if network.pop("architecture", None) != _KIND:
            raise ValueError(f"{path / checkpoint.CONFIG}: not a checkpoint of ATS")
        try:
            needed = {"model", "fingerprint", "dtype", "format"}
            if missing := sorted(needed - set(record.features)):
                raise _checks.fail("features", "of a language model and a format", f"no {missing}")
            PairFormat(**record.features["format"])
            head = AtsHead.from_architecture(network)
            head.load_state_dict(dict(content.weights), strict=True)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
        return cls(
            head,
            provenance=record.features,
            pooled_temperature=record.pooled_temperature,
            train_tasks=record.train_tasks,
            metrics=record.metrics,
            training=record.training,
            language_model=language_model,
        )

    def _batches(
        self, rows: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[int], Reading, Tensor]]:
        """Which rows, what the model makes of them, and b after the last token of each."""
        reader = self._loaded()
        for unit in reader.lm.plan_units([len(row) for row in rows]):
            reading = reader.prompts([rows[i] for i in unit.rows])
            yield list(unit.rows), reading, self._log_inverse(reading)

    def _next_logprobs(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """(N, V) calibrated log-probabilities of every token after each row of tokens."""
        found: NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)
        for unit, reading, b in self._batches(rows):
            logits = torch.cat(list(self._loaded().logits(reading)), dim=1)
            logprobs = (logits * b.to(logits.device).exp()[:, None]).log_softmax(dim=1).cpu()
            if not found.size:
                found = np.empty((len(rows), logprobs.shape[1]), dtype=np.float32)
            found[unit] = logprobs.numpy()
        return found

    @torch.no_grad()
    def _log_inverse(self, reading: Reading) -> Tensor:
        self.head.to(reading.hidden.device)
        return reading.at_sources(self.head.log_inverse(reading.hidden, reading.mask))

    def _encode(self, prompts: Sequence[str]) -> list[tuple[int, ...]]:
        texts = _checks.strings("prompts", prompts)
        if not texts:
            raise _checks.fail("prompts", "at least one prompt", "none")
        lm, chat = self.language_model, self.style.chat
        rows = [Prompt(f"prompt {i}", text, chat=chat) for i, text in enumerate(texts, start=1)]
        trees = encode_prompts(lm.tokenizer, rows, max_length=lm.max_length)
        return [tree.prefix for tree in trees]


def _card(calibrator: AtsCalibrator) -> str:
    model, head = calibrator.provenance["model"], calibrator.head
    tasks = "".join(f"- {name}\n" for name in calibrator.train_tasks)
    return f"""# Adaptive temperature scaling for {model}

A `{head.config.kind}` head reads the last hidden states ({head.n_features} numbers a token) of
{model} (weights {calibrator.provenance["fingerprint"]}) and predicts the temperature of each next
token (Xie et al., EMNLP 2024). Training started from the pooled temperature,
{calibrator.pooled_temperature:.3f}. It fits no other model, and answers stay the same.

```python
from thermometer import ats

calibrator = ats.AtsCalibrator.from_pretrained("this folder")
calibrator.probs(["What is the capital of France?"])
```

Trained on pairs of these tasks:

{tasks or "not named"}
"""
