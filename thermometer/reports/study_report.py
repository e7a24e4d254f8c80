"""The result of a study: numbers, sentences, and the files that show them."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from thermometer import _files
from thermometer._versions import versions
from thermometer.comparison import TOPLINE, Comparison
from thermometer.curves import MEASURES, Curve
from thermometer.methods import METHODS
from thermometer.pictures import curve_plot
from thermometer.pictures.drawing import png
from thermometer.pictures.reliability import draw_reliability
from thermometer.reports import grid_html, grid_text, study_tables
from thermometer.reports.grids import Grid
from thermometer.reports.method_tables import SCOPES
from thermometer.reports.report import plain
from thermometer.reports.report_words import METRIC_NOTES, percent, signed

FORMAT_VERSION = 1
_CURVES = {"labels": "labels of the task itself", "prompts": "unlabelled prompts of the task"}
_COMPACT = ("NLL", "ECE, 10 bins", "smooth ECE", "gap closed", "ECE by chance")


@dataclass(frozen=True, eq=False)
class StudyReport:
    """Methods compared on one answering model or several.

    Args:
        comparisons: By model, one comparison for each seed; the first is shown in full.
        transfer: (fitted on, used on) -> comparison; empty if not asked for.
        labels: By model, the curve `curves.few_labels`; empty if not asked for.
        prompts: By model, the curve `curves.unlabelled`; empty if not asked for.
        protocol: The fields of the protocol, and `description` in words.
        settings: Of network, training and intervals.
        provenance: What made features and scores, by model.
        n_rows: Questions of each table.
        versions: Of Python and of the packages that matter.
        created: When, in UTC.
    """

    comparisons: dict[str, tuple[Comparison, ...]]
    transfer: dict[tuple[str, str], Comparison]
    labels: dict[str, Curve]
    prompts: dict[str, Curve]
    protocol: dict[str, Any]
    settings: dict[str, Any]
    provenance: dict[str, Any]
    n_rows: int
    versions: dict[str, str] = field(default_factory=versions)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def __repr__(self) -> str:
        return f"StudyReport({' '.join(self.verdict)})"

    @property
    def verdict(self) -> list[str]:
        """The result in sentences, one for each model."""
        return [_sentence(model, found[0]) for model, found in self.comparisons.items()]

    def to_json(self) -> str:
        """The report as JSON text; NaN is `null`."""
        fields = asdict(self)
        fields["transfer"] = [
            {"fitted_on": one, "used_on": other, **asdict(found)}
            for (one, other), found in self.transfer.items()
        ]
        fields = {"format_version": FORMAT_VERSION, "verdict": self.verdict, **fields}
        return json.dumps(plain(fields), indent=1, allow_nan=False) + "\n"


def write_study(report: StudyReport, folder: str | Path) -> Path:
    """Write report.md, report.json, report.html and the pictures.

    Args:
        report: What `Study.measure` returned.
        folder: Made if needed; files of the same names are replaced.

    Returns:
        The folder.
    """
    images = pictures(report)
    texts = {
        "report.md": markdown(report, images),
        "report.html": html(report, images),
        "report.json": report.to_json(),
    }
    return _files.write_all(folder, {**images, **texts})


def print_study(report: StudyReport, console: Console | None = None) -> None:
    """Print the main numbers of each model; 80 columns are enough."""
    console = console or Console()
    for model, found in report.comparisons.items():
        grid = study_tables.results(model, found[0], "mean_over_tasks")
        console.print(Text(f"\n{grid.title}", style="bold"))
        console.print(grid_text.table(_compact(grid), detail=False))
    for sentence in report.verdict:
        console.print(Text(sentence))


def _compact(grid: Grid) -> Grid:
    """The columns that fit on a terminal."""
    kept = [0, *(i for i, title in enumerate(grid.header) if title in _COMPACT)]
    rows = tuple(tuple(row[i] for i in kept) for row in grid.rows)
    return Grid(grid.title, tuple(grid.header[i] for i in kept), rows)


def pictures(report: StudyReport) -> dict[str, bytes]:
    """PNG files by name: reliability of each model, and the curves."""
    images = {}
    for model, found in report.comparisons.items():
        names = [n for n in ("vanilla", "pooled", _best(found[0])) if n in found[0].methods]
        images[f"{_file_name(model)}-reliability.png"] = png(
            draw_reliability(
                {study_tables.TITLES[n]: found[0].methods[n].diagram for n in dict.fromkeys(names)},
                title=f"{model}: {report.n_rows:,} answers",
            )
        )
        for kind, title in _CURVES.items():
            curve = getattr(report, kind).get(model)
            for measure in MEASURES if curve else ():
                images[f"{_file_name(model)}-{kind}-{measure}.png"] = png(
                    curve_plot.draw_curve(curve, measure, x_title=title, titles=study_tables.TITLES)
                )
    return images


def grids(report: StudyReport, model: str) -> list[Grid]:
    """All tables of one model."""
    found = report.comparisons[model]
    tables = [study_tables.results(model, found[0], scope) for scope in SCOPES]
    tables += [study_tables.differences(model, found[0], scope) for scope in SCOPES]
    if len(found) > 1:
        tables.append(study_tables.seeds(model, found))
    for kind, title in _CURVES.items():
        if curve := getattr(report, kind).get(model):
            tables += [study_tables.curve(model, title, curve, measure) for measure in MEASURES]
    return tables


def transfer_grids(report: StudyReport) -> list[Grid]:
    """What was fitted on one model, used on another."""
    if not report.transfer:
        return []
    methods = next(iter(report.transfer.values())).methods
    shown = [name for name in methods if name not in ("vanilla", TOPLINE)]
    return [
        study_tables.transfer(report.transfer, name, key)
        for name in shown
        for key in ("gap_closed", "ece_10")
    ]


def markdown(report: StudyReport, images: dict[str, bytes]) -> str:
    """The report as Markdown, with the pictures as neighbouring files."""
    parts = ["# Methods compared on unseen tasks", grid_text.escape(" ".join(report.verdict))]
    for model in report.comparisons:
        parts.append(f"## {grid_text.escape(model)}")
        parts += [f"![{name}]({name})" for name in images if name.startswith(_file_name(model))]
        parts += [grid_text.markdown(grid) for grid in grids(report, model)]
    parts += [grid_text.markdown(grid) for grid in transfer_grids(report)]
    parts += ["## How to read it", grid_text.notes(_notes(report))]
    parts += ["## How it was measured", grid_text.notes(facts(report))]
    return "\n\n".join(parts) + "\n"


def html(report: StudyReport, images: dict[str, bytes]) -> str:
    """The report as HTML that opens alone."""
    title = "Methods compared on unseen tasks"
    body = [f"<h1>{title}</h1>", f'<p class="when">{escape(report.created)}</p>']
    body.append(grid_html.verdict(report.verdict))
    for model in report.comparisons:
        body.append(f"<h2>{escape(model)}</h2>")
        for name, content in images.items():
            if name.startswith(_file_name(model)):
                kind = "" if name.endswith("reliability.png") else "narrow"
                body.append(grid_html.figure(content, name.removesuffix(".png"), kind))
        body += [grid_html.table(grid) for grid in grids(report, model)]
    body += [grid_html.table(grid) for grid in transfer_grids(report)]
    body += ["<h2>How to read it</h2>", grid_html.notes(_notes(report))]
    body += ["<h2>How it was measured</h2>", grid_html.notes(facts(report))]
    return grid_html.page(title, body)


def facts(report: StudyReport) -> dict[str, str]:
    """How it was measured."""
    settings = report.settings
    return {
        "protocol": str(report.protocol["description"]),
        "measured on": f"{report.n_rows:,} questions, answered by {', '.join(report.comparisons)}",
        "intervals": f"95 %, percentiles of {settings['n_resamples']:,} draws of whole tasks, the "
        "same draws for every method",
        "thermometer": f"preset {settings['preset']}, network {settings['network'] or 'unchanged'},"
        f" training {settings['training'] or 'unchanged'}",
        "made with": ", ".join(f"{name} {number}" for name, number in report.versions.items()),
        "made on": report.created,
    }


def _notes(report: StudyReport) -> dict[str, str]:
    used = next(iter(report.comparisons.values()))[0].methods
    notes = {METHODS[name].title: METHODS[name].note for name in used if name in METHODS}
    best = {study_tables.TITLES[TOPLINE]: "each task's temperature fitted on the labels measured."}
    measures = {name: text for name, text in METRIC_NOTES.items() if name != "chance"}
    chance = {"ECE by chance": "what the ECE would be on so few questions if it were 0 in truth."}
    return {**notes, **best, **measures, **chance}


def _best(found: Comparison) -> str:
    """The method of least mean NLL that uses no labels of the task."""
    honest = {n: m.mean_over_tasks["nll"].estimate for n, m in found.methods.items()}
    honest.pop(TOPLINE)
    return min(honest, key=honest.__getitem__)


def _sentence(model: str, found: Comparison) -> str:
    """Which method is best for a model, and whether one temperature is clearly worse."""
    best = _best(found)
    numbers, pooled = (found.methods[n].mean_over_tasks for n in (best, "pooled"))
    nll, ece = numbers["nll"].estimate, numbers["ece_10"].estimate
    text = f"{model}: best is {study_tables.TITLES[best]} (NLL {nll:.3f}, mean task ECE {ece:.3f}"
    if best == "pooled":
        return f"{text}); no method beats one temperature for all tasks."
    change = next(d for d in found.differences if d.method == best).mean_over_tasks["nll"]
    closed = numbers["gap_closed"].estimate
    sure = "" if change.high < 0 or change.low > 0 else ", within chance"
    return (
        f"{text}; one temperature {pooled['nll'].estimate:.3f} and "
        f"{pooled['ece_10'].estimate:.3f}); NLL {signed(change.estimate)} ("
        f"{signed(change.low)} to {signed(change.high)}{sure}), "
        f"{percent(closed)} of the gap to each task's own best temperature."
    )


def _file_name(model: str) -> str:
    """A model's name as part of a file's."""
    return "".join(c if c.isalnum() or c in "-._" else "_" for c in model)
