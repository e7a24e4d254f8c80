"""Train the head of adaptive temperature scaling; a killed training resumes."""

import hashlib
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from thermometer import _checks, _threads
from thermometer._files import whole_file
from thermometer._lightning import quiet
from thermometer.ats.calibrator import AtsCalibrator
from thermometer.ats.data import Pair, PairFormat, Reading, TokenPair, TokenReader, token_pairs
from thermometer.ats.network import (
    LOSSES,
    AtsConfig,
    AtsHead,
    Loss,
    fit_token_temperature,
    selective_smoothing,
    token_losses,
    token_statistics,
)
from thermometer.language_model import LanguageModel


@dataclass(frozen=True)
class AtsTraining:
    """How a head is trained.

    Args:
        loss: See `selective_smoothing`.
        alpha: Weight of wrong tokens.
        smoothing: Of wrong tokens towards the uniform distribution.
        batch_size: Pairs in one forward pass.
        accumulate: Batches whose gradients make one step.
        learning_rate: Of AdamW, at the start; it falls to 0 by half a cosine.
        weight_decay: Of AdamW.
        max_steps: Optimisation steps.
        validate_every: Steps between two validations.
        monitor: What validations compare: negative log-likelihood (`nll`), or `loss` itself.
        patience: Validations without improvement after which training stops; 0 for never.
        validation_fraction: Share of the pairs that is set aside; at least one.
        cache_bytes: See `TokenReader`.
        seed: Of everything random.

    Raises:
        ValueError: For numbers out of range or an unknown loss.
    """

    loss: Loss = "selective"
    alpha: float = 0.5
    smoothing: float = 1.0
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    max_steps: int = 500
    validate_every: int = 50
    monitor: Literal["nll", "loss"] = "nll"
    patience: int = 5
    validation_fraction: float = 0.1
    cache_bytes: int = 1 << 30
    seed: int = 0

    def __post_init__(self) -> None:
        _checks.one_of("loss", self.loss, LOSSES)
        _checks.one_of("monitor", self.monitor, ("nll", "loss"))
        plain: dict[str, float] = {}  # numpy's numbers would not go into a checkpoint
        for name in ("batch_size", "accumulate", "max_steps", "validate_every"):
            plain[name] = _checks.integer(name, getattr(self, name))
        for name in ("patience", "cache_bytes", "seed"):
            plain[name] = _checks.integer(name, getattr(self, name), minimum=0)
        for name in ("alpha", "smoothing"):
            plain[name] = _checks.number(name, getattr(self, name), 0.0, 1.0)
        plain["learning_rate"] = _checks.number("learning_rate", self.learning_rate, strict=True)
        plain["weight_decay"] = _checks.number("weight_decay", self.weight_decay)
        name, fraction = "validation_fraction", self.validation_fraction
        plain[name] = _checks.number(name, fraction, 0.0, 0.9, strict=True)
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @classmethod
    def paper(cls, n_pairs: int, seed: int = 0) -> "AtsTraining":
        """Xie et al. (EMNLP 2024): two epochs, batches of 8, a rate of 5e-5, their code's loss.

        They validated nothing; setting pairs aside and starting at the pooled temperature are ours.
        """
        return cls(
            loss="balanced",
            batch_size=1,
            accumulate=8,
            learning_rate=5e-5,
            weight_decay=0.0,
            max_steps=max(1, 2 * n_pairs // 8),
            patience=0,
            cache_bytes=0,
            seed=seed,
        )


STATE_FILE = "state.safetensors"
POOLED_TOKENS = 1024
"""Response tokens, about, on which the pooled temperature is fitted that training starts from."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where a training stands after a validation: `waited` validations after the `best` loss.

    The head started at `pooled_temperature`; `averages` are those of the optimiser.
    """

    step: int
    best: float
    waited: int
    pooled_temperature: float
    weights: Mapping[str, Tensor]
    best_weights: Mapping[str, Tensor]
    averages: Mapping[str, Tensor]

    def write(self, file: Path, digest: str) -> None:
        """Replace the state in a file."""
        groups = {
            "weights": self.weights,
            "best_weights": self.best_weights,
            "averages": self.averages,
        }
        tensors = {
            f"{kind}/{name}": tensor.detach().cpu().contiguous().clone()
            for kind, group in groups.items()
            for name, tensor in group.items()
        }
        names = ("step", "best", "waited", "pooled_temperature")
        counters = json.dumps({name: getattr(self, name) for name in names})
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as unfinished:
            save_file(tensors, unfinished, {"settings": digest, "counters": counters})

    @classmethod
    def read(cls, file: Path, digest: str) -> "State":
        """The inverse of `write`; `ValueError` for a damaged file or one of another training."""
        groups: dict[str, dict[str, Tensor]] = {"weights": {}, "best_weights": {}, "averages": {}}
        try:
            with safe_open(file, framework="pt") as content:
                metadata = content.metadata() or {}
                for key in content.keys():  # noqa: SIM118
                    kind, name = key.split("/", 1)
                    groups[kind][name] = content.get_tensor(key)
            counters = json.loads(metadata["counters"])
            state = cls(
                int(counters["step"]),
                float(counters["best"]),
                int(counters["waited"]),
                float(counters["pooled_temperature"]),
                **groups,
            )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{file}: damaged state of training ({error})") from error
        if metadata.get("settings") != digest:
            raise ValueError(
                f"{file}: the state of a training with other settings, model or pairs; choose "
                "another `log_dir` or remove the file"
            )
        return state


class HeadTraining(LightningModule):
    """The head, which is trained in place, with its training and its validation pairs."""

    def __init__(
        self,
        head: AtsHead,
        reader: TokenReader,
        train_pairs: Sequence[TokenPair],
        validation_pairs: Sequence[TokenPair],
        config: AtsTraining,
    ) -> None:
        super().__init__()
        self.head = head
        self.reader = reader
        self.train_pairs, self.validation_pairs = train_pairs, validation_pairs
        self.config = config
        self.state: State | None = None
        """Of the run that this one goes on from."""
        self.pooled_temperature = 1.0

    @property
    def done(self) -> int:
        """Steps of the run that this one goes on from."""
        return self.state.step if self.state is not None else 0

    def digest(self) -> str:
        """Hash of all that decides the course of the training."""
        content = [[asdict(self.config), asdict(self.head.config)], self.reader.lm.fingerprint]
        hashed = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        for pairs in (self.train_pairs, self.validation_pairs):
            hashed.update(repr([(pair.ids, pair.start) for pair in pairs]).encode())
        return hashed.hexdigest()[:16]

    def on_fit_start(self) -> None:
        """Put the language model where the head is, and start at the pooled temperature."""
        self.reader.lm.to(self.device)
        if self.state is None:
            self.pooled_temperature = self._fit_pooled_temperature()
            self.head.start_at(self.pooled_temperature)

    def configure_optimizers(self) -> Any:
        """AdamW and half a cosine."""
        config = self.config
        optimizer = torch.optim.AdamW(
            self.head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

        def share(step: int) -> float:
            return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step + self.done) / config.max_steps))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: list[int]) -> Tensor:
        """Loss of the response tokens of a few pairs."""
        reading = self.reader.pairs([self.train_pairs[i] for i in batch])
        loss, _ = self._losses(reading)
        self.log("train_loss", loss, batch_size=len(reading.targets))
        return loss

    def validation_step(self, batch: list[int]) -> None:
        """Mean negative log-likelihood of the response tokens, and the loss."""
        reading = self.reader.pairs([self.validation_pairs[i] for i in batch])
        loss, nll = self._losses(reading)
        size = len(reading.targets)
        self.log("val_nll", nll, prog_bar=True, batch_size=size)
        self.log("val_loss", loss, batch_size=size)

    def _losses(self, reading: Reading) -> tuple[Tensor, Tensor]:
        b = reading.at_sources(self.head.log_inverse(reading.hidden, reading.mask))
        statistics = token_statistics(self.reader.logits(reading), reading.targets, b.detach())
        config = self.config
        loss = selective_smoothing(statistics, b, config.loss, config.alpha, config.smoothing)
        return loss, token_losses(statistics, b)[0].mean()

    def _fit_pooled_temperature(self) -> float:
        hidden, targets, found = [], [], 0
        for start in range(0, len(self.train_pairs), self.config.batch_size):
            reading = self.reader.pairs(self.train_pairs[start : start + self.config.batch_size])
            hidden.append(reading.at_sources(reading.hidden))
            targets.append(reading.targets)
            found += len(reading.targets)
            if found >= POOLED_TOKENS:
                break
        states, tokens = torch.cat(hidden), torch.cat(targets)
        return fit_token_temperature(lambda: self.reader.vocabulary.chunks(states), tokens)


