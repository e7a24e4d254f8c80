"""One YAML is one experiment: which tasks, which models, which network, what is measured.

Each stage leaves its product on disk and finds those of the stages before it, so that `run` can be
stopped and repeated. The same class is the Python API, the command line and the file's schema.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from thermometer import _checks, _files, loading
from thermometer._files import plain
from thermometer._lightning import shows_progress, unknown_keywords
from thermometer.adapters.files import load_table
from thermometer.calibrator import Calibrator
from thermometer.checkpoint import CONFIG
from thermometer.evaluation import cross_validate
from thermometer.extraction import FEATURES, ONE, REFERENCE, SCORES, extract, joined
from thermometer.language_model import LanguageModel, Position
from thermometer.methods import THERMOMETERS, check_methods
from thermometer.network import ThermometerConfig, too_few_rows
from thermometer.protocols import Protocol
from thermometer.reports.report import Report
from thermometer.segments.columns import question_columns, read_questions
from thermometer.table_files import MANIFEST, QUESTIONS, questions_digest
from thermometer.tables import OutputTable
from thermometer.tasks import TaskSource, load_tasks, question_row
from thermometer.templates import Template
from thermometer.training import Preset, TrainingConfig, resolve, train
from thermometer.types import Task


@dataclass(frozen=True)
class ModelSpec:
    """A language model and how it reads the questions.

    Args:
        model: Hub id, local folder, GGUF file, or ``bundled:smollm2``.
        revision: Branch, tag or commit of a hub id.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        num_layers: Run only the first so many blocks (features only).
        layer: Hidden state that is the feature: -1 is the last, after the final norm.
        position: Take it at the ``last`` token of the prompt, or as the ``mean`` over its tokens.
        device_map: For a model larger than one device, as transformers has it.
        gguf_file: A GGUF file inside the repository or folder.
        template: How questions are rendered for this model, if not as the experiment says.
        token_budget: Largest number of tokens, padding included, in one forward pass; by default
            what suits the device.
    """

    model: str
    revision: str | None = None
    dtype: str = "auto"
    num_layers: int | None = None
    layer: int = -1
    position: Position = "last"
    device_map: str | None = None
    gguf_file: str | None = None
    template: Template | None = None
    token_budget: int | None = None

    @property
    def name(self) -> str:
        """The model."""
        return self.model

    def require_whole(self, name: str) -> None:
        """Raise `ValueError`, naming the argument, if the model is cut: it could not answer."""
        if self.num_layers is not None:
            expected = "None, since the model answers"
            raise _checks.fail(f"{name}.num_layers", expected, self.num_layers)

    def load(self) -> LanguageModel:
        """Load the model."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "template"}
        return LanguageModel.from_pretrained(**given)

    def identity(self, template: Template) -> tuple[object, ...]:
        """Which model answers, and to which template; `template` is that of the experiment."""
        return self.model, self.revision, self.gguf_file, self.template or template


@dataclass(frozen=True)
class TableSpec:
    """A table of features or scores that were computed before.

    Args:
        table: Output table, a folder or a file as `adapters.files.load_table` reads them.
    """

    table: str

    @property
    def name(self) -> str:
        """The table."""
        return self.table

    @property
    def questions(self) -> Path | None:
        """The file with the questions of the table, if it is a folder that has them."""
        file = Path(self.table) / QUESTIONS
        return file if file.is_file() else None

    def open(self, tasks: Sequence[Task] | None = None) -> OutputTable:
        """Read the table; if tasks are given, only the rows of their questions, in that order.

        Raises:
            FileNotFoundError: If there is no such table.
            ValueError: As `load_table`, and if a question of the tasks is missing, or has another
                task, label or text.
        """
        table = load_table(self.table)
        if tasks is None:
            return table
        asked = [question_row(q, task.name) for task in tasks for q in task.questions]
        place = {identifier: row for row, identifier in enumerate(table.ids)}
        if missing := [row["id"] for row in asked if row["id"] not in place]:
            got = f"{len(missing)} of {len(asked)} that it lacks, first {missing[0]}"
            raise _checks.fail("tasks", f"questions of {self.table}", got)
        chosen = table.select([place[row["id"]] for row in asked])
        labels = np.array([row.get("answer", -1) for row in asked])
        other = (chosen.labels != labels) | (chosen.tasks != [row["task"] for row in asked])
        if self.questions is not None:
            found = {row["id"]: row for row in read_questions(self.table)}
            other |= np.array([found[row["id"]] != row for row in asked])
        if other.any():
            first = chosen.ids[int(other.argmax())]
            got = f"{int(other.sum())} with another text, task or label, first {first}"
            raise _checks.fail("tasks", f"questions as {self.table} has them", got)
        return chosen


_TABLES = {"large": "scores", "small": "features", "reference": "reference_scores"}
"""For each model of an experiment the table that may stand in its place."""


