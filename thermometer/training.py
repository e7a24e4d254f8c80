"""Train a thermometer on tables: Lightning runs the loop, `objective` defines the loss.

`TrainingConfig` and the presets say how; `MemberTraining` is the training of one member, and
`train` that of a thermometer: its members one after another, each on other tasks or rows and each
with the weights of its best validation.
"""

import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, LambdaCallback, ProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from thermometer import _checks, _threads
from thermometer._lightning import Bar, is_first_process, quiet, shows_progress
from thermometer.calibrator import Calibrator
from thermometer.checkpoint import TrainingRecord
from thermometer.data import RandomTasks, TaskData, random_groups, rows_of, set_aside
from thermometer.network import Member, Thermometer, ThermometerConfig
from thermometer.objective import gamma_prior_nll, mean_inverse, scaled_nll
from thermometer.posterior import Domain, fit_spread, log_likelihoods
from thermometer.score_features import ScoreInputs
from thermometer.tables import OutputTable


@dataclass(frozen=True)
class TrainingConfig:
    """How a thermometer is trained.

    Args:
        sample_weight: Share of the loss at each sample's own temperature; the rest is the loss at
            the task's, the mean inverse temperature over the rows of the task in the batch.
        scores_sample_weight: The same for members that read scores only. Hidden states can tell
            every question from every other, scores cannot, and so they need less restraint.
        prior_weight: Factor of the paper's Gamma prior on the task's temperature; 0 for none.
        tasks_per_step: Tasks in one step's batch; 0 for all of them. Tasks weigh equally.
        batch_size: Largest number of rows of each task in a batch, drawn anew at every step.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        max_steps: Optimisation steps of each member.
        validate_every: Steps between two validations.
        patience: Validations without improvement after which a member stops; 0 for never.
        validation: What is set aside: a share of each task's `rows`, as in the paper; or whole
            `tasks`, a different part for each member.
        validation_fraction: Share of the rows; for `tasks` it is one part in as many as there are
            members, or this share if there is only one.
        partial_context: How often a member that reads all prompts of a task together gets only a
            random part of them in training, from one to a batch, so that few prompts work later.
        seed: Of everything random.

    Raises:
        ValueError: For numbers out of range or unknown names.
    """

    sample_weight: float = 0.5
    scores_sample_weight: float = 1.0
    prior_weight: float = 0.0
    tasks_per_step: int = 0
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    max_steps: int = 300
    validate_every: int = 10
    patience: int = 6
    validation: Literal["rows", "tasks"] = "tasks"
    validation_fraction: float = 0.2
    partial_context: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        _checks.one_of("validation", self.validation, ("rows", "tasks"))
        # numpy's numbers become plain ones, which a checkpoint can hold
        least = {"batch_size": 1, "max_steps": 1, "validate_every": 1}
        for name, minimum in {**least, "tasks_per_step": 0, "patience": 0, "seed": 0}.items():
            value: float = _checks.integer(name, getattr(self, name), minimum)
            object.__setattr__(self, name, value)
        shares = dict.fromkeys(("sample_weight", "scores_sample_weight", "partial_context"), 1.0)
        others = dict.fromkeys(("prior_weight", "learning_rate", "weight_decay"), math.inf)
        for name, maximum in {**shares, **others, "validation_fraction": 0.9}.items():
            strict = name in ("learning_rate", "validation_fraction")
            value = _checks.number(name, getattr(self, name), 0.0, maximum, strict=strict)
            object.__setattr__(self, name, value)

    @classmethod
    def features_only(cls) -> "TrainingConfig":
        """For `ThermometerConfig.features_only`: more rows of each task in a batch."""
        return cls(batch_size=128)

    @classmethod
    def paper(cls, seed: int = 0) -> "TrainingConfig":
        """Shen et al. (ICML 2024): task-mean loss, Gamma prior, one task per step, 5,000 steps."""
        return cls(
            sample_weight=0.0,
            scores_sample_weight=0.0,
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


Preset = Literal["default", "features", "scores", "reference", "family", "paper"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
Config = TypeVar("Config", ThermometerConfig, TrainingConfig)


def resolve(
    preset: str, network: Mapping[str, Any], training: Mapping[str, Any]
) -> tuple[ThermometerConfig, TrainingConfig]:
    """The network and training of a preset, with some fields changed.

    Args:
        preset: `default` reads hidden states and scores; `features` hidden states only, `scores`
            scores only; `reference` hidden states, scores and those of a reference model; `family`
            is the default for several answering models at once; `paper` is the network and training
            of Shen et al. (ICML 2024).
        network: Fields of `ThermometerConfig` that differ from the preset.
        training: Fields of `TrainingConfig` that differ from the preset.

    Raises:
        ValueError: For an unknown preset or field, or a value out of range.

    Example:
        >>> network, training = resolve("paper", {"hidden_size": 128}, {})
        >>> network.hidden_size, training.max_steps
        (128, 5000)
    """
    presets = {
        "default": (ThermometerConfig(), TrainingConfig()),
        "features": (ThermometerConfig.features_only(), TrainingConfig.features_only()),
        "scores": (ThermometerConfig.scores_only(), TrainingConfig()),
        "reference": (ThermometerConfig.with_reference(), TrainingConfig()),
        "family": (ThermometerConfig.for_family(), TrainingConfig()),
        "paper": (ThermometerConfig.paper(), TrainingConfig.paper()),
    }
    shape, schedule = presets[_checks.one_of("preset", preset, PRESETS)]
    return _override(shape, "network", network), _override(schedule, "training", training)


def _override(config: Config, name: str, fields: Mapping[str, Any]) -> Config:
    if unknown := sorted(set(fields) - set(config.__dataclass_fields__)):
        known = ", ".join(config.__dataclass_fields__)
        raise _checks.fail(name, f"fields among {known}", repr(unknown))
    return replace(config, **fields)


class MemberTraining(LightningModule):
    """One member, its training and its validation data.

    Args:
        member: To be trained.
        score_inputs: Makes the debiased statistics of a part of a task; for members that read them.
        anchor: Temperature that suits the scores of the data.
        training_data: Rows to learn from.
        validation_data: Rows that decide which weights are kept.
        config: How to train.
    """

    def __init__(
        self,
        member: Member,
        score_inputs: ScoreInputs | None,
        anchor: float,
        training_data: TaskData,
        validation_data: TaskData,
        config: TrainingConfig,
    ) -> None:
        super().__init__()
        self.member = member
        self.config = config
        self.training_data, self.validation_data = training_data, validation_data
        of_scores = "features" not in member.sources
        self._sample_weight = config.scores_sample_weight if of_scores else config.sample_weight
        self._reads_task = "debiased" in member.sources or member.pool is not None
        self._anchor = anchor
        self._score_inputs = [score_inputs]  # in a list: no part of the model, stays in float32

    def on_fit_start(self) -> None:
        """Put the data where the network is."""
        where = self.device, next(self.member.parameters()).dtype
        self.training_data = self.training_data.to(*where)
        self.validation_data = self.validation_data.to(*where)
        self._score_inputs = [s and deepcopy(s).to(self.device) for s in self._score_inputs]

    def configure_optimizers(self) -> Any:
        """AdamW."""
        rate, decay = self.config.learning_rate, self.config.weight_decay
        return torch.optim.AdamW(self.member.parameters(), lr=rate, weight_decay=decay)

    def training_step(self, batch: list[int]) -> Tensor:
        """Loss of a few tasks, and the prior."""
        data = self.training_data
        rows, segment_ids = data.draw(batch, self.config.batch_size)
        inputs, groups = {name: values[rows] for name, values in data.inputs.items()}, segment_ids
        if self._reads_task and self.config.partial_context:
            inputs, groups = self._with_partial_context(inputs, rows, segment_ids)
        loss, of_task = self._loss(data, rows, segment_ids, self.member(inputs, groups))
        if self.config.prior_weight:
            loss = loss + self.config.prior_weight * gamma_prior_nll(of_task).mean()
        if (self.global_step + 1) % self.config.validate_every == 0:  # when it is written
            self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[int]) -> None:
        """Mean loss over the validation tasks, without prior."""
        data = self.validation_data
        rows, segment_ids = data.draw(batch, len(data.labels))
        inputs = {name: values[rows] for name, values in data.inputs.items()}
        loss, _ = self._loss(data, rows, segment_ids, self.member(inputs, segment_ids))
        self.log("val_nll", loss, prog_bar=True, batch_size=1)

    def _with_partial_context(
        self, inputs: dict[str, Tensor], rows: Tensor, segment_ids: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Inputs and groups of a batch where some tasks are cut into groups of their rows."""
        n_tasks, share = int(segment_ids[-1]) + 1, self.config.partial_context
        chosen = (torch.rand(n_tasks, device=rows.device) < share)[segment_ids]
        of_parts = random_groups(segment_ids)
        if "debiased" in self.member.sources:
            [score_inputs] = self._score_inputs
            assert score_inputs is not None
            z = self.training_data.scores[rows] / self._anchor
            models = self.training_data.models[rows]
            of_task = inputs["debiased"]
            of_part = score_inputs(z, of_parts, models, only=("debiased",))["debiased"].to(of_task)
            inputs = {**inputs, "debiased": torch.where(chosen[:, None], of_part, of_task)}
        return inputs, torch.where(chosen, n_tasks + of_parts, segment_ids)

    def _loss(
        self, data: TaskData, rows: Tensor, segment_ids: Tensor, log_inverse: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean over tasks of the mean loss of their rows, and b of each task."""
        of_task = mean_inverse(log_inverse, segment_ids)
        share = 1 / torch.bincount(segment_ids).float()
        weights = share[segment_ids] / len(share)
        scores, labels, weight = data.scores[rows], data.labels[rows], self._sample_weight
        loss = torch.zeros((), device=rows.device)
        if weight:
            nll = scaled_nll(scores, labels, log_inverse)
            loss = loss + weight * (weights * nll).sum()  # a product `@` would be rounded by AMP
        if weight < 1:
            nll = scaled_nll(scores, labels, of_task[segment_ids])
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
        assert isinstance(pl_module, MemberTraining)
        value = float(trainer.callback_metrics["val_nll"])
        if not trainer.sanity_checking and value < self._best:
            self._best = value
            weights = pl_module.member.state_dict()
            self._weights = {name: value.detach().clone() for name, value in weights.items()}
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                save_file(self._weights, self._folder / "best.safetensors")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the best weights back."""
        assert isinstance(pl_module, MemberTraining)
        if self._weights:
            pl_module.member.load_state_dict(self._weights)


def fit_member(
    module: MemberTraining, keywords: Mapping[str, Any], logs: Path | None, bar: Bar, before: int
) -> None:
    """Train until it no longer helps, and put the weights of the best validation back.

    On one CPU thread: the network is so small that more of them mostly wait for one another, and
    where other processes compute too it took three times as long with two.

    Args:
        module: One member with its data.
        keywords: Of `lightning.Trainer`.
        logs: Folder for loss curves and best weights; `None` writes none.
        bar: Shows the steps of all members, of which `before` were those before this one.
        before: See `bar`.
    """
    config = module.config
    show = LambdaCallback(on_train_batch_end=lambda t, *_: bar.show(before + t.global_step))
    callbacks: list[Callback] = [_KeepBest(logs), show]
    if config.patience:
        callbacks.append(EarlyStopping("val_nll", patience=config.patience, min_delta=1e-5))
    given = keywords.get("callbacks") or []
    callbacks += given if isinstance(given, list) else [given]
    loggers: list[Logger] = []
    if logs is not None:
        loggers = [CSVLogger(logs.parent, name=logs.name, version="")]
        if importlib.util.find_spec("tensorboard") is not None:
            loggers.append(TensorBoardLogger(logs.parent, name=logs.name, version=""))
    defaults: dict[str, Any] = {
        "devices": 1,
        "max_steps": config.max_steps,
        "max_epochs": 1,  # batches are endless
        "val_check_interval": min(config.validate_every, config.max_steps),
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": config.validate_every,
        "logger": loggers or False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
    }
    bars = {"enable_progress_bar": any(isinstance(one, ProgressBar) for one in callbacks)}
    tasks = RandomTasks(len(module.training_data.rows), config.tasks_per_step)
    all_validation_tasks: Any = [list(range(len(module.validation_data.rows)))]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with quiet():
            trainer = Trainer(**{**defaults, **keywords, "callbacks": callbacks, **bars})
            trainer.fit(
                module,
                DataLoader(tasks, batch_size=None),
                DataLoader(all_validation_tasks, batch_size=None),
            )
    finally:
        torch.set_num_threads(threads)


def train(
    tables: OutputTable | Sequence[OutputTable],
    network: ThermometerConfig | None = None,
    training: TrainingConfig | None = None,
    *,
    trainer: Mapping[str, Any] | None = None,
    log_dir: str | Path | None = None,
) -> Calibrator:
    """Train a thermometer on labelled tables with scores and whatever else its views read.

    Tables whose scores come from several answering models train one thermometer for all of them:
    each model keeps its own temperature and scale of statistics, and a task is held out for all
    models at once.

    Args:
        tables: One table or several, with features, and reference scores, of one provenance.
        network: Shape of the network; if not given, that of the preset `default`, or for several
            answering models `family`.
        training: How to train; the `default` preset if not given.
        trainer: Keywords of `lightning.Trainer`: accelerator, precision, enable_progress_bar, …
        log_dir: Folder for loss curves (CSV, and TensorBoard if installed) and the best weights of
            each member; none are written by default.

    Returns:
        A calibrator, ready to use and to save, set to the answering model of the first table;
        `adaptation.for_model` sets it to another.

    Raises:
        ValueError: If a table lacks labels, scores or what is read, or tables with different
            features or reference models are given.
    """
    how = "`training.resolve` makes both from the name of a preset"
    training = TrainingConfig() if training is None else training
    _checks.instance("training", training, TrainingConfig, how)
    if network is not None:
        _checks.instance("network", network, ThermometerConfig, how)
    rows = rows_of(tables, (network or ThermometerConfig()).needs)
    if network is None:
        several = len(rows.targets) > 1
        network = ThermometerConfig.for_family() if several else ThermometerConfig()
    groups, models = torch.from_numpy(rows.tasks), torch.from_numpy(rows.models)
    with _threads.PROCESS, torch.random.fork_rng():
        torch.manual_seed(training.seed)
        width = 0 if rows.features is None else rows.features.shape[1]
        thermometer = Thermometer(network, width, len(rows.targets))
        thermometer.fit_inputs(
            **rows.given,
            groups=groups,
            models=models,
            temperatures=rows.temperatures,
            reference_temperatures=rows.reference_temperatures,
        )
        inputs = thermometer.inputs(**rows.given, groups=groups, models=models)
        data = TaskData.from_rows(rows, inputs)
        validation_rows = _train_members(
            thermometer, data, training, trainer or {}, None if log_dir is None else Path(log_dir)
        )
    settings = {
        "network": asdict(network),
        "training": asdict(training),
        "trainer": json.loads(json.dumps(dict(trainer or {}), default=repr)),
    }
    record = TrainingRecord(
        sorted(set(rows.task_names)),
        rows.temperatures[0],
        features=rows.source,
        reference=rows.reference,
        targets=rows.targets,
        spread=_held_out_spread(thermometer, groups, data, validation_rows),
        domain=_domain(data),
        training=yaml.safe_dump(settings, sort_keys=False),
    )
    return Calibrator(thermometer.float().cpu(), record)


def _train_members(
    thermometer: Thermometer,
    data: TaskData,
    training: TrainingConfig,
    trainer: Mapping[str, Any],
    log_dir: Path | None,
) -> dict[int, list[Tensor]]:
    """Train one member after another; the validation rows of each replica, by task."""
    anchor, n_replicas = float(thermometer.anchor), thermometer.config.n_members
    score_inputs = getattr(thermometer, "score_inputs", None)
    n_members, steps = len(thermometer.members), training.max_steps
    text = f"training {n_members} {'network' if n_members == 1 else 'networks'}"
    shown = is_first_process() and shows_progress(trainer)
    how, validation_rows = (training.validation, training.validation_fraction), {}
    with Bar(text, n_members * steps, shown=shown) as bar:
        for number, member in enumerate(thermometer.members):
            torch.manual_seed(training.seed * 1000 + number)
            assert isinstance(member, Member)
            member.start_at(anchor)
            replica = number % n_replicas
            parts = set_aside(data, *how, replica, n_replicas, training.seed)
            logs = None if log_dir is None else log_dir / f"member-{number}"
            module = MemberTraining(member, score_inputs, anchor, *parts, training)
            fit_member(module, trainer, logs, bar, number * steps)
            bar.show((number + 1) * steps)
            validation_rows[replica] = parts[1].rows
    return validation_rows


@torch.no_grad()
def _held_out_spread(
    thermometer: Thermometer,
    groups: Tensor,
    data: TaskData,
    validation_rows: Mapping[int, list[Tensor]],
) -> float:
    """How far the log temperatures of tasks are missed by members that did not train on them.

    With validation by rows the members did train on the tasks, and the spread is too small.
    """
    b = thermometer.eval().float().cpu().predict_views(data.inputs, groups).mean(dim=0)
    found = []
    for replica, tasks in validation_rows.items():
        for rows in tasks:
            temperature = b[replica, rows].neg().exp().double().numpy()
            scores, labels = data.scores[rows].double().numpy(), data.labels[rows].numpy()
            found.append(log_likelihoods(scores, labels, temperature))
    return fit_spread(np.array(found))


def _domain(data: TaskData) -> Domain:
    """The tasks of each answering model as points."""
    points = {
        name: np.array([values[rows].double().mean(dim=0).numpy() for rows in data.rows])
        for name, values in data.inputs.items()
        if name != "model"  # is the same for all tasks
    }
    models = np.array([int(data.models[rows[0]]) for rows in data.rows])
    return Domain(points, models if models.any() else None)
