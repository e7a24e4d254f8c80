"""The monitor: predictions come in, labels later; it measures, raises alarms and recalibrates."""

import math
import time as clock
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from thermometer import _checks
from thermometer.monitoring.alarm import Episode
from thermometer.monitoring.history import MonitorSettings
from thermometer.monitoring.ledger import Ledger, Row, Store
from thermometer.monitoring.state import MonitorState, Receipt, read_state
from thermometer.recalibrators.base import ConfidenceRecalibrator
from thermometer.recalibrators.confidence import PlattScaling

Vector = NDArray[np.float64]

LEAST = 50  # labelled answers for a refit
_AHEAD = 86_400.0  # seconds by which a clock may be ahead; those that count otherwise are far off
_Value = TypeVar("_Value", str, float)


class Monitor:
    """Watches the calibration of a model in use, from labels that come late or not at all.

    Record each prediction when it is made, and its label when it is known. A monitor in a file
    survives a kill, goes on exactly where it was, and may be written by several processes at once.
    Each call is one transaction: when it has returned, it is on disk; when it raises, nothing of it
    was done. An object may be used by several threads, and by forked processes if it is in a file.

    Labels enter the alarm in the order in which they come. Its guarantee (see `CalibrationAlarm`)
    needs that *when* a label comes does not depend on what it says: where wrong answers are
    reported first, there will be false alarms.

    Args:
        path: An SQLite file, made if it is not there; `None` keeps everything in memory.
        settings: What to watch. A file has its own, which these must equal if given.

    Raises:
        FileNotFoundError: If the folder of the file is not there.
        ValueError: If the file is no monitor, or was made with other settings, or by a newer
            version.

    Example:
        >>> monitor = Monitor()
        >>> monitor.record("a", 0.9, segment="law")
        0.9
        >>> monitor.label("a", True).new, monitor.label("a", True).repeated
        (1, 1)
        >>> monitor.state().overall.summary.n
        1
    """

    def __init__(
        self, path: str | Path | None = None, settings: MonitorSettings | None = None
    ) -> None:
        self._store = Store(path, (settings or MonitorSettings()).to_json())
        try:
            with self._store.decoding():
                (text,) = self._store.execute("SELECT content FROM settings")[0]
                self.settings = MonitorSettings.from_json(text)
            if settings is not None and settings != self.settings:
                raise _checks.fail("settings", f"those of {path}: {self.settings}", settings)
        except ValueError:
            self._store.close()
            raise
        self._ledger = Ledger(self._store, self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Monitor({str(self._store.path or 'memory')!r}, {self.settings})"

    def close(self) -> None:
        """Close the file; in memory, forget everything."""
        self._store.close()

    def record(
        self,
        id: str,  # noqa: A002
        confidence: float,
        *,
        segment: str | None = None,
        time: float | None = None,
        temperature: float | None = None,
    ) -> float:
        """Record one prediction; see `record_many`.

        Returns:
            The confidence to show: recalibrated, if there was a refit.
        """
        times = None if time is None else [time]
        shown = self.record_many(
            [id], [confidence], segment=[segment], time=times, temperature=[temperature]
        )
        return float(shown[0])

    def record_many(
        self,
        ids: Sequence[str],
        confidence: ArrayLike,
        *,
        segment: Sequence[str | None] | None = None,
        time: ArrayLike | None = None,
        temperature: Sequence[float | None] | None = None,
    ) -> Vector:
        """Record N predictions in one transaction.

        The same prediction again changes nothing. Beyond `max_pending` the oldest predictions
        without a label are forgotten.

        Args:
            ids: (N,) names, each of one prediction.
            confidence: (N,) in [0, 1], as the model gave them, before any recalibration of here.
            segment: (N,) topic, customer or the like; `None` has none.
            time: (N,) Unix time in seconds, for `max_age` and to tell when alarms were, at most a
                day from now; by default now.
            temperature: (N,) positive numbers that were predicted, if there are any.

        Returns:
            (N,) confidences to show: recalibrated, if there was a refit.

        Raises:
            ValueError: If N is 0 or lengths differ, a value is out of range, or an id is there with
                another confidence or temperature (beyond the rounding of float32) or segment.
        """
        ids = _checks.strings("ids", ids)
        raw = _checks.unit_interval("confidence", confidence, len(ids))
        n = len(ids)
        names = _optional("segment", segment, n, lambda name: _checks.strings("segment", [name])[0])
        temperatures = _optional(
            "temperature", temperature, n, partial(_checks.number, "temperature", strict=True)
        )
        now = clock.time()
        times = [now] * n if time is None else _checks.vector("time", time, n).tolist()
        if max(times) > now + _AHEAD:
            expected = f"Unix time in seconds, at most a day from now ({now:.0f})"
            raise _checks.fail("time", expected, max(times))
        with self._ledger.changing():
            known = self._store.find("predictions", ids) | self._store.find("answers", ids)
            rows: dict[str, Row] = {}
            columns = zip(ids, raw.tolist(), names, times, temperatures, strict=True)
            for key, *values in columns:
                c, name, _, t = values
                there = known.get(key) or rows.get(key)
                if there is None:
                    number = self._ledger.counts["recorded"] + len(rows) + 1
                    rows[key] = (number, key, *values)
                elif there[3] != name or not (_same(there[2], c) and _same(there[5], t)):
                    raise _checks.fail("id", "new, or recorded with the same values", repr(key))
            if rows:
                self._ledger.add_predictions(list(rows.values()))
            return self._ledger.applied(raw)

    def label(self, id: str, correct: bool) -> Receipt:  # noqa: A002
        """Say whether one answer was right; see `label_many`."""
        return self.label_many([id], [correct])

    def label_many(
        self,
        ids: Sequence[str],
        correct: ArrayLike,
        *,
        unknown: Literal["refuse", "skip"] = "refuse",
    ) -> Receipt:
        """Say whether N answers were right, in one transaction.

        The same label again changes nothing. The order is that of the alarm. What is tested and
        measured is the recalibrator in use when the label comes.

        Args:
            ids: (N,) names of predictions.
            correct: (N,) booleans, or zeros and ones.
            unknown: What to do with ids that were never recorded, or are forgotten: predictions
                beyond `max_pending`, answers that have left the window.

        Raises:
            ValueError: If N is 0 or lengths differ, a value is out of range, an id has the other
                label already, or one is unknown and to be refused.
        """
        ids = _checks.strings("ids", ids)
        outcome = _checks.binary("correct", correct, len(ids))
        _checks.one_of("unknown", unknown, ("refuse", "skip"))
        with self._ledger.changing():
            waiting = self._store.find("predictions", ids)
            done = self._store.find("answers", [key for key in ids if key not in waiting])
            labels = {key: row[7] for key, row in done.items()}
            rows, missing, repeated = [], [], 0
            for key, right in zip(ids, (outcome > 0).tolist(), strict=True):
                if key in labels:
                    if labels[key] != right:
                        raise _checks.fail("correct", f"as before for {key!r}", right)
                    repeated += 1
                elif key in waiting:
                    labels[key] = right
                    rows.append((*waiting[key], right))
                else:
                    missing.append(key)
            if missing and unknown == "refuse":
                raise _checks.fail("ids", "recorded and not forgotten", repr(missing[0]))
            changes = self._ledger.add_answers(rows) if rows else []
        return Receipt(len(rows), repeated, tuple(missing), tuple(changes))

    def refit(
        self, recalibrator: ConfidenceRecalibrator | None = None, *, since: int = 1
    ) -> ConfidenceRecalibrator:
        """Fit a recalibrator on the labelled answers of the window, use it from now on, return it.

        It maps the confidences that are recorded; `record` and `apply` give what it makes of them.
        Open episodes end and every alarm starts anew, on the recalibrated confidence of the labels
        that come from now on. A fit on few answers is off by chance, which the alarm may find.

        Args:
            recalibrator: Of `thermometer.recalibrators`, of which a copy is fitted; by default
                Platt scaling.
            since: Number of the first answer to fit on, such as the `onset` of an episode: the
                window may hold answers from before the change.

        Raises:
            ValueError: If there are fewer than 50 such answers.
        """
        since = _checks.integer("since", since)
        fitted = PlattScaling() if recalibrator is None else clone(recalibrator)
        with self._ledger.changing():
            rows = self._ledger.window(since)
            if len(rows) < LEAST:
                what = f"at least {LEAST} labelled answers, from number {since} on"
                raise _checks.fail("window", what, len(rows))
            fitted.fit([row[2] for row in rows], [row[7] for row in rows])
            self._ledger.refit(fitted, rows)
        return fitted

    def apply(self, confidence: ArrayLike) -> Vector:
        """What the latest refit makes of confidences, (N,) to (N,); as they are without one.

        Raises:
            ValueError: If N is 0 or a value is NaN or out of range.
        """
        with self._store.transaction():
            self._ledger.refresh()
            return self._ledger.applied(_checks.unit_interval("confidence", confidence))

    @property
    def alarms(self) -> tuple[Episode, ...]:
        """All episodes so far, in the order in which they were raised."""
        with self._store.transaction():
            return tuple(self._store.load(Episode))

    def state(
        self, *, n_resamples: int = 200, seed: int = 0, coverage: float = 0.95
    ) -> MonitorState:
        """Everything that the monitor can say now.

        Args:
            n_resamples: Resamples behind the intervals of the window.
            seed: Equal seeds give equal numbers.
            coverage: Of intervals, in (0, 1).
        """
        return read_state(self._ledger, n_resamples=n_resamples, seed=seed, coverage=coverage)


def _same(a: float | None, b: float | None) -> bool:
    """Whether two numbers are one, which may have been float32 in between."""
    return a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=2**-23))


def _optional(
    name: str, values: Sequence[_Value | None] | None, n: int, check: Callable[[_Value], _Value]
) -> list[_Value | None]:
    """N values, each checked or `None`."""
    if values is None:
        return [None] * n
    if isinstance(values, str) or len(values) != n:
        got = "one string" if isinstance(values, str) else f"length {len(values)}"
        raise _checks.fail(name, f"a list of length {n}", got)
    return [None if value is None else check(value) for value in values]
