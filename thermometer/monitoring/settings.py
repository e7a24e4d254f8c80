"""The settings of a monitor, which its file keeps."""

import json
from dataclasses import asdict, dataclass, fields

from thermometer import _checks
from thermometer._records import from_plain
from thermometer.monitoring.bets import Bets


@dataclass(frozen=True)
class MonitorSettings:
    """What a monitor watches, and how often it may be wrong.

    Args:
        level: Chance that a calibrated stream ever raises a first alarm, in (0, 1). Half of it is
            for all answers together, half is shared equally by `max_segments` segments
            (Bonferroni). The early signs have a chance of as much again, half for each of
            confidence and temperature.
        tolerance: Distance of accuracy from confidence that is no error; see `Bets`.
        sizes: See `Bets`.
        edges: See `Bets`.
        window: Number of the latest labelled answers that are measured and refitted on.
        max_age: Seconds by which a measured answer may be older than the latest prediction; `None`
            is without end.
        max_segments: Segments that have an alarm of their own: the first ones that get a label.
            All answers are watched together in any case. With 0 all of `level` goes to that.
        max_pending: Predictions that wait for a label; beyond it the oldest are forgotten.
        n_bins: Bins of equal width of the ECE.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> settings = MonitorSettings(level=0.04, max_segments=10)
        >>> settings.overall_level, settings.segment_level
        (0.02, 0.002)
    """

    level: float = 0.01
    tolerance: float = 0.03
    sizes: tuple[float, ...] = (0.4, 0.8, 1.6)
    edges: tuple[float, ...] = (0.5, 0.7, 0.9)
    window: int = 2000
    max_age: float | None = None
    max_segments: int = 20
    max_pending: int = 100_000
    n_bins: int = 10

    def __post_init__(self) -> None:
        _checks.number("level", self.level, maximum=1 - 1e-9, strict=True)
        for name in ("window", "max_pending", "n_bins"):
            _checks.integer(name, getattr(self, name))
        _checks.integer("max_segments", self.max_segments, minimum=0)
        if self.max_age is not None:
            _checks.number("max_age", self.max_age, strict=True)
        _ = self.bets

    @property
    def bets(self) -> Bets:
        """The bets of every alarm."""
        return Bets(self.tolerance, self.sizes, self.edges)

    @property
    def overall_level(self) -> float:
        """Level of the alarm on all answers."""
        return self.level / 2 if self.max_segments else self.level

    @property
    def segment_level(self) -> float:
        """Level of the alarm of one segment."""
        return self.level / 2 / max(self.max_segments, 1)

    @property
    def sign_level(self) -> float:
        """Level of one early sign."""
        return self.level / 2

    def to_json(self) -> str:
        """The fields as JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "MonitorSettings":
        """Settings that `to_json` wrote.

        Raises:
            ValueError: If the text is damaged, or a key is missing or unknown.

        Example:
            >>> settings = MonitorSettings(window=500)
            >>> MonitorSettings.from_json(settings.to_json()) == settings
            True
        """
        content = json.loads(text)
        names = {field.name for field in fields(cls)}
        if not isinstance(content, dict) or set(content) != names:
            raise _checks.fail("settings", f"a JSON object of {', '.join(sorted(names))}", text)
        return from_plain(cls, content, "settings")
