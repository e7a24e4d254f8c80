"""The result of an evaluation: plain data, in and out of JSON, and what is shown of it.

The keys of report.json are the fields of `Report`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import exp, isnan
from pathlib import Path
from typing import Any

import numpy as np

from thermometer import _checks, _files
from thermometer._files import from_plain, plain
from thermometer.comparison import LOWER_IS_BETTER, ORACLE, Difference, MethodResult, Numbers
from thermometer.methods import METHODS, Method
from thermometer.metrics.intervals import Interval
from thermometer.plots.curves import draw_temperatures
from thermometer.plots.reliability import draw_reliability
from thermometer.plots.terminal import text_reliability
from thermometer.reports import render
from thermometer.reports.blocks import (
    DASH,
    MINUS,
    NOTES,
    Block,
    Cell,
    Document,
    Heading,
    Picture,
    Table,
    Terms,
    Text,
    Verdict,
    decimals,
    difference,
    number,
    percent,
    row,
    signed,
)
from thermometer.segments.report import SegmentReport

FORMAT_VERSION = 1
_METRICS = {
    "accuracy": "accuracy",
    "nll": "NLL",
    "brier": "Brier",
    "ece_10": "ECE, 10 bins",
    "ece_15": "ECE, 15 bins",
    "smooth_ece": "smooth ECE",
    "gap": f"conf. {MINUS} acc.",
    "gap_closed": "gap closed",
}
_SHOW = {"gap": signed, "gap_closed": percent}
_SCOPES = {
    "mean_over_tasks": "Mean over tasks, each task counting once",
    "all_rows": "All questions thrown together",
}
_METHODS = {
    **METHODS,
    ORACLE: Method(
        "oracle (uses labels)",
        "the temperature fitted on each task's own labels: no method, but the most that a "
        "temperature per task can reach",
    ),
}
_NOTES = {
    "accuracy": "no temperature changes an answer; of all methods only batch calibration may.",
    "NLL, Brier": "of the right option; lower is better. Brier is summed over options.",
    **NOTES,
    "gap closed": "share of the NLL gap from the pooled temperature (0 %) to the oracle (100 %). A "
    "temperature per question can pass 100 %.",
}


@dataclass(frozen=True)
class TaskResult:
    """What was measured on one task.

    Args:
        task: Its name.
        n: Number of questions.
        n_options: Mean number of options.
        accuracy: The same for every method.
        fold: Number of the split that tested it.
        seen: Whether the thermometer was trained on it.
        temperature: Predicted for the task, without labels.
        oracle_temperature: Fitted on the task's own labels.
        at_bound: Whether that is only the end of the search, so that there is no oracle.
        pooled_temperature: Fitted on all rows of the tasks that were trained on.
        metrics: Values by method and metric.
    """

    task: str
    n: int
    n_options: float
    accuracy: float
    fold: int
    seen: bool
    temperature: float
    oracle_temperature: float
    at_bound: bool
    pooled_temperature: float
    metrics: dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Report(render.Written):
    """Methods compared on tasks, with everything needed to repeat and to judge it.

    Args:
        methods: By name: `uncalibrated`, `pooled`, `thermometer`, `thermometer_task`, `oracle`.
        differences: Paired, of the thermometer from `uncalibrated` and from `pooled`.
        tasks: One per task, sorted by name.
        protocol: The fields of the protocol, and `description` in words.
        settings: `seed`, `n_resamples` and `coverage` of the intervals.
        provenance: What made features and scores, and `digest` of the questions.
        versions: Of Python and of the packages that matter.
        created: When, in UTC.
        segments: Where the thermometer's confidence lies: by task, number of options, …
    """

    methods: dict[str, MethodResult]
    differences: tuple[Difference, ...]
    tasks: tuple[TaskResult, ...]
    protocol: dict[str, Any]
    settings: dict[str, Any]
    provenance: dict[str, Any]
    versions: dict[str, str]
    created: str
    segments: SegmentReport | None = None

    def __repr__(self) -> str:
        return f"Report({self.verdict})"

    @property
    def n_rows(self) -> int:
        """Number of questions."""
        return sum(task.n for task in self.tasks)

    @property
    def seen(self) -> tuple[str, ...]:
        """Tasks that were tested although the thermometer was trained on them."""
        return tuple(task.task for task in self.tasks if task.seen)

    @property
    def verdict(self) -> str:
        """The result in plain words."""
        return " ".join(_sentences(self))

    def difference(self, method: str, baseline: str) -> Difference:
        """The paired difference of two methods.

        Raises:
            KeyError: If the report does not hold it.
        """
        for found in self.differences:
            if (found.method, found.baseline) == (method, baseline):
                return found
        held = ", ".join(f"{d.method} - {d.baseline}" for d in self.differences)
        raise KeyError(f"Expected one of {held}, but got {method} - {baseline}")

    def document(self) -> Document:
        """What is shown: methods by metrics, differences, temperatures, tasks and segments."""
        n, kind = len(self.tasks), "tasks" if self.seen else "unseen tasks"
        title = f"{self.n_rows:,} answers to {n} {kind}"
        verdict = Verdict(_sentences(self), _figures(self))
        results = {scope: _results(self, scope) for scope in _SCOPES}
        shown = [m for m in self.methods if m not in ("thermometer_task", ORACLE)]
        diagrams = {_title(name): self.methods[name].diagram for name in shown}
        known = [_METHODS[name] for name in self.methods if name in _METHODS]
        notes = {method.title: f"{method.note}." for method in known}
        without = ("accuracy", "ECE, 15 bins", _METRICS["gap"])  # in 80 columns
        coverage = percent(self.settings["coverage"])
        note = f"Below numbers: {coverage} intervals. Floor: what perfect calibration would score."
        return Document(
            title="Calibration" if self.seen else "Calibration on unseen tasks",
            subtitle=f"{n} tasks, {self.n_rows:,} questions · {self.created}",
            page=(
                verdict,
                Picture(
                    "Reliability before and after",
                    "All questions thrown together, in 10 bins. The area of a point follows the "
                    "number of questions, its bar is a 95 % interval, the shade is the gap.",
                    "reliability.png",
                    partial(draw_reliability, diagrams, title=title),
                ),
                *results.values(),
                Terms(notes | _NOTES),
                *(_differences(self, scope) for scope in _SCOPES),
                *_temperatures(self),
                _tasks(self),
                *_segments(self),
                Heading("How it was measured"),
                Terms(_facts(self)),
            ),
            terminal=(
                results["mean_over_tasks"].short(*without),
                results["all_rows"].short(*without, note=note),
                *(Picture(name, text=partial(text_reliability, d)) for name, d in diagrams.items()),
                verdict,
            ),
        )

    def to_json(self) -> str:
        """The report as JSON text; NaN is `null`."""
        fields = {"format_version": FORMAT_VERSION, "verdict": self.verdict, **asdict(self)}
        return json.dumps(plain(fields), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """The inverse of `to_json`.

        Raises:
            ValueError: If it is no JSON, another kind of report, of another format version, or keys
                are missing or unknown.
        """
        fields = _files.parse_json(text, "report")
        if not isinstance(fields, dict):
            raise _checks.fail("report", "a JSON object", type(fields).__name__)
        if "kind" in fields:
            got = f"one of {fields['kind']}, which report.html shows"
            raise _checks.fail("report", "one of `evaluate`", got)
        version = fields.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise _checks.fail("report", f"of format {FORMAT_VERSION}", f"format {version}")
        fields.pop("verdict", None)  # follows from the numbers
        report = from_plain(cls, fields, "report")
        report._check_names()
        return report

    @classmethod
    def read(cls, file: Path) -> "Report":
        """Read a ``report.json``; errors, as of `from_json`, name the file."""
        text = _files.read_text(file)
        try:
            return cls.from_json(text)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error

    def _check_names(self) -> None:
        """Whatever is shown of a report must be in it."""

        def need(place: str, wanted: Iterable[str], found: Iterable[str]) -> None:
            if absent := sorted({*wanted} - {*found}):
                raise _checks.fail(place, f"with {', '.join(absent)}", sorted(found))

        need("protocol", ["description"], self.protocol)
        need("methods", ["uncalibrated", "pooled", ORACLE], self.methods)
        for name, method in self.methods.items():
            need(f"methods.{name}", _METRICS, method.mean_over_tasks)
            need(f"all rows of {name}", _METRICS, method.all_rows)
            need(f"floor of {name}", _SCOPES, method.floor)
            for task in self.tasks:
                need(f"task {task.task}, {name}", LOWER_IS_BETTER, task.metrics.get(name, {}))
        if "thermometer" in self.methods:
            pairs = ["thermometer - uncalibrated", "thermometer - pooled"]
            need("differences", pairs, [f"{d.method} - {d.baseline}" for d in self.differences])
        for d in self.differences:
            need("methods of differences", [d.method, d.baseline], self.methods)
            where = f"difference of {d.method} and {d.baseline}"
            need(where, LOWER_IS_BETTER, d.mean_over_tasks)
            need(f"{where} on all rows", LOWER_IS_BETTER, d.all_rows)
            need(f"n_better of {where}", LOWER_IS_BETTER, d.n_better)


def _title(name: str) -> str:
    return _METHODS[name].title if name in _METHODS else name


def _named(name: str) -> str:
    """The title of a method in a sentence."""
    return "the pooled temperature" if name == "pooled" else _title(name)


def _main(report: Report) -> str:
    """The method that the report is about: the thermometer, or else that with the lowest NLL."""
    if "thermometer" in report.methods:
        return "thermometer"
    others = [name for name in report.methods if name not in ("uncalibrated", ORACLE)]
    return min(others, key=lambda n: report.methods[n].mean_over_tasks["nll"].estimate)


def _sentences(report: Report) -> list[str]:
    """The result in sentences, as honest when it is worse."""
    n, seen, main = len(report.tasks), len(report.seen), _main(report)
    sentences = []
    if seen:
        sentences.append(f"No test on unseen tasks: the thermometer was trained on {seen} of {n}.")
    accuracy = report.methods["uncalibrated"].mean_over_tasks["accuracy"]
    guess = sum(1 / task.n_options for task in report.tasks) / n
    if (accuracy.estimate if isnan(accuracy.low) else accuracy.low) <= guess:
        sentences.append(
            f"The model guesses: its accuracy of {accuracy.estimate:.3f} is no better than that of "
            f"random guesses, {guess:.3f}, and confidence says little."
        )
    kind = ("" if seen else "unseen ") + ("task" if n == 1 else "tasks")
    subject = "" if main == "thermometer" else f"with {_named(main)}, "
    ece = _change(report, "the mean task ECE (10 bins)", "uncalibrated", "ece_10")
    nll = _change(report, "the NLL", "uncalibrated", "nll")
    sentences.append(f"On {n} {kind} ({report.n_rows:,} questions) {subject}{ece}, and {nll}.")
    if main != "pooled":
        ece = _change(report, "the ECE", "pooled", "ece_10")
        nll = _change(report, "the NLL", "pooled", "nll")
        sentences.append(f"Against the pooled temperature, {ece}, and {nll}.")
        sentences.append(_gap_closed(report.methods[main].mean_over_tasks["gap_closed"]))
    if worse := [task for task in report.tasks if _gain(task, main) > 0]:
        worst = max(worse, key=lambda task: _gain(task, main))
        sentences.append(
            f"Its NLL is worse than the uncalibrated one on {len(worse)} of {n}, most on "
            f"{worst.task} ({signed(_gain(worst, main))})."
        )
    nlls = {m: r.mean_over_tasks["nll"].estimate for m, r in report.methods.items() if m != ORACLE}
    if set(nlls) - {"uncalibrated", "pooled", "thermometer", "thermometer_task"}:
        lowest = min(nlls, key=lambda name: nlls[name])
        sentences.append(f"Of all methods {_named(lowest)} has the lowest NLL: {nlls[lowest]:.3f}.")
    found = {m: decimals(r.mean_over_tasks["accuracy"].estimate) for m, r in report.methods.items()}
    usual = found["uncalibrated"]
    others = [f"{_title(name)} ({value})" for name, value in found.items() if value != usual]
    but = f" but {', '.join(others)}" if others else ""
    sentences.append(f"The accuracy is {usual} with every method{but}.")
    return sentences


def _gap_closed(closed: Interval) -> str:
    if isnan(closed.estimate):
        return "The oracle gains no more than chance would: there is no gap to close."
    share = f"{percent(closed.estimate)}{_between(closed, percent)}."
    if closed.estimate < 0:
        start = "It is further from the oracle than the pooled temperature is: NLL gap closed"
    else:
        start = "Of the NLL gap from the pooled temperature to the oracle of each task, it closes"
    return f"{start} {share}"


def _change(report: Report, what: str, baseline: str, key: str) -> str:
    """'the NLL falls from 1.300 to 1.100 (−0.200, between −0.250 and −0.150)'."""
    main = _main(report)
    before, after = (report.methods[m].mean_over_tasks[key].estimate for m in (baseline, main))
    try:
        change = report.difference(main, baseline).mean_over_tasks[key]
    except KeyError:
        change = Interval(after - before, float("nan"), float("nan"))
    verb = "falls" if change.estimate < 0 else "rises"
    if change.low <= 0 <= change.high:
        same = decimals(before) == decimals(after)
        verb = "barely moves" if same else f"{verb} within chance"
    moved = f"{signed(change.estimate)}{_between(change)}"
    return f"{what} {verb} from {before:.3f} to {after:.3f} ({moved})"


def _between(interval: Interval, show: Callable[[float], str] = signed) -> str:
    if isnan(interval.low):
        return ""
    return f", between {show(interval.low)} and {show(interval.high)}"


def _gain(task: TaskResult, main: str) -> float:
    """NLL of a method minus the uncalibrated one; below zero it is better."""
    return task.metrics[main]["nll"] - task.metrics["uncalibrated"]["nll"]


def _figures(report: Report) -> list[tuple[str, Cell]]:
    """Before and after at a glance."""
    shown = {"ece_10": "Mean task ECE (10 bins)", "nll": "NLL", "smooth_ece": "Smooth ECE"}
    old, new = (report.methods[name].mean_over_tasks for name in ("uncalibrated", _main(report)))
    figures = []
    for key, title in shown.items():
        before, after = old[key].estimate, new[key].estimate
        tone = "better" if after < before else "worse"
        figures.append((title, Cell(f"{before:.3f} → {after:.3f}", tone=tone)))
    closed = new["gap_closed"].estimate
    return [*figures, ("Gap to the oracle closed", Cell(percent(closed)))]


def _results(report: Report, scope: str) -> Table:
    """Methods by metrics; the best that use no labels of the task stand out."""
    numbers: dict[str, Numbers] = {n: getattr(m, scope) for n, m in report.methods.items()}
    usable = [name for name in numbers if name != ORACLE]
    best = {
        key: min(round(numbers[name][key].estimate, 3) for name in usable)
        for key in LOWER_IS_BETTER
    }

    def cell(name: str, key: str) -> Cell:
        if key == "gap_closed" and name == "uncalibrated":
            return Cell("")  # the gap begins at the pooled temperature
        value = numbers[name][key]
        best_of_all = name != ORACLE and best.get(key) == round(value.estimate, 3)
        tone = "faint" if name == ORACLE else "best" if best_of_all else ""
        cell = number(value, _SHOW.get(key, decimals), tone)
        return cell._replace(detail="") if value.low == value.high else cell

    rows = [[Cell(_title(n)), *(cell(n, key) for key in _METRICS)] for n in (*usable, ORACLE)]
    floor = report.methods[_main(report)].floor[scope]
    values = (Cell(decimals(floor[k]) if k in floor else "", tone="faint") for k in _METRICS)
    rows.append([Cell("floor", tone="faint"), *values])
    return Table(_SCOPES[scope], ("", *_METRICS.values()), rows)


def _differences(report: Report, scope: str) -> Table:
    """Paired differences; the tone says on which side of zero the whole interval lies."""
    rows = []
    for found in report.differences:
        numbers: Numbers = getattr(found, scope)
        name = f"{_title(found.method)} {MINUS} {_title(found.baseline)}"
        rows.append(row(name, *(difference(numbers[key]) for key in LOWER_IS_BETTER)))
        if scope == "mean_over_tasks":
            better = (f"{found.n_better[key]}/{len(report.tasks)}" for key in LOWER_IS_BETTER)
            rows.append(row("… better on", *better))
    header = ("", *(_METRICS[key] for key in LOWER_IS_BETTER))
    note = "Below zero the first of the two is better."
    return Table(f"Differences. {_SCOPES[scope]}", header, rows, note)


def _temperatures(report: Report) -> list[Block]:
    """Predicted temperatures against the oracle's, if a thermometer predicted any."""
    if "thermometer" not in report.methods:
        return []
    ours, pooled = (
        report.methods[name].mean_over_tasks.get("log_ratio") for name in ("thermometer", "pooled")
    )
    bounded = [task.task for task in report.tasks if task.at_bound]
    words = []
    if ours and pooled and not isnan(ours.estimate):
        words.append(
            "Task temperatures miss those of the oracle by a factor of "
            f"{exp(ours.estimate):.2f} on (geometric) average; the pooled temperature, by "
            f"{exp(pooled.estimate):.2f}."
        )
    if bounded:
        words.append(
            "Tasks without an oracle, because the search ended at its bound (all answers "
            f"right, or scores that say nothing): {len(bounded)}. They are drawn as triangles at "
            "the edge, and not counted in that average."
        )
    return [
        Heading("Temperatures"),
        *([Text(" ".join(words))] if words else []),
        Picture(
            "Predicted and oracle temperature of each task",
            "Predicted without labels; the oracle is fitted on the labels.",
            "temperatures.png",
            partial(
                draw_temperatures,
                {task.task: task.temperature for task in report.tasks},
                {task.task: task.oracle_temperature for task in report.tasks},
                at_bound=bounded,
                pooled=float(np.median([task.pooled_temperature for task in report.tasks])),
            ),
            narrow=True,
        ),
    ]