class _Progress(Callback):
    """Remembers the weights of the best validation, stops when patience ends, writes the state."""

    def __init__(self, module: HeadTraining, file: Path | None, digest: str) -> None:
        self._module, self._file, self._digest = module, file, digest
        self._state = state = module.state
        self._best = state.best if state else math.inf
        self._waited = state.waited if state else 0
        self.weights: dict[str, Tensor] = dict(state.best_weights) if state else {}

    @property
    def exhausted(self) -> bool:
        """Whether patience is at an end."""
        patience = self._module.config.patience
        return bool(patience) and self._waited >= patience

    def on_train_start(self, trainer: Trainer, _: LightningModule) -> None:
        """Go on with the optimiser's averages."""
        if self._state is not None:
            optimizer = trainer.optimizers[0]
            parameters = dict(self._module.head.named_parameters())
            for key, value in self._state.averages.items():
                kind, name = key.split("/", 1)
                where = value.device if kind == "step" else parameters[name].device
                optimizer.state[parameters[name]][kind] = value.clone().to(where)

    def on_validation_end(self, trainer: Trainer, _: LightningModule) -> None:
        """Compare with the best; the validation before the first step counts in a new run."""
        if trainer.sanity_checking and self._state is not None:
            return
        module, head = self._module, self._module.head
        value = float(trainer.callback_metrics[f"val_{module.config.monitor}"])
        if value < self._best - 1e-5:
            self._best, self._waited = value, 0
            self.weights = {k: v.detach().clone() for k, v in head.state_dict().items()}
        else:
            self._waited += 1
        if self.exhausted:
            trainer.should_stop = True
        if self._file is not None and not trainer.sanity_checking:
            averages = {
                f"{kind}/{name}": tensor
                for name, parameter in head.named_parameters()
                for kind, tensor in trainer.optimizers[0].state[parameter].items()
            }
            step, start = module.done + trainer.global_step, module.pooled_temperature
            tensors = head.state_dict(), self.weights, averages
            state = State(step, self._best, self._waited, start, *tensors)
            state.write(self._file, self._digest)


