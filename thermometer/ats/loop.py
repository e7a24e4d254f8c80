"""The loop of ATS training: Lightning runs it, `objective` has the loss.

The language model is only held, never owned: state dicts and files have the head alone. Nothing
here knows where pairs come from.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from thermometer._lightning import quiet
from thermometer.ats import resume
from thermometer.ats.config import AtsTraining
from thermometer.ats.data import TokenPair
from thermometer.ats.network import AtsHead
from thermometer.ats.objective import (
    fit_token_temperature,
    selective_smoothing,
    token_losses,
    token_statistics,
)
from thermometer.ats.reading import Reading, TokenReader

POOLED_TOKENS = 1024
"""Response tokens, about, on which the one temperature is fitted that training starts from."""


class Training(LightningModule):
    """The head, and what it learns from.

    Args:
        head: Trained in place.
        reader: Of the language model.
        seen: Pairs to learn from.
        kept: Pairs for validation.
        config: How to train.
    """

    def __init__(
        self,
        head: AtsHead,
        reader: TokenReader,
        seen: Sequence[TokenPair],
        kept: Sequence[TokenPair],
        config: AtsTraining,
    ) -> None:
        super().__init__()
        self.head = head
        self.reader = reader
        self.seen, self.kept = seen, kept
        self.config = config
        self.state: resume.State | None = None
        """Of the run that this one goes on from."""
        self.pooled_temperature = 1.0

    @property
    def done(self) -> int:
        """Steps of the run that this one goes on from."""
        return self.state.step if self.state is not None else 0

    def on_fit_start(self) -> None:
        """Put the language model where the head is, and start at one temperature for all."""
        self.reader.lm.to(self.device)
        if self.state is None:
            self.pooled_temperature = _pooled_temperature(self.reader, self.seen, self.config)
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
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def training_step(self, batch: list[int]) -> Tensor:
        """Loss of the response tokens of a few pairs."""
        reading = self.reader.pairs([self.seen[i] for i in batch])
        loss, _ = self._losses(reading)
        self.log("train_loss", loss, batch_size=len(reading.targets))
        return loss

    def validation_step(self, batch: list[int]) -> None:
        """Mean negative log-likelihood of the response tokens, and the loss."""
        reading = self.reader.pairs([self.kept[i] for i in batch])
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


class Progress(Callback):
    """Keeps the weights of the best validation, stops when there are none, writes the state.

    Args:
        file: Where the state goes, if anywhere.
        settings: Digest of what decides the training.
        state: Of the run that this one goes on from.
    """

    def __init__(self, file: Path | None, settings: str, state: resume.State | None) -> None:
        self._file, self._settings, self._state = file, settings, state
        self.best = state.best if state else math.inf
        self.waited = state.waited if state else 0
        self.weights: dict[str, Tensor] = dict(state.best_weights) if state else {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the optimiser's averages."""
        if self._state is not None:
            resume.restore(trainer.optimizers[0], _names(pl_module), self._state.averages)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare with the best; the validation before the first step counts in a new run."""
        assert isinstance(pl_module, Training)
        if trainer.sanity_checking and self._state is not None:
            return
        value = float(trainer.callback_metrics[f"val_{pl_module.config.monitor}"])
        if value < self.best - 1e-5:
            self.best, self.waited = value, 0
            self.weights = {k: v.detach().clone() for k, v in pl_module.head.state_dict().items()}
        else:
            self.waited += 1
        if self.exhausted(pl_module.config):
            trainer.should_stop = True
        if self._file is not None and not trainer.sanity_checking:
            state = resume.State(
                pl_module.done + trainer.global_step,
                self.best,
                self.waited,
                pl_module.pooled_temperature,
                pl_module.head.state_dict(),
                self.weights,
                resume.averages(trainer.optimizers[0], _names(pl_module)),
            )
            resume.write(self._file, self._settings, state)

    def exhausted(self, config: AtsTraining) -> bool:
        """Whether patience is at an end."""
        return bool(config.patience) and self.waited >= config.patience


def fit(module: Training, keywords: Mapping[str, Any], folder: Path | None) -> None:
    """Train the head of a module in place, or go on with it; it ends with its best weights.

    Args:
        module: What to train.
        keywords: Of `lightning.Trainer`.
        folder: For curves and state; `None` for none.
    """
    config, head = module.config, module.head
    settings = resume.digest(
        (config, head.config), module.reader.lm.fingerprint, module.seen, module.kept
    )
    file = None if folder is None else folder / resume.FILE
    if file is not None and file.is_file():
        module.state = resume.read(file, settings)
        module.pooled_temperature = module.state.pooled_temperature
        head.load_state_dict(dict(module.state.weights))
    progress = Progress(file, settings, module.state)
    if module.done < config.max_steps and not progress.exhausted(config):
        _run(module, progress, keywords, folder)
    if progress.weights:
        head.load_state_dict(progress.weights)


def _run(
    module: Training, progress: Progress, keywords: Mapping[str, Any], folder: Path | None
) -> None:
    config = module.config
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
    stream = Batches(len(module.seen), config.batch_size, config.seed, first)
    rows = list(range(len(module.kept)))
    kept = [rows[i : i + config.batch_size] for i in range(0, len(rows), config.batch_size)]
    with quiet():
        trainer = Trainer(**{**defaults, **keywords, "callbacks": callbacks})
        trainer.fit(
            module,
            DataLoader(stream, batch_size=None),
            DataLoader(kept, batch_size=None),  # type: ignore[arg-type]
        )


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


def _names(module: LightningModule) -> list[str]:
    assert isinstance(module, Training)
    return [name for name, _ in module.head.named_parameters()]


def _pooled_temperature(
    reader: TokenReader, pairs: Sequence[TokenPair], config: AtsTraining
) -> float:
    hidden, targets, found = [], [], 0
    for start in range(0, len(pairs), config.batch_size):
        reading = reader.pairs(pairs[start : start + config.batch_size])
        hidden.append(reading.at_sources(reading.hidden))
        targets.append(reading.targets)
        found += len(reading.targets)
        if found >= POOLED_TOKENS:
            break
    states, tokens = torch.cat(hidden), torch.cat(targets)
    return fit_token_temperature(lambda: reader.vocabulary.chunks(states), tokens)
