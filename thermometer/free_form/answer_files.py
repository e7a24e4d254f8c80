"""JSON lines that grow while a long run goes on, and that a killed run goes on writing.

What made a file stands beside it, so that a run with other questions, models or settings does not
go on with it. Nothing here knows what the lines say.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from thermometer import _files


class GrowingLines:
    """A file of JSON objects, one a line, each with an `id`; lines are added and synced to disk.

    A last line that was not written to its end is taken off when the file is opened.

    Args:
        path: The file; made with its folder if it does not exist.
        ids: Of everything that will be written, in this order; some may be left out.
        made_by: JSON values that decide what is written.

    Raises:
        ValueError: If the file has lines that something else made, that are no JSON objects, or
            whose ids do not come in the order of `ids`. The message names what differs.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "answers.jsonl"
        >>> with GrowingLines(path, ["a", "b"], {"model": "x"}) as lines:
        ...     lines.append([{"id": "a"}])
        >>> with GrowingLines(path, ["a", "b"], {"model": "x"}) as lines:
        ...     lines.n_done
        1
    """

    def __init__(self, path: str | Path, ids: Sequence[str], made_by: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._made_by = self.path.with_name(f"{self.path.name}.made_by.json")
        self._check(made_by)
        self.n_done = self._recover(ids)
        """Number of leading `ids` that are dealt with: up to that of the last line."""
        self._file = self.path.open("ab")

    def __enter__(self) -> "GrowingLines":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows, and return when they are on the disk."""
        text = "".join(f"{json.dumps(row, ensure_ascii=False, allow_nan=False)}\n" for row in rows)
        self._file.write(text.encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def _check(self, made_by: Mapping[str, Any]) -> None:
        """Raise unless the file is new or was made by the same; note down what makes it."""
        wanted = json.loads(json.dumps(made_by))
        begun = self.path.exists() and self.path.stat().st_size > 0
        if begun and self._made_by.is_file():
            found = _files.read_json(self._made_by)
            keys = sorted({*wanted, *found})
            if differing := [key for key in keys if wanted.get(key) != found.get(key)]:
                raise ValueError(
                    f"{self.path} was made with other {', '.join(differing)}. Choose another file, "
                    f"or delete it and {self._made_by.name}"
                )
        elif begun:
            raise ValueError(f"{self.path} exists already, made by another program")
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _files.write_text(self._made_by, json.dumps(wanted, indent=2) + "\n")

    def _recover(self, ids: Sequence[str]) -> int:
        """Cut off what is no whole line; returns how many leading ids are dealt with."""
        if not self.path.exists():
            return 0
        place = {identifier: number for number, identifier in enumerate(ids, start=1)}
        done = whole = 0
        with self.path.open("rb+") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                where = f"{self.path}, line {number}"
                try:
                    row = _files.parse_json(line.decode(), where)
                except UnicodeDecodeError as error:
                    raise ValueError(f"{where}: not UTF-8 ({error})") from error
                identifier = row.get("id") if isinstance(row, dict) else None
                position = place.get(identifier, 0) if isinstance(identifier, str) else 0
                if position <= done:
                    raise ValueError(f"{where}: expected a later id of the questions, got {line!r}")
                done, whole = position, whole + len(line)
            file.truncate(whole)
        return done
