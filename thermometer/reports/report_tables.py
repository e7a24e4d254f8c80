"""The tables of a report, as plain cells before they have a look.

Terminal, Markdown and HTML show the same cells. Nothing here knows their syntax.
"""

from typing import TYPE_CHECKING

from thermometer.comparison import TOPLINE
from thermometer.reports import method_tables
from thermometer.reports.grids import Cell, Grid
from thermometer.reports.method_tables import METRIC_TITLES
from thermometer.reports.method_tables import SCOPES as SCOPES
from thermometer.reports.report_words import METHOD_NOTES, METRIC_NOTES, gain

if TYPE_CHECKING:
    from thermometer.reports.report import Report, TaskResult

TITLES = {
    "vanilla": "vanilla",
    "pooled": "one temperature",
    "platt": "Platt",
    "isotonic": "isotonic",
    "histogram": "histogram binning",
    "batch": "batch calibration",
    "thermometer": "thermometer",
    "thermometer_task": "thermometer, per task",
    TOPLINE: "topline (uses labels)",
}


def results(report: "Report", scope: str) -> Grid:
    """Methods by metrics, `mean_over_tasks` or `all_rows`, with the chance level below."""
    grid = method_tables.results(report.methods, scope, TITLES)
    floor = report.methods["thermometer"].floor[scope]
    level = (Cell(f"{floor[k]:.3f}" if k in floor else "", tone="faint") for k in METRIC_TITLES)
    return Grid(grid.title, grid.header, (*grid.rows, (Cell("chance", tone="faint"), *level)))


def notes(report: "Report") -> dict[str, str]:
    """What the methods of the report do, and what the metrics mean."""
    titles = {TITLES.get(name) for name in report.methods}
    return {**{k: note for k, note in METHOD_NOTES.items() if k in titles}, **METRIC_NOTES}


def differences(report: "Report", scope: str) -> Grid:
    """Paired differences; the tone says on which side of zero the whole interval lies."""
    return method_tables.differences(report.differences, scope, TITLES, len(report.tasks))


def tasks(report: "Report") -> Grid:
    """One row per task, those that gain most in NLL first."""
    header = (
        *("task", "size", "options", "fold", "accuracy", "best temp.", "predicted"),
        *("NLL vanilla", "NLL one temp.", "NLL therm.", "NLL topline"),
        *("ECE vanilla", "ECE one temp.", "ECE therm."),
    )
    rows = []
    for task in sorted(report.tasks, key=gain):
        nll = {name: values["nll"] for name, values in task.metrics.items()}
        ece = {name: values["ece_10"] for name, values in task.metrics.items()}
        rows.append(
            (
                Cell(task.task + (" (seen in training)" if task.seen else "")),
                Cell(str(task.n)),
                Cell(f"{task.n_options:.3g}"),
                Cell(str(task.fold + 1)),
                Cell(f"{task.accuracy:.3f}"),
                Cell(_best_temperature(task)),
                Cell(_temperature(task.temperature)),
                Cell(f"{nll['vanilla']:.3f}"),
                Cell(f"{nll['pooled']:.3f}"),
                Cell(f"{nll['thermometer']:.3f}", tone=_tone(nll["thermometer"] - nll["vanilla"])),
                Cell(f"{nll['topline']:.3f}"),
                Cell(f"{ece['vanilla']:.3f}"),
                Cell(f"{ece['pooled']:.3f}"),
                Cell(f"{ece['thermometer']:.3f}", tone=_tone(ece["thermometer"] - ece["vanilla"])),
            )
        )
    return Grid("Every task, those that gain most in NLL first", header, tuple(rows))


def _best_temperature(task: "TaskResult") -> str:
    """The best temperature, or the bound beyond which it lies."""
    sign = ("≥ " if task.best_temperature > 1 else "≤ ") if task.at_bound else ""
    return sign + _temperature(task.best_temperature)


def _temperature(value: float) -> str:
    """Two decimals, or one from 10 on, or none from 100 on."""
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def _tone(difference: float) -> str:
    return "better" if difference < 0 else "worse" if difference > 0 else ""
