"""Everything that is watched, as it stands: alarms of all and of segments, signs, history.

It takes new rows and says what they raise; it is read from a store and written to it.
"""

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks
from thermometer._records import from_plain
from thermometer.monitoring.alarm import CalibrationAlarm, Episode
from thermometer.monitoring.early_sign import EarlySign, Sign
from thermometer.monitoring.history import History
from thermometer.monitoring.settings import MonitorSettings
from thermometer.monitoring.storage import Store

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