def _tasks(report: Report) -> Table:
    """One row per task, those that gain most in NLL first."""
    main = _main(report)
    shown = [n for n in report.methods if n not in ("thermometer_task", ORACLE)] + [ORACLE]
    brief = {"pooled": "pooled", "thermometer": "therm.", ORACLE: "oracle"}
    header = [
        *("task", "size", "options", "fold", "accuracy", "oracle temp.", "predicted"),
        *(f"NLL {brief.get(name) or _title(name)}" for name in shown),
        *(f"ECE {brief.get(name) or _title(name)}" for name in shown[:-1]),
    ]
    rows = []
    for task in sorted(report.tasks, key=lambda task: _gain(task, main)):
        bound = ("≥ " if task.oracle_temperature > 1 else "≤ ") if task.at_bound else ""
        name = task.task + (" (seen in training)" if task.seen else "")
        best = bound + _temperature(task.oracle_temperature)
        cells = [*row(name, task.n, f"{task.n_options:.3g}", task.fold + 1, task.accuracy)]
        cells += row(best, _temperature(task.temperature))
        for key, names in (("nll", shown), ("ece_10", shown[:-1])):
            values = {name: task.metrics[name][key] for name in names}
            change = values[main] - values["uncalibrated"]
            tone = "better" if change < 0 else "worse" if change > 0 else ""
            cells += (Cell(decimals(v), tone=tone * (n == main)) for n, v in values.items())
        rows.append(cells)
    return Table("Every task, those that gain most in NLL first", header, rows)


