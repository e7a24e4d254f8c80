"""Rows, watches and the recalibrator in use, kept as one: in a store, and at hand.

What is at hand is read again when another process has written.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermometer.baselines.protocol import ConfidenceRecalibrator
from thermometer.monitoring import recalibrators
from thermometer.monitoring.alarm import Episode
from thermometer.monitoring.early_sign import Sign
from thermometer.monitoring.settings import MonitorSettings
from thermometer.monitoring.storage import Store
from thermometer.monitoring.watches import Watches

Vector = NDArray[np.float64]
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
            self.recalibrator = (
                recalibrators.from_json(json.loads(fits[-1])["recalibrator"]) if fits else None
            )
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
        text = recalibrators.to_json(recalibrator)
        content = json.dumps({"refit": asdict(refit), "recalibrator": text})
        self.store.set_events("refit", [(str(self.counts["version"]), content)])
        self.recalibrator = recalibrators.from_json(text)
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
