"""Train a thermometer on tables: Lightning runs the loop, `objective` defines the loss.

A thermometer has one or several members, which are trained one after another, each on other
tasks or rows and each with the weights of its best validation. Nothing here knows language models.
"""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from safetensors.torch import save_file
from torch import Tensor

from thermometer import _checks
from thermometer._lightning import quiet
from thermometer.calibrator import Calibrator
from thermometer.data import TaskBatches, TaskData, set_aside
from thermometer.network import Member, Thermometer, ThermometerConfig
from thermometer.objective import gamma_prior_nll, mean_inverse, scaled_nll
from thermometer.scaling import fit_temperature
from thermometer.tables import OutputTable


@dataclass(frozen=True)
class TrainingConfig:
    """How a thermometer is trained.

    Args:
        sample_weight: Share of the loss at each sample's own temperature; the rest is the loss at
            the task's, the mean inverse temperature over the rows of the task in the batch.
        prior_weight: Factor of the paper's Gamma prior on the task's temperature; 0 for none.
        tasks_per_step: Tasks in one step's batch; 0 for all of them. Tasks weigh equally.
        batch_size: Largest number of rows of each task in a batch, drawn anew at every step.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        max_steps: Optimisation steps of each member.
        validate_every: Steps between two validations.
        patience: Validations without improvement after which a member stops; 0 for never.
        validation: What is set aside: a share of each task's `rows`, as in the paper, or whole
            `tasks`, a different part for each member.
        validation_fraction: Share of the rows; for `tasks` it is one part in as many as there
            are members, or this share if there is only one.
        seed: Of everything random.

    Raises:
        ValueError: For numbers out of range or unknown names.
    """

    sample_weight: float = 0.5
    prior_weight: float = 0.0
    tasks_per_step: int = 0
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    max_steps: int = 300
    validate_every: int = 10
    patience: int = 6
    validation: Literal["rows", "tasks"] = "tasks"
    validation_fraction: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        plain = {  # numpy's numbers would not go into a checkpoint
            "sample_weight": _checks.number("sample_weight", self.sample_weight, 0.0, 1.0),
            "prior_weight": _checks.number("prior_weight", self.prior_weight),
            "tasks_per_step": _checks.integer("tasks_per_step", self.tasks_per_step, minimum=0),
            "batch_size": _checks.integer("batch_size", self.batch_size),
            "learning_rate": _checks.number("learning_rate", self.learning_rate, strict=True),
            "weight_decay": _checks.number("weight_decay", self.weight_decay),
            "max_steps": _checks.integer("max_steps", self.max_steps),
            "validate_every": _checks.integer("validate_every", self.validate_every),
            "patience": _checks.integer("patience", self.patience, minimum=0),
            "validation_fraction": _checks.number(
                "validation_fraction", self.validation_fraction, 0.0, 0.9, strict=True
            ),
            "seed": _checks.integer("seed", self.seed, minimum=0),
        }
        _checks.one_of("validation", self.validation, ("rows", "tasks"))
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @classmethod
    def paper(cls, seed: int = 0) -> "TrainingConfig":
        """Shen et al. (ICML 2024): task-mean loss, Gamma prior, one task per step, 5,000 steps."""
        return cls(
            sample_weight=0.0,
            prior_weight=0.01,
            tasks_per_step=1,
            batch_size=128,
            learning_rate=1e-3,
            weight_decay=1e-4,
            max_steps=5000,
            validate_every=50,
            patience=0,
            validation="rows",
            seed=seed,
        )