def fit(module: HeadTraining, keywords: Mapping[str, Any], folder: Path | None) -> None:
    """Train the head of a module in place, or go on with it; it ends with its best weights.

    `keywords` are those of `lightning.Trainer`; `folder` is for curves and state, if they are kept.
    """
    config, head, digest = module.config, module.head, module.digest()
    file = None if folder is None else folder / STATE_FILE
    if file is not None and file.is_file():
        module.state = State.read(file, digest)
        module.pooled_temperature = module.state.pooled_temperature
        head.load_state_dict(dict(module.state.weights))
    progress = _Progress(module, file, digest)
    if module.done < config.max_steps and not progress.exhausted:
        defaults: dict[str, Any] = {
            "devices": 1,
            "max_steps": config.max_steps - module.done,
            "max_epochs": 1,  # batches are endless
            "accumulate_grad_batches": config.accumulate,
            "gradient_clip_val": 1.0,
            "val_check_interval": min(config.validate_every, config.max_steps) * config.accumulate,
            "check_val_every_n_epoch": None,
            "num_sanity_val_steps": -1,  # the start is a candidate too
            "log_every_n_steps": config.validate_every,
            "logger": False if folder is None else CSVLogger(folder, name="", version=""),
            "enable_checkpointing": False,
            "enable_model_summary": False,
        }
        more = keywords.get("callbacks") or []
        callbacks = [progress, *(more if isinstance(more, list) else [more])]
        first = module.done * config.accumulate
        stream = Batches(len(module.train_pairs), config.batch_size, config.seed, first)
        rows = list(range(len(module.validation_pairs)))
        batches = [rows[i : i + config.batch_size] for i in range(0, len(rows), config.batch_size)]
        with quiet():
            trainer = Trainer(**{**defaults, **keywords, "callbacks": callbacks})
            trainer.fit(
                module,
                DataLoader(stream, batch_size=None),
                DataLoader(batches, batch_size=None),  # type: ignore[arg-type]
            )
    if progress.weights:
        head.load_state_dict(progress.weights)


