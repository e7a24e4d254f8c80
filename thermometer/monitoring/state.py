"""A monitor at one moment: the numbers, read from its ledger, and what is shown of them."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from thermometer import _checks, _files
from thermometer._files import from_plain
from thermometer.metrics.summary import Summary, summarise
from thermometer.monitoring.alarm import CalibrationAlarm, Episode, Sign
from thermometer.monitoring.history import MonitorSettings, Point
from thermometer.monitoring.ledger import Ledger, Refit, Row, load_episodes, load_signs
from thermometer.plots import drawing
from thermometer.plots.terminal import text_bars
from thermometer.reports import render
from thermometer.reports.blocks import (
    DASH,
    NOTES,
    Cell,
    Document,
    Heading,
    Picture,
    Table,
    Terms,
    Verdict,
    bounds,
    number,
    row,
    signed,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = 12  # rows of a table, and blocks of the history, in the terminal
_MOST_ROWS = 12  # segments whose episodes are drawn
_BAR = 0.55  # of the height of a row
_NOTES = {
    "gap": "mean confidence minus accuracy of the labelled answers in the window; above zero is "
    "overconfident.",
    **{name: NOTES[name] for name in ("ECE", "smooth ECE", "floor")},
    "evidence": "how far the wealth of the bets has come on its way to the alarm, in logarithms: "
    "at 100 % the alarm is raised.",
    "onset": "the answer since which it has most likely been so: an estimate.",
    "early sign": "confidences or temperatures are no longer those of before. It needs no labels "
    "and proves no miscalibration. Its numbers count predictions, all others count labels in the "
    "order in which they came.",
}
_CLAIMS = ("", "n", "accuracy", "confidence", "gap", "ECE", "floor", "smooth ECE")
_WINDOW = (*_CLAIMS, "evidence", "alarm")
_SIGNS, _REFITS = ("sign", "now", "onset", "raised"), ("by", "after answer", "fitted on", "since")
_ALARMS = ("segment", "verdict", "where", "onset", "raised", "ended", "by")
_CAPTION = (
    "Gap and ECE of blocks of answers in the order of their labels. The band is a 95 % interval, "
    "the shade around zero is tolerated, the broken line is the ECE of perfect calibration; "
    "upright lines are recalibrations. Below, episodes from their estimated onset to their end, "
    "pale until the alarm: orange is overconfident, blue is underconfident."
)


@dataclass(frozen=True)
class Measured:
    """The labelled answers of the window, of all segments or of one.

    Args:
        segment: Which; `None` is all.
        summary: Every metric with its interval; `None` without answers.
        evidence: Wealth of its alarm, which is raised at 1 / level; `None` if it has none.
        level: Of its alarm; `None` if it has none.
        episode: The open episode, or `None`.
    """

    segment: str | None
    summary: Summary | None
    evidence: float | None
    level: float | None
    episode: Episode | None


@dataclass(frozen=True)
class Receipt:
    """What became of labels.

    Args:
        new: Number of labels that were taken.
        repeated: Number of those that were there already, with the same outcome.
        unknown: Ids without a prediction.
        changes: Episodes that opened or ended, in order.
    """

    new: int
    repeated: int
    unknown: tuple[str, ...]
    changes: tuple[Episode, ...]


@dataclass(frozen=True)
class MonitorState:
    """A monitor at one moment; see `Monitor.state`.

    Args:
        settings: Of the monitor.
        n_recorded: Predictions so far.
        n_labelled: Labels so far.
        n_pending: Predictions that wait for a label.
        n_forgotten: Predictions that were forgotten before a label came.
        overall: The window.
        segments: The window by segment: open episodes first, then by falling size of the gap.
        points: Calibration of all labelled answers over time.
        episodes: All, as they were raised.
        signs: All early signs, as they were raised.
        refits: All.
    """

    settings: MonitorSettings
    n_recorded: int
    n_labelled: int
    n_pending: int
    n_forgotten: int
    overall: Measured
    segments: tuple[Measured, ...]
    points: tuple[Point, ...]
    episodes: tuple[Episode, ...]
    signs: tuple[Sign, ...]
    refits: tuple[Refit, ...]

    @property
    def open_episodes(self) -> tuple[Episode, ...]:
        """Episodes that have not ended."""
        return tuple(episode for episode in self.episodes if episode.ended is None)

    def document(self, title: str = "Calibration in use") -> Document:
        """What is shown: alarms in words, the gap over time, the window, episodes and signs.

        Args:
            title: Of the page.
        """
        verdict = Verdict(_sentences(self), alarming=bool(self.open_episodes))
        tables, facts = _tables(self), Terms(_facts(self))
        blocks = [
            (f"{p.first:,} to {p.last:,}", p.gap.estimate, p.gap.low, p.gap.high)
            for p in self.points[-_SHOWN:]
        ]
        picture = Picture(
            "gap over time, by labelled answers",
            _CAPTION,
            draw=partial(draw_monitor, self),
            text=partial(text_bars, blocks),
        )
        pictures = [picture] if self.points else []
        created = datetime.now(UTC).isoformat(timespec="seconds")
        left_out = ("accuracy", "confidence", "smooth ECE")
        return Document(
            title,
            f"{self.n_labelled:,} labelled answers · {created}",
            page=(
                verdict,
                *pictures,
                *tables,
                Terms(_NOTES),
                Heading("What is watched"),
                facts,
            ),
            terminal=(
                verdict,
                *pictures,
                *(t.short(*left_out, plain=t.header, limit=_SHOWN) for t in tables),
                facts,
            ),
        )

    def print(self, console: Console | None = None) -> None:
        """Print the state; 80 columns are enough.

        Args:
            console: Where to print; by default the standard output.
        """
        render.to_terminal(self.document(), console)

    def write(self, file: str | Path, title: str = "Calibration in use") -> Path:
        """Write the state as one HTML file that opens alone.

        Args:
            file: Replaced if it is there; its folder is made if needed.
            title: Of the page.

        Returns:
            The file.
        """
        file = Path(file)
        _files.write_all(file.parent, {file.name: render.to_html(self.document(title))})
        return file

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold; what is undefined is None."""
        fields = asdict(self)
        for part, one in zip(
            (fields["overall"], *fields["segments"]), (self.overall, *self.segments), strict=True
        ):
            part["summary"] = None if one.summary is None else one.summary.to_dict()
        return fields


