"""The content of a monitor: its tables in SQLite, what it watches, and what it writes down.

A file is in WAL mode and every commit is synchronised, so that what a call has acknowledged is
there after kill -9 or a power cut. Several processes may write it. Nothing in it is executed: it
must have exactly the tables of a monitor, without a trigger or a view.
"""

import json
import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from thermometer import __version__, _checks, _files, _threads
from thermometer.monitoring.alarm import CalibrationAlarm, EarlySign, Episode, Sign
from thermometer.monitoring.history import History, MonitorSettings
from thermometer.recalibrators import CLASSES
from thermometer.recalibrators.base import ConfidenceRecalibrator

Vector = NDArray[np.float64]
Row = tuple[Any, ...]
"""Number, id, confidence, segment, time, temperature; of an answer also claimed and correct."""

_T = TypeVar("_T")

SCHEMA = 1
APPLICATION = 0x746D6F6E  # "tmon", in the header of the file
_WAIT = 60.0  # seconds for another writer
_AT_ONCE = 500  # ids in one question
_TABLES = """
CREATE TABLE settings (content TEXT NOT NULL, written_by TEXT NOT NULL);
CREATE TABLE counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE predictions (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  confidence REAL NOT NULL, segment TEXT, time REAL NOT NULL, temperature REAL);
CREATE TABLE answers (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  confidence REAL NOT NULL, segment TEXT, time REAL NOT NULL, temperature REAL,
  claimed REAL NOT NULL, correct INTEGER NOT NULL);
CREATE TABLE watches (kind TEXT NOT NULL, name TEXT NOT NULL, numbers BLOB NOT NULL,
  PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE events (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL,
  content TEXT NOT NULL, UNIQUE (kind, name));
CREATE TABLE blocks (number INTEGER PRIMARY KEY, numbers BLOB NOT NULL);
"""


def _checked(row: Row) -> Row:
    """A row of `predictions` or `answers`, since SQLite takes any value in any column."""
    number, key, confidence, segment, at, temperature, *answer = row
    claimed, correct = answer or (0.0, 0)
    fits = (
        isinstance(number, int)
        and isinstance(key, str)
        and isinstance(segment, str | None)
        and all(isinstance(c, float) and 0 <= c <= 1 for c in (confidence, claimed))
        and isinstance(at, float)
        and math.isfinite(at)
        and (temperature is None or (isinstance(temperature, float) and 0 < temperature < math.inf))
        and correct in (0, 1)
    )
    if not fits:
        raise ValueError(f"no prediction or answer: {row!r:.200}")
    return row


