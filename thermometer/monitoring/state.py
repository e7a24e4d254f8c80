"""A monitor at one moment: the numbers, read from its ledger, and what is shown of them."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from thermometer import _checks, _files
from thermometer.metrics.summary import Summary, summarise
from thermometer.monitoring.alarm import Episode, Sign
from thermometer.monitoring.history import MonitorSettings, Point
from thermometer.monitoring.ledger import Ledger, Refit, Row
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
    "to alarm": "how far the wealth of the bets has come on its way to the alarm, in logarithms: "
    "at 100 % the alarm is raised.",
    "onset": "the answer since which it has most likely been so: an estimate.",
    "early sign": "confidences or temperatures are no longer those of before. It needs no labels "
    "and proves no miscalibration. Its numbers count predictions, all others count labels in the "
    "order in which they came.",
}
_WINDOW = (
    *("", "n", "accuracy", "confidence", "gap", "ECE", "floor", "smooth ECE"),
    *("to alarm", "alarm"),
)
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
        wealth: Wealth of its alarm, which is raised at 1 / level; `None` if it has none.
        level: Level of its alarm; `None` if it has none.
        episode: The open episode, or `None`.
    """

    segment: str | None
    summary: Summary | None
    wealth: float | None
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
        overall: The labelled answers of the window.
        segments: The same by segment: open episodes first, then by falling size of the gap.
        points: Calibration of all labelled answers over time.
        episodes: All episodes, in the order in which they were raised.
        signs: All early signs, in the order in which they were raised.
        refits: All recalibrations.
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
        """What is shown: alarms in words, the gap over time, the window, episodes and signs."""
        blocks = [
            (f"{p.first:,} to {p.last:,}", p.gap.estimate, p.gap.low, p.gap.high)
            for p in self.points[-_SHOWN:]
        ]
        draw, text = partial(draw_monitor, self), partial(text_bars, blocks)
        picture = Picture("gap over time, by labelled answers", _CAPTION, draw=draw, text=text)
        verdict = Verdict(_sentences(self), alarming=bool(self.open_episodes))
        first = (verdict, picture) if self.points else (verdict,)
        tables, facts = _tables(self), Terms(_facts(self))
        left_out = ("accuracy", "confidence", "smooth ECE")
        short = [table.short(*left_out, plain=table.header, limit=_SHOWN) for table in tables]
        created = datetime.now(UTC).isoformat(timespec="seconds")
        return Document(
            title,
            f"{self.n_labelled:,} labelled answers · {created}",
            page=(*first, *tables, Terms(_NOTES), Heading("What is watched"), facts),
            terminal=(*first, *short, facts),
        )

    def print(self, console: Console | None = None) -> None:
        """Print the state to a console, by default the standard output; 80 columns are enough."""
        render.to_terminal(self.document(), console)

    def write(self, file: str | Path, title: str = "Calibration in use") -> Path:
        """Write the state as one HTML file that opens alone, and return its path.

        Args:
            file: Replaced if it is there; its folder is made if needed.
            title: Heading of the page.
        """
        file = Path(file)
        _files.write_all(file.parent, {file.name: render.to_html(self.document(title))})
        return file

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold; what is undefined is None."""
        fields = asdict(self)
        parts = (fields["overall"], *fields["segments"])
        for part, one in zip(parts, (self.overall, *self.segments), strict=True):
            part["summary"] = None if one.summary is None else one.summary.to_dict()
        return fields


def read_state(ledger: Ledger, **measuring: Any) -> MonitorState:
    """Read everything of one moment; measure it when other processes may write again.

    Args:
        ledger: Of the monitor.
        measuring: `n_resamples`, `seed` and `coverage` of `summarise`.
    """
    store, settings = ledger.store, ledger.settings
    with store.transaction(), store.decoding():
        ledger.refresh()
        counts, pending = dict(ledger.counts), ledger.n_pending
        alarms = {name: (a.wealth, a.level, a.episode) for name, a in ledger.alarms.items()}
        members: dict[str | None, list[Row]] = {None: ledger.window()}
        for answer in members[None]:
            if answer[3] is not None:
                members.setdefault(answer[3], []).append(answer)
        points = ledger.history.points(measuring["coverage"])
        episodes, signs, refits = store.load(Episode), store.load(Sign), store.load(Refit)
    measured = []
    for name in {**members, **alarms}:
        summary = None
        if answers := members.get(name):
            claimed, correct = [answer[6] for answer in answers], [answer[7] for answer in answers]
            summary = summarise(claimed, correct, n_bins=settings.n_bins, **measuring)
        measured.append(Measured(name, summary, *alarms.get(name, (None, None, None))))
    overall, *segments = measured
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


def _rank(one: Measured) -> tuple[bool, float, str]:
    """Open episodes first, then by falling size of the gap."""
    gap = 0.0 if one.summary is None else abs(one.summary.gap.estimate)
    return one.episode is None, -gap, str(one.segment)


def _sentences(state: MonitorState) -> list[str]:
    """The state in sentences, the most urgent first."""
    sentences = [_alarms(state.open_episodes, state.n_labelled)]
    if (summary := state.overall.summary) is not None:
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
        times = {1: "once", 2: "twice"}.get(len(state.refits), f"{len(state.refits)} times")
        sentences.append(
            f"Recalibrated {times}, last after answer {refit.number:,} on {refit.n:,} answers."
        )
    return sentences


def _tables(state: MonitorState) -> list[Table]:
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
    if one.wealth is None or one.level is None:
        progress, alarm = Cell(DASH), Cell("not watched", tone="faint")
    elif one.episode is None:
        share = math.log(one.wealth) / math.log(1 / one.level)
        progress = Cell(f"{100 * min(max(share, 0.0), 1.0):.0f} %")
        alarm = Cell("none", tone="faint")
    else:
        progress, alarm = Cell("100 %"), Cell(one.episode.verdict, tone="worse")
    if one.summary is None:
        return row(name, 0, *[DASH] * 6, progress, alarm)
    summary = one.summary
    claims = (summary.n, summary.accuracy, summary.confidence, number(summary.gap, signed))
    return row(name, *claims, summary.ece, summary.floor, summary.smooth_ece, progress, alarm)


def _facts(state: MonitorState) -> dict[str, str]:
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
    axis.set_ylabel("confidence \N{MINUS SIGN} accuracy", fontsize=drawing.SMALL, color=colours.ink)
    frames: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    for refit in state.refits[:1]:
        at, colour = (refit.number, 1.0), colours.accents[2]
        axis.annotate("refit", at, (3, -2), va="top", fontsize=9, color=colour, **frames)


def _draw_ece(axis: "Axes", state: MonitorState, colours: drawing.Theme) -> None:
    x = [(point.first + point.last) / 2 for point in state.points]
    ece, floor = [p.ece for p in state.points], [p.floor for p in state.points]
    axis.plot(x, ece, color=colours.single, linewidth=1.8, label="ECE")
    axis.plot(x, floor, color=colours.quiet, linewidth=1.2, linestyle=(0, (4, 3)), label="floor")
    axis.set_ylim(bottom=0)
    axis.set_ylabel("ECE", fontsize=drawing.SMALL, color=colours.ink)
    text: dict[str, Any] = {"fontsize": drawing.SMALL, "labelcolor": colours.ink}
    axis.legend(loc="lower right", bbox_to_anchor=(1, 0.94), ncols=2, frameon=False, **text)


def _draw_episodes(
    axis: "Axes", state: MonitorState, names: list[str | None], colours: drawing.Theme
) -> None:
    last = state.points[-1].last
    for episode in state.episodes:
        if episode.segment not in names:
            continue
        height = (names.index(episode.segment) - _BAR / 2, _BAR)
        colour = colours.accents[0 if episode.verdict == "overconfident" else 1]
        end = last if episode.ended is None else episode.ended
        pale = drawing.blend(colour, colours.ground, 0.35)
        waited = (episode.onset - 1, episode.raised - episode.onset + 1)
        known = (episode.raised, max(end - episode.raised, last / 400))
        axis.broken_barh([waited], height, facecolor=pale, linewidth=0)
        axis.broken_barh([known], height, facecolor=colour, linewidth=0)
    axis.set_ylim(len(names) - 0.4, -0.6)
    labels = [drawing.plain(drawing.shorten(name or "all", 18)) for name in names]
    axis.set_yticks(range(len(names)), labels)
    axis.tick_params(axis="y", length=0)
