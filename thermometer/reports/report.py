"""The result of an evaluation: plain data, in and out of JSON, and its files.

`Report` holds numbers and words only. How it looks is the business of `report_text` and
`report_html`; the numbers come from `evaluation`. The keys of report.json are its fields.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thermometer import _checks, _files
from thermometer._records import from_plain
from thermometer.comparison import LOWER_IS_BETTER, Difference, MethodResult
from thermometer.pictures import drawing
from thermometer.pictures.reliability import draw_reliability
from thermometer.pictures.temperature_plot import draw_temperatures
from thermometer.reports import report_html, report_text, report_words
from thermometer.reports.method_tables import METRIC_TITLES, SCOPES
from thermometer.reports.report_text import print_report as print_report
from thermometer.segmentation.segment_report import SegmentReport

FORMAT_VERSION = 1


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
        best_temperature: The best on the task's own labels.
        at_bound: Whether that is only the end of the search, so that there is no best one.
        pooled_temperature: The one temperature of the tasks that were trained on.
        metrics: Values by method and metric.
    """

    task: str
    n: int
    n_options: float
    accuracy: float
    fold: int
    seen: bool
    temperature: float
    best_temperature: float
    at_bound: bool
    pooled_temperature: float
    metrics: dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Report:
    """Methods compared on tasks, with everything needed to repeat and to judge it.

    Args:
        methods: By name: `vanilla`, `pooled`, `thermometer`, `thermometer_task`, `topline`.
        differences: Paired, of the thermometer from `vanilla` and from `pooled`.
        tasks: One per task, sorted by name.
        protocol: The fields of the protocol, and `description` in words.
        settings: `seed`, `n_resamples` and `level` of the intervals.
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
        return " ".join(report_words.verdict(self))

    def difference(self, method: str, baseline: str) -> Difference:
        """The paired difference of two methods.

        Raises:
            KeyError: If the report does not hold it.
        """
        for difference in self.differences:
            if (difference.method, difference.baseline) == (method, baseline):
                return difference
        held = ", ".join(f"{d.method} - {d.baseline}" for d in self.differences)
        raise KeyError(f"Expected one of {held}, but got {method} - {baseline}")

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
            raise _checks.fail(
                "report", "one of `evaluate`", f"one of {fields['kind']}, which report.html shows"
            )
        version = fields.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise ValueError(
                f"Expected a report of format {FORMAT_VERSION}, but got format {version}"
            )
        fields.pop("verdict", None)  # follows from the numbers
        report = from_plain(cls, fields, "report")
        report._check_names()
        return report

    def _check_names(self) -> None:
        """Whatever is shown of a report must be in it."""
        needed = {"vanilla", "pooled", "thermometer", "thermometer_task", "topline"}
        if absent := sorted(needed - set(self.methods)):
            raise _checks.fail("methods", f"with {', '.join(absent)}", sorted(self.methods))
        held = {(d.method, d.baseline) for d in self.differences}
        needed_pairs = {("thermometer", "vanilla"), ("thermometer", "pooled")}
        if missing := sorted(needed_pairs - held):
            raise _checks.fail("differences", f"with {missing}", sorted(held))
        shown: dict[str, Mapping[str, Any]] = {}  # in tables of methods
        for name, method in self.methods.items():
            shown |= {f"methods.{name}": method.mean_over_tasks}
            shown |= {f"all rows of {name}": method.all_rows}
        compared: dict[str, Mapping[str, Any]] = {}
        for d in self.differences:
            where = f"difference of {d.method} and {d.baseline}"
            compared |= {where: d.mean_over_tasks, f"{where} on all rows": d.all_rows}
            compared |= {f"n_better of {where}": d.n_better}
            if absent := sorted({d.method, d.baseline} - set(self.methods)):
                raise _checks.fail("differences", f"of {sorted(self.methods)}", absent)
        for task in self.tasks:
            compared |= {f"task {task.task}, {m}": task.metrics.get(m, {}) for m in self.methods}
        scopes = {"floor of thermometer": self.methods["thermometer"].floor}
        for places, wanted in (
            (shown, set(METRIC_TITLES)),
            (compared, set(LOWER_IS_BETTER)),
            (scopes, set(SCOPES)),
            ({"protocol": self.protocol}, {"description"}),
        ):
            for place, numbers in places.items():
                if absent := sorted(wanted - set(numbers)):
                    raise _checks.fail(place, f"with {', '.join(absent)}", sorted(numbers))


def write_report(report: Report, folder: str | Path) -> Path:
    """Write report.md, report.json, report.html, reliability.png and temperatures.png.

    The HTML file opens alone: the pictures are inside it, and it needs no network.

    Args:
        report: What `evaluate` or `cross_validate` returned.
        folder: Made if needed; files of the same names are replaced.

    Returns:
        The folder.
    """
    images = pictures(report)
    texts = {
        "report.md": report_text.markdown(report),
        "report.html": report_html.html(report, images),
        "report.json": report.to_json(),
    }
    return _files.write_all(folder, {**images, **texts})


def pictures(report: Report) -> dict[str, bytes]:
    """PNG files by name: reliability before and after, and predicted against best temperatures."""
    shown = {"vanilla": "vanilla", "pooled": "one temperature", "thermometer": "thermometer"}
    unseen = "tasks" if report.seen else "unseen tasks"
    figures = {
        "reliability.png": draw_reliability(
            {title: report.methods[name].diagram for name, title in shown.items()},
            title=f"{report.n_rows:,} answers to {len(report.tasks)} {unseen}",
        ),
        "temperatures.png": draw_temperatures(
            {task.task: task.temperature for task in report.tasks},
            {task.task: task.best_temperature for task in report.tasks},
            at_bound=[task.task for task in report.tasks if task.at_bound],
            pooled=float(np.median([task.pooled_temperature for task in report.tasks])),
        ),
    }
    return {name: drawing.png(figure) for name, figure in figures.items()}


def plain(value: Any) -> Any:
    """JSON values: arrays as lists, NaN as None.

    Example:
        >>> plain({"a": np.array([1.0, np.nan])})
        {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
