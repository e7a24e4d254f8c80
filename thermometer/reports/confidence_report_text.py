"""What a report on confidences says: in words, in the terminal, as Markdown and as HTML.

All show the same grids and sentences. Nothing here measures.
"""

from collections.abc import Mapping
from html import escape
from math import isnan
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from thermometer.pictures.terminal_plots import canvas, text_bars, text_reliability
from thermometer.reports import grid_html, grid_text
from thermometer.reports.grids import Cell, Grid
from thermometer.reports.method_tables import number, signed_number
from thermometer.reports.report_words import MINUS, percent, signed
from thermometer.segmentation import segment_tables

if TYPE_CHECKING:
    from thermometer.metrics.intervals import Interval
    from thermometer.reports.confidence_report import ConfidenceReport, Series

_SHOWN = 12  # segments in the terminal
_TITLES = {
    "accuracy": "accuracy",
    "confidence": "confidence",
    "gap": f"conf. {MINUS} acc.",
    "ece": "ECE",
    "ece_mass": "ECE, equal mass",
    "debiased_ece": "debiased ECE",
    "smooth_ece": "smooth ECE",
    "nll": "NLL",
    "brier": "Brier",
    "auroc": "AUROC",
    "aurc": "AURC",
}
_COMPACT = 2  # series beside one another in the terminal with their intervals
_NOTES = {
    f"conf. {MINUS} acc.": "mean confidence minus accuracy; above zero is overconfident.",
    "ECE": "mean distance of confidence and accuracy over bins of equal width, or of equal mass. "
    "Its interval sits high.",
    "debiased ECE": "root of the mean squared distance over bins, less what chance adds (Kumar et "
    "al. 2019).",
    "smooth ECE": "the same without bins (Błasiok and Nakkiran 2024).",
    "chance": "the ECE that perfect calibration would score on as few answers: mean, and below it "
    "what is seldom exceeded.",
    "NLL, Brier": "of “the answer is right”; lower is better.",
    "AUROC": "how often a right answer has more confidence than a wrong one; 0.5 says nothing.",
    "AURC": "mean share of wrong answers among the surest ones, over all shares; lower is better.",
}
_PICTURES = {
    "reliability.png": "Accuracy over confidence, in bins. The area of a point follows the number "
    "of answers, its bar is a 95 % interval, the shade is the gap.",
    "smooth_reliability.png": "Accuracy over confidence, smoothed, with its interval; below, how "
    "the confidences are spread.",
    "risk_coverage.png": "Share of wrong answers if only the surest are given.",
}


def words(report: "ConfidenceReport") -> list[str]:
    """The result in sentences."""
    sentences = []
    for name, one in report.series.items():
        start = f"{name}: " if len(report.series) > 1 else ""
        sentences += [start + _gap_words(one), _ece_words(one)]
        if one.segments is not None:
            sentences += segment_tables.words(one.segments)
    for name, found in report.differences.items():
        sentences.append(_difference_words(name, next(iter(report.series)), found["nll"]))
    if report.recommendation is not None:
        sentences.append(report.recommendation.reason)
    return sentences


def grids(report: "ConfidenceReport") -> list[Grid]:
    """All tables: metrics, differences, segments of each series, candidates for recalibration."""
    found = [_results(report)]
    if report.differences:
        found.append(_differences(report))
    for name, one in report.series.items():
        if one.segments is not None:
            grid = segment_tables.grid(one.segments)
            title = f"{grid.title}: {name}" if len(report.series) > 1 else grid.title
            found.append(Grid(title, grid.header, grid.rows))
    if report.recommendation is not None:
        found.append(_candidates(report))
    return found


def show(report: "ConfidenceReport", console: Console, *, pictures: bool = False) -> None:
    """Print the report; 80 columns are enough."""
    console.print(grid_text.table(_upright(_results(report))))
    for name, one in report.series.items():
        if pictures:
            console.print(Text(f"\n{name}", style="bold"))
            console.print(Text(text_reliability(one.diagram, **canvas(console))))
        if one.segments is None:
            continue
        console.print(Text(f"\nsegments of {name}, worst first", style="bold"))
        console.print(segment_tables.table(one.segments, _SHOWN))
        if len(one.segments) > _SHOWN:
            console.print(Text(f"… and {len(one.segments) - _SHOWN} more", style="dim"))
        if pictures:
            bars = [
                (s.name, s.gap.estimate, s.gap.low, s.gap.high)
                for s in one.segments.segments[:_SHOWN]
            ]
            console.print(Text("\n" + text_bars(bars, **canvas(console))))
    console.print()
    for position, sentence in enumerate(words(report)):
        console.print(Text(sentence, style="" if position else "bold"))


def markdown(report: "ConfidenceReport") -> str:
    """The report as Markdown, with the pictures as neighbouring files."""
    parts = [
        f"# {grid_text.escape(report.title)}",
        grid_text.escape(" ".join(words(report))),
        *(f"![{text}]({name})" for name, text in _PICTURES.items()),
        *(grid_text.markdown(grid) for grid in grids(report)),
        grid_text.notes(_notes(report)),
        "## How it was measured",
        grid_text.notes(dict(_facts(report))),
    ]
    return "\n\n".join(parts) + "\n"


