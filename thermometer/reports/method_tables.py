"""Tables of methods by metrics, and of their paired differences, as plain cells.

Nothing here knows which methods there are, or how cells look.
"""

from collections.abc import Mapping, Sequence
from math import isnan

from thermometer.comparison import LOWER_IS_BETTER, TOPLINE, Difference, MethodResult, Numbers
from thermometer.metrics.intervals import Interval
from thermometer.reports.grids import Cell, Grid
from thermometer.reports.report_words import MINUS, percent, signed

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


def results(methods: Mapping[str, MethodResult], scope: str, titles: Mapping[str, str]) -> Grid:
    """Methods by metrics; the best that use no labels of the task stand out.

    Args:
        methods: By name; the topline comes last and is faint.
        scope: `mean_over_tasks` or `all_rows`.
        titles: Of the methods.
    """
    numbers: dict[str, Numbers] = {n: getattr(m, scope) for n, m in methods.items()}
    best = {
        key: min(round(v[key].estimate, 3) for name, v in numbers.items() if name != TOPLINE)
        for key in LOWER_IS_BETTER
    }

    def cell(name: str, key: str) -> Cell:
        value = numbers[name][key]
        if key == "gap_closed" and name == "vanilla":
            return Cell("")  # the gap begins at one temperature
        is_best = name != TOPLINE and best.get(key) == round(value.estimate, 3)
        return number(key, value, "best" if is_best else "")

    rows = [
        (Cell(titles.get(name, name)), *(cell(name, key) for key in METRIC_TITLES))
        for name in numbers
        if name != TOPLINE
    ]
    bound = (Cell(titles[TOPLINE]), *(cell(TOPLINE, key) for key in METRIC_TITLES))
    rows.append(tuple(c._replace(tone="faint") for c in bound))
    return Grid(SCOPES[scope], ("", *METRIC_TITLES.values()), tuple(rows))


def differences(
    found: Sequence[Difference], scope: str, titles: Mapping[str, str], n_tasks: int
) -> Grid:
    """Paired differences; the tone says on which side of zero the whole interval lies."""
    header = ("", *(METRIC_TITLES[key] for key in LOWER_IS_BETTER))
    rows = []
    for difference in found:
        numbers: Numbers = getattr(difference, scope)
        name = f"{titles[difference.method]} {MINUS} {titles[difference.baseline]}"
        rows.append((Cell(name), *(signed_number(numbers[key]) for key in LOWER_IS_BETTER)))
        if scope == "mean_over_tasks":
            n_better = (f"{difference.n_better[key]}/{n_tasks}" for key in LOWER_IS_BETTER)
            rows.append((Cell("… better on"), *map(Cell, n_better)))
    return Grid(f"Differences. {SCOPES[scope]}", header, tuple(rows))


def number(key: str, value: Interval, tone: str = "") -> Cell:
    """A metric and its interval.

    Example:
        >>> number("nll", Interval(1.0, 0.5, 1.5)).text
        '1.000'
    """
    show = percent if key == "gap_closed" else signed if key == "gap" else "{:.3f}".format
    if isnan(value.estimate):
        return Cell("\N{EN DASH}")
    if isnan(value.low) or value.low == value.high:
        return Cell(show(value.estimate), "", tone)
    joint = " to " if key in ("gap", "gap_closed") else "\N{EN DASH}"
    return Cell(show(value.estimate), f"{show(value.low)}{joint}{show(value.high)}", tone)


def signed_number(value: Interval) -> Cell:
    """A difference; better or worse if its whole interval lies below or above zero.

    Example:
        >>> signed_number(Interval(0.2, 0.1, 0.3)).tone
        'worse'
    """
    if isnan(value.low):
        return Cell(signed(value.estimate))
    tone = "better" if value.high < 0 else "worse" if value.low > 0 else ""
    return Cell(signed(value.estimate), f"{signed(value.low)} to {signed(value.high)}", tone)
