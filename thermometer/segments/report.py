"""Where confidence is off: every segment tested against the rest."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from math import isnan
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from thermometer import _checks
from thermometer.metrics import binary_nll
from thermometer.metrics.calibration_error import ece_floor
from thermometer.metrics.intervals import Interval, ece_interval
from thermometer.reports import render
from thermometer.reports.blocks import (
    DASH,
    MINUS,
    NOTES,
    Cell,
    Document,
    Table,
    Terms,
    Text,
    Verdict,
    decimals,
    number,
    percent,
    row,
    signed,
)
from thermometer.segments.columns import Column, columns, cut
from thermometer.segments.gaps import Correction, GapTest, adjusted, gap_interval, gap_tests

Kind = Literal[
    "overconfident", "underconfident", "better than the rest", "like the rest", "too few"
]
SEGMENT_NOTES = {
    "order": "segments whose interval of the gap is farthest from zero come first. The ECE is grey "
    "where perfect calibration could well have scored it.",
    "to the rest": "the gap minus that of all other answers.",
    "p": "that chance alone makes such a difference, corrected for all segments that were tested.",
}
_SHARED = {name: text for name, text in NOTES.items() if name != "smooth ECE"}
_TONES = {"overconfident": "worse", "underconfident": "worse", "better than the rest": "better"}
_CORRECTIONS = {"holm": "Holm", "benjamini-hochberg": "Benjamini and Hochberg"}


@dataclass(frozen=True)
class Segment:
    """One group of answers.

    Args:
        column: The column that makes the group.
        value: Its value in that column, or a range of values.
        n: Number of answers.
        accuracy: Fraction of right answers.
        confidence: Mean confidence.
        gap: Confidence minus accuracy; above zero is overconfident.
        ece: Expected calibration error; its interval sits high, see `ece_interval`.
        floor: Finite-sample floor: the mean ECE that perfect calibration would score here.
        ceiling: What perfect calibration would seldom exceed, by the coverage of the report.
        nll: Of "the answer is right", in nats.
        difference: Gap minus the gap of all other rows; NaN if it was not tested.
        p_value: That a difference as large is chance, before correction; NaN if not tested.
        p_adjusted: The same, corrected for all segments that were tested.
        verdict: ``too few``: too few answers in it, or outside of it, to test. ``like the rest``:
            its gap differs from the rest's by no more than chance. If it differs:
            ``overconfident`` if the interval of its own gap is above zero and its gap above the
            rest's, ``underconfident`` if both are below. Otherwise ``better than the rest`` if its
            gap is the smaller one, or else what the sign of its gap says.
    """

    column: str
    value: str
    n: int
    accuracy: float
    confidence: float
    gap: Interval
    ece: Interval
    floor: float
    ceiling: float
    nll: float
    difference: float
    p_value: float
    p_adjusted: float
    verdict: Kind

    @property
    def name(self) -> str:
        """Column and value."""
        return f"{self.column} = {self.value}"

    @property
    def differs(self) -> bool:
        """Whether it differs from the rest."""
        return self.verdict not in ("like the rest", "too few")

    @property
    def within_floor(self) -> bool:
        """Whether perfect calibration could well have scored such an ECE."""
        return self.ece.estimate <= self.ceiling

    @property
    def sure_gap(self) -> float:
        """How far the interval of the gap is from zero; 0 where it holds zero. Worst first."""
        return max(self.gap.low, -self.gap.high, 0.0)


@dataclass(frozen=True)
class SegmentReport:
    """Segments, worst first, and how they were measured; print it, or see `to_frame`.

    Args:
        segments: By falling `sure_gap`, then by falling size of the gap; those of too few at the
            end.
        n: Number of answers.
        accuracy: Of all answers.
        confidence: Of all answers.
        n_tested: Number of segments whose p-values were corrected together.
        correction: How: ``holm`` or ``benjamini-hochberg``.
        coverage: Of intervals and ceilings; a segment differs if `p_adjusted` <= 1 - coverage.
        n_bins: Bins of the ECE.
        n_resamples: Resamples behind the intervals of the ECE.
        min_size: Fewer answers are not tested.
        seed: Of resamples and simulations.
    """

    segments: tuple[Segment, ...]
    n: int
    accuracy: float
    confidence: float
    n_tested: int
    correction: Correction
    coverage: float
    n_bins: int
    n_resamples: int
    min_size: int
    seed: int

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def __len__(self) -> int:
        return len(self.segments)

    def __str__(self) -> str:
        return render.to_text(self.document())

    def __repr__(self) -> str:
        return f"SegmentReport({self.verdict})"

    @property
    def differing(self) -> tuple[Segment, ...]:
        """The segments that differ from the rest, worst first."""
        return tuple(segment for segment in self.segments if segment.differs)

    @property
    def verdict(self) -> str:
        """The result in plain words."""
        return " ".join(self.sentences)

    @property
    def sentences(self) -> list[str]:
        """The verdict, sentence by sentence."""
        if not self.n_tested:
            return [f"No segment has {self.min_size} answers and as many outside of it: no test."]
        differing = self.differing
        count = f"{len(differing)} of" if differing else "None of"
        verb = "differ" if len(differing) > 1 else "differs"
        sentences = [
            f"{count} {self.n_tested} segments {verb} from the rest by more than chance "
            f"({_CORRECTIONS[self.correction]}, {percent(1 - self.coverage)})."
        ]
        worst = next((s for s in differing if s.verdict != "better than the rest"), None)
        if worst is not None:
            sentences.append(
                f"Worst is {worst.name}: {worst.verdict} by {abs(worst.gap.estimate):.3f} on "
                f"{worst.n:,} answers (confidence {worst.confidence:.3f}, accuracy "
                f"{worst.accuracy:.3f})."
            )
        return sentences

    @property
    def tests(self) -> str:
        """How the segments were tested, in words."""
        return (
            f"gap against all other answers, {self.n_tested} tests corrected by "
            f"{_CORRECTIONS[self.correction]} at {percent(1 - self.coverage)}; fewer than "
            f"{self.min_size} answers are not tested; ECE over {self.n_bins} bins"
        )

    def document(self, title: str = "Segments, worst first", limit: int | None = None) -> Document:
        """What is shown: the result in words, and one row per segment.

        Args:
            title: Of the table.
            limit: Most segments in the terminal; by default all.
        """
        table, notes = _table(self, title), {**_SHARED, **SEGMENT_NOTES, "tests": self.tests}
        rows = None if limit is None else limit + 1  # the first is of all answers
        short = table.short("confidence", "NLL", "to the rest", "p", plain=["ECE"], limit=rows)
        page, terminal = (Text(self.verdict), table, Terms(notes)), (short, Verdict(self.sentences))
        return Document(title, page=page, terminal=terminal)

    def to_dict(self) -> dict[str, Any]:
        """All numbers as dicts, lists and plain numbers; what was not tested is NaN."""
        return asdict(self)

    def to_frame(self) -> Any:
        """One row per segment as a pandas frame.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise ImportError("to_frame needs pandas: install it, or use to_dict") from error
        rows = []
        for segment in self.segments:
            row: dict[str, Any] = {}
            for key, value in vars(segment).items():
                if isinstance(value, Interval):
                    bounds = {f"{key}_low": value.low, f"{key}_high": value.high}
                    row |= {key: value.estimate, **bounds}
                else:
                    row[key] = value
            rows.append(row)
        return pandas.DataFrame(rows)


