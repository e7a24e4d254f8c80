"""One YAML compares methods on recorded scores: which tables, which methods, which protocol.

Where an `Experiment` runs language models, a `Study` takes their output tables (or files that other
programs recorded) and asks which method calibrates unseen tasks best, how many labels it would take
to beat it, and what carries over from one answering model to another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from thermometer import _checks, _files
from thermometer.calibrator import Calibrator
from thermometer.comparison import Comparison, compare
from thermometer.curves import few_labels, unlabelled
from thermometer.held_out import HeldOut, hold_out
from thermometer.methods import METHODS, check_methods
from thermometer.presets import Preset, resolve
from thermometer.protocols import Protocol
from thermometer.recorded import load_table
from thermometer.reports.study_report import StudyReport, print_study, write_study
from thermometer.tables import OutputTable
from thermometer.training import train

_LABEL_FREE = tuple(name for name, method in METHODS.items() if not method.needs_thermometer)


@dataclass(frozen=True)
class Study:
    """Methods compared on the scores of one answering model or several.

    Args:
        scores: Output tables: folders, or files as `load_table` reads them; one per model, all of
            the same questions.
        out_dir: Folder of the report.
        features: Table with the small model's features of the same questions, for a thermometer
            that reads them; that of the preset `scores` does not.
        reference: Table of the reference model's scores, for the preset `reference`.
        methods: Names of `methods.METHODS`; all that the tables allow, if not given.
        protocol: How tasks are left out.
        n_seeds: Repeat with so many seeds of folds and training, from those given on. The report
            shows the first, and how far the others differ.
        labels: Numbers of labels of the curve `few_labels`, `null` for all; none by default.
        prompts: Numbers of prompts of the curve `unlabelled`, `null` for all; none by default.
        transfer: Also apply what was fitted on each model to every other one.
        preset: `default`, `features`, `scores`, `reference`, `family` or `paper`, see
            `presets.resolve`.
        network: Fields of `ThermometerConfig` that differ from the preset.
        training: Fields of `TrainingConfig` that differ from the preset.
        n_resamples: Bootstrap resamples of tasks behind the intervals.
        n_repeats: Random draws of labels or prompts behind each point of a curve.

    Raises:
        ValueError: For an unknown preset, method or field, a thermometer without the tables that it
            reads, or a reference table that none reads.

    Example:
        >>> Study(scores=("a.parquet",), out_dir="out", methods=("platt",)).methods
        ('pooled', 'platt')
    """

    scores: tuple[str, ...]
    out_dir: str
    features: str | None = None
    reference: str | None = None
    methods: tuple[str, ...] | None = None
    protocol: Protocol = field(default_factory=Protocol)
    n_seeds: int = 1
    labels: tuple[int | None, ...] = ()
    prompts: tuple[int | None, ...] = ()
    transfer: bool = False
    preset: Preset = "default"
    network: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    n_resamples: int = 1000
    n_repeats: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", _checks.strings("scores", self.scores))
        if not self.scores:
            raise _checks.fail("scores", "at least one table", "none")
        network, _ = resolve(self.preset, self.network, self.training)
        sources = {"features": self.features, "reference_scores": self.reference}
        lacking = [k for k, v in sources.items() if v is None and k in network.needs]
        if self.reference is not None and "reference_scores" not in network.needs:
            expected = f"None, since the preset {self.preset!r} reads none"
            raise _checks.fail("reference", expected, self.reference)
        asked = self.methods is None and self.preset != "default"  # for a thermometer of it
        wanted = self.methods or (_LABEL_FREE if lacking else tuple(METHODS))
        object.__setattr__(self, "methods", check_methods(wanted))
        if lacking and (asked or self.prompts or self._trains):
            name = lacking[0].removesuffix("_scores")
            raise _checks.fail(name, "a table, since a thermometer is asked for", "none")
        if self.prompts and not self._trains:
            raise _checks.fail("methods", "with a thermometer, as `prompts` are given", wanted)
        for name in ("n_seeds", "n_resamples", "n_repeats"):
            _checks.integer(name, getattr(self, name))
        for name, least in (("labels", 0), ("prompts", 1)):
            sizes = getattr(self, name)
            checked = (n if n is None else _checks.integer(name, n, least) for n in sizes)
            object.__setattr__(self, name, tuple(checked))

    @property
    def _trains(self) -> bool:
        return any(METHODS[name].needs_thermometer for name in self.methods or ())

    def run(self) -> StudyReport:
        """Measure everything that is asked for, write the report and print it."""
        _files.require_place(Path(self.out_dir) / "report.html")  # before hours are spent
        report = self.measure(self.load())
        write_study(report, self.out_dir)
        console = Console()
        print_study(report, console)
        console.print(f"report  {Path(self.out_dir) / 'report.html'}")
        return report

    def load(self) -> dict[str, OutputTable]:
        """The tables by model, with features if there are any."""
        features = None if self.features is None else load_table(self.features)
        reference = None if self.reference is None else load_table(self.reference)
        tables: dict[str, OutputTable] = {}
        for source in self.scores:
            table = load_table(source)
            if table.scores is None:
                raise ValueError(f"{source}: no column scores")
            made = table.provenance.get("scores") or {}
            name = str(made.get("model") or Path(source).name)
            if name in tables:
                raise _checks.fail("scores", "tables of different models", f"{name} twice")
            joined = table if features is None else features.join(table)
            tables[name] = joined if reference is None else joined.with_reference(reference)
        return tables

    def measure(self, tables: Mapping[str, OutputTable]) -> StudyReport:
        """The report on tables by model."""
        held: list[dict[str, dict[str, HeldOut]]] = []  # seed -> fitted on -> measured on
        protocols = [
            replace(self.protocol, seed=self.protocol.seed + i) for i in range(self.n_seeds)
        ]
        for number, protocol in enumerate(protocols):
            of_seed = {}
            for name, table in tables.items():
                tests = tables if self.transfer and not number else {name: table}
                of_seed[name] = hold_out(
                    table,
                    tests,
                    self.methods or (),
                    protocol,
                    partial(self._fit, seed=number),
                    description=f"{name}, seed {protocol.seed}",
                )
            held.append(of_seed)
        own = {name: held[0][name][name] for name in tables}
        curves = {
            kind: {
                name: compute(own[name], sizes, n_repeats=self.n_repeats)
                for name in track(own, title, transient=True)
            }
            for kind, sizes, compute, title in (
                ("labels", self.labels, few_labels, "labels of the task's own"),
                ("prompts", self.prompts, unlabelled, "unlabelled prompts"),
            )
            if sizes
        }
        comparisons = {
            name: tuple(self._compare(of_seed[name][name]) for of_seed in held) for name in tables
        }
        pairs = [(one, other) for one in tables for other in tables if self.transfer]
        return StudyReport(
            comparisons=comparisons,
            transfer={
                (one, other): comparisons[one][0]
                if one == other
                else self._compare(held[0][one][other])
                for one, other in pairs
            },
            labels=curves.get("labels", {}),
            prompts=curves.get("prompts", {}),
            protocol={**self.protocol.to_dict(), "description": str(self.protocol)},
            settings={
                "preset": self.preset,
                "network": self.network,
                "training": self.training,
                "n_seeds": self.n_seeds,
                "n_resamples": self.n_resamples,
                "n_repeats": self.n_repeats,
            },
            provenance={name: dict(table.provenance) for name, table in tables.items()},
            n_rows=len(next(iter(tables.values()))),
        )

    def _compare(self, held: HeldOut) -> Comparison:
        others: Sequence[str] = [name for name in held.methods if name != "pooled"]
        return compare(
            held.table.require("scores"),
            held.table.labels,
            held.table.tasks,
            held.methods,
            baseline="pooled",
            pairs=[(name, "pooled") for name in others],
            n_resamples=self.n_resamples,
        )

    def _fit(self, seen: OutputTable, seed: int) -> Calibrator:
        network, training = resolve(self.preset, self.network, self.training)
        training = replace(training, seed=training.seed + seed)
        return train(seen, network, training, trainer={"enable_progress_bar": False})
