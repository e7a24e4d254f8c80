"""`measure`: confidences against outcomes, in numbers, pictures, segments and advice."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer._files import plain, versions
from thermometer.metrics import RiskCoverage, risk_coverage
from thermometer.metrics.calibration_error import EceFloor, ece_floor
from thermometer.metrics.intervals import Interval, paired_differences
from thermometer.metrics.summary import Summary, summarise
from thermometer.plots.curves import draw_risk_coverage
from thermometer.plots.reliability import (
    ReliabilityDiagram,
    SmoothReliability,
    draw_reliability,
    draw_smooth_reliability,
    prepare_reliability,
    prepare_smooth_reliability,
)
from thermometer.plots.terminal import text_bars, text_reliability
from thermometer.recalibrators.recommend import Recommendation, recommend
from thermometer.reports import render
from thermometer.reports.blocks import (
    MINUS,
    NOTES,
    Block,
    Cell,
    Document,
    Heading,
    Picture,
    Table,
    Terms,
    Verdict,
    decimals,
    difference,
    number,
    percent,
    row,
    signed,
)
from thermometer.segments.report import SEGMENT_NOTES, SegmentReport, segments

FORMAT_VERSION = 1
_LEAST = 50  # answers from which a recalibrator is recommended
_SHOWN = 12  # segments in the terminal
_ROOMY = 2  # series that have room for their intervals in the terminal
_TITLES = {
    "accuracy": "accuracy",
    "confidence": "confidence",
    "gap": f"conf. {MINUS} acc.",
    "ece": "ECE",
    "ece_mass": "ECE, equal mass",
    "debiased_ece": "debiased ECE",
    "smooth_ece": "smooth ECE",
    "floor": "floor",
    "nll": "NLL",
    "brier": "Brier",
    "auroc": "AUROC",
    "aurc": "AURC",
}
_NOTES = {
    **NOTES,
    "ECE, equal mass": "over bins that hold equally many answers.",
    "debiased ECE": "root of the mean squared distance over bins, less what chance adds (Kumar et "
    "al. 2019).",
    "NLL, Brier": "of “the answer is right”; lower is better.",
    "AUROC": "how often a right answer has more confidence than a wrong one; 0.5 says nothing.",
    "AURC": "mean share of wrong answers among the surest ones, over all shares; lower is better.",
}


@dataclass(frozen=True, eq=False)
class Series:
    """One set of confidences, measured.

    Args:
        summary: Every metric with its interval.
        floor: The ECE that perfect calibration would score.
        diagram: Reliability in bins.
        smooth: Reliability without bins.
        curve: Risk and coverage.
        segments: Where confidence lies; `None` if no columns were given.
    """

    summary: Summary
    floor: EceFloor
    diagram: ReliabilityDiagram
    smooth: SmoothReliability
    curve: RiskCoverage
    segments: SegmentReport | None


@dataclass(frozen=True, eq=False)
class ConfidenceReport(render.Written):
    """Confidences measured against outcomes; see `measure`.

    Args:
        title: What was measured.
        series: By name, in the order given.
        differences: Of each later series from the first, paired: by its name, then by the names in
            `intervals.PAIRED`.
        recommendation: Which recalibrator suits the first series, or `None`.
        versions: Of Python and of the packages that matter.
        created: When, in UTC.
    """

    title: str
    series: Mapping[str, Series]
    differences: Mapping[str, Mapping[str, Interval]]
    recommendation: Recommendation | None
    versions: Mapping[str, str]
    created: str

    def __repr__(self) -> str:
        return f"ConfidenceReport({self.verdict})"

    @property
    def n(self) -> int:
        """Number of answers."""
        return next(iter(self.series.values())).summary.n

    @property
    def verdict(self) -> str:
        """The result in plain words."""
        return " ".join(_sentences(self))

    def document(self) -> Document:
        """What is shown: metrics, pictures, differences, segments and advice."""
        verdict, results = Verdict(_sentences(self)), _results(self)
        page: list[Block] = [verdict, *_pictures(self), results]
        terminal: list[Block] = [_upright(results)]
        if self.differences:
            page.append(_differences(self))
        notes = dict(_NOTES)
        for name, one in self.series.items():
            terminal.append(Picture(name, text=partial(text_reliability, one.diagram)))
            if one.segments is not None:
                notes |= SEGMENT_NOTES
                title = f"Segments of {name}, worst first"
                shown = one.segments.document(title, _SHOWN)
                page += [block for block in shown.page if isinstance(block, Table)]
                worst = one.segments.segments[:_SHOWN]
                bars = [(s.name, s.gap.estimate, s.gap.low, s.gap.high) for s in worst]
                terminal += [shown.terminal[0], Picture("", text=partial(text_bars, bars))]
        if self.recommendation is not None:
            page.append(self.recommendation.document().page[0])
        page += [Terms(notes), Heading("How it was measured"), Terms(_facts(self))]
        return Document(
            self.title, f"{self.n:,} answers · {self.created}", page, (*terminal, verdict)
        )

    def to_json(self) -> str:
        """The report as JSON text; what is undefined is `null`. Curves are left out."""
        series = {
            name: {
                "summary": one.summary.to_dict(),
                "floor": one.floor._asdict(),
                "diagram": asdict(one.diagram),
                "segments": None if one.segments is None else one.segments.to_dict(),
            }
            for name, one in self.series.items()
        }
        advice = self.recommendation
        fields = {
            "format_version": FORMAT_VERSION,
            "kind": "confidence",
            "title": self.title,
            "verdict": self.verdict,
            "series": series,
            "differences": {
                name: {key: asdict(value) for key, value in found.items()}
                for name, found in self.differences.items()
            },
            "recommendation": None if advice is None else advice.to_dict(),
            "versions": self.versions,
            "created": self.created,
        }
        return json.dumps(plain(fields), indent=1, allow_nan=False) + "\n"


def measure(
    confidence: ArrayLike | Mapping[str, ArrayLike],
    correct: ArrayLike,
    *,
    by: Any = None,
    title: str = "Calibration",
    advise: bool = True,
    n_bins: int = 10,
    n_resamples: int = 1000,
    seed: int = 0,
    coverage: float = 0.95,
) -> ConfidenceReport:
    """Measure confidences against outcomes: every metric, pictures, segments and advice.

    Rows are taken as independent. With several series the later ones are compared with the first,
    paired.

    Args:
        confidence: (N,) probabilities of the answers, in [0, 1]; or several series of them by name,
            such as before and after a recalibration.
        correct: (N,) booleans, or zeros and ones.
        by: Columns that make segments, by name, or a frame; see `segments`.
        title: Of the report.
        advise: Say which recalibrator suits the first series (`recommend`), if there are at least
            50 answers, right and wrong ones.
        n_bins: Bins of equal width.
        n_resamples: Resamples behind the intervals.
        seed: Equal seeds give equal numbers.
        coverage: Of intervals and tests, in (0, 1).

    Raises:
        ValueError: If N is 0, lengths differ, or a value is NaN or out of range; the message names
            the series, the column or the row.

    Example:
        >>> topic = ["law", "art"] * 50
        >>> report = measure([0.9, 0.6] * 50, [0, 1, 1, 1, 0] * 20, by={"topic": topic})
        >>> summary = report.series["confidence"].summary
        >>> round(summary.gap.estimate, 2), len(report.series["confidence"].segments)
        (0.15, 2)
    """
    named = dict(confidence) if isinstance(confidence, Mapping) else {"confidence": confidence}
    if not named:
        raise _checks.fail("confidence", "at least one series", "none")
    values: dict[str, NDArray[np.float64]] = {}
    right = np.empty(0)
    for name, series in named.items():
        try:
            values[name], right = _checks.outcomes(series, correct)
        except ValueError as error:
            raise ValueError(f"{name}: {error}" if len(named) > 1 else str(error)) from error
    settings: dict[str, Any] = {"n_bins": n_bins, "seed": seed, "coverage": coverage}

    def measured(claimed: NDArray[np.float64]) -> Series:
        return Series(
            summarise(claimed, right, n_resamples=n_resamples, **settings),
            ece_floor(claimed, **settings),
            prepare_reliability(claimed, right, n_bins),
            prepare_smooth_reliability(claimed, right, seed=seed, coverage=coverage),
            risk_coverage(claimed, right),
            None if by is None else segments(claimed, right, by, **settings),
        )

    first, *others = values
    enough = len(right) >= _LEAST and 0 < right.sum() < len(right)
    return ConfidenceReport(
        title=title,
        series={name: measured(claimed) for name, claimed in values.items()},
        differences={
            name: paired_differences(
                values[first], values[name], right, n_resamples=n_resamples, **settings
            )
            for name in others
        },
        recommendation=recommend(
            confidence=values[first],
            correct=right,
            n_resamples=n_resamples,
            seed=seed,
            coverage=coverage,
        )
        if advise and enough
        else None,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _sentences(report: ConfidenceReport) -> list[str]:
    """The result in sentences."""
    sentences = []
    for name, one in report.series.items():
        start = f"{name}: " if len(report.series) > 1 else ""
        ece, (floor, ceiling) = one.summary.ece.estimate, one.floor
        seen = f", and up to {ceiling:.3f} by chance: no error can be seen."
        error = seen if ece <= ceiling else f" and seldom more than {ceiling:.3f}."
        sentences += [
            start + _gap_words(one.summary),
            f"The ECE is {ece:.3f}; perfect calibration would score {floor:.3f}{error}",
        ]
        if one.segments is not None:
            sentences += one.segments.sentences
    for name, found in report.differences.items():
        change = found["nll"]
        verb = "lowers" if change.estimate < 0 else "raises"
        between = "" if isnan(change.low) else f" ({signed(change.low)} to {signed(change.high)})"
        unsure = ", which may be chance" if change.low <= 0 <= change.high else ""
        sentences.append(
            f"Against {next(iter(report.series))}, {name} {verb} the NLL by "
            f"{abs(change.estimate):.3f}{between}{unsure}."
        )
    if report.recommendation is not None:
        sentences.append(report.recommendation.reason)
    return sentences


def _results(report: ConfidenceReport) -> Table:
    """Series by metrics."""
    rows = []
    for name, one in report.series.items():
        cells = {key: number(getattr(one.summary, key)) for key in _TITLES if key != "floor"}
        cells["gap"] = number(one.summary.gap, signed)
        cells["floor"] = Cell(decimals(one.floor.floor), f"to {one.floor.ceiling:.3f}")
        rows.append(row(name, *(cells[key] for key in _TITLES)))
    return Table("All answers", ("", *_TITLES.values()), rows)


def _upright(table: Table) -> Table:
    """Rows as columns, for the terminal; with intervals, on the same line, if there is room."""
    roomy = len(table.rows) <= _ROOMY
    names, *columns = zip(*table.rows, strict=True)
    rows = [
        row(title, *(f"{c.text} ({c.detail})" if c.detail and roomy else c.text for c in cells))
        for title, cells in zip(table.header[1:], columns, strict=True)
    ]
    return Table("", ("", *(name.text for name in names)), rows)


def _differences(report: ConfidenceReport) -> Table:
    """Each later series against the first."""
    first = next(iter(report.series))
    titles = {"gap": "size of the gap", "ece": "ECE", "nll": "NLL", "brier": "Brier"}
    rows = [
        row(f"{name} {MINUS} {first}", *(difference(found[key]) for key in titles))
        for name, found in report.differences.items()
    ]
    return Table("Differences, paired", ("", *titles.values()), rows)


def _pictures(report: ConfidenceReport) -> list[Picture]:
    """Reliability in bins and smooth, and risk over coverage."""
    alone = len(report.series) == 1
    names = {"" if alone else name: one for name, one in report.series.items()}
    shown = {name or report.title: one for name, one in names.items()}
    return [
        Picture(
            "Accuracy over confidence, in bins",
            "The area of a point follows the number of answers, its bar is a 95 % interval, the "
            "shade is the gap.",
            "reliability.png",
            partial(draw_reliability, {name: one.diagram for name, one in names.items()}),
            narrow=alone,
        ),
        Picture(
            "Accuracy over confidence, smoothed",
            "With its interval; below, how the confidences are spread.",
            "smooth_reliability.png",
            partial(draw_smooth_reliability, {name: one.smooth for name, one in names.items()}),
            narrow=alone,
        ),
        Picture(
            "Share of wrong answers if only the surest are given",
            "",
            "risk_coverage.png",
            partial(
                draw_risk_coverage,
                {name: one.curve for name, one in shown.items()},
                aurc={name: one.summary.aurc.estimate for name, one in shown.items()},
            ),
            narrow=True,
        ),
    ]


def _facts(report: ConfidenceReport) -> dict[str, str]:
    """How it was measured."""
    one = next(iter(report.series.values()))
    summary = one.summary
    facts = {
        "measured on": f"{summary.n:,} answers",
        "intervals": f"{percent(summary.coverage)}, percentiles of {summary.n_resamples:,} draws "
        f"of answers (seed {summary.seed}); ECE over {summary.n_bins} bins",
    }
    if one.segments is not None:
        facts["segments"] = one.segments.tests
    made = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return facts | {"made with": made, "made on": report.created}


def _gap_words(summary: Summary) -> str:
    gap = summary.gap
    claims = (
        f"{summary.n:,} answers claim {summary.confidence.estimate:.3f} on average, and "
        f"{summary.accuracy.estimate:.3f} of them are right"
    )
    if gap.low > 0 or gap.high < 0:
        kind = "Overconfident" if gap.estimate > 0 else "Underconfident"
        low, high = sorted((abs(gap.low), abs(gap.high)))
        return f"{kind} by {abs(gap.estimate):.3f} ({low:.3f} to {high:.3f}): {claims}."
    return f"Neither over- nor underconfident on the whole: {claims}."