@dataclass(frozen=True)
class Experiment:
    """Everything that decides a result.

    The models `large`, `small` and `reference` are run on the questions of `tasks`. Each may be
    replaced by a table of what it gave before (`scores`, `features`, `reference_scores`), written
    by `extract`, `import-lm-eval`, `import-logprobs` or `merge`.

    Args:
        out_dir: Folder for tables, report and logs.
        tasks: Where the questions come from. Those of a table of `scores` are its own by default;
            if both are given, only rows of these tasks are used, and have to be the same questions.
        large: The large model, whose confidence is calibrated.
        scores: Or a table of its scores.
        small: The small model, whose hidden states are read; not needed by the preset `scores`,
            nor if the table of `scores` holds features, too.
        features: Or a table of its hidden states.
        reference: The second model whose scores the preset `reference` reads: that from which the
            large one was tuned, or the small one, which then gives both in one pass.
        reference_scores: Or a table of its scores.
        checkpoint_dir: Folder of the checkpoint; ``checkpoint`` in `out_dir` by default.
        template: How questions become prompts.
        preset: Network and training, see `training.resolve`.
        network: Fields of `ThermometerConfig` that differ from the preset.
        training: Fields of `TrainingConfig` that differ from the preset.
        protocol: How tasks are left out to measure.
        methods: Names of `methods.METHODS` to measure beside the default ones.
        trainer: Keywords of `lightning.Trainer` for extraction (devices, num_nodes, strategy, …)
            and, if one device is meant, for training.
        n_resamples: Bootstrap resamples behind the intervals.

    Raises:
        ValueError: For an unknown preset, method or field; a network that reads features or
            reference scores which nothing gives; neither tasks nor a table of scores; a large or
            reference model with `num_layers`; a reference that is the large model.
    """

    out_dir: str
    tasks: TaskSource | None = None
    large: ModelSpec | None = None
    scores: TableSpec | None = None
    small: ModelSpec | None = None
    features: TableSpec | None = None
    reference: ModelSpec | None = None
    reference_scores: TableSpec | None = None
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
        for model, table in _TABLES.items():
            if getattr(self, model) is not None and getattr(self, table) is not None:
                raise _checks.fail(table, f"None where the model `{model}` is given", "both")
        if self.large is None and self.scores is None:
            raise _checks.fail("large", "a model, or else a table as `scores`", None)
        if self.tasks is None and self.scores is None:
            raise _checks.fail("tasks", "given, since no table `scores` has some", None)
        reads = f"the preset {self.preset!r} reads"
        if self._features is None and "features" in network.needs and self.scores is None:
            expected = f"a model, or else a table as `features`, since {reads} them"
            raise _checks.fail("small", expected, None)
        if self._reference is None and "reference_scores" in network.needs:
            expected = f"a model, or else a table as `reference_scores`, since {reads} them"
            raise _checks.fail("reference", expected, None)
        if self._reference is not None and "reference_scores" not in network.needs:
            name = "reference" if self.reference else "reference_scores"
            raise _checks.fail(name, f"None, since {reads} none", self._reference.name)
        for name in ("large", "reference"):
            if (model := getattr(self, name)) is not None:
                model.require_whole(name)
        if self._reference is not None and self._is_said_already(self._reference):
            expected = "another model than `large`, or that model with another template"
            raise _checks.fail("reference", expected, self._reference.name)
        if unknown := unknown_keywords(self.trainer):
            raise _checks.fail("trainer", "keywords of lightning.Trainer", repr(unknown))
        _checks.integer("n_resamples", self.n_resamples)
        chosen = check_methods((*THERMOMETERS, *_checks.strings("methods", self.methods)))
        object.__setattr__(self, "methods", chosen)

    @property
    def _scores(self) -> ModelSpec | TableSpec:
        found = self.large or self.scores
        assert found is not None  # see `__post_init__`
        return found

    @property
    def _features(self) -> ModelSpec | TableSpec | None:
        return self.small or self.features

    @property
    def _reference(self) -> ModelSpec | TableSpec | None:
        return self.reference or self.reference_scores

    def _is_said_already(self, reference: ModelSpec | TableSpec) -> bool:
        """Whether a reference would only repeat the scores of the large model."""
        if self.large is None or isinstance(reference, TableSpec):
            return reference == self.scores
        return reference.identity(self.template) == self.large.identity(self.template)

    def resolved(self) -> tuple[ThermometerConfig, TrainingConfig]:
        """Network and training: the preset with the fields that differ."""
        return resolve(self.preset, self.network, self.training)

    @property
    def checkpoint(self) -> Path:
        """Folder of the checkpoint."""
        return Path(self.checkpoint_dir or Path(self.out_dir) / "checkpoint")

    def extract(self) -> OutputTable:
        """Write the tables of the models, or resume writing them; returns all tables, joined."""
        return self._tables(self._load_tasks())

    def train(self) -> Calibrator:
        """Train on all tasks of the tables and write the checkpoint.

        What `evaluate` measured of this network, training and table is stored with it.
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
        assert self.scores is not None  # else there are tasks
        models = [model.name for model in (self.small, self.reference) if model is not None]
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
            labels = dict(zip(table.ids, table.labels.tolist(), strict=True))
            self._require_trainable("scores", labels, table.tasks.tolist(), protocol)
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
        out, one = Path(self.out_dir), self._features == self._scores
        _files.require_place(out / SCORES / MANIFEST)
        both = self._reference is not None and self._reference == self._features  # in one pass
        opened: dict[TableSpec, OutputTable] = {}  # before hours are spent on the others
        for folder, source in (
            (ONE if one else SCORES, self._scores),
            (ONE if one else FEATURES, self._features),
            (FEATURES if both else REFERENCE, self._reference),
        ):
            if isinstance(source, TableSpec):
                opened[source] = source.open(tasks)
            elif source is not None and not (one or (out / folder / MANIFEST).is_file()):
                loading.check(source.model, source.revision, source.dtype, source.gguf_file)

        def table_of(source: ModelSpec | TableSpec, path: Path, **wanted: Any) -> OutputTable:
            if isinstance(source, TableSpec):
                return opened[source]
            return self._extract(source, tasks or (), path, **wanted)

        scores = partial(table_of, self._scores)
        if self._features is None:
            table = scores(out / SCORES, features=False)
        else:
            features = partial(table_of, self._features, scores=both)
            table = joined(features, scores, out, self.trainer, one=one)
        if "features" in self.resolved()[0].needs and table.features is None:
            expected = f"given, since {self._scores.name} is a table without features"
            raise _checks.fail("features", expected, None)
        if self._reference is None:
            return table
        if both and self.reference is not None:
            return table.with_reference(OutputTable.open(out / FEATURES))
        reference = table_of(self._reference, out / REFERENCE, features=False)
        return table.with_reference(reference)

    def _extract(
        self, source: ModelSpec, tasks: Sequence[Task], path: Path, **wanted: Any
    ) -> OutputTable:
        template = source.template or self.template
        if not (path / MANIFEST).is_file():
            options = {"template": template, "trainer": self.trainer, **wanted}
            return extract(source.load(), tasks, path, **options)
        table = OutputTable.open(path)
        self._check_same(path, table, source, template, tasks)
        if wanted.get("scores", True) and table.scores is None:
            raise ValueError(f"{path} holds a table without scores: delete the folder")
        return table

    @staticmethod
    def _check_same(
        path: Path, table: OutputTable, source: ModelSpec, template: Template, tasks: Sequence[Task]
    ) -> None:
        """Raise unless a finished table is what the experiment asks for."""
        provenance = table.provenance.get("features") or table.provenance.get("scores") or {}
        dtype = provenance.get("dtype") if source.dtype == "auto" else source.dtype
        revision = provenance.get("revision")  # the commit of that day, if no other is asked for
        if source.revision is not None:
            commit = loading.commit_of(source.model, source.revision, source.gguf_file)
            revision = commit or source.revision
        rows = [question_row(q, task.name) for task in tasks for q in task.questions]
        asked = {
            "model": source.model,
            "gguf_file": source.gguf_file,
            "num_layers": source.num_layers,
            "layer": source.layer,
            "position": source.position == "mean",  # else it follows from the kind of model
            "revision": revision,
            "dtype": dtype,
            "template_digest": template.digest,
        }
        found = {**provenance, "position": provenance.get("position") == "mean"}
        differing = [
            name.removesuffix("_digest")
            for name, value in asked.items()
            if found.get(name) != value
        ]
        if table.digest != questions_digest(rows):
            differing.append("questions")
        if differing:
            raise ValueError(
                f"{path} holds a table with other {', '.join(differing)} than the experiment asks "
                "for. Choose another `out_dir` or delete the folder"
            )

    def _evaluate(self, table: OutputTable) -> Report:
        folder = Path(self.out_dir) / (ONE if self._features == self._scores else SCORES)
        if self.scores is not None:
            folder = Path(self.scores.table)
        questions = read_questions(folder) if (folder / QUESTIONS).is_file() else ()
        report = cross_validate(
            table,
            self._fit,
            self.protocol,
            methods=self.methods,
            n_resamples=self.n_resamples,
            progress=shows_progress(self.trainer),
            by=question_columns(table, questions),
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
        report = Report.read(file)
        settings = self._settings(table)
        return report if settings == {k: report.settings.get(k) for k in settings} else None

    def _settings(self, table: OutputTable) -> dict[str, Any]:
        """What a report must share with a checkpoint to be about it."""
        network, training = self.resolved()
        read = hashlib.sha256(json.dumps([table.ids, table.tasks.tolist()]).encode())
        for values in (table.labels, table.scores, table.features, table.reference_scores):
            read.update(b"" if values is None else np.ascontiguousarray(values).tobytes())
        made = {"network": asdict(network), "training": asdict(training)}
        settings: dict[str, Any] = plain({**made, "table": read.hexdigest()[:16]})
        return settings

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
