"""Confidences and outcomes measured whole: numbers, pictures, segments and advice, in one call.

`measure` computes, `ConfidenceReport` holds the result and writes its files. How it looks is in
`confidence_report_text`. Nothing here knows where confidences come from.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.console import Console

from thermometer import _checks, _files
from thermometer._versions import versions
from thermometer.metrics import RiskCoverage, risk_coverage
from thermometer.metrics.intervals import Interval
from thermometer.metrics.paired_differences import paired_differences
from thermometer.metrics.summary import Summary, summarise
from thermometer.pictures.drawing import png
from thermometer.pictures.reliability import (
    ReliabilityDiagram,
    draw_reliability,
    prepare_reliability,
)
from thermometer.pictures.risk_plot import draw_risk_coverage
from thermometer.pictures.smooth_reliability import (
    SmoothReliability,
    draw_smooth_reliability,
    prepare_smooth_reliability,
)
from thermometer.recommendation import Recommendation, recommend
from thermometer.reports import confidence_report_text
from thermometer.reports.report import plain
from thermometer.segmentation.segment_errors import Chance, chance
from thermometer.segmentation.segment_report import SegmentReport, segments

FORMAT_VERSION = 1
_LEAST = 50  # answers from which a recalibrator is recommended


@dataclass(frozen=True, eq=False)
class Series:
    """One set of confidences, measured.

    Args:
        summary: Every metric with its interval.
        chance: The ECE that perfect calibration would score.
        diagram: Reliability in bins.
        smooth: Reliability without bins.
        curve: Risk and coverage.
        segments: Where confidence lies; `None` if no columns were given.
    """

    summary: Summary
    chance: Chance
    diagram: ReliabilityDiagram
    smooth: SmoothReliability
    curve: RiskCoverage
    segments: SegmentReport | None


@dataclass(frozen=True, eq=False)
class ConfidenceReport:
    """Confidences measured against outcomes; see `measure`.

    Args:
        title: What was measured.
        series: By name, in the order given.
        differences: Of each later series from the first, paired: by its name, then by the names in
            `paired_differences.PAIRED`.
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
        return " ".join(confidence_report_text.words(self))

    def print(self, console: Console | None = None, *, pictures: bool = False) -> None:
        """Print the numbers, the worst segments and the result in words; 80 columns are enough.

        Args:
            console: Where to print; by default the standard output.
            pictures: Also draw reliability and segments as text.
        """
        confidence_report_text.show(self, console or Console(), pictures=pictures)

    def to_json(self) -> str:
        """The report as JSON text; what is undefined is `null`. Curves are left out."""
        series = {
            name: {
                "summary": one.summary.to_dict(),
                "chance": one.chance._asdict(),
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

    def pictures(self) -> dict[str, bytes]:
        """PNG files by name: reliability in bins and smooth, and risk over coverage."""
        names = {name if len(self.series) > 1 else "": one for name, one in self.series.items()}
        shown = {name or self.title: one for name, one in names.items()}
        return {
            "reliability.png": png(draw_reliability({k: v.diagram for k, v in names.items()})),
            "smooth_reliability.png": png(
                draw_smooth_reliability({k: v.smooth for k, v in names.items()})
            ),
            "risk_coverage.png": png(
                draw_risk_coverage(
                    {name: one.curve for name, one in shown.items()},
                    aurc={name: one.summary.aurc.estimate for name, one in shown.items()},
                )
            ),
        }

    def write(self, folder: str | Path) -> Path:
        """Write report.html, which opens alone, report.md, report.json and the pictures.

        Args:
            folder: Made if needed; files of the same names are replaced.

        Returns:
            The folder.
        """
        images = self.pictures()
        texts = {
            "report.md": confidence_report_text.markdown(self),
            "report.html": confidence_report_text.html(self, images),
            "report.json": self.to_json(),
        }
        return _files.write_all(folder, {**images, **texts})


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
    level: float = 0.95,
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
        level: Of intervals and tests, in (0, 1).

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
    settings: dict[str, Any] = {"n_bins": n_bins, "seed": seed, "level": level}

    def measured(claimed: NDArray[np.float64]) -> Series:
        return Series(
            summarise(claimed, right, n_resamples=n_resamples, **settings),
            chance(claimed, **settings),
            prepare_reliability(claimed, right, n_bins),
            prepare_smooth_reliability(claimed, right, seed=seed, level=level),
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
            confidence=values[first], correct=right, n_resamples=n_resamples, seed=seed, level=level
        )
        if advise and enough
        else None,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
