"""The tables of a study, as plain cells before they have a look.

Nothing here computes a number that `comparison` or `curves` has not.
"""

from collections.abc import Mapping

import numpy as np

from thermometer.comparison import TOPLINE, Comparison
from thermometer.curves import Curve
from thermometer.methods import METHODS
from thermometer.reports import method_tables
from thermometer.reports.grids import Cell, Grid
from thermometer.reports.method_tables import METRIC_TITLES, SCOPES
from thermometer.reports.report_words import percent

TITLES = {**{name: method.title for name, method in METHODS.items()}, TOPLINE: "best (own labels)"}
_SEED_KEYS = ("nll", "ece_10", "smooth_ece", "gap_closed")


def results(model: str, comparison: Comparison, scope: str) -> Grid:
    """Methods by metrics; last the ECE that each would have by chance alone."""
    grid = method_tables.results(comparison.methods, scope, TITLES)
    order = [*(name for name in comparison.methods if name != TOPLINE), TOPLINE]
    floors = [Cell(f"{comparison.methods[name].floor[scope]['ece_10']:.3f}") for name in order]
    rows = tuple((*row, floor) for row, floor in zip(grid.rows, floors, strict=True))
    return Grid(f"{model}. {grid.title}", (*grid.header, "ECE by chance"), rows)


def differences(model: str, comparison: Comparison, scope: str) -> Grid:
    """Every method against one temperature, paired."""
    n_tasks = len(comparison.task_names)
    grid = method_tables.differences(comparison.differences, scope, TITLES, n_tasks)
    return Grid(f"{model}. {grid.title}", grid.header, grid.rows)


def seeds(model: str, comparisons: tuple[Comparison, ...]) -> Grid:
    """Mean and standard deviation over seeds, of means over tasks and of all rows."""
    header = ["method"]
    for scope in SCOPES:
        short = "tasks" if scope == "mean_over_tasks" else "all rows"
        header += [f"{METRIC_TITLES[key]}, {short}" for key in _SEED_KEYS]
    rows = []
    for name in comparisons[0].methods:
        row = [Cell(TITLES[name])]
        for scope in SCOPES:
            for key in _SEED_KEYS:
                values = np.array(
                    [getattr(c.methods[name], scope)[key].estimate for c in comparisons]
                )
                if (name, key) == ("vanilla", "gap_closed"):
                    row.append(Cell(""))  # the gap begins at one temperature
                    continue
                show = percent if key == "gap_closed" else "{:.3f}".format
                spread = f"± {show(values.std(ddof=1))}"
                row.append(Cell(show(values.mean()), spread))
        rows.append(tuple(row))
    return Grid(f"{model}. Mean and spread of {len(comparisons)} seeds", tuple(header), tuple(rows))


def transfer(found: Mapping[tuple[str, str], Comparison], method: str, key: str) -> Grid:
    """One metric of one method, means over tasks: fitted on the row's model, used on the column's.

    `gap_closed` counts from the one temperature fitted on the column's own model.
    """
    models = tuple(dict.fromkeys(one for one, _ in found))
    rows = []
    for one in models:
        row = [Cell(one)]
        for other in models:
            own = found[other, other].methods
            numbers = found[one, other].methods[method].mean_over_tasks
            value = numbers["nll" if key == "gap_closed" else key].estimate
            if key == "gap_closed":
                pooled, best = (own[n].mean_over_tasks["nll"].estimate for n in ("pooled", TOPLINE))
                text = percent((pooled - value) / (pooled - best))
            else:
                text = f"{value:.3f}"
            row.append(Cell(text, tone="best" if one == other else ""))
        rows.append(tuple(row))
    title = f"Transfer of {TITLES[method]}: {METRIC_TITLES[key]}, mean over tasks"
    return Grid(title, ("fitted on … used on", *models), tuple(rows))


def curve(model: str, title: str, found: Curve, measure: str) -> Grid:
    """A curve, and the paired differences from what needs no labels."""
    sizes = ["all" if size is None else str(size) for size in found.x]
    rows = [
        (Cell(name), *(method_tables.number(measure, p) for p in points[measure]))
        for name, points in found.varying.items()
    ]
    for name, points in found.differences.items():
        one, other = name.split(" - ")
        shown = f"{one} \N{MINUS SIGN} {TITLES[other]}"
        rows.append((Cell(shown), *(method_tables.signed_number(p) for p in points[measure])))
    for name, value in found.constant.items():
        cell = method_tables.number(measure, value[measure])
        rows.append((Cell(TITLES[name]), *[cell] * len(sizes)))
    header = (f"{METRIC_TITLES[measure]} by {title}", *sizes)
    return Grid(f"{model}. {METRIC_TITLES[measure]} by {title}", header, tuple(rows))