def read_state(ledger: Ledger, **measuring: Any) -> MonitorState:
    """Read everything of one moment; measure it when other processes may write again.

    Args:
        ledger: Of the monitor.
        measuring: `n_resamples`, `seed` and `coverage` of `summarise`.
    """
    store, settings = ledger.store, ledger.settings
    with store.reading(), store.decoding():
        ledger.refresh()
        counts, pending, watches = dict(ledger.counts), ledger.n_pending, ledger.watches
        members: dict[str | None, list[Row]] = {None: ledger.window()}
        for answer in members[None]:
            if answer[3] is not None:
                members.setdefault(answer[3], []).append(answer)
        for name in watches.segments:
            members.setdefault(name, [])
        alarms: dict[str | None, CalibrationAlarm] = {None: watches.overall}
        alarms.update(watches.segments)
        empty = [_unmeasured(name, alarms.get(name)) for name in members]
        points = watches.history.points(measuring["coverage"])
        episodes, signs = load_episodes(store), load_signs(store)
        refits = [
            from_plain(Refit, json.loads(text)["refit"], "refit") for text in store.events("refit")
        ]
    overall, *segments = [
        _measured(one, members[one.segment], n_bins=settings.n_bins, **measuring) for one in empty
    ]
    return MonitorState(
        settings=settings,
        n_recorded=counts["recorded"],
        n_labelled=counts["labelled"],
        n_pending=pending,
        n_forgotten=counts["forgotten"],
        overall=overall,
        segments=tuple(sorted(segments, key=_rank)),
        points=tuple(points),
        episodes=tuple(episodes),
        signs=tuple(signs),
        refits=tuple(refits),
    )


def _unmeasured(name: str | None, alarm: CalibrationAlarm | None) -> Measured:
    if alarm is None:
        return Measured(name, None, None, None, None)
    return Measured(name, None, alarm.evidence, alarm.level, alarm.episode)


def _measured(one: Measured, answers: list[Row], **measuring: Any) -> Measured:
    if not answers:
        return one
    claimed, correct = [answer[6] for answer in answers], [answer[7] for answer in answers]
    return replace(one, summary=summarise(claimed, correct, **measuring))


def _rank(one: Measured) -> tuple[bool, float, str]:
    """Open episodes first, then by falling size of the gap."""
    gap = 0.0 if one.summary is None else abs(one.summary.gap.estimate)
    return one.episode is None, -gap, str(one.segment)