def _temperature(value: float) -> str:
    """Two decimals, or one from 10 on, or none from 100 on."""
    if isnan(value):
        return DASH
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def _segments(report: Report) -> Sequence[Block]:
    if report.segments is None:
        return ()
    whose = " of the thermometer's confidence" if "thermometer" in report.methods else ""
    return (Heading(f"Segments{whose}"), *report.segments.document().page)


def _facts(report: Report) -> dict[str, str]:
    """How it was measured."""
    settings = report.settings
    sources = {key: _source(report.provenance.get(key)) for key in ("features", "scores")}
    return {
        "protocol": str(report.protocol["description"]),
        "measured on": f"{report.n_rows:,} questions of {len(report.tasks)} tasks",
        "intervals": f"{percent(settings['coverage'])}, percentiles of {settings['n_resamples']:,} "
        f"draws of whole tasks (seed {settings['seed']}), the same draws for every method; they do "
        "not cover the chance of training. Of ECE over all questions they sit high, as ECE is "
        "biased upwards",
        **{name: source for name, source in sources.items() if source},
        "made with": ", ".join(f"{name} {number}" for name, number in report.versions.items()),
        "made on": report.created,
    }


def _source(provenance: Mapping[str, Any] | None) -> str:
    """A model in a few words."""
    if not isinstance(provenance, Mapping):
        return "" if provenance is None else str(provenance)
    keys = [key for key in ("revision", "dtype", "layer") if provenance.get(key)]
    words = [str(provenance.get("model", "unknown")), *(f"{k} {provenance[k]}" for k in keys)]
    if provenance.get("num_layers"):
        words.append(f"first {provenance['num_layers']} blocks")
    return ", ".join(words)