def train(
    tables: OutputTable | Sequence[OutputTable],
    network: ThermometerConfig | None = None,
    training: TrainingConfig | None = None,
    *,
    trainer: Mapping[str, Any] | None = None,
    log_dir: str | Path | None = None,
) -> Calibrator:
    """Train a thermometer on labelled tables with features and scores.

    Args:
        tables: One table or several of the same provenance.
        network: Shape of the network; the `default` preset if not given.
        training: How to train; the `default` preset if not given.
        trainer: Keywords of `lightning.Trainer`: accelerator, precision, enable_progress_bar, …
        log_dir: Folder for loss curves (CSV, and TensorBoard if installed) and the best weights of
            each member; none are written by default.

    Returns:
        A calibrator, ready to use and to save.

    Raises:
        ValueError: If a table lacks labels, features or scores, or tables of different provenance
            are given.
    """
    network = network or ThermometerConfig()
    training = training or TrainingConfig()
    table = OutputTable.concatenate([tables] if isinstance(tables, OutputTable) else tables)
    if not table.labelled:
        row = int((table.labels < 0).nonzero()[0][0])
        raise _checks.fail("tables", "labelled", f"no label for question {table.ids[row]}")
    pooled = fit_temperature(table.require("scores"), table.labels).temperature
    features = torch.tensor(table.require("features"))
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        thermometer = Thermometer(network, features.shape[1])
        thermometer.fit_components(features)
        data = TaskData.from_table(table, thermometer.components(features))
        for number, member in enumerate(thermometer.members):
            torch.manual_seed(training.seed * 1000 + number)
            assert isinstance(member, Member)
            member.start_at(pooled)
            parts = set_aside(
                data,
                training.validation,
                training.validation_fraction,
                number,
                network.n_members,
                training.seed,
            )
            logs = None if log_dir is None else Path(log_dir) / f"member-{number}"
            _fit(_Training(member, *parts, training), trainer or {}, logs)
    settings = {
        "network": asdict(network),
        "training": asdict(training),
        "trainer": {key: _plain(value) for key, value in (trainer or {}).items()},
    }
    return Calibrator(
        thermometer.float().cpu(),
        features=table.provenance.get("features") or {},
        target=table.provenance.get("scores") or {},
        train_tasks=table.task_names,
        pooled_temperature=pooled,
        training=yaml.safe_dump(settings, sort_keys=False),
    )


class _Training(LightningModule):
    """One member, its training and its validation data."""

    def __init__(
        self, member: Member, seen: TaskData, kept: TaskData, config: TrainingConfig
    ) -> None:
        super().__init__()
        self.member = member
        self.config = config
        self.seen, self.kept = seen, kept

    def on_fit_start(self) -> None:
        """Put the data where the network is."""
        where = self.device, next(self.member.parameters()).dtype
        self.seen, self.kept = self.seen.to(*where), self.kept.to(*where)

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
        log_inverse = self.member(self.seen.inputs[rows])
        loss, of_task = self._loss(self.seen, rows, owners, log_inverse)
        if self.config.prior_weight:
            loss = loss + self.config.prior_weight * gamma_prior_nll(of_task).mean()
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[int]) -> None:
        """Mean loss over the validation tasks, without prior."""
        rows, owners = self.kept.draw(batch, len(self.kept.labels))
        loss, _ = self._loss(self.kept, rows, owners, self.member(self.kept.inputs[rows]))
        self.log("val_nll", loss, prog_bar=True, batch_size=1)

    def _loss(
        self, data: TaskData, rows: Tensor, owners: Tensor, log_inverse: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean over tasks of the mean loss of their rows, and b of each task."""
        of_task = mean_inverse(log_inverse, owners)
        share = 1 / torch.bincount(owners).float()
        weights = share[owners] / len(share)
        scores, labels, weight = data.scores[rows], data.labels[rows], self.config.sample_weight
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


def _fit(module: _Training, keywords: Mapping[str, Any], logs: Path | None) -> None:
    config = module.config
    callbacks: list[Callback] = [_KeepBest(logs)]
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
    with quiet():
        trainer = Trainer(**{**defaults, **keywords, "callbacks": callbacks})
        trainer.fit(module, batches)


def _plain(value: Any) -> Any:
    """A value of the configuration as YAML can write it: objects by their description."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or type(value) in (bool, int, float, str) else repr(value)


def _loggers(folder: Path | None) -> list[Logger] | bool:
    if folder is None:
        return False
    loggers: list[Logger] = [CSVLogger(folder.parent, name=folder.name, version="")]
    if importlib.util.find_spec("tensorboard") is not None:
        loggers.append(TensorBoardLogger(folder.parent, name=folder.name, version=""))
    return loggers
