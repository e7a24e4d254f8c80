"""The tables of a report, as plain cells before they have a look.

Terminal, Markdown and HTML show the same cells. Nothing here knows their syntax.
"""

from math import isnan
from typing import TYPE_CHECKING

from thermometer.comparison import LOWER_IS_BETTER, TOPLINE, Numbers
from thermometer.grids import Cell, Grid
from thermometer.intervals import Interval
from thermometer.report_words import MINUS, gain, percent, signed

if TYPE_CHECKING:
    from thermometer.report import Report, TaskResult

TITLES = {
    "vanilla": "vanilla",
    "pooled": "one temperature",
    "thermometer": "thermometer",
    "thermometer_task": "thermometer, per task",
    "topline": "topline (uses labels)",
}
METRIC_TITLES = {
    "accuracy": "accuracy",
    "nll": "NLL",
    "brier": "Brier",
    "ece_10": "ECE, 10 bins",
    "ece_15": "ECE, 15 bins",
    "smooth_ece": "smooth ECE",
    "gap": f"conf. {MINUS} acc.",
    "gap_closed": "gap closed",
}
SCOPES = {
    "mean_over_tasks": "Mean over tasks, each task counting once",
    "all_rows": "All questions thrown together",
}


def results(report: "Report", scope: str) -> Grid:
    """Methods by metrics, `mean_over_tasks` or `all_rows`, with the chance level below."""
    numbers: dict[str, Numbers] = {n: getattr(m, scope) for n, m in report.methods.items()}
    best = {
        key: min(round(v[key].estimate, 3) for name, v in numbers.items() if name != TOPLINE)
        for key in LOWER_IS_BETTER
    }

    def cell(name: str, key: str) -> Cell:
        value = numbers[name][key]
        if key == "gap_closed" and name == "vanilla":
            return Cell("")  # the gap begins at one temperature
        is_best = name != TOPLINE and best.get(key) == round(value.estimate, 3)
        return _number(key, value, "best" if is_best else "")

    floor = report.methods["thermometer"].floor[scope]
    chance = (
        Cell("chance"),
        *(Cell(f"{floor[k]:.3f}" if k in floor else "") for k in METRIC_TITLES),
    )
    rows = [
        (Cell(TITLES.get(name, name)), *(cell(name, key) for key in METRIC_TITLES))
        for name in numbers
        if name != TOPLINE
    ]
    bounds = [(Cell(TITLES[TOPLINE]), *(cell(TOPLINE, key) for key in METRIC_TITLES)), chance]
    rows += [tuple(c._replace(tone="faint") for c in row) for row in bounds]
    return Grid(SCOPES[scope], ("", *METRIC_TITLES.values()), tuple(rows))


def differences(report: "Report", scope: str) -> Grid:
    """Paired differences; the tone says on which side of zero the whole interval lies."""
    header = ("", *(METRIC_TITLES[key] for key in LOWER_IS_BETTER))
    rows = []
    for difference in report.differences:
        numbers: Numbers = getattr(difference, scope)
        name = f"{TITLES[difference.method]} {MINUS} {TITLES[difference.baseline]}"
        rows.append((Cell(name), *(_signed_cell(numbers[key]) for key in LOWER_IS_BETTER)))
        if scope == "mean_over_tasks":
            n_better = (
                f"{difference.n_better[key]}/{len(report.tasks)}" for key in LOWER_IS_BETTER
            )
            rows.append((Cell("… better on"), *map(Cell, n_better)))
    return Grid(f"Differences. {SCOPES[scope]}", header, tuple(rows))


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


def _number(key: str, value: Interval, tone: str = "") -> Cell:
    show = percent if key == "gap_closed" else signed if key == "gap" else "{:.3f}".format
    if isnan(value.estimate):
        return Cell("\N{EN DASH}")
    if isnan(value.low) or value.low == value.high:
        return Cell(show(value.estimate), "", tone)
    joint = " to " if key in ("gap", "gap_closed") else "\N{EN DASH}"
    return Cell(show(value.estimate), f"{show(value.low)}{joint}{show(value.high)}", tone)


def _signed_cell(value: Interval) -> Cell:
    if isnan(value.low):
        return Cell(signed(value.estimate))
    tone = "better" if value.high < 0 else "worse" if value.low > 0 else ""
    return Cell(signed(value.estimate), f"{signed(value.low)} to {signed(value.high)}", tone)