def html(report: "ConfidenceReport", pictures: Mapping[str, bytes]) -> str:
    """The report as one HTML file that opens alone.

    Args:
        report: The numbers; every text in it is escaped.
        pictures: PNG files by name, as `ConfidenceReport.pictures` gives them.
    """
    narrow = "narrow" if len(report.series) == 1 else ""
    kinds = {"reliability.png": narrow, "smooth_reliability.png": narrow}
    body = [
        f"<h1>{escape(report.title)}</h1>",
        f'<p class="when">{report.n:,} answers · {escape(report.created)}</p>',
        grid_html.verdict(words(report)),
        *(
            grid_html.figure(pictures[name], text, kinds.get(name, "narrow"))
            for name, text in _PICTURES.items()
        ),
        *(grid_html.table(grid) for grid in grids(report)),
        grid_html.notes(_notes(report)),
        "<h2>How it was measured</h2>",
        grid_html.notes(dict(_facts(report))),
    ]
    return grid_html.page(report.title, body)


def _results(report: "ConfidenceReport") -> Grid:
    header = ("", *_TITLES.values())
    place = header.index("smooth ECE") + 1
    rows = []
    for name, one in report.series.items():
        row = [Cell(name), *(number(key, getattr(one.summary, key)) for key in _TITLES)]
        row.insert(place, Cell(f"{one.chance.floor:.3f}", f"to {one.chance.ceiling:.3f}"))
        rows.append(tuple(row))
    return Grid("All answers", (*header[:place], "chance", *header[place:]), tuple(rows))


def _upright(grid: Grid) -> Grid:
    """Rows as columns, for the terminal; with intervals, on the same line, if there is room."""
    roomy = len(grid.rows) <= _COMPACT
    rows = []
    for position, title in enumerate(grid.header[1:], start=1):
        cells = [row[position] for row in grid.rows]
        texts = [f"{c.text} ({c.detail})" if c.detail and roomy else c.text for c in cells]
        rows.append((Cell(title), *map(Cell, texts)))
    return Grid(grid.title, ("", *(row[0].text for row in grid.rows)), tuple(rows))


def _differences(report: "ConfidenceReport") -> Grid:
    first = next(iter(report.series))
    titles = {"gap": "size of the gap", "ece": "ECE", "nll": "NLL", "brier": "Brier"}
    rows = [
        (Cell(f"{name} {MINUS} {first}"), *(signed_number(found[key]) for key in titles))
        for name, found in report.differences.items()
    ]
    return Grid("Differences, paired", ("", *titles.values()), tuple(rows))


def _candidates(report: "ConfidenceReport") -> Grid:
    advice = report.recommendation
    assert advice is not None
    rows = [
        (
            Cell(name, tone="best" if name == advice.best else ""),
            number("nll", one.nll),
            signed_number(one.versus_none),
            Cell("\N{EN DASH}" if isnan(one.auroc) else f"{one.auroc:.3f}"),
        )
        for name, one in advice.candidates.items()
    ]
    header = ("recalibrator", "NLL", "against none", "AUROC")
    return Grid("Recalibrators, on answers they were not fitted on", header, tuple(rows))


def _notes(report: "ConfidenceReport") -> dict[str, str]:
    segmented = any(one.segments is not None for one in report.series.values())
    if not segmented:
        return _NOTES
    return _NOTES | {k: v for k, v in segment_tables.NOTES.items() if k not in _NOTES}


def _facts(report: "ConfidenceReport") -> list[tuple[str, str]]:
    one = next(iter(report.series.values()))
    summary = one.summary
    facts = [
        ("measured on", f"{summary.n:,} answers"),
        (
            "intervals",
            f"{percent(summary.level)}, percentiles of {summary.n_resamples:,} draws of answers "
            f"(seed {summary.seed}); ECE over {summary.n_bins} bins",
        ),
    ]
    if one.segments is not None:
        facts.append(("segments", segment_tables.facts(one.segments)))
    made = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return [*facts, ("made with", made), ("made on", report.created)]


def _gap_words(one: "Series") -> str:
    gap, summary = one.summary.gap, one.summary
    claims = (
        f"{summary.n:,} answers claim {summary.confidence.estimate:.3f} on average, and "
        f"{summary.accuracy.estimate:.3f} of them are right"
    )
    if gap.low > 0 or gap.high < 0:
        kind = "Overconfident" if gap.estimate > 0 else "Underconfident"
        low, high = sorted((abs(gap.low), abs(gap.high)))
        return f"{kind} by {abs(gap.estimate):.3f} ({low:.3f} to {high:.3f}): {claims}."
    return f"Neither over- nor underconfident on the whole: {claims}."


def _ece_words(one: "Series") -> str:
    ece, expected = one.summary.ece.estimate, one.chance
    start = f"The ECE is {ece:.3f}; perfect calibration would score {expected.floor:.3f}"
    if ece <= expected.ceiling:
        return f"{start}, and up to {expected.ceiling:.3f} by chance: no error can be seen."
    return f"{start} and seldom more than {expected.ceiling:.3f}."


def _difference_words(name: str, first: str, change: "Interval") -> str:
    verb = "lowers" if change.estimate < 0 else "raises"
    doubt = ", which may be chance" if change.low <= 0 <= change.high else ""
    between = "" if isnan(change.low) else f" ({signed(change.low)} to {signed(change.high)})"
    return f"Against {first}, {name} {verb} the NLL by {abs(change.estimate):.3f}{between}{doubt}."
