"""What a monitor says at one moment, as numbers.

How it looks is in `state_words`, `state_views` and `gap_picture`. Nothing here computes evidence.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from thermometer import _files
from thermometer.metrics.summary import Summary
from thermometer.monitoring import state_views
from thermometer.monitoring.alarm import Episode
from thermometer.monitoring.early_sign import Sign
from thermometer.monitoring.history import Point
from thermometer.monitoring.settings import MonitorSettings


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
class Refit:
    """A recalibration.

    Args:
        number: Of the last answer before it.
        time: When, in the time of the answers.
        n: Answers that it was fitted on.
        since: Number of the first of them.
        recalibrator: Its class.
    """

    number: int
    time: float
    n: int
    since: int
    recalibrator: str


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

    def print(self, console: Console | None = None) -> None:
        """Print the state; 80 columns are enough.

        Args:
            console: Where to print; by default the standard output.
        """
        state_views.show(self, console or Console())

    def write(self, file: str | Path, title: str = "Calibration in use") -> Path:
        """Write the state as one HTML file that opens alone.

        Args:
            file: Replaced if it is there; its folder is made if needed.
            title: Of the page.

        Returns:
            The file.
        """
        file = Path(file)
        _files.write_all(file.parent, {file.name: state_views.html(self, title)})
        return file

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold; what is undefined is None."""
        fields = asdict(self)
        for part, one in zip(
            (fields["overall"], *fields["segments"]), (self.overall, *self.segments), strict=True
        ):
            part["summary"] = None if one.summary is None else one.summary.to_dict()
        return fields
