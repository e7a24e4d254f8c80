"""One YAML is one experiment: which tasks, which models, which network, what is measured.

Each stage leaves its product on disk and finds those of the stages before it, so that `run` can be
stopped and repeated. The same class is the Python API, the command line and the file's schema.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from thermometer import _checks, _files
from thermometer._lightning import shows_progress, unknown_keywords
from thermometer.calibrator import Calibrator
from thermometer.checkpoint import CONFIG
from thermometer.evaluation import cross_validate
from thermometer.extraction import extract
from thermometer.llm import loading
from thermometer.model_spec import ModelSpec
from thermometer.networks.components import too_few_rows
from thermometer.networks.thermometer import ThermometerConfig
from thermometer.presets import Preset, resolve
from thermometer.protocols import Protocol
from thermometer.reports.report import Report
from thermometer.segmentation.question_columns import question_columns, read_questions
from thermometer.table_files import MANIFEST, questions_digest
from thermometer.tables import OutputTable
from thermometer.tasks import TaskSource, load_tasks, question_row
from thermometer.templates import Template
from thermometer.training import TrainingConfig, train
from thermometer.two_models import FEATURES, ONE, REFERENCE, SCORES, joined
from thermometer.types import Task


@dataclass(frozen=True)
class Experiment:
    """Everything that decides a result.

    Args:
        tasks: Where the questions come from.
        scores: The large model, whose confidence is calibrated.
        out_dir: Folder for tables, report and logs.
        features: The small model, whose hidden states are read; not needed by the preset `scores`.
        reference: The reference model, for the preset `reference`: that from which the answering
            model was tuned, or the small one, which then does both in one pass.
        checkpoint_dir: Folder of the checkpoint; ``checkpoint`` in `out_dir` by default.
        template: How questions become prompts.
        preset: `default`, `features`, `scores`, `reference`, `family` or `paper`, see
            `presets.resolve`.
        network: Fields of `ThermometerConfig` that differ from the preset.
        training: Fields of `TrainingConfig` that differ from the preset.
        protocol: How tasks are left out to measure.
        trainer: Keywords of `lightning.Trainer` for extraction (devices, num_nodes, strategy, …)
            and, if one device is meant, for training.
        n_resamples: Bootstrap resamples behind the intervals.

    Raises:
        ValueError: For an unknown preset or field, a network that reads features or reference
            scores where no model gives them, an answering or reference model that is cut short, or
            a reference model that would say what the answering one says.
    """

    tasks: TaskSource
    scores: ModelSpec
    out_dir: str
    features: ModelSpec | None = None
    reference: ModelSpec | None = None
    checkpoint_dir: str | None = None
    template: Template = field(default_factory=Template)
    preset: Preset = "default"
    network: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    protocol: Protocol = field(default_factory=Protocol)
    trainer: dict[str, Any] = field(default_factory=dict)
    n_resamples: int = 1000

    def __post_init__(self) -> None:
        network, _ = self.resolved()
        reads = f"the preset {self.preset!r} reads"
        if self.features is None and "features" in network.needs:
            expected = f"a model, since {reads} features (`scores` does not)"
            raise _checks.fail("features", expected, None)
        self.scores.require_whole("scores")
        if self.reference is None and "reference_scores" in network.needs:
            raise _checks.fail("reference", f"a model, since {reads} its scores", None)
        if self.reference is not None:
            if "reference_scores" not in network.needs:
                raise _checks.fail("reference", f"None, since {reads} none", self.reference.model)
            self.reference.require_whole("reference")
            if self.reference.asks(self.template) == self.scores.asks(self.template):
                expected = "another model than `scores`, or that model with another template"
                raise _checks.fail("reference", expected, self.reference.model)
        if unknown := unknown_keywords(self.trainer):
            raise _checks.fail("trainer", "keywords of lightning.Trainer", repr(unknown))
        _checks.integer("n_resamples", self.n_resamples)

    def resolved(self) -> tuple[ThermometerConfig, TrainingConfig]:
        """Network and training: the preset with the fields that differ."""
        return resolve(self.preset, self.network, self.training)

    @property
    def checkpoint(self) -> Path:
        """Folder of the checkpoint."""
        return Path(self.checkpoint_dir or Path(self.out_dir) / "checkpoint")

    def extract(self) -> OutputTable:
        """Write the tables that the models give, or resume writing them; returns their join."""
        return self._tables(load_tasks(self.tasks))

    def _tables(self, tasks: Sequence[Task]) -> OutputTable:
        out, one = Path(self.out_dir), self.features == self.scores
        _files.require_place(out / SCORES / MANIFEST)
        both = self.reference is not None and self.reference == self.features  # small, in one pass
        specs = {FEATURES: None if one else self.features, SCORES: None if one else self.scores}
        specs[REFERENCE] = None if both else self.reference
        for folder, spec in specs.items():
            if not (spec is None or (out / folder / MANIFEST).is_file()):
                loading.check(spec.model, spec.revision, spec.dtype, spec.gguf_file)
        scores = partial(self._extract, self.scores, tasks)
        if self.features is None:
            table = scores(out / SCORES, features=False)
        else:
            features = partial(self._extract, self.features, tasks, scores=both)
            table = joined(features, scores, out, self.trainer, one=one)
        if self.reference is None:
            return table
        if both:
            return table.with_reference(OutputTable.open(out / FEATURES))
        reference = self._extract(self.reference, tasks, out / REFERENCE, features=False)
        return table.with_reference(reference)

    def _extract(
        self, spec: ModelSpec, tasks: Sequence[Task], path: Path, **wanted: Any
    ) -> OutputTable:
        template = spec.template or self.template
        if (path / MANIFEST).is_file():  # no need to load the model
            table = OutputTable.open(path)
            self._check_same(path, table, spec, template, tasks)
            if wanted.get("scores", True) and table.scores is None:
                raise ValueError(f"{path} holds a table without scores: delete the folder")
            return table
        return extract(
            spec.load(),
            tasks,
            path,
            template=template,
            token_budget=spec.token_budget,
            trainer=self.trainer,
            **wanted,
        )

    @staticmethod
    def _check_same(
        path: Path, table: OutputTable, spec: ModelSpec, template: Template, tasks: Sequence[Task]
    ) -> None:
        """Raise unless a finished table is what the experiment asks for."""
        made = table.provenance.get("features") or table.provenance.get("scores") or {}
        dtype = made.get("dtype") if spec.dtype == "auto" else spec.dtype
        revision = made.get("revision")  # the commit of that day, if no other is asked for
        if spec.revision is not None:
            commit = loading.commit_of(spec.model, spec.revision, spec.gguf_file)
            revision = commit or spec.revision
        rows = [question_row(q, task.name) for task in tasks for q in task.questions]
        differing = [
            name
            for name, found, wanted in (
                ("model", made.get("model"), spec.model),
                ("gguf_file", made.get("gguf_file"), spec.gguf_file),
                ("num_layers", made.get("num_layers"), spec.num_layers),
                ("layer", made.get("layer"), spec.layer),
                ("position", made.get("position") == "mean", spec.position == "mean"),
                ("revision", made.get("revision"), revision),
                ("dtype", made.get("dtype"), dtype),
                ("template", made.get("template_digest"), template.digest),
                ("questions", table.digest, questions_digest(rows)),
            )
            if found != wanted
        ]
        if differing:
            raise ValueError(
                f"{path} holds a table with other {', '.join(differing)} than the experiment asks "
                "for. Choose another `out_dir` or delete the folder"
            )

    def train(self) -> Calibrator:
        """Train on all tasks of the tables and write the checkpoint."""
        tasks = self._trainable_tasks()
        _files.require_place(self.checkpoint / CONFIG)
        calibrator = self._train(self._tables(tasks))
        calibrator.save_pretrained(self.checkpoint)
        return calibrator

    def evaluate(self) -> Report:
        """Measure on unseen tasks by the protocol, and write the report."""
        return self._evaluate(self._tables(self._trainable_tasks(self.protocol)))

    def run(self) -> Report:
        """Extract, measure on unseen tasks, train on all of them, and write everything."""
        tasks = self._trainable_tasks(self.protocol)
        _files.require_place(self.checkpoint / CONFIG)
        table = self._tables(tasks)
        report = self._evaluate(table)
        calibrator = self._train(table)
        calibrator.metrics = json.loads(report.to_json())
        calibrator.pictures = report.pictures()
        calibrator.save_pretrained(self.checkpoint)
        console = Console()
        report.print(console)
        console.print(f"report      {Path(self.out_dir) / 'report' / 'report.html'}")
        console.print(f"checkpoint  {self.checkpoint}")
        return report

    def _trainable_tasks(self, protocol: Protocol | None = None) -> list[Task]:
        """The tasks; refuses what cannot be trained on, before hours of extraction are spent."""
        loaded = load_tasks(self.tasks)
        tasks = {task.name: task for task in loaded}
        asked = [question for task in tasks.values() for question in task.questions]
        if unknown := [question.id for question in asked if question.answer is None]:
            got = f"{len(unknown)} of {len(asked)} without, first {unknown[0]}"
            raise _checks.fail("tasks", "questions with an `answer` each", got)
        trained = (
            [split.train for split in protocol.splits(list(tasks))] if protocol else [tuple(tasks)]
        )
        least = min(sum(len(tasks[name]) for name in names) for names in trained)
        network, _ = self.resolved()
        if "features" in network.sources and least <= network.n_components:
            raise too_few_rows(least, network.n_components)
        return loaded

    def _train(self, table: OutputTable) -> Calibrator:
        return self._fit(table, log_dir=Path(self.out_dir) / "logs")

    def _evaluate(self, table: OutputTable) -> Report:
        questions = read_questions(
            Path(self.out_dir) / (ONE if self.features == self.scores else SCORES)
        )
        report = cross_validate(
            table,
            self._fit,
            self.protocol,
            n_resamples=self.n_resamples,
            progress=shows_progress(self.trainer),
            by=question_columns(table, questions),
        )
        report.write(Path(self.out_dir) / "report")
        return report

    def _fit(self, table: OutputTable, log_dir: Path | None = None) -> Calibrator:
        network, training = self.resolved()
        shown = shows_progress(self.trainer) and log_dir is not None
        one_device = {k: v for k, v in self.trainer.items() if k in ("accelerator", "precision")}
        return train(
            table,
            network,
            training,
            trainer={"enable_progress_bar": shown, **one_device},
            log_dir=log_dir,
        )
