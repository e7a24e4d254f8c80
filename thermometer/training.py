"""Train a thermometer on tables: Lightning runs the loop, `objective` defines the loss.

A thermometer has one or several members, which are trained one after another, each on other
tasks or rows and each with the weights of its best validation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml

from thermometer import _checks
from thermometer._lightning import is_first_process, shows_progress
from thermometer.calibrator import Calibrator
from thermometer.checkpoint import TrainingRecord
from thermometer.data import TaskData, set_aside
from thermometer.domain import Domain
from thermometer.networks.answering_models import rows_of
from thermometer.networks.member import Member
from thermometer.networks.thermometer import Thermometer, ThermometerConfig
from thermometer.posterior import fit_spread, log_likelihoods
from thermometer.progress import Bar
from thermometer.tables import OutputTable
from thermometer.training_loop import MemberTraining, fit_member


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
        partial_context: How often a member that reads all prompts of a task together sees only a
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
        plain = {  # numpy's numbers would not go into a checkpoint
            "sample_weight": _checks.number("sample_weight", self.sample_weight, 0.0, 1.0),
            "scores_sample_weight": _checks.number(
                "scores_sample_weight", self.scores_sample_weight, 0.0, 1.0
            ),
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
            "partial_context": _checks.number("partial_context", self.partial_context, 0.0, 1.0),
            "seed": _checks.integer("seed", self.seed, minimum=0),
        }
        _checks.one_of("validation", self.validation, ("rows", "tasks"))
        for name, value in plain.items():
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
    how = "`presets.resolve` makes both from the name of a preset"
    training = TrainingConfig() if training is None else training
    _checks.instance("training", training, TrainingConfig, how)
    if network is not None:
        _checks.instance("network", network, ThermometerConfig, how)
    rows = rows_of(tables, (network or ThermometerConfig()).needs)
    if network is None:
        several = len(rows.targets) > 1
        network = ThermometerConfig.for_family() if several else ThermometerConfig()
    groups, models = torch.from_numpy(rows.tasks), torch.from_numpy(rows.models)
    with torch.random.fork_rng():
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
        anchor = float(thermometer.anchor)
        score_inputs = getattr(thermometer, "score_inputs", None)
        kept_by: dict[int, list[torch.Tensor]] = {}
        shown = is_first_process() and shows_progress(trainer)
        n_members, steps = len(thermometer.members), training.max_steps
        text = f"training {n_members} {'network' if n_members == 1 else 'networks'}"
        with Bar(text, n_members * steps, shown=shown) as bar:
            for number, member in enumerate(thermometer.members):
                torch.manual_seed(training.seed * 1000 + number)
                assert isinstance(member, Member)
                member.start_at(anchor)
                seen, kept = set_aside(
                    data,
                    training.validation,
                    training.validation_fraction,
                    number % network.n_members,
                    network.n_members,
                    training.seed,
                )
                logs = None if log_dir is None else Path(log_dir) / f"member-{number}"
                module = MemberTraining(member, score_inputs, anchor, seen, kept, training)
                fit_member(module, trainer or {}, logs, bar, number * steps)
                bar.show((number + 1) * steps)
                kept_by[number % network.n_members] = kept.rows
    spread = _look_back(thermometer, inputs, groups, data, kept_by)
    settings = {
        "network": asdict(network),
        "training": asdict(training),
        "trainer": {key: _plain(value) for key, value in (trainer or {}).items()},
    }
    record = TrainingRecord(
        sorted(set(rows.task_names)),
        rows.temperatures[0],
        features=rows.source,
        reference=rows.reference,
        targets=rows.targets,
        spread=spread,
        domain=_domain(inputs, data),
        training=yaml.safe_dump(settings, sort_keys=False),
    )
    return Calibrator(thermometer.float().cpu(), record)


def _domain(inputs: Mapping[str, torch.Tensor], data: TaskData) -> Domain:
    """The tasks of each answering model as points."""
    points = {
        name: np.array([values[rows].double().mean(dim=0).numpy() for rows in data.rows])
        for name, values in inputs.items()
        if name != "model"  # is the same for all tasks
    }
    models = np.array([int(data.models[rows[0]]) for rows in data.rows])
    return Domain(points, models if models.any() else None)


@torch.no_grad()
def _look_back(
    thermometer: Thermometer,
    inputs: Mapping[str, torch.Tensor],
    groups: torch.Tensor,
    data: TaskData,
    kept_by: Mapping[int, list[torch.Tensor]],
) -> float:
    """How far the log temperatures of tasks are missed by members that did not train on them.

    Where validation takes rows, not tasks, the members did see the tasks, and the answer is too
    small.
    """
    b = thermometer.eval().float().cpu().predict_views(inputs, groups).mean(dim=0)
    found = []
    for part, rows in [(part, rows) for part, tasks in kept_by.items() for rows in tasks]:
        temperature = b[part, rows].neg().exp().double().numpy()
        scores, labels = data.scores[rows].double().numpy(), data.labels[rows].numpy()
        found.append(log_likelihoods(scores, labels, temperature))
    return fit_spread(np.array(found))


def _plain(value: Any) -> Any:
    """A value of the configuration as YAML can write it: objects by their description."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or type(value) in (bool, int, float, str) else repr(value)
