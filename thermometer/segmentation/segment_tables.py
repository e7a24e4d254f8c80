"""Segments as a table and in words. It shows what `segment_report` found and computes nothing."""

from math import isnan
from typing import TYPE_CHECKING

from rich.table import Table

from thermometer.reports import grid_text
from thermometer.reports.grids import Cell, Grid
from thermometer.reports.report_words import MINUS, percent, signed

if TYPE_CHECKING:
    from thermometer.segmentation.segment_report import Segment, SegmentReport

DASH = "\N{EN DASH}"
NOTES = {
    f"conf. {MINUS} acc.": "mean confidence minus accuracy; above zero is overconfident. Below "
    "it its interval: segments for which that is farthest from zero come first.",
    "ECE": "mean distance of confidence and accuracy over bins; grey where perfect calibration "
    "could well have scored it.",
    "chance": "the ECE that perfect calibration would score on as few answers: mean, and below it "
    "what is seldom exceeded.",
    "to the rest": "the gap minus that of all other answers.",
    "p": "that chance alone makes such a difference, corrected for all segments that were tested.",
}
_TONES = {"overconfident": "worse", "underconfident": "worse", "better than the rest": "better"}
_LEFT_OUT = ("confidence", "NLL", "to the rest", "p")
_CORRECTIONS = {"holm": "Holm", "benjamini-hochberg": "Benjamini and Hochberg"}


def grid(report: "SegmentReport", limit: int | None = None) -> Grid:
    """One row per segment, worst first; `limit` shows only so many."""
    names = {segment.column for segment in report.segments}
    one = names.pop() if len(names) == 1 else ""  # need not be repeated in every row
    header = (
        *(
            one or "segment",
            "size",
            "accuracy",
            "confidence",
            f"conf. {MINUS} acc.",
            "ECE",
            "chance",
        ),
        *("NLL", "to the rest", "p", "verdict"),
    )
    rows = [
        (
            Cell("all answers"),
            Cell(f"{report.n:,}"),
            Cell(f"{report.accuracy:.3f}"),
            Cell(f"{report.confidence:.3f}"),
            Cell(signed(report.confidence - report.accuracy)),
            *(Cell("") for _ in header[5:]),
        ),
        *(
            _row(segment, segment.value if one else segment.name)
            for segment in report.segments[:limit]
        ),
    ]
    return Grid("Segments, worst first", header, tuple(rows))


def table(report: "SegmentReport", limit: int | None = None) -> Table:
    """The same for rich, in 80 columns: with fewer numbers."""
    whole = grid(report, limit)
    kept = [i for i, title in enumerate(whole.header) if title not in _LEFT_OUT]
    rows = [tuple(row[i] for i in kept) for row in whole.rows]
    rows = [tuple(c._replace(detail="") if i == 4 else c for i, c in enumerate(r)) for r in rows]
    short = Grid(whole.title, tuple(whole.header[i] for i in kept), tuple(rows))
    return grid_text.table(short, wrapped=("verdict",))


def words(report: "SegmentReport") -> list[str]:
    """The result in sentences."""
    share = percent(1 - report.level)
    if not report.n_tested:
        return [f"No segment has {report.min_size} answers and as many outside of it: no test."]
    differing = report.differing
    if not differing:
        return [
            f"None of {report.n_tested} segments differs from the rest by more than chance "
            f"({_CORRECTIONS[report.correction]}, {share})."
        ]
    verb = "differs" if len(differing) == 1 else "differ"
    sentences = [
        f"{len(differing)} of {report.n_tested} segments {verb} from the rest by more than chance "
        f"({_CORRECTIONS[report.correction]}, {share})."
    ]
    worst = next((s for s in differing if s.verdict != "better than the rest"), None)
    if worst is not None:
        sentences.append(
            f"Worst is {worst.name}: {worst.verdict} by {abs(worst.gap.estimate):.3f} on "
            f"{worst.n:,} answers (confidence {worst.confidence:.3f}, accuracy "
            f"{worst.accuracy:.3f})."
        )
    return sentences


def facts(report: "SegmentReport") -> str:
    """How it was measured."""
    return (
        f"gap against all other answers, {report.n_tested} tests corrected by "
        f"{_CORRECTIONS[report.correction]} at {percent(1 - report.level)}; fewer than "
        f"{report.min_size} answers are not tested; ECE over {report.n_bins} bins"
    )


def _row(segment: "Segment", name: str) -> tuple[Cell, ...]:
    gap, ece = segment.gap, segment.ece
    return (
        Cell(name),
        Cell(f"{segment.n:,}"),
        Cell(f"{segment.accuracy:.3f}"),
        Cell(f"{segment.confidence:.3f}"),
        Cell(signed(gap.estimate), f"{signed(gap.low)} to {signed(gap.high)}"),
        Cell(
            f"{ece.estimate:.3f}",
            "" if isnan(ece.low) else f"{ece.low:.3f}{DASH}{ece.high:.3f}",
            "faint" if segment.ece_is_chance else "",
        ),
        Cell(f"{segment.floor:.3f}", f"to {segment.ceiling:.3f}"),
        Cell(f"{segment.nll:.3f}"),
        Cell(DASH if isnan(segment.difference) else signed(segment.difference)),
        Cell(_p_value(segment.p_adjusted)),
        Cell(segment.verdict, tone=_TONES.get(segment.verdict, "faint")),
    )


def _p_value(p: float) -> str:
    return DASH if isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"
