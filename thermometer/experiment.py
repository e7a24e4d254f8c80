"""One YAML is one experiment: which tasks, which models, which network, what is measured.

Each stage leaves its product on disk and finds those of the stages before it, so that `run` can be
stopped and repeated. The same class is the Python API, the command line and the file's schema.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from thermometer import _checks, _files
from thermometer._lightning import shows_progress, unknown_keywords
from thermometer.calibrator import Calibrator
from thermometer.checkpoint import CONFIG
from thermometer.evaluation import cross_validate
from thermometer.extraction import extract
from thermometer.llm import loading
from thermometer.methods import THERMOMETERS, check_methods
from thermometer.model_spec import Source
from thermometer.networks.components import too_few_rows
from thermometer.networks.thermometer import ThermometerConfig
from thermometer.presets import Preset, resolve
from thermometer.protocols import Protocol
from thermometer.reports.report import Report, plain
from thermometer.segmentation.question_columns import question_columns, read_questions
from thermometer.table_files import MANIFEST, QUESTIONS, questions_digest
from thermometer.tables import OutputTable
from thermometer.tasks import TaskSource, load_tasks, question_row
from thermometer.templates import Template
from thermometer.training import TrainingConfig, train
from thermometer.two_models import FEATURES, ONE, REFERENCE, SCORES, joined
from thermometer.types import Task


@dataclass(frozen=True)
class Experiment:
    """Everything that decides a result.

    Models are run on the questions of `tasks`; tables hold what was said of theirs before, by
    models or by whatever `import-lm-eval`, `import-logprobs` and `merge` read.

    Args:
        scores: The large model, whose confidence is calibrated, or a table of its scores.
        out_dir: Folder for tables, report and logs.
        tasks: Where the questions come from. If `scores` is a table, they are its own by default;
            if both are given, only rows of these tasks are used, and have to be the same questions.
        features: The small model, whose hidden states are read, or a table of them; not needed by
            the preset `scores`, nor if the table of `scores` holds them, too.
        reference: The reference model, for the preset `reference`: that from which the answering
            model was tuned, or the small one, which then does both in one pass; or a table of its
            scores.
        checkpoint_dir: Folder of the checkpoint; ``checkpoint`` in `out_dir` by default.
        template: How questions become prompts.
        preset: `default`, `features`, `scores`, `reference`, `family` or `paper`, see
            `presets.resolve`.
        network: Fields of `ThermometerConfig` that differ from the preset.
        training: Fields of `TrainingConfig` that differ from the preset.
        protocol: How tasks are left out to measure.
        methods: What is measured, by names of `methods.METHODS`. The thermometer and what it is
            compared with, which is the default, are always among them.
        trainer: Keywords of `lightning.Trainer` for extraction (devices, num_nodes, strategy, …)
            and, if one device is meant, for training.
        n_resamples: Bootstrap resamples behind the intervals.

    Raises:
        ValueError: For an unknown preset, method or field, a network that reads features or
            reference scores where nothing gives them, neither tasks nor a table of scores, an
            answering or reference model that is cut short, or a reference that would say what the
            answering model says.
    """

    scores: Source
    out_dir: str
    tasks: TaskSource | None = None
    features: Source | None = None
    reference: Source | None = None
    checkpoint_dir: str | None = None
    template: Template = field(default_factory=Template)
    preset: Preset = "default"
    network: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    protocol: Protocol = field(default_factory=Protocol)
    methods: tuple[str, ...] = THERMOMETERS
    trainer: dict[str, Any] = field(default_factory=dict)
    n_resamples: int = 1000

    def __post_init__(self) -> None:
        network, _ = self.resolved()
        reads = f"the preset {self.preset!r} reads"
        if self.features is None and "features" in network.needs and not self.scores.table:
            expected = f"a model or table, since {reads} features (`scores` does not)"
            raise _checks.fail("features", expected, None)
        if self.tasks is None and not self.scores.table:
            raise _checks.fail("tasks", "given, since `scores` is no table that has some", None)
        self.scores.require_whole("scores")
        if self.reference is None and "reference_scores" in network.needs:
            raise _checks.fail("reference", f"a model or table, since {reads} its scores", None)
        if self.reference is not None:
            if "reference_scores" not in network.needs:
                raise _checks.fail("reference", f"None, since {reads} none", self.reference.name)
            self.reference.require_whole("reference")
            if self.reference.asks(self.template) == self.scores.asks(self.template):
                expected = "another model than `scores`, or that model with another template"
                raise _checks.fail("reference", expected, self.reference.name)
        if unknown := unknown_keywords(self.trainer):
            raise _checks.fail("trainer", "keywords of lightning.Trainer", repr(unknown))
        _checks.integer("n_resamples", self.n_resamples)
        chosen = check_methods((*THERMOMETERS, *_checks.strings("methods", self.methods)))
        object.__setattr__(self, "methods", chosen)

    def resolved(self) -> tuple[ThermometerConfig, TrainingConfig]:
        """Network and training: the preset with the fields that differ."""
        return resolve(self.preset, self.network, self.training)

    @property
    def checkpoint(self) -> Path:
        """Folder of the checkpoint."""
        return Path(self.checkpoint_dir or Path(self.out_dir) / "checkpoint")

    def extract(self) -> OutputTable:
        """Write the tables that the models give, or resume writing them; returns all, joined."""
        return self._tables(self._load_tasks())

    def train(self) -> Calibrator:
        """Train on all tasks of the tables and write the checkpoint.

        The quality that `evaluate` measured of this network, training and table is kept with it.
        """
        _files.require_place(self.checkpoint / CONFIG)
        return self._train(self._trainable())

    def evaluate(self) -> Report:
        """Measure on unseen tasks by the protocol, write the report and print it."""
        return self._evaluate(self._trainable(self.protocol))

    def run(self) -> Report:
        """Extract, measure on unseen tasks, train on all of them, and write everything."""
        _files.require_place(self.checkpoint / CONFIG)
        table = self._trainable(self.protocol)
        report = self._evaluate(table)
        self._train(table)
        return report

    def _load_tasks(self) -> list[Task] | None:
        """The questions to ask the models, and to look for in tables; `None` for all of tables."""
        if self.tasks is not None:
            return load_tasks(self.tasks)
        models = [s.name for s in (self.features, self.reference) if s is not None and s.model]
        if not models:
            return None
        if self.scores.questions is None:
            expected = f"given, since {self.scores.name} has no texts to ask {models[0]} about"
            raise _checks.fail("tasks", expected, None)
        return load_tasks(self.scores.questions)

    def _trainable(self, protocol: Protocol | None = None) -> OutputTable:
        """The tables; refuses what cannot be trained on, before hours of extraction are spent."""
        tasks = self._load_tasks()
        if tasks is None:
            table = self._tables(None)
            self._require_trainable(
                "scores",
                dict(zip(table.ids, table.labels.tolist(), strict=True)),
                table.tasks.tolist(),
                protocol,
            )
            return table
        asked = [(q, task.name) for task in tasks for q in task.questions]
        labels = {q.id: -1 if q.answer is None else q.answer for q, _ in asked}
        self._require_trainable("tasks", labels, [name for _, name in asked], protocol)
        return self._tables(tasks)

    def _require_trainable(
        self, source: str, labels: dict[str, int], tasks: Sequence[str], protocol: Protocol | None
    ) -> None:
        """Raise unless all questions have labels, and there are enough in every training part."""
        if unknown := [identifier for identifier, label in labels.items() if label < 0]:
            got = f"{len(unknown)} of {len(labels)} without, first {unknown[0]}"
            raise _checks.fail(source, "questions with an `answer` each", got)
        sizes = Counter(map(str, tasks))
        names = sorted(sizes)
        trained = [split.train for split in protocol.splits(names)] if protocol else [names]
        least = min(sum(sizes[name] for name in part) for part in trained)
        network, _ = self.resolved()
        if "features" in network.sources and least <= network.n_components:
            raise too_few_rows(least, network.n_components)

    def _tables(self, tasks: Sequence[Task] | None) -> OutputTable:
        out, one = Path(self.out_dir), self.features == self.scores
        _files.require_place(out / SCORES / MANIFEST)
        both = self.reference is not None and self.reference == self.features  # small, in one pass
        opened = {}  # before hours are spent on the others
        for folder, source in (
            (ONE if one else SCORES, self.scores),
            (ONE if one else FEATURES, self.features),
            (FEATURES if both else REFERENCE, self.reference),
        ):
            if source is not None and source.table:
                opened[source] = source.open(tasks)
            elif source is not None and not (one or (out / folder / MANIFEST).is_file()):
                loading.check(source.name, source.revision, source.dtype, source.gguf_file)

        def table_of(source: Source, path: Path, **wanted: Any) -> OutputTable:
            return opened.get(source) or self._extract(source, tasks or (), path, **wanted)

        scores = partial(table_of, self.scores)
        if self.features is None:
            table = scores(out / SCORES, features=False)
        else:
            features = partial(table_of, self.features, scores=both)
            table = joined(features, scores, out, self.trainer, one=one)
        if "features" in self.resolved()[0].needs and table.features is None:
            expected = f"given, since {self.scores.name} is a table without features"
            raise _checks.fail("features", expected, None)
        if self.reference is None:
            return table
        if both and self.reference.model:
            return table.with_reference(OutputTable.open(out / FEATURES))
        reference = table_of(self.reference, out / REFERENCE, features=False)
        return table.with_reference(reference)

    def _extract(
        self, source: Source, tasks: Sequence[Task], path: Path, **wanted: Any
    ) -> OutputTable:
        template = source.template or self.template
        if (path / MANIFEST).is_file():  # no need to load the model
            table = OutputTable.open(path)
            self._check_same(path, table, source, template, tasks)
            if wanted.get("scores", True) and table.scores is None:
                raise ValueError(f"{path} holds a table without scores: delete the folder")
            return table
        return extract(
            source.load(),
            tasks,
            path,
            template=template,
            trainer=self.trainer,
            **wanted,
        )

    @staticmethod
    def _check_same(
        path: Path, table: OutputTable, source: Source, template: Template, tasks: Sequence[Task]
    ) -> None:
        """Raise unless a finished table is what the experiment asks for."""
        made = table.provenance.get("features") or table.provenance.get("scores") or {}
        dtype = made.get("dtype") if source.dtype == "auto" else source.dtype
        revision = made.get("revision")  # the commit of that day, if no other is asked for
        if source.revision is not None:
            commit = loading.commit_of(source.name, source.revision, source.gguf_file)
            revision = commit or source.revision
        rows = [question_row(q, task.name) for task in tasks for q in task.questions]
        differing = [
            name
            for name, found, wanted in (
                ("model", made.get("model"), source.model),
                ("gguf_file", made.get("gguf_file"), source.gguf_file),
                ("num_layers", made.get("num_layers"), source.num_layers),
                ("layer", made.get("layer"), source.layer),
                ("position", made.get("position") == "mean", source.position == "mean"),
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

    def _evaluate(self, table: OutputTable) -> Report:
        folder = Path(self.out_dir) / (ONE if self.features == self.scores else SCORES)
        folder = Path(self.scores.table or folder)
        report = cross_validate(
            table,
            self._fit,
            self.protocol,
            methods=self.methods,
            n_resamples=self.n_resamples,
            progress=shows_progress(self.trainer),
            by=question_columns(
                table, read_questions(folder) if (folder / QUESTIONS).is_file() else ()
            ),
        )
        report = replace(report, settings={**report.settings, **self._settings(table)})
        file = report.write(Path(self.out_dir) / "report") / "report.html"
        console = Console()
        report.print(console)
        console.print(f"report      {file}", soft_wrap=True, markup=False)
        return report

    def _train(self, table: OutputTable) -> Calibrator:
        measured = self._measured(table)
        calibrator = self._fit(table, log_dir=Path(self.out_dir) / "logs")
        if measured is not None:
            found = json.loads(measured.to_json())
            calibrator = calibrator.with_record(metrics=found, pictures=measured.pictures())
        calibrator.save_pretrained(self.checkpoint)
        Console().print(f"checkpoint  {self.checkpoint}", soft_wrap=True, markup=False)
        return calibrator

    def _measured(self, table: OutputTable) -> Report | None:
        """The report on disk, if it is of what is to be trained."""
        file = Path(self.out_dir) / "report" / "report.json"
        if not file.is_file():
            return None
        try:
            report = Report.from_json(_files.read_text(file))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        settings = self._settings(table)
        return report if settings == {k: report.settings.get(k) for k in settings} else None

    def _settings(self, table: OutputTable) -> dict[str, Any]:
        """What a report must share with a checkpoint to be about it."""
        network, training = self.resolved()
        read = hashlib.sha256(json.dumps([table.ids, table.tasks.tolist()]).encode())
        for values in (table.labels, table.scores, table.features, table.reference_scores):
            read.update(b"" if values is None else np.ascontiguousarray(values).tobytes())
        settings = {"network": asdict(network), "training": asdict(training)}
        found: dict[str, Any] = plain({**settings, "table": read.hexdigest()[:16]})
        return found

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
