"""Where confidence lies: calibration of every group of answers, worst first.

`segments` measures each group that the columns of a table make, and tests it against all other
rows. How columns become groups is in `segment_columns`, the test in `gap_comparison`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from io import StringIO
from math import isnan
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.console import Console

from thermometer import _checks
from thermometer.metrics import binary_nll
from thermometer.metrics.intervals import Interval
from thermometer.segmentation import segment_tables
from thermometer.segmentation.gap_comparison import Correction, GapTest, adjusted, gap_tests
from thermometer.segmentation.segment_columns import Column, columns, cut
from thermometer.segmentation.segment_errors import chance, ece_interval, gap_interval

if TYPE_CHECKING:
    from rich.table import Table

Vector = NDArray[np.float64]
Verdict = Literal[
    "overconfident", "underconfident", "better than the rest", "like the rest", "too few"
]


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
        floor: The mean ECE that perfect calibration would score on these confidences.
        ceiling: The ECE that perfect calibration would seldom exceed, by the level of the report.
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
    verdict: Verdict

    @property
    def name(self) -> str:
        """Column and value."""
        return f"{self.column} = {self.value}"

    @property
    def differs(self) -> bool:
        """Whether it differs from the rest."""
        return self.verdict not in ("like the rest", "too few")

    @property
    def ece_is_chance(self) -> bool:
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
        level: Of intervals and ceilings; a segment differs if `p_adjusted` <= 1 - level.
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
    level: float
    n_bins: int
    n_resamples: int
    min_size: int
    seed: int

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def __len__(self) -> int:
        return len(self.segments)

    def __str__(self) -> str:
        text = StringIO()
        Console(width=80, file=text, color_system=None).print(self)
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        return "\n".join([*lines, "", self.verdict])

    def __repr__(self) -> str:
        return f"SegmentReport({self.verdict})"

    def __rich__(self) -> "Table":
        return segment_tables.table(self)

    @property
    def differing(self) -> tuple[Segment, ...]:
        """The segments that differ from the rest, worst first."""
        return tuple(segment for segment in self.segments if segment.differs)

    @property
    def verdict(self) -> str:
        """The result in plain words."""
        return " ".join(segment_tables.words(self))

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
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
    min_size: int = 20,
    n_ranges: int = 5,
    correction: Correction = "holm",
) -> SegmentReport:
    """Measure every value of every column, and say which differ from the rest.

    Each segment of at least `min_size` rows with as many outside of it is tested by
    `gap_comparison.gap_tests`: has it another signed gap than all other rows? The p-values of all
    columns are corrected together, so that with ``holm`` the chance of naming any segment that is
    like the rest is at most 1 - level.

    Args:
        confidence: (N,) probabilities of the answers, in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        by: Columns by name, each with N values, or a frame. `segment_columns.cut` says how
            numbers are cut into ranges, where missing values go and when small values join.
        n_bins: Bins of equal width of the ECE.
        level: Of intervals, ceilings and tests, in (0, 1).
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
    level = _checks.number("level", level, maximum=1 - 1e-9, strict=True)
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
        gap = gap_interval(sure, right, level)
        expected = chance(sure, n_bins, seed=seed, level=level)
        found.append(
            Segment(
                column=column.name,
                value=column.labels[code],
                n=len(sure),
                accuracy=float(right.mean()),
                confidence=float(sure.mean()),
                gap=gap,
                ece=ece_interval(
                    sure, right, n_bins, n_resamples=n_resamples, seed=seed, level=level
                ),
                floor=expected.floor,
                ceiling=expected.ceiling,
                nll=binary_nll(sure, right),
                difference=test.difference,
                p_value=test.p_value,
                p_adjusted=p_adjusted,
                verdict=_verdict(gap, test.difference, p_adjusted, level),
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
        level=level,
        n_bins=n_bins,
        n_resamples=n_resamples,
        min_size=min_size,
        seed=seed,
    )


def _verdict(gap: Interval, difference: float, p_adjusted: float, level: float) -> Verdict:
    if isnan(p_adjusted):
        return "too few"
    if p_adjusted > 1 - level:
        return "like the rest"
    sure = max(gap.low, 0.0) + min(gap.high, 0.0)  # 0 where the interval holds zero
    if sure * difference <= 0 and abs(gap.estimate) < abs(gap.estimate - difference):
        return "better than the rest"
    return "overconfident" if gap.estimate > 0 else "underconfident"