def _sentences(state: MonitorState) -> list[str]:
    """The state in sentences, the most urgent first."""
    sentences = [_alarms(state.open_episodes, state.n_labelled)]
    summary = state.overall.summary
    if summary is not None:
        between = bounds(summary.gap, signed)
        between = f" ({between})" if between else ""
        sentences.append(
            f"The latest {summary.n:,} answers claim {summary.confidence.estimate:.3f} on average "
            f"and {summary.accuracy.estimate:.3f} of them are right: a gap of "
            f"{signed(summary.gap.estimate)}{between}."
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


def _tables(state: MonitorState) -> list[Table]:
    """The window by segment, episodes, early signs, recalibrations."""
    window = [_measured_row(one) for one in (state.overall, *state.segments)]
    episodes = [_episode_row(episode) for episode in reversed(state.episodes)]
    signs = [
        row(s.name, s.direction, s.onset, Cell(f"{s.raised:,}", _when(s.raised_time)))
        for s in reversed(state.signs)
    ]
    refits = [
        row(r.recalibrator, Cell(f"{r.number:,}", _when(r.time)), r.n, r.since)
        for r in reversed(state.refits)
    ]
    tables = [
        Table("Labelled answers in the window", _WINDOW, window),
        Table("Alarms, latest first", _ALARMS, episodes),
        Table("Early signs (predictions), latest first", _SIGNS, signs),
        Table("Recalibrations, latest first", _REFITS, refits),
    ]
    return [table for table in tables if table.rows]


def _episode_row(episode: Episode) -> tuple[Cell, ...]:
    tone, ended = "worse", Cell("open", tone="worse")
    if episode.ended is not None and episode.ended_time is not None:
        tone, ended = "", Cell(f"{episode.ended:,}", _when(episode.ended_time))
    return row(
        *(episode.segment or "all", Cell(episode.verdict, tone=tone), episode.where),
        Cell(f"{episode.onset:,}", _when(episode.onset_time)),
        Cell(f"{episode.raised:,}", _when(episode.raised_time)),
        *(ended, episode.ended_by or DASH),
    )


def _measured_row(one: Measured) -> tuple[Cell, ...]:
    name = "all" if one.segment is None else one.segment
    if one.evidence is None or one.level is None:
        evidence, alarm = Cell(DASH), Cell("not watched", tone="faint")
    elif one.episode is None:
        evidence = Cell(f"{100 * _progress(one.evidence, one.level):.0f} %")
        alarm = Cell("none", tone="faint")
    else:
        evidence, alarm = Cell("100 %"), Cell(one.episode.verdict, tone="worse")
    if one.summary is None:
        return row(name, 0, *[DASH] * 6, evidence, alarm)
    summary = one.summary
    gap = number(summary.gap, signed)
    claims = (summary.n, summary.accuracy, summary.confidence, gap)
    return row(name, *claims, summary.ece, summary.floor, summary.smooth_ece, evidence, alarm)


def _progress(evidence: float, level: float) -> float:
    """How far wealth has come towards 1 / level, in logarithms; in [0, 1].

    Example:
        >>> _progress(10.0, 0.01)
        0.5
    """
    return min(max(math.log(evidence) / math.log(1 / level), 0.0), 1.0)


def _facts(state: MonitorState) -> dict[str, str]:
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


def _when(time: float) -> str:
    """Seconds since 1970 as a date; small numbers are shown as they are."""
    if abs(time) < 1e8 or abs(time) > 1e11:
        return f"t = {time:g}" if time else ""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def draw_monitor(
    state: MonitorState, *, title: str | None = None, theme: str = "light"
) -> "Figure":
    """Gap and ECE of blocks of answers, in the order of their labels, and all episodes.

    The band around the gap is its interval, the shade around zero is tolerated. The broken line
    beside the ECE is what perfect calibration would score on as few answers. Upright lines are
    recalibrations. Below, each episode is a bar from its estimated onset to its end, pale until it
    was raised.

    Args:
        state: Of a monitor with at least one labelled answer.
        title: Above the picture.
        theme: `light` or `dark`.

    Returns:
        A `matplotlib.figure.Figure`; save it with ``savefig``.

    Raises:
        ValueError: If there is no labelled answer, or for an unknown theme.

    Example:
        >>> from thermometer.monitoring import Monitor
        >>> monitor = Monitor()
        >>> _ = monitor.record("a", 0.9), monitor.label("a", True)
        >>> [axis.get_ylabel() for axis in draw_monitor(monitor.state()).axes]
        ['confidence \N{MINUS SIGN} accuracy', 'ECE']
    """
    colours = drawing.theme_named(theme)
    if not state.points:
        raise _checks.fail("state", "of at least one labelled answer", "none")
    names: list[str | None] = list(dict.fromkeys(e.segment for e in state.episodes))
    names = sorted(names, key=lambda name: name is not None)[:_MOST_ROWS]
    strip = 0.45 + 0.26 * len(names) if names else 0.0
    figure = drawing.figure(9.0, 4.6 + strip, title, colours)
    heights = [2.6, 1.7, *([strip] if names else [])]
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    axes = [figure.add_subplot(grid[0])]
    axes += [figure.add_subplot(grid[i], sharex=axes[0]) for i in range(1, len(heights))]
    for axis in axes:
        drawing.style(axis, colours)
        for refit in state.refits:
            axis.axvline(refit.number, color=colours.accents[2], linewidth=1.4, zorder=1)
    for axis in axes[:-1]:
        axis.tick_params(labelbottom=False)
    _draw_gap(axes[0], state, colours)
    _draw_ece(axes[1], state, colours)
    if names:
        _draw_episodes(axes[2], state, names, colours)
    axes[0].set_xlim(state.points[0].first - 1, state.points[-1].last)
    axes[0].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes[-1].set_xlabel("labelled answers", fontsize=drawing.TEXT, color=colours.ink)
    return figure


def _draw_gap(axis: "Axes", state: MonitorState, colours: drawing.Theme) -> None:
    tolerance = state.settings.tolerance
    axis.axhspan(-tolerance, tolerance, color=colours.faint, linewidth=0, zorder=0)
    axis.axhline(0, color=colours.quiet, linewidth=1, linestyle=(0, (4, 3)))
    x = [(point.first + point.last) / 2 for point in state.points]
    low, middle, high = np.array([(p.gap.low, p.gap.estimate, p.gap.high) for p in state.points]).T
    band = drawing.blend(colours.single, colours.ground, 0.2)
    axis.fill_between(x, low, high, color=band, linewidth=0)
    axis.plot(x, middle, color=colours.single, linewidth=1.8)
    label = "confidence \N{MINUS SIGN} accuracy"
    axis.set_ylabel(label, fontsize=drawing.SMALL, color=colours.ink)
    for refit in state.refits[:1]:
        axis.annotate(
            "refit",
            (refit.number, 1.0),
            (3, -2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            fontsize=9,
            color=colours.accents[2],
        )


def _draw_ece(axis: "Axes", state: MonitorState, colours: drawing.Theme) -> None:
    x = [(point.first + point.last) / 2 for point in state.points]
    axis.plot(x, [p.ece for p in state.points], color=colours.single, linewidth=1.8, label="ECE")
    axis.plot(
        x,
        [p.floor for p in state.points],
        color=colours.quiet,
        linewidth=1.2,
        linestyle=(0, (4, 3)),
        label="floor",
    )
    axis.set_ylim(bottom=0)
    axis.set_ylabel("ECE", fontsize=drawing.SMALL, color=colours.ink)
    axis.legend(
        loc="lower right",
        bbox_to_anchor=(1, 0.94),
        ncols=2,
        frameon=False,
        fontsize=drawing.SMALL,
        labelcolor=colours.ink,
    )


def _draw_episodes(
    axis: "Axes", state: MonitorState, names: list[str | None], colours: drawing.Theme
) -> None:
    last = state.points[-1].last
    for episode in state.episodes:
        if episode.segment not in names:
            continue
        row = names.index(episode.segment) - _BAR / 2
        colour = colours.accents[0 if episode.verdict == "overconfident" else 1]
        end = last if episode.ended is None else episode.ended
        pale = drawing.blend(colour, colours.ground, 0.35)
        waited = (episode.onset - 1, episode.raised - episode.onset + 1)
        axis.broken_barh([waited], (row, _BAR), facecolor=pale, linewidth=0)
        axis.broken_barh(
            [(episode.raised, max(end - episode.raised, last / 400))],
            (row, _BAR),
            facecolor=colour,
            linewidth=0,
        )
    axis.set_ylim(len(names) - 0.4, -0.6)
    labels = [drawing.plain(drawing.shorten(name or "all", 18)) for name in names]
    axis.set_yticks(range(len(names)), labels)
    axis.tick_params(axis="y", length=0)
