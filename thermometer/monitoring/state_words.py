"""The state of a monitor as sentences and tables. Nothing here knows HTML or terminals."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from thermometer.monitoring.alarm import Episode
from thermometer.reports.grids import Cell, Grid

if TYPE_CHECKING:
    from thermometer.metrics.intervals import Interval
    from thermometer.monitoring.state import Measured, MonitorState

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
NOTES = {
    "gap": "mean confidence minus accuracy of the labelled answers in the window; above zero is "
    "overconfident.",
    "ECE": "mean distance of confidence and accuracy over bins of equal width. Its interval sits "
    "high.",
    "chance": "the mean ECE that perfect calibration would score on as few answers.",
    "smooth ECE": "the same error without bins.",
    "evidence": "how far the wealth of the bets has come on its way to the alarm, in logarithms: "
    "at 100 % the alarm is raised.",
    "onset": "the answer since which it has most likely been so: an estimate.",
    "early sign": "confidences or temperatures are no longer those of before. It needs no labels "
    "and proves no miscalibration. Its numbers count predictions, all others count labels in the "
    "order in which they came.",
}


def words(state: "MonitorState") -> list[str]:
    """The state in sentences, the most urgent first."""
    sentences = [_alarms(state.open_episodes, state.n_labelled)]
    summary = state.overall.summary
    if summary is not None:
        sentences.append(
            f"The latest {summary.n:,} answers claim {summary.confidence.estimate:.3f} on average "
            f"and {summary.accuracy.estimate:.3f} of them are right: a gap of "
            f"{signed(summary.gap.estimate)}{_between(summary.gap)}."
        )
    if state.signs:
        sign = state.signs[-1]
        sentences.append(
            f"Latest early sign: {sign.name} {sign.direction} than before since prediction "
            f"{sign.onset:,} (no proof of miscalibration)."
        )
    if state.refits:
        refit = state.refits[-1]
        sentences.append(
            f"Recalibrated {_times(len(state.refits))}, last after answer {refit.number:,} on "
            f"{refit.n:,} answers."
        )
    return sentences


def grids(state: "MonitorState") -> list[Grid]:
    """All tables: window and segments, episodes, early signs, recalibrations."""
    found = [window_grid(state)]
    if state.episodes:
        found.append(episode_grid(state.episodes))
    if state.signs:
        rows = [
            (
                Cell(sign.name),
                Cell(sign.direction),
                Cell(f"{sign.onset:,}"),
                Cell(f"{sign.raised:,}", _when(sign.raised_time)),
            )
            for sign in reversed(state.signs)
        ]
        header = ("early sign, latest first", "now", "onset", "raised")
        found.append(Grid("Early signs (predictions)", header, tuple(rows)))
    if state.refits:
        rows = [
            (
                Cell(refit.recalibrator),
                Cell(f"{refit.number:,}", _when(refit.time)),
                Cell(f"{refit.n:,}"),
                Cell(f"{refit.since:,}"),
            )
            for refit in reversed(state.refits)
        ]
        header = ("recalibrator, latest first", "after answer", "fitted on", "since")
        found.append(Grid("Recalibrations", header, tuple(rows)))
    return found


def window_grid(state: "MonitorState") -> Grid:
    """The window, all of it and by segment."""
    header = ("", "n", "accuracy", "confidence", "gap", "ECE", "chance", "smooth ECE", "evidence")
    rows = [_measured_row(one) for one in (state.overall, *state.segments)]
    return Grid("Labelled answers in the window", (*header, "alarm"), tuple(rows))


def episode_grid(episodes: Sequence[Episode]) -> Grid:
    """Episodes, the latest first."""
    rows = [
        (
            Cell(episode.segment or "all"),
            Cell(episode.verdict, tone="worse" if episode.ended is None else ""),
            Cell(episode.where),
            Cell(f"{episode.onset:,}", _when(episode.onset_time)),
            Cell(f"{episode.raised:,}", _when(episode.raised_time)),
            Cell("open", tone="worse")
            if episode.ended is None or episode.ended_time is None
            else Cell(f"{episode.ended:,}", _when(episode.ended_time)),
            Cell(episode.ended_by or DASH),
        )
        for episode in reversed(episodes)
    ]
    header = ("segment", "verdict", "where", "onset", "raised", "ended", "by")
    return Grid("Alarms, latest first", header, tuple(rows))


def facts(state: "MonitorState") -> dict[str, str]:
    """What is watched, and how often it may be wrong."""
    settings = state.settings
    share = f"{settings.overall_level:g} for all answers"
    if settings.max_segments:
        share += f", {settings.segment_level:g} for each of {settings.max_segments} segments"
    age = "" if settings.max_age is None else f", none older than {settings.max_age:g} s"
    return {
        "predictions": f"{state.n_recorded:,} recorded, {state.n_labelled:,} labelled, "
        f"{state.n_pending:,} waiting, {state.n_forgotten:,} forgotten",
        "window": f"the latest {settings.window:,} labelled answers{age}",
        "alarm": f"chance of ever raising a first false alarm: {settings.level:g} ({share})",
        "tolerance": f"accuracy within {settings.tolerance:g} of confidence is no error",
    }


def signed(value: float) -> str:
    """A difference with its sign.

    Example:
        >>> signed(0.1234)
        '+0.123'
    """
    return f"{value:+.3f}".replace("-", MINUS)


def progress(evidence: float, level: float) -> float:
    """How far wealth has come towards 1 / level, in logarithms; in [0, 1].

    Example:
        >>> progress(10.0, 0.01)
        0.5
    """
    return min(max(math.log(evidence) / math.log(1 / level), 0.0), 1.0)


def _alarms(episodes: Sequence[Episode], n: int) -> str:
    if not n:
        return "No label so far: nothing can be said about calibration."
    if not episodes:
        return f"No alarm is open after {n:,} labelled answers."
    first = next((e for e in episodes if e.segment is None), episodes[0])
    what = "1 alarm is" if len(episodes) == 1 else f"{len(episodes)} alarms are"
    place = "" if first.segment is None else f"{first.segment} is "
    return (
        f"{what} open: {place}{first.verdict} ({first.where}) since answer {first.onset:,} or so, "
        f"raised at {first.raised:,}."
    )


def _measured_row(one: "Measured") -> tuple[Cell, ...]:
    name = Cell("all" if one.segment is None else one.segment)
    if one.evidence is None or one.level is None:
        evidence, alarm = Cell(DASH), Cell("not watched", tone="faint")
    elif one.episode is None:
        evidence = Cell(f"{100 * progress(one.evidence, one.level):.0f} %")
        alarm = Cell("none", tone="faint")
    else:
        evidence, alarm = Cell("100 %"), Cell(one.episode.verdict, tone="worse")
    if one.summary is None:
        return (name, Cell("0"), *[Cell(DASH)] * 6, evidence, alarm)
    summary = one.summary
    return (
        name,
        Cell(f"{summary.n:,}"),
        Cell(f"{summary.accuracy.estimate:.3f}", _bounds(summary.accuracy)),
        Cell(f"{summary.confidence.estimate:.3f}", _bounds(summary.confidence)),
        Cell(signed(summary.gap.estimate), _bounds(summary.gap, signs=True)),
        Cell(f"{summary.ece.estimate:.3f}", _bounds(summary.ece)),
        Cell(f"{summary.floor:.3f}"),
        Cell(f"{summary.smooth_ece.estimate:.3f}", _bounds(summary.smooth_ece)),
        evidence,
        alarm,
    )


def _bounds(interval: "Interval", *, signs: bool = False) -> str:
    if math.isnan(interval.low):
        return ""
    if signs:
        return f"{signed(interval.low)} to {signed(interval.high)}"
    return f"{interval.low:.3f}{DASH}{interval.high:.3f}"


def _between(interval: "Interval") -> str:
    bounds = _bounds(interval, signs=True)
    return f" ({bounds})" if bounds else ""


def _when(time: float) -> str:
    """Seconds since 1970 as a date; small numbers are shown as they are."""
    if abs(time) < 1e8 or abs(time) > 1e11:
        return f"t = {time:g}" if time else ""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")