class Batches(IterableDataset[list[int]]):
    """Endless batches of pairs, epoch after epoch; the k-th depends on the seed and k alone.

    Args:
        n: Number of pairs.
        size: Of a batch; what an epoch has beyond whole batches waits for another epoch.
        seed: Of the order.
        first: Number of the batch to begin with.
    """

    def __init__(self, n: int, size: int, seed: int, first: int = 0) -> None:
        self._n, self._size, self._seed, self._first = n, min(size, n), seed, first

    def __iter__(self) -> Iterator[list[int]]:
        per_epoch = self._n // self._size
        epoch, start = divmod(self._first, per_epoch)
        while True:
            generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
            order = torch.randperm(self._n, generator=generator).tolist()
            for number in range(start, per_epoch):
                yield order[number * self._size : (number + 1) * self._size]
            epoch, start = epoch + 1, 0


def train(
    lm: LanguageModel | TokenReader,
    pairs: Sequence[Pair] | Sequence[TokenPair],
    network: AtsConfig | None = None,
    training: AtsTraining | None = None,
    *,
    style: PairFormat | None = None,
    trainer: Mapping[str, Any] | None = None,
    log_dir: str | Path | None = None,
) -> AtsCalibrator:
    """Train a head for a language model, whose weights do not change.

    The head starts at the pooled temperature of the training tokens and ends with the weights of
    the best validation, the start included: with `monitor` at ``nll`` the result is never worse on
    the validation pairs than the pooled temperature. If it is the start, a warning says so.

    Args:
        lm: A causal model, which is moved to the device of training; or a reader of one, so that
            several trainings share what it has read.
        pairs: At least two; `TokenPair` for tokens made elsewhere, which `style` does not touch.
        network: Shape of the head.
        training: How to train.
        style: How pairs are written; as a chat if the tokenizer has a template, by default.
        trainer: Keywords of `lightning.Trainer`: accelerator, precision, … One device.
        log_dir: Folder for loss curves (CSV) and the state of training. A run that was killed goes
            on from its last validation when it is called again with the same arguments.

    Returns:
        A calibrator, ready to use and to save.

    Raises:
        ValueError: For fewer than two pairs, a model that ATS cannot read, or a `log_dir` with the
            state of another training.
    """
    network, training = network or AtsConfig(), training or AtsTraining()
    reader = lm if isinstance(lm, TokenReader) else TokenReader(lm, training.cache_bytes)
    lm = reader.lm
    style = style or PairFormat(chat=bool(getattr(lm.tokenizer, "chat_template", None)))
    if len(pairs) < 2:
        raise _checks.fail("pairs", "at least two", len(pairs))
    tokens = token_pairs(lm.tokenizer, pairs, style)
    with _threads.PROCESS, torch.random.fork_rng():
        torch.manual_seed(training.seed)
        head = AtsHead(network, lm.n_features)
        order = torch.randperm(len(tokens)).tolist()
        cut = min(max(1, round(len(tokens) * training.validation_fraction)), len(tokens) - 1)
        validation_pairs = [tokens[i] for i in order[:cut]]
        train_pairs = [tokens[i] for i in order[cut:]]
        module = HeadTraining(head, reader, train_pairs, validation_pairs, training)
        fit(module, trainer or {}, None if log_dir is None else Path(log_dir))
    if not head.output.weight.any():
        warnings.warn(
            "No validation was better than the start: the head predicts the pooled temperature "
            f"{module.pooled_temperature:.3f} for all tokens",
            stacklevel=2,
        )
    settings = {
        "network": asdict(network),
        "training": asdict(training),
        "pairs": len(tokens),
        "trainer": json.loads(json.dumps(dict(trainer or {}), default=repr)),
    }
    return AtsCalibrator(
        head.float().cpu(),
        provenance=AtsCalibrator.provenance_of(lm, style),
        pooled_temperature=module.pooled_temperature,
        train_tasks=sorted({pair.task for pair in pairs if isinstance(pair, Pair) and pair.task}),
        training=yaml.safe_dump(settings, sort_keys=False),
        language_model=lm,
    )
