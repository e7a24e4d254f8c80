"""The loop that trains one member of a thermometer: Lightning runs it, `objective` has the loss."""

import importlib.util
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from safetensors.torch import save_file
from torch import Tensor

from thermometer._lightning import quiet
from thermometer.data import TaskBatches, TaskData, random_groups
from thermometer.networks.member import Member
from thermometer.networks.objective import gamma_prior_nll, mean_inverse, scaled_nll
from thermometer.networks.score_inputs import ScoreInputs
from thermometer.progress import Bar

if TYPE_CHECKING:
    from thermometer.training import TrainingConfig


class MemberTraining(LightningModule):
    """One member, its training and its validation data.

    Args:
        member: To be trained.
        score_inputs: Makes what a part of a task says; unused by members that read one row only.
        anchor: Temperature that suits the scores of the data.
        seen: Training data.
        kept: Validation data.
        config: How to train.
    """

    def __init__(
        self,
        member: Member,
        score_inputs: ScoreInputs | None,
        anchor: float,
        seen: TaskData,
        kept: TaskData,
        config: "TrainingConfig",
    ) -> None:
        super().__init__()
        self.member = member
        self.config = config
        self.seen, self.kept = seen, kept
        of_scores = "features" not in member.sources
        self._sample_weight = config.scores_sample_weight if of_scores else config.sample_weight
        self._anchor = anchor
        self._score_inputs = [score_inputs]  # in a list: no part of the model, stays in float32

    def on_fit_start(self) -> None:
        """Put the data where the network is."""
        where = self.device, next(self.member.parameters()).dtype
        self.seen, self.kept = self.seen.to(*where), self.kept.to(*where)
        self._score_inputs = [s and deepcopy(s).to(self.device) for s in self._score_inputs]

    def configure_optimizers(self) -> Any:
        """AdamW."""
        return torch.optim.AdamW(
            self.member.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )

    def training_step(self, batch: list[int]) -> Tensor:
        """Loss of a few tasks, and the prior."""
        rows, owners = self.seen.draw(batch, self.config.batch_size)
        log_inverse = self._read(self.seen, rows, owners, partly=True)
        loss, of_task = self._loss(self.seen, rows, owners, log_inverse)
        if self.config.prior_weight:
            loss = loss + self.config.prior_weight * gamma_prior_nll(of_task).mean()
        if (self.global_step + 1) % self.config.validate_every == 0:  # when it is written
            self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[int]) -> None:
        """Mean loss over the validation tasks, without prior."""
        rows, owners = self.kept.draw(batch, len(self.kept.labels))
        loss, _ = self._loss(self.kept, rows, owners, self._read(self.kept, rows, owners))
        self.log("val_nll", loss, prog_bar=True, batch_size=1)

    def _read(
        self, data: TaskData, rows: Tensor, owners: Tensor, *, partly: bool = False
    ) -> Tensor:
        """B of some rows; `partly`, some of the tasks are known by a part of their rows only."""
        inputs = {name: values[rows] for name, values in data.inputs.items()}
        groups = owners
        reads_fair = "fair" in self.member.sources
        if partly and self.config.partial_context and (reads_fair or self.member.pool is not None):
            n_tasks = int(owners[-1]) + 1
            chosen = torch.rand(n_tasks, device=rows.device)[owners] < self.config.partial_context
            parts = random_groups(owners)
            groups = torch.where(chosen, n_tasks + parts, owners)
            if reads_fair:
                [score_inputs] = self._score_inputs
                assert score_inputs is not None
                z, whole = data.scores[rows] / self._anchor, inputs["fair"]
                fair = score_inputs(z, parts, data.models[rows], only=("fair",))["fair"].to(whole)
                inputs["fair"] = torch.where(chosen[:, None], fair, whole)
        found: Tensor = self.member(inputs, groups)
        return found

    def _loss(
        self, data: TaskData, rows: Tensor, owners: Tensor, log_inverse: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean over tasks of the mean loss of their rows, and b of each task."""
        of_task = mean_inverse(log_inverse, owners)
        share = 1 / torch.bincount(owners).float()
        weights = share[owners] / len(share)
        scores, labels, weight = data.scores[rows], data.labels[rows], self._sample_weight
        loss = torch.zeros((), device=rows.device)
        if weight:
            nll = scaled_nll(scores, labels, log_inverse)
            loss = loss + weight * (weights * nll).sum()  # a product `@` would be rounded by AMP
        if weight < 1:
            nll = scaled_nll(scores, labels, of_task[owners])
            loss = loss + (1 - weight) * (weights * nll).sum()
        return loss, of_task


class _KeepBest(Callback):
    """Remembers the weights of the best validation, and puts them back at the end."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._best = math.inf
        self._weights: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep a copy of the weights if they are better than all before."""
        value = float(trainer.callback_metrics["val_nll"])
        if not trainer.sanity_checking and value < self._best:
            self._best = value
            member = pl_module.member
            self._weights = {k: v.detach().clone() for k, v in member.state_dict().items()}  # type: ignore[union-attr]
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                save_file(self._weights, self._folder / "best.safetensors")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the best weights back."""
        if self._weights:
            pl_module.member.load_state_dict(self._weights)  # type: ignore[union-attr]


class _ShowStep(Callback):
    def __init__(self, bar: Bar, before: int) -> None:
        self._bar, self._before = bar, before

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Move the bar."""
        self._bar.show(self._before + trainer.global_step)


def fit_member(
    module: MemberTraining,
    keywords: Mapping[str, Any],
    logs: Path | None,
    bar: Bar,
    before: int,
) -> None:
    """Train until it no longer helps, and put the weights of the best validation back.

    On one CPU thread: the network is so small that more of them mostly wait for one another, and
    where other processes compute too it took three times as long with two.

    Args:
        module: One member with its data.
        keywords: Of `lightning.Trainer`.
        logs: Folder for loss curves and best weights; none are written by default.
        bar: Shows the steps of all members.
        before: Steps of the members before this one.
    """
    config = module.config
    callbacks: list[Callback] = [_KeepBest(logs), _ShowStep(bar, before)]
    if config.patience:
        callbacks.append(EarlyStopping("val_nll", patience=config.patience, min_delta=1e-5))
    defaults: dict[str, Any] = {
        "devices": 1,
        "max_steps": config.max_steps,
        "max_epochs": 1,  # batches are endless
        "val_check_interval": min(config.validate_every, config.max_steps),
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": config.validate_every,
        "logger": _loggers(logs),
        "enable_checkpointing": False,
        "enable_model_summary": False,
    }
    batches = TaskBatches(len(module.seen.rows), len(module.kept.rows), config.tasks_per_step)
    more = keywords.get("callbacks") or []
    callbacks += more if isinstance(more, list) else [more]
    bars = {"enable_progress_bar": any(isinstance(one, ProgressBar) for one in callbacks)}
    with quiet(), _one_thread():
        trainer = Trainer(**{**defaults, **keywords, "callbacks": callbacks, **bars})
        trainer.fit(module, batches)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _loggers(folder: Path | None) -> list[Logger] | bool:
    if folder is None:
        return False
    loggers: list[Logger] = [CSVLogger(folder.parent, name=folder.name, version="")]
    if importlib.util.find_spec("tensorboard") is not None:
        loggers.append(TensorBoardLogger(folder.parent, name=folder.name, version=""))
    return loggers
