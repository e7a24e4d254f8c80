"""The tables of a monitor in SQLite: in a file that several processes write, or in memory.

A file is in WAL mode and every commit is synchronised, so that what a call has acknowledged is
there after kill -9 or a power cut. Nothing in it is executed.
"""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermometer import __version__

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


class Store:
    """An open database with the tables of a monitor.

    Args:
        path: A file, made if it is not there; `None` is memory.
        settings: Text that is kept in a new database.

    Raises:
        FileNotFoundError: If its folder is not there.
        OSError: If the file cannot be opened, read or written, now or later; names the file.
        ValueError: If the file is no monitor, a newer version wrote it, or it is damaged.
    """

    def __init__(self, path: str | Path | None, settings: str) -> None:
        self.path = None if path is None else Path(path)
        if self.path is not None and not self.path.absolute().parent.is_dir():
            raise FileNotFoundError(f"{path}: its folder is not there")
        self.lock = threading.RLock()
        with self._named_errors():
            self._connection = sqlite3.connect(
                ":memory:" if path is None else path,
                timeout=_WAIT,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            self._open(settings)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the database; a second time does nothing."""
        self._connection.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All that is done inside is written, or none of it; other writers wait."""
        with self.lock:
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that is read inside belongs to one moment."""
        with self.lock:
            self._execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._execute("COMMIT")

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """What is read inside was written by a monitor; whatever does not fit is damage."""
        try:
            yield
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path}: damaged ({error})") from error

    def rows(self, question: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The answer to a question in SQL."""
        with self._named_errors():
            return self._connection.execute(question, values).fetchall()

    def write(self, command: str, rows: Iterable[Sequence[Any]]) -> None:
        """One command in SQL for many rows."""
        with self._named_errors():
            self._connection.executemany(command, rows)

    def find(self, table: str, ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """The rows of `predictions` or `answers` with these ids, by id."""
        found = {}
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            for row in self.rows(f"SELECT * FROM {table} WHERE id IN ({marks})", part):  # noqa: S608
                found[row[1]] = row
        return found

    def counts(self) -> dict[str, int]:
        """All counts by name."""
        return dict(self.rows("SELECT name, value FROM counts"))

    def set_counts(self, counts: dict[str, int]) -> None:
        """Keep these counts."""
        self.write("REPLACE INTO counts VALUES (?, ?)", counts.items())

    def watches(self, kind: str) -> dict[str, NDArray[np.float64]]:
        """Numbers kept for all watches of a kind, by name."""
        question = "SELECT name, numbers FROM watches WHERE kind = ?"
        return {
            n: np.frombuffer(blob, np.float64).copy() for n, blob in self.rows(question, [kind])
        }

    def set_watches(self, kind: str, numbers: dict[str, NDArray[np.float64]]) -> None:
        """Keep float64 numbers of watches of a kind."""
        rows = [(kind, name, np.asarray(v, np.float64).tobytes()) for name, v in numbers.items()]
        self.write("REPLACE INTO watches VALUES (?, ?, ?)", rows)

    def events(self, kind: str) -> list[str]:
        """Texts of all events of a kind, in the order in which their names first came."""
        question = "SELECT content FROM events WHERE kind = ? ORDER BY number"
        return [str(text) for (text,) in self.rows(question, [kind])]

    def set_events(self, kind: str, contents: Iterable[tuple[str, str]]) -> None:
        """Add events, or replace the text of those whose name is there: pairs of name and text."""
        self.write(
            "INSERT INTO events (kind, name, content) VALUES (?, ?, ?) "
            "ON CONFLICT (kind, name) DO UPDATE SET content = excluded.content",
            [(kind, name, content) for name, content in contents],
        )

    def blocks(self) -> list[NDArray[np.float64]]:
        """The blocks of the history."""
        found = self.rows("SELECT numbers FROM blocks ORDER BY number")
        return [np.frombuffer(blob, np.float64).copy() for (blob,) in found]

    def set_blocks(self, first: int, blocks: Sequence[NDArray[np.float64]]) -> None:
        """Replace all blocks from a position on."""
        self.write("DELETE FROM blocks WHERE number >= ?", [(first,)])
        rows = [(first + i, block.tobytes()) for i, block in enumerate(blocks)]
        self.write("INSERT INTO blocks VALUES (?, ?)", rows)

    def _execute(self, command: str) -> None:
        with self._named_errors():
            self._connection.execute(command)

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
            raise ValueError(
                f"{self.path}: no database of a monitor, or a damaged one ({error})"
            ) from error

    def _open(self, settings: str) -> None:
        self._check()
        if self.path is not None:
            self._use_log()
            self._execute("PRAGMA synchronous = FULL")
        if self._check():
            return
        with self.writing():
            if not self._check():
                for command in _TABLES.split(";\n"):
                    self._execute(command)
                self.write("INSERT INTO settings VALUES (?, ?)", [(settings, __version__)])
                self._execute(f"PRAGMA application_id = {APPLICATION}")
                self._execute(f"PRAGMA user_version = {SCHEMA}")

    def _check(self) -> bool:
        """Whether the tables are there; an error if they are those of somebody else."""
        # The id last: another process may make all three, at once, between two of these reads.
        tables = self.rows("SELECT 1 FROM sqlite_master")
        schema = self._pragma("user_version")
        application = self._pragma("application_id")
        if application == APPLICATION and schema > SCHEMA:
            by = self.rows("SELECT written_by FROM settings")[0][0]
            raise ValueError(
                f"{self.path}: written by thermometer {by} in schema {schema}; this is "
                f"{__version__}, which reads up to {SCHEMA}; upgrade it"
            )
        if application != APPLICATION and (application or schema or tables):
            raise ValueError(f"{self.path}: an SQLite file of something else than a monitor")
        return bool(application)

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
        return self.rows(f"PRAGMA {name}")[0][0]

    @property
    def settings(self) -> str:
        """The text that was kept when the database was made."""
        with self.decoding():
            return str(self.rows("SELECT content FROM settings")[0][0])
