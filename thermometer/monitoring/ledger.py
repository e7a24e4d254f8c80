"""What a monitor watches, answer by answer, and what it writes down."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks
from thermometer._files import from_plain
from thermometer.monitoring.alarm import CalibrationAlarm, EarlySign, Episode, Sign
from thermometer.monitoring.history import History, MonitorSettings
from thermometer.monitoring.storage import Store
from thermometer.recalibrators import CLASSES
from thermometer.recalibrators.base import ConfidenceRecalibrator

Vector = NDArray[np.float64]

_BLOCKS = 10  # blocks of the history in a window, at first


class Watches:
    """The state of all watches.

    Args:
        settings: What is watched.
    """

    def __init__(self, settings: MonitorSettings) -> None:
        self._settings = settings
        self.overall = CalibrationAlarm(settings.bets, settings.overall_level)
        self.segments: dict[str, CalibrationAlarm] = {}
        names = ("confidence", "temperature")
        self.signs = {name: EarlySign(name, settings.sign_level) for name in names}
        self.history = History(max(settings.window // _BLOCKS, 1), n_bins=settings.n_bins)
        self._touched: set[str] = set()

    def add_predictions(
        self,
        confidence: Vector,
        temperature: Sequence[float | None],
        numbers: Sequence[int],
        times: Sequence[float],
    ) -> list[Sign]:
        """Take the numbers of N predictions; the signs that they raise."""
        found = self.signs["confidence"].update(confidence, numbers, times)
        given = zip(temperature, numbers, times, strict=True)
        known = [(value, number, at) for value, number, at in given if value is not None]
        if known:
            values, own_numbers, own_times = zip(*known, strict=True)
            found += self.signs["temperature"].update(values, own_numbers, own_times)
        return found

    def add_answers(
        self,
        claimed: Vector,
        correct: Vector,
        segment: Sequence[str | None],
        numbers: Sequence[int],
        times: Sequence[float],
    ) -> list[Episode]:
        """Take N answers whose labels came in this order; episodes that open or end."""
        changes = self.overall.update(claimed, correct, numbers, times)
        members: dict[str, list[int]] = {}
        for row, name in enumerate(segment):
            if name is not None:
                members.setdefault(name, []).append(row)
        for name, rows in members.items():
            alarm = self._alarm_of(name)
            if alarm is None:
                continue
            self._touched.add(name)
            changes += alarm.update(
                claimed[rows], correct[rows], [numbers[i] for i in rows], [times[i] for i in rows]
            )
        self.history.add(claimed, correct, list(numbers), list(times))
        return sorted(changes, key=lambda episode: episode.ended or episode.raised)

    def restart(self, number: int, time: float) -> list[Episode]:
        """Start all alarms anew after a refit; the episodes that this ends."""
        alarms = [self.overall, *self.segments.values()]
        self._touched.update(self.segments)
        ended = [alarm.restart(number, time) for alarm in alarms]
        return [episode for episode in ended if episode is not None]

    def save(self, store: Store, episodes: Sequence[Episode], signs: Sequence[Sign]) -> None:
        """Write what has changed, with the episodes and signs that are new."""
        store.set_watches("overall", {"": self.overall.to_vector()})
        touched = {name: self.segments[name].to_vector() for name in self._touched}
        store.set_watches("segment", touched)
        store.set_watches("sign", {name: sign.to_vector() for name, sign in self.signs.items()})
        store.set_watches("history", {"": np.array([float(self.history.size)])})
        first = self.history.first_changed
        store.set_blocks(first, self.history.blocks[first:])
        self._touched.clear()
        self.history.first_changed = len(self.history.blocks)
        store.set_events(
            "episode",
            [(json.dumps([e.segment, e.raised]), json.dumps(e.to_dict())) for e in episodes],
        )
        store.set_events(
            "sign", [(json.dumps([s.name, s.raised]), json.dumps(s.to_dict())) for s in signs]
        )

    @classmethod
    def load(cls, store: Store, settings: MonitorSettings) -> "Watches":
        """What `save` wrote last, by whichever process."""
        watches = cls(settings)
        opened = {e.segment: e for e in load_episodes(store) if e.ended is None}
        for state in store.watches("overall").values():
            watches.overall.load_vector(state, opened.get(None))
        for name, state in store.watches("segment").items():
            alarm = CalibrationAlarm(settings.bets, settings.segment_level, name)
            alarm.load_vector(state, opened.get(name))
            watches.segments[name] = alarm
        for alarm in (watches.overall, *watches.segments.values()):
            if not alarm.evidence > 0:
                raise _checks.fail("evidence", "a number above 0", alarm.evidence)
        for name, state in store.watches("sign").items():
            watches.signs[name].load_vector(state)
        for state in store.watches("history").values():
            watches.history.size = int(state[0])
        watches.history.blocks = store.blocks()
        watches.history.first_changed = len(watches.history.blocks)
        return watches

    def _alarm_of(self, segment: str) -> CalibrationAlarm | None:
        """The alarm of a segment; a new one while there is room."""
        settings = self._settings
        if segment not in self.segments and len(self.segments) < settings.max_segments:
            self.segments[segment] = CalibrationAlarm(
                settings.bets, settings.segment_level, segment
            )
        return self.segments.get(segment)


def load_episodes(store: Store) -> list[Episode]:
    """All episodes, in the order in which they were raised."""
    return [from_plain(Episode, json.loads(text), "episode") for text in store.events("episode")]


def load_signs(store: Store) -> list[Sign]:
    """All early signs, in the order in which they were raised."""
    return [from_plain(Sign, json.loads(text), "sign") for text in store.events("sign")]


_KINDS = {name: kind for name, kind in CLASSES.items() if issubclass(kind, ConfidenceRecalibrator)}
_DTYPES: dict[str, type] = {"vector": np.float64, "counts": np.int64}


def to_json(recalibrator: ConfidenceRecalibrator) -> str:
    """A fitted recalibrator as text, exact to the last bit.

    Raises:
        ValueError: If its class is none of `thermometer.recalibrators`.

    Example:
        >>> from thermometer.recalibrators.confidence import PlattScaling
        >>> fitted = PlattScaling().fit([0.6, 0.9, 0.8], [0, 1, 1])
        >>> from_json(to_json(fitted)).slope_ == fitted.slope_
        True
    """
    kind = type(recalibrator)
    if _KINDS.get(kind.__name__) is not kind:
        raise _checks.fail("recalibrator", f"one of {', '.join(sorted(_KINDS))}", kind.__name__)
    content = {
        "class": kind.__name__,
        "parameters": recalibrator.get_params(deep=False),
        "fitted": {name: _plain(getattr(recalibrator, name)) for name in kind.fitted},
    }
    return json.dumps(content, sort_keys=True, allow_nan=False)


def from_json(text: str) -> ConfidenceRecalibrator:
    """What `to_json` wrote; nothing in it is executed.

    Raises:
        ValueError: For an unknown class, a missing or unknown key, or values that no fit gives.
    """
    content = json.loads(text)
    name = content.get("class") if isinstance(content, dict) else None
    if name not in _KINDS:
        raise _checks.fail("recalibrator", f"one of {', '.join(sorted(_KINDS))}", repr(name))
    kind = _KINDS[name]
    wanted = {"parameters": set(kind().get_params(deep=False)), "fitted": set(kind.fitted)}
    for part, names in wanted.items():
        if not isinstance(content.get(part), dict) or set(content[part]) != names:
            raise _checks.fail(part, f"an object of {sorted(names)}", content.get(part))
    recalibrator = kind(**content["parameters"])
    for key, value in content["fitted"].items():
        dtype = _DTYPES.get(kind.fitted[key])
        setattr(recalibrator, key, value if dtype is None else np.asarray(value, dtype))
    recalibrator._check_parameters()
    recalibrator._check_fit()
    return recalibrator


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


Row = tuple[Any, ...]
"""Number, id, confidence, segment, time, temperature; of an answer also claimed and correct."""

_COUNTS = ("recorded", "labelled", "forgotten", "version")


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


class Ledger:
    """The content of a monitor.

    Args:
        store: Where it is kept.
        settings: Of the monitor.
    """

    def __init__(self, store: Store, settings: MonitorSettings) -> None:
        self.store = store
        self.settings = settings
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.watches = Watches(settings)
        self.recalibrator: ConfidenceRecalibrator | None = None
        self._version = -1
        self._episodes: list[Episode] = []
        self._signs: list[Sign] = []
        self._changed = False

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One transaction; when it fails, what is at hand is forgotten with it."""
        with self.store.lock:
            try:
                with self.store.writing():
                    self.refresh()
                    self._episodes, self._signs, self._changed = [], [], False
                    yield
                    if self._changed:
                        self.counts["version"] += 1
                        self.watches.save(self.store, self._episodes, self._signs)
                        self.store.set_counts(self.counts)
            except BaseException:
                self._version = -1
                raise
            self._version = self.counts["version"]

    def refresh(self) -> None:
        """Read what other processes have written."""
        with self.store.decoding():
            self.counts = dict.fromkeys(_COUNTS, 0) | self.store.counts()
            if self._version == self.counts["version"]:
                return
            self.watches = Watches.load(self.store, self.settings)
            fits = self.store.events("refit")
            self.recalibrator = from_json(json.loads(fits[-1])["recalibrator"]) if fits else None
            self._version = self.counts["version"]

    @property
    def n_pending(self) -> int:
        """Predictions that wait for a label."""
        return self.counts["recorded"] - self.counts["labelled"] - self.counts["forgotten"]

    def applied(self, confidence: Vector) -> Vector:
        """What the recalibrator in use makes of confidences."""
        if self.recalibrator is None:
            return confidence.copy()
        return self.recalibrator.recalibrate(confidence)

    def add_predictions(self, rows: Sequence[Row]) -> None:
        """New predictions, numbered from `counts["recorded"]` + 1."""
        self._changed = True
        self.store.write("INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?)", rows)
        numbers, _, confidence, _, times, temperature = zip(*rows, strict=True)
        self._signs += self.watches.add_predictions(
            np.array(confidence), temperature, numbers, times
        )
        self.counts["recorded"] += len(rows)
        if (excess := self.n_pending - self.settings.max_pending) > 0:
            self.store.write(
                "DELETE FROM predictions WHERE number IN "
                "(SELECT number FROM predictions ORDER BY number LIMIT ?)",
                [(excess,)],
            )
            self.counts["forgotten"] += excess

    def add_answers(self, rows: Sequence[Row]) -> list[Episode]:
        """Labels of waiting predictions: the row of each with its outcome; what they change."""
        self._changed = True
        numbers, _, confidence, segments, times, _, outcomes = zip(*rows, strict=True)
        claimed = self.applied(np.array(confidence))
        correct = np.array(outcomes, np.float64)
        self.store.write("DELETE FROM predictions WHERE number = ?", [(n,) for n in numbers])
        first = self.counts["labelled"] + 1
        order = range(first, first + len(rows))
        answers = [
            (number, *row[1:6], shown, int(row[6]))
            for number, row, shown in zip(order, rows, claimed.tolist(), strict=True)
        ]
        self.store.write("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", answers)
        self.counts["labelled"] += len(rows)
        oldest = self.counts["labelled"] - self.settings.window
        self.store.write("DELETE FROM answers WHERE number <= ?", [(oldest,)])
        changes = self.watches.add_answers(claimed, correct, segments, order, times)
        self._episodes += changes
        return changes

    def refit(self, recalibrator: ConfidenceRecalibrator, rows: Sequence[Row]) -> None:
        """Use a recalibrator that was fitted on answers from now on."""
        self._changed = True
        number, time = self.counts["labelled"], float(rows[-1][4])
        name = type(recalibrator).__name__
        refit = Refit(number, time, len(rows), int(rows[0][0]), name)
        text = to_json(recalibrator)
        content = json.dumps({"refit": asdict(refit), "recalibrator": text})
        self.store.set_events("refit", [(str(self.counts["version"]), content)])
        self.recalibrator = from_json(text)
        self._episodes += self.watches.restart(number, time)

    def window(self, since: int = 1) -> list[Row]:
        """Labelled answers of the window, from a number on, in the order of their labels."""
        rows = self.store.rows("SELECT * FROM answers WHERE number >= ? ORDER BY number", [since])
        if self.settings.max_age is None or not rows:
            return rows
        (waiting,) = self.store.rows("SELECT max(time) FROM predictions")[0]
        (answered,) = self.store.rows("SELECT max(time) FROM answers")[0]
        latest = answered if waiting is None else max(waiting, answered)
        return [row for row in rows if row[4] >= latest - self.settings.max_age]