class Store:
    """An open database with the tables of a monitor.

    What only can be read, since the disk or its owner says so, is opened all the same; a forked
    process opens a file anew.

    Args:
        path: A file, made if it is not there; `None` is memory.
        settings: Text that is written to a new database.

    Raises:
        FileNotFoundError: If its folder is not there.
        OSError: If the file cannot be opened, read or written, now or later; names the file.
        ValueError: If the file is no monitor, a newer version wrote it, or it is damaged.
    """

    def __init__(self, path: str | Path | None, settings: str) -> None:
        self.path = None if path is None else Path(path)
        if self.path is not None and not self.path.absolute().parent.is_dir():
            raise FileNotFoundError(f"{path}: its folder is not there")
        self.lock = _threads.Lock()
        """Held by the thread that is at work."""
        try:
            self._connect(":memory:" if path is None else str(path), lambda: self._open(settings))
        except OSError:
            if self.path is None or not self.path.is_file() or not self._is_whole():
                raise
            # A file in WAL mode needs others beside it, which a disk that is read-only cannot get.
            self._connect(f"{self.path.absolute().as_uri()}?immutable=1", self._check, uri=True)

    def close(self) -> None:
        """Close the database; a second time does nothing."""
        self._connection.close()

    def _connect(self, place: str, check: Callable[[], object], *, uri: bool = False) -> None:
        """Open a connection of this process, and close it again if `check` raises."""
        self._process = os.getpid()
        with self._named_errors():
            self._connection = sqlite3.connect(
                place, timeout=_WAIT, isolation_level=None, check_same_thread=False, uri=uri
            )
        try:
            self.execute("PRAGMA trusted_schema = OFF")
            self.execute("PRAGMA synchronous = FULL")
            check()
        except BaseException:
            self._connection.close()
            raise

    def _own(self) -> None:
        """Make the connection one of this process, which may have been forked."""
        if os.getpid() != self._process:
            if self.path is None:
                raise RuntimeError("A monitor in memory cannot be used by a forked process")
            self._inherited = self._connection  # closing it would disturb the parent
            self._connect(str(self.path), self._check)

    def _is_whole(self) -> bool:
        """Whether everything that was written is in the file itself, and none of it in its log."""
        log = Path(f"{self.path}-wal")
        return not log.exists() or log.stat().st_size == 0

    @contextmanager
    def transaction(self, *, writing: bool = False) -> Iterator[None]:
        """All that is read belongs to one moment, and all is written or nothing; writers wait."""
        with self.lock:
            self._own()
            self.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self.execute("ROLLBACK")
                raise

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """What is read inside was written by a monitor; whatever does not fit is damage."""
        try:
            yield
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path}: damaged ({error})") from error

    def execute(self, command: str, values: Sequence[Any] = ()) -> list[Row]:
        """The rows that one command in SQL gives."""
        with self._named_errors():
            return self._connection.execute(command, values).fetchall()

    def write(self, command: str, rows: Iterable[Sequence[Any]]) -> None:
        """One command in SQL for many rows."""
        with self._named_errors():
            self._connection.executemany(command, rows)

    def find(self, table: str, ids: Sequence[str]) -> dict[str, Row]:
        """The rows of `predictions` or `answers` with these ids, by id."""
        found = {}
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            with self.decoding():
                for row in self.execute(f"SELECT * FROM {table} WHERE id IN ({marks})", part):  # noqa: S608
                    found[row[1]] = _checked(row)
        return found

    def watches(self, kind: str) -> dict[str, Vector]:
        """The numbers of all watches of a kind, by name."""
        rows = self.execute("SELECT name, numbers FROM watches WHERE kind = ?", [kind])
        return {name: np.frombuffer(blob, np.float64).copy() for name, blob in rows}

    def set_watches(self, kind: str, numbers: dict[str, Vector]) -> None:
        """Write float64 numbers of watches of a kind."""
        rows = [(kind, name, vector.tobytes()) for name, vector in numbers.items()]
        self.write("REPLACE INTO watches VALUES (?, ?, ?)", rows)

    def events(self, kind: str) -> list[str]:
        """Texts of all events of a kind, in the order in which their names first came."""
        rows = self.execute("SELECT content FROM events WHERE kind = ? ORDER BY number", [kind])
        return [str(text) for (text,) in rows]

    def load(self, kind: type[_T]) -> list[_T]:
        """All events of `Episode`, `Sign` or `Refit`, in the order in which they came."""
        name = kind.__name__.lower()
        return [_files.from_plain(kind, json.loads(text), name) for text in self.events(name)]

    def set_events(self, kind: str, contents: Iterable[tuple[str, str]]) -> None:
        """Add events, or replace the text of those whose name is there: pairs of name and text."""
        self.write(
            "INSERT INTO events (kind, name, content) VALUES (?, ?, ?) "
            "ON CONFLICT (kind, name) DO UPDATE SET content = excluded.content",
            [(kind, name, content) for name, content in contents],
        )

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Errors of SQLite as those of files: damage is a `ValueError`, all else an `OSError`."""
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if isinstance(error, sqlite3.OperationalError) and "no such" not in str(error):
                raise OSError(f"{self.path}: {error}") from error
            if isinstance(error, sqlite3.ProgrammingError):  # it was closed
                raise ValueError(f"{self.path or 'monitor'}: {error}") from error
            what = "no database of a monitor, or a damaged one"
            raise ValueError(f"{self.path}: {what} ({error})") from error

    def _open(self, settings: str) -> None:
        self._check()
        if self.path is not None:
            self._use_log()
        if self._check():
            return
        with self.transaction(writing=True):
            if not self._check():
                for command in _TABLES.split(";\n"):
                    self.execute(command)
                self.execute("INSERT INTO settings VALUES (?, ?)", [settings, __version__])
                self.execute(f"PRAGMA application_id = {APPLICATION}")
                self.execute(f"PRAGMA user_version = {SCHEMA}")

    def _check(self) -> bool:
        """Whether the tables are there; an error if they are those of somebody else."""
        # The id last: another process may make all three, at once, between two of these reads.
        tables = self.execute("SELECT 1 FROM sqlite_master")
        schema, application = self._pragma("user_version"), self._pragma("application_id")
        if application == APPLICATION and schema > SCHEMA:
            by = self.execute("SELECT written_by FROM settings")[0][0]
            raise ValueError(
                f"{self.path}: written by thermometer {by} in schema {schema}; this is "
                f"{__version__}, which reads up to {SCHEMA}; upgrade it"
            )
        if application != APPLICATION and (application or schema or tables):
            raise ValueError(f"{self.path}: an SQLite file of something else than a monitor")
        if application:
            self._compare_schema()
        return bool(application)

    def _compare_schema(self) -> None:
        """Raise unless the file has exactly the tables of a monitor."""
        question = "SELECT type, name, tbl_name, sql FROM sqlite_master"
        made = sqlite3.connect(":memory:")
        made.executescript(_TABLES)
        expected = set(made.execute(question))
        made.close()
        if differing := {row[:2] for row in expected ^ set(self.execute(question))}:
            kind, name = min(differing, key=str)
            what = f"{kind} {name!r} is missing, changed or was added"
            raise ValueError(f"{self.path}: not the tables of a monitor ({what})")

    def _use_log(self) -> None:
        """WAL mode; SQLite does not wait by itself for a process that is just doing the same."""
        end = time.monotonic() + _WAIT
        while self._pragma("journal_mode") != "wal":
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def _pragma(self, name: str) -> Any:
        return self.execute(f"PRAGMA {name}")[0][0]


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
        "fitted": _files.plain({name: getattr(recalibrator, name) for name in kind.fitted}),
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


_COUNTS = ("recorded", "labelled", "forgotten", "version")
_BLOCKS = 10  # blocks of the history in a window, at first


@dataclass(frozen=True)
class Refit:
    """A recalibration.

    Args:
        number: Number of the last answer before it.
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
    """The content of a monitor in a store; each change is one transaction.

    `alarms` are those of segments by name, and of all answers under `None`.
    """

    def __init__(self, store: Store, settings: MonitorSettings) -> None:
        self.store = store
        self.settings = settings
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.recalibrator: ConfidenceRecalibrator | None = None
        self._version = -1
        self._process = os.getpid()
        self._changed = False
        self._episodes: list[Episode] = []
        self._new_signs: list[Sign] = []
        self._start()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One transaction; when it fails, what is at hand is forgotten with it."""
        with self.store.lock:
            try:
                with self.store.transaction(writing=True):
                    self.refresh()
                    self._episodes, self._new_signs, self._changed = [], [], False
                    yield
                    if self._changed:
                        self.counts["version"] += 1
                        self._save()
            except BaseException:
                self._version = -1
                raise
            self._version = self.counts["version"]

    def refresh(self) -> None:
        """Read what other processes have written."""
        with self.store.decoding():
            found = self.store.execute("SELECT name, value FROM counts")
            self.counts = dict.fromkeys(_COUNTS, 0) | dict(found)
            if self._version != self.counts["version"] or self._process != os.getpid():
                self._load()
                self._version, self._process = self.counts["version"], os.getpid()

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
        numbers, _, confidence, _, times, _ = zip(*rows, strict=True)
        self._new_signs += self.signs["confidence"].update(confidence, numbers, times)
        given = [(row[5], row[0], row[4]) for row in rows if row[5] is not None]
        if given:
            self._new_signs += self.signs["temperature"].update(*zip(*given, strict=True))
        self.counts["recorded"] += len(rows)
        if (excess := self.n_pending - self.settings.max_pending) > 0:
            oldest = "SELECT number FROM predictions ORDER BY number LIMIT ?"
            self.store.execute(f"DELETE FROM predictions WHERE number IN ({oldest})", [excess])  # noqa: S608
            self.counts["forgotten"] += excess

    def add_answers(self, rows: Sequence[Row]) -> list[Episode]:
        """Labels of waiting predictions: the row of each with its outcome; what they change."""
        self._changed = True
        waiting, _, confidence, segments, times, _, outcomes = zip(*rows, strict=True)
        claimed, correct = self.applied(np.array(confidence)), np.array(outcomes, np.float64)
        first = self.counts["labelled"] + 1
        numbers = list(range(first, first + len(rows)))
        answers = [
            (number, *row[1:6], shown, int(row[6]))
            for number, row, shown in zip(numbers, rows, claimed.tolist(), strict=True)
        ]
        self.store.write("DELETE FROM predictions WHERE number = ?", [(n,) for n in waiting])
        self.store.write("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)", answers)
        self.counts["labelled"] += len(rows)
        oldest = self.counts["labelled"] - self.settings.window
        self.store.execute("DELETE FROM answers WHERE number <= ?", [oldest])
        self.history.add(claimed, correct, numbers, list(times))
        members: dict[str | None, list[int]] = {None: list(range(len(rows)))}
        for row, name in enumerate(segments):
            if name is not None:
                members.setdefault(name, []).append(row)
        changes: list[Episode] = []
        for name, own in members.items():
            if name in self.alarms or len(self.alarms) <= self.settings.max_segments:
                when = [numbers[i] for i in own], [times[i] for i in own]
                changes += self._alarm(name).update(claimed[own], correct[own], *when)
                self._touched.add(name)
        changes.sort(key=lambda episode: episode.ended or episode.raised)
        self._episodes += changes
        return changes

    def refit(self, recalibrator: ConfidenceRecalibrator, rows: Sequence[Row]) -> None:
        """Use a recalibrator that was fitted on answers from now on, and start all alarms anew."""
        self._changed = True
        number, at = self.counts["labelled"], float(rows[-1][4])
        refit = Refit(number, at, len(rows), int(rows[0][0]), type(recalibrator).__name__)
        text, version = to_json(recalibrator), str(self.counts["version"])
        self.store.set_events("refit", [(version, json.dumps(asdict(refit)))])
        self.store.set_events("recalibrator", [(version, text)])
        self.recalibrator = from_json(text)
        self._touched.update(self.alarms)
        ended = [alarm.restart(number, at) for alarm in self.alarms.values()]
        self._episodes += [episode for episode in ended if episode is not None]

    def window(self, since: int = 1) -> list[Row]:
        """Labelled answers of the window, from a number on, in the order of their labels."""
        newer = "SELECT * FROM answers WHERE number >= ? ORDER BY number"
        with self.store.decoding():
            rows = [_checked(row) for row in self.store.execute(newer, [since])]
        if self.settings.max_age is None or not rows:
            return rows
        # A time in the future, of a clock that is wrong, must not make all others old.
        both = "SELECT time FROM predictions UNION ALL SELECT time FROM answers"
        past = f"SELECT max(time) FROM ({both}) WHERE time <= ?"  # noqa: S608
        now = time.time()
        latest = self.store.execute(past, [now])[0][0]
        latest = now if latest is None else latest
        return [row for row in rows if row[4] >= latest - self.settings.max_age]

    def _start(self) -> None:
        """The state of a monitor that has seen nothing."""
        settings = self.settings
        overall = CalibrationAlarm(settings.bets, settings.overall_level)
        self.alarms: dict[str | None, CalibrationAlarm] = {None: overall}
        names = ("confidence", "temperature")
        self.signs = {name: EarlySign(name, settings.sign_level) for name in names}
        self.history = History(max(settings.window // _BLOCKS, 1), n_bins=settings.n_bins)
        self._touched: set[str | None] = set()

    def _alarm(self, segment: str | None) -> CalibrationAlarm:
        """The alarm of a segment, made if it is not there."""
        if segment not in self.alarms:
            level = self.settings.segment_level
            self.alarms[segment] = CalibrationAlarm(self.settings.bets, level, segment)
        return self.alarms[segment]

    def _save(self) -> None:
        """Write what has changed, with the episodes and signs that are new."""
        store, history = self.store, self.history
        touched = {json.dumps(name): self.alarms[name].to_vector() for name in self._touched}
        store.set_watches("alarm", touched)
        store.set_watches("sign", {name: sign.to_vector() for name, sign in self.signs.items()})
        store.set_watches("history", {"": np.array([float(history.size)])})
        first = history.first_changed
        blocks = [(i, block.tobytes()) for i, block in enumerate(history.blocks[first:], first)]
        store.execute("DELETE FROM blocks WHERE number >= ?", [first])
        store.write("INSERT INTO blocks VALUES (?, ?)", blocks)
        history.first_changed = len(history.blocks)
        self._touched.clear()
        episodes = [([e.segment, e.raised], asdict(e)) for e in self._episodes]
        signs = [([s.name, s.raised], asdict(s)) for s in self._new_signs]
        for kind, events in (("episode", episodes), ("sign", signs)):
            store.set_events(kind, [(json.dumps(key), json.dumps(one)) for key, one in events])
        store.write("REPLACE INTO counts VALUES (?, ?)", self.counts.items())

    def _load(self) -> None:
        """What `_save` wrote last, by whichever process."""
        store = self.store
        self._start()
        opened = {e.segment: e for e in store.load(Episode) if e.ended is None}
        for text, state in store.watches("alarm").items():
            segment = json.loads(text)
            alarm = self._alarm(segment)
            alarm.load_vector(state, opened.get(segment))
            if not alarm.wealth > 0:
                raise _checks.fail("wealth", "a number above 0", alarm.wealth)
        for name, state in store.watches("sign").items():
            self.signs[name].load_vector(state)
        for state in store.watches("history").values():
            self.history.size = int(state[0])
        blocks = store.execute("SELECT numbers FROM blocks ORDER BY number")
        self.history.blocks = [np.frombuffer(blob, np.float64).copy() for (blob,) in blocks]
        self.history.first_changed = len(self.history.blocks)
        fits = store.events("recalibrator")
        self.recalibrator = from_json(fits[-1]) if fits else None