def segments(
    confidence: ArrayLike,
    correct: ArrayLike,
    by: Any,
    *,
    n_bins: int = 10,
    coverage: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
    min_size: int = 20,
    n_ranges: int = 5,
    correction: Correction = "holm",
) -> SegmentReport:
    """Measure every value of every column, and say which differ from the rest.

    Each segment of at least `min_size` rows with as many outside of it is tested by
    `gaps.gap_tests`: has it another signed gap than all other rows? The p-values of all
    columns are corrected together, so that with ``holm`` any segment that is like the rest is named
    with a probability of at most 1 - coverage.

    Args:
        confidence: (N,) probabilities of the answers, in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        by: Columns by name, each with N values, or a frame. `columns.cut` says how
            numbers are cut into ranges, where missing values go and when small values join.
        n_bins: Bins of equal width of the ECE.
        coverage: Of intervals, ceilings and tests, in (0, 1).
        n_resamples: Resamples of each segment.
        seed: Equal seeds give equal results.
        min_size: Smaller segments are shown, but not tested.
        n_ranges: Ranges of a numeric column.
        correction: ``holm``, or ``benjamini-hochberg`` for more power and some false names.

    Raises:
        ValueError: If N is 0, lengths differ, or a value is NaN or out of range; the message names
            the column or the row.
        TypeError: If `by` is no mapping and no frame.

    Example:
        >>> topic = ["law"] * 50 + ["art"] * 50 + ["sport"] * 50
        >>> correct = [1, 1, 1, 1, 0] * 10 + [1, 1, 1, 1, 0] * 10 + [1, 1, 0, 0, 0] * 10
        >>> report = segments([0.8] * 150, correct, {"topic": topic})
        >>> [segment.value for segment in report], round(report.segments[0].gap.estimate, 2)
        (['sport', 'art', 'law'], 0.4)
        >>> [segment.verdict for segment in report]
        ['overconfident', 'better than the rest', 'better than the rest']
    """
    confidence, correct = _checks.outcomes(confidence, correct)
    _checks.integer("min_size", min_size)
    _checks.integer("n_ranges", n_ranges)
    _checks.one_of("correction", correction, ("holm", "benjamini-hochberg"))
    coverage = _checks.number("coverage", coverage, maximum=1 - 1e-9, strict=True)
    tests: list[tuple[Column, int, GapTest]] = []
    for name, values in columns(by, len(confidence)).items():
        column = cut(name, values, min_size=min_size, n_ranges=n_ranges)
        results = gap_tests(confidence, correct, column.codes, len(column.labels))
        sizes = np.bincount(column.codes, minlength=len(column.labels))
        for code, result in enumerate(results):
            few = min(sizes[code], len(confidence) - sizes[code]) < min_size
            tests.append((column, code, GapTest(float("nan"), float("nan")) if few else result))
    corrected = adjusted([test.p_value for _, _, test in tests], correction)
    found = []
    for (column, code, test), p_adjusted in zip(tests, corrected.tolist(), strict=True):
        rows = column.codes == code
        sure, right = confidence[rows], correct[rows]
        gap = gap_interval(sure, right, coverage)
        expected = ece_floor(sure, n_bins, seed=seed, coverage=coverage)
        found.append(
            Segment(
                column=column.name,
                value=column.labels[code],
                n=len(sure),
                accuracy=float(right.mean()),
                confidence=float(sure.mean()),
                gap=gap,
                ece=ece_interval(
                    sure, right, n_bins, n_resamples=n_resamples, seed=seed, coverage=coverage
                ),
                floor=expected.floor,
                ceiling=expected.ceiling,
                nll=binary_nll(sure, right),
                difference=test.difference,
                p_value=test.p_value,
                p_adjusted=p_adjusted,
                verdict=verdict_of(gap, test.difference, p_adjusted, coverage),
            )
        )
    found.sort(key=lambda s: (isnan(s.p_value), -s.sure_gap, -abs(s.gap.estimate)))
    return SegmentReport(
        segments=tuple(found),
        n=len(confidence),
        accuracy=float(correct.mean()),
        confidence=float(confidence.mean()),
        n_tested=int((~np.isnan(corrected)).sum()),
        correction=correction,
        coverage=coverage,
        n_bins=n_bins,
        n_resamples=n_resamples,
        min_size=min_size,
        seed=seed,
    )


def verdict_of(gap: Interval, difference: float, p_adjusted: float, coverage: float) -> Kind:
    """The verdict on a segment, as `Segment` says."""
    if isnan(p_adjusted):
        return "too few"
    if p_adjusted > 1 - coverage:
        return "like the rest"
    sure = max(gap.low, 0.0) + min(gap.high, 0.0)  # 0 where the interval holds zero
    if sure * difference <= 0 and abs(gap.estimate) < abs(gap.estimate - difference):
        return "better than the rest"
    return "overconfident" if gap.estimate > 0 else "underconfident"


def _table(report: SegmentReport, title: str) -> Table:
    """One row per segment after one of all answers."""
    names = {segment.column for segment in report.segments}
    one = names.pop() if len(names) == 1 else ""  # need not be repeated in every row
    header = (
        *(one or "segment", "size", "accuracy", "confidence", f"conf. {MINUS} acc."),
        *("ECE", "floor", "NLL", "to the rest", "p", "verdict"),
    )
    gap = signed(report.confidence - report.accuracy)
    overall = row("all answers", report.n, report.accuracy, report.confidence, gap, *[""] * 6)
    rows = [
        row(
            *(segment.value if one else segment.name, segment.n),
            *(segment.accuracy, segment.confidence, number(segment.gap, signed)),
            number(segment.ece, tone="faint" if segment.within_floor else ""),
            Cell(decimals(segment.floor), f"to {segment.ceiling:.3f}"),
            segment.nll,
            DASH if isnan(segment.difference) else signed(segment.difference),
            "<0.001" if segment.p_adjusted < 0.001 else segment.p_adjusted,
            Cell(segment.verdict, tone=_TONES.get(segment.verdict, "faint")),
        )
        for segment in report.segments
    ]
    return Table(title, header, (overall, *rows))
