"""Files as the package writes and reads them: whole or not at all, and errors name them.

Everything is written under a temporary name of its own, which is locked, and then renamed: a killed
run leaves whole files or none, and writers of one place do not disturb each other. Dataclasses are
read from JSON strictly by their annotations: a damaged or edited file is refused, and the error
names the key.
"""

import ctypes
import errno
import glob
import gzip
import hashlib
import json
import math
import os
import platform
import re
import secrets
import shutil
import socket
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import MISSING, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from thermometer import _checks

try:
    import fcntl
except ImportError:  # not on Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")
_DAY = 86_400  # seconds
MOST = 1 << 28
"""Bytes of a file of a checkpoint or a manifest that are read at most."""
_LONGEST = 200  # bytes of a name to which an ending may be added; file systems take 255
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux, in fcntl.h and fs.h


@contextmanager
def _temporary(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """A new hidden file or folder beside `path`, locked for as long as its writer lives."""
    while True:
        unfinished = path.with_name(f".{_stem(path.name)}.{_kernel()}.{secrets.token_hex(8)}.tmp")
        if folder:
            unfinished.mkdir()
        else:
            unfinished.touch(exist_ok=False)
        lock = _lock(unfinished, wait=True)
        if unfinished.exists():  # else `sweep` came between
            break
        _unlock(lock)
    try:
        yield unfinished
    finally:
        _remove(unfinished)
        _unlock(lock)


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left unfinished in a folder, of any file or of one name.

    What is locked stays. Where a lock says nothing, since another machine wrote it or the file
    system has none, it stays for a day. An old folder that a killed process had moved away is moved
    back.
    """
    stem = "*" if name is None else glob.escape(_stem(name))
    for left in folder.glob(f".{stem}.*.*.tmp"):
        with _if_over(left) as over:
            if over:
                _remove(left)
    for old in folder.glob(f".{stem}.*.*.old") if name is not None else ():
        with _if_over(old) as over:
            if over and (folder / str(name)).exists():
                _remove(old)
            elif over:
                os.replace(old, folder / str(name))


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write a file, which comes to `path` when the block ends without an error.

    Raises:
        OSError: What the block raised, naming the file and not its temporary name.
    """
    beginning = f".{_stem(path.name)}."
    try:
        with _temporary(path) as unfinished:
            yield unfinished
            os.replace(unfinished, path)
    except OSError as error:
        if error.filename is None or Path(os.fsdecode(error.filename)).name.startswith(beginning):
            why = f"cannot be written ({error.strerror or error})"
            raise OSError(error.errno, why, str(path)) from error
        raise


def require_place(path: str | Path) -> Path:
    """Find out before long work whether a file can be written in the end; returns its path.

    Nothing is changed: an existing file stays, a missing folder is not made.

    Raises:
        OSError: If there is a folder of that name, or nothing can be written where it would be.
    """
    file = Path(path)
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder; name a file in it")
    nearest = next(folder for folder in file.parents if folder.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"{file} cannot be written: {nearest} is a file, no folder")
    try:
        with _temporary(nearest / file.name):
            pass
    except OSError as error:
        raise OSError(error.errno, f"cannot be written ({error.strerror})", str(file)) from error
    return file


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8 atomically; if that fails, nothing is left behind."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_all(folder: str | Path, contents: Mapping[str, str | bytes]) -> Path:
    """Write texts in UTF-8 and pictures into a folder, each atomically; returns the folder.

    Args:
        folder: Made if needed; files of the same names are replaced.
        contents: By file name.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with whole_file(folder / name) as unfinished:
            unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def own_file(file: Path, most: int = MOST) -> Path:
    """`file`, if it is a plain file of its folder, and not too large.

    A folder of a stranger may hold links to secrets, which whoever publishes it again would copy,
    or pipes and devices. Of links only those of a hub's cache are followed, which lead from
    `snapshots` to `blobs`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no plain file, leads elsewhere or has more than `most` bytes.
    """
    home, real = file.parent.resolve(), file.resolve(strict=True)
    caches = [folder.parent / "blobs" for folder in home.parents if folder.name == "snapshots"]
    if real.parent not in (home, *caches):
        raise ValueError(f"{file}: a link to {real}, outside of its folder; put the file itself")
    found = real.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{file}: not a plain file")
    if found.st_size > most:
        raise ValueError(f"{file}: {found.st_size:,} bytes, and at most {most:,} are read")
    return file


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is of another encoding. The message names the file.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error})") from error


def parse_json(text: str, where: object, *, constants: bool = False, halves: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        text: The text.
        where: Named in errors: a file, a line of it, an argument.
        constants: Whether NaN and infinity, which JSON does not have, are taken.
        halves: Whether halves of surrogate pairs are, as in tokens that hold a part of a character.

    Raises:
        ValueError: If it is not JSON, nested too deeply to be read, has a key twice, a number
            beyond float64, or half of a surrogate pair.

    Example:
        >>> parse_json("[1, NaN]", "answers.json")
        Traceback (most recent call last):
        ...
        ValueError: answers.json: not JSON (NaN is no number)
    """
    constant = float if constants else _no_constant
    try:
        value = json.loads(
            text,
            parse_constant=constant,
            parse_float=float if constants else _finite,
            object_pairs_hook=_each_once,
        )
        if not halves and "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        raise ValueError(f"{where}: not text that UTF-8 can hold ({error.reason})") from error
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({error})") from error
    except RecursionError:
        raise ValueError(f"{where}: not JSON that can be read (nested too deeply)") from None


def read_json(path: Path, *, constants: bool = False) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        OSError: If it cannot be read.
        ValueError: As `read_text` and `parse_json`, and if it holds no object.
    """
    content = parse_json(read_text(path), path, constants=constants)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def read_lines(path: Path, *, constants: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 1, and object of each line of a JSON lines file; blank lines are left out.

    Args:
        path: UTF-8, with or without a byte order mark; compressed if it ends in ``.gz``.
        constants: As for `parse_json`.

    Raises:
        OSError: If it cannot be read.
        ValueError: For a line that is no JSON object, another encoding or a damaged gzip file. The
            message names file and line.
    """
    for number, line in enumerate(text_lines(path), start=1):
        if line.strip():
            yield number, _object(line, f"{path}, line {number}", constants)


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a text file with their ends as they are; see `read_lines` for kinds and errors.

    A line ends with a line feed, a carriage return, or both.
    """
    number = 0
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as lines:
            for line in lines:
                number += 1
                yield line
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, after line {number}: not UTF-8 ({error})") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}, after line {number}: damaged gzip file ({error})") from error


def _object(line: str, where: str, constants: bool) -> dict[str, Any]:
    """The JSON object of a line, or an error that says what JSON lines are."""
    try:
        row = parse_json(line, where, constants=constants)
    except ValueError as error:
        raise ValueError(f"{error}: expected one JSON object on each line") from error
    if not isinstance(row, dict):
        raise ValueError(f"{where}: expected a JSON object on each line, got {row!r:.60}")
    return row


class GrowingLines:
    """A file of JSON objects, one a line, each with an `id`; lines are added and synced to disk.

    A last line that was not written to its end is taken off when the file is opened.

    Args:
        path: The file; made with its folder if it does not exist.
        ids: Of everything that will be written, in this order; some may be left out.
        provenance: JSON values that decide what is written.

    Raises:
        BlockingIOError: If another run is writing it.
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

    def __init__(self, path: str | Path, ids: Sequence[str], provenance: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._record = self.path.with_name(f"{self.path.name}.made_by.json")
        self._check(provenance)
        self._file = self.path.open("ab")
        self._lock = None
        try:
            self._lock = _lock(self.path, wait=False)
            self.n_done = self._recover(ids)
            """Number of leading `ids` that are dealt with: up to that of the last line."""
        except BaseException:
            self._file.close()
            _unlock(self._lock)
            raise

    def __enter__(self) -> "GrowingLines":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        _unlock(self._lock)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows, and return when they are on the disk."""
        text = "".join(f"{json.dumps(row, ensure_ascii=False, allow_nan=False)}\n" for row in rows)
        self._file.write(text.encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def _check(self, provenance: Mapping[str, Any]) -> None:
        """Raise unless the file is new or was made by the same; note down what makes it."""
        wanted = json.loads(json.dumps(provenance))
        begun = self.path.exists() and self.path.stat().st_size > 0
        if begun and self._record.is_file():
            found = read_json(self._record)
            keys = sorted({*wanted, *found})
            if differing := [key for key in keys if wanted.get(key) != found.get(key)]:
                raise ValueError(
                    f"{self.path} was made with other {', '.join(differing)}. Choose another file, "
                    f"or delete it and {self._record.name}"
                )
        elif begun:
            raise ValueError(f"{self.path} exists already, made by another program")
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._record, json.dumps(wanted, indent=2) + "\n")

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
                    row = parse_json(line.decode(), where)
                except UnicodeDecodeError as error:
                    raise ValueError(f"{where}: not UTF-8 ({error})") from error
                identifier = row.get("id") if isinstance(row, dict) else None
                position = place.get(identifier, 0) if isinstance(identifier, str) else 0
                if position <= done:
                    raise ValueError(f"{where}: expected a later id of the questions, got {line!r}")
                done, whole = position, whole + len(line)
            file.truncate(whole)
        return done


def is_vacant(path: Path) -> bool:
    """Whether a new folder may be put at a place: there is nothing, or an empty folder."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


@contextmanager
def replaced_folder(path: Path, keep: Callable[[Path, Path], None] | None = None) -> Iterator[Path]:
    """An empty folder that takes the place of `path` when the block ends without an error.

    If anything fails, the old folder stays as it was. Writers of one place come one after another;
    on Linux both folders change places in one step, so that there is one at every moment.

    Args:
        path: Of the folder; its parents are made.
        keep: Copies what must stay from the old folder, if there is one, into the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, path.name)
    with _temporary(path, folder=True) as unfinished:
        yield unfinished
        with settled(path):
            if keep is not None and path.exists():
                keep(path, unfinished)
            if not path.exists():
                os.replace(unfinished, path)
            elif not _exchange(unfinished, path):
                old = unfinished.with_suffix(".old")
                os.replace(path, old)
                try:
                    os.replace(unfinished, path)
                except OSError:
                    os.replace(old, path)
                    raise
                _remove(old)


@contextmanager
def settled(path: Path) -> Iterator[None]:
    """Inside, no `replaced_folder` puts another folder in the place of `path`."""
    lock = _lock(path.parent, wait=True)
    try:
        yield
    finally:
        _unlock(lock)


def read_folder(path: Path, read: Callable[[Path], T]) -> T:
    """What `read` makes of a folder, read again if another one took its place meanwhile."""
    while True:
        before = _identity(path)
        try:
            found = read(path)
        except (OSError, ValueError):
            if _identity(path) == before:
                raise
            continue
        if _identity(path) == before:
            return found


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a folder from every other that is or was in its place."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _exchange(a: Path, b: Path) -> bool:
    """Let two folders change places in one step; whether the system can."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if fcntl else None
    if rename is None:
        return False
    paths = os.fsencode(a.absolute()), os.fsencode(b.absolute())
    return bool(rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)


def _stem(name: str) -> str:
    """A file's name in those of its temporary files: a digest where it is very long."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= _LONGEST else hashlib.sha256(encoded).hexdigest()


def _kernel() -> str:
    """What is the same for processes that see each other's locks: containers of one machine do."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return socket.gethostname().replace(".", "-")


def _lock(path: Path, *, wait: bool) -> int | None:
    """Lock a file or folder until `_unlock`, or until the process ends.

    Returns:
        The lock; `None` where there is no locking.

    Raises:
        BlockingIOError: If somebody else has it, and not to `wait`.
    """
    if fcntl is None:
        return None
    try:
        lock = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        os.close(lock)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise BlockingIOError(error.errno, "locked by another writer", str(path)) from error
        return None
    return lock


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


@contextmanager
def _if_over(left: Path) -> Iterator[bool]:
    """Whether nobody is at work on an unfinished file or folder; nobody can begin inside."""
    lock, over = None, False
    with suppress(BlockingIOError, FileNotFoundError):
        if left.name.split(".")[-3] == _kernel():
            lock = _lock(left, wait=False)
        over = lock is not None or time.time() - left.lstat().st_mtime > _DAY
    try:
        yield over
    finally:
        _unlock(lock)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"{text} is beyond the largest number")
    return number


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of a key that stands twice Python would silently take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise ValueError(f"the key {twice!r} stands twice")
    return found


def from_plain(kind: type[T], value: Any, name: str = "value") -> T:
    """The value of a given type that a JSON value stands for.

    Args:
        kind: A dataclass whose fields are of these types: `str`, `int`, `float`, `bool`, literals,
            lists, tuples of any length, dicts with texts as keys, numpy arrays, dataclasses, any of
            them or `None`; or one of these types itself.
        value: From `json.loads`.
        name: Named in errors, before the key.

    Raises:
        ValueError: For a missing or unknown key, a value of another type, or one that the dataclass
            itself refuses. The message names the key.

    Example:
        >>> from thermometer.metrics.intervals import Interval
        >>> from_plain(Interval, {"estimate": 1, "low": 0.5, "high": None}, "ece")
        Interval(estimate=1.0, low=0.5, high=nan)
        >>> from_plain(Interval, {"estimate": 1, "low": "0", "high": 2}, "ece")
        Traceback (most recent call last):
        ...
        ValueError: Expected `ece.low` to be a number, but got '0'
    """
    found: T = _from(kind, value, name)
    return found


def plain(value: Any) -> Any:
    """JSON values: arrays as lists, NaN as None.

    Example:
        >>> plain({"a": np.array([1.0, np.nan])})
        {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _from(kind: Any, value: Any, name: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        options = [option for option in inner if option is not NoneType]
        return None if value is None else _from(options[0], value, name)
    if origin is Literal:
        if value not in inner:
            raise _checks.fail(name, f"one of {', '.join(map(repr, inner))}", repr(value))
        return value
    if is_dataclass(kind):
        return _dataclass(kind, value, name)
    if origin in (dict, Mapping):
        pairs = _of_type(dict, value, name, "an object").items()
        return {key: _from(inner[1], item, f"{name}.{key}") for key, item in pairs}
    if origin in (tuple, list):
        items = enumerate(_of_type(list, value, name, "a list"))
        return origin(_from(inner[0], item, f"{name}[{i}]") for i, item in items)
    if origin is np.ndarray:
        return _array(get_args(inner[1])[0], value, name)
    return _scalar(kind, value, name)


def _dataclass(kind: Any, value: Any, name: str) -> Any:
    found = _of_type(dict, value, name, "an object")
    declared = {field.name: field for field in fields(kind) if field.init}
    needed = [
        key
        for key, field in declared.items()
        if field.default is MISSING and field.default_factory is MISSING
    ]
    if missing := [key for key in needed if key not in found]:
        raise _checks.fail(name, f"an object with {', '.join(missing)}", f"{sorted(found)}")
    if unknown := sorted(set(found) - set(declared)):
        raise _checks.fail(name, f"an object without {', '.join(unknown)}", f"{sorted(found)}")
    hints = get_type_hints(kind)
    values = {key: _from(hints[key], item, f"{name}.{key}") for key, item in found.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def _array(dtype: Any, value: Any, name: str) -> Any:
    kind = int if np.issubdtype(dtype, np.integer) else float
    items = [_scalar(kind, item, name) for item in _of_type(list, value, name, "a list")]
    try:
        return np.array(items, dtype=dtype)
    except OverflowError:
        raise _checks.fail(name, f"numbers of {np.dtype(dtype)}", repr(value)) from None


def _scalar(kind: Any, value: Any, name: str) -> Any:
    if kind is float and value is None:
        return float("nan")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise _checks.fail(name, "a number", f"one of {len(str(value))} digits") from None
    words = {float: "a number", int: "an integer", str: "a text", bool: "true or false"}
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _checks.fail(name, words[kind], repr(value))
    return value


def _of_type(kind: type[T], value: Any, name: str, words: str) -> T:
    if not isinstance(value, kind):
        raise _checks.fail(name, words, repr(value))
    return value


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result.

    Example:
        >>> sorted(versions())
        ['lightning', 'numpy', 'python', 'thermometer', 'torch', 'transformers']
    """
    names = ("thermometer", "torch", "transformers", "lightning", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def description() -> str:
    """Lines for a bug report: versions, the machine, and the GPUs that torch sees.

    Loads torch, which takes seconds. A dependency that is not installed is named as missing; one of
    an extra is left out.

    Example:
        >>> lines = description().splitlines()
        >>> lines[0].split()[0], lines[1].split()[0]
        ('thermometer', 'python')
    """
    lines = [f"python {platform.python_version()}", f"platform {platform.platform()}"]
    for requirement in sorted(requires("thermometer") or (), key=str.lower):
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            line = f"{name} {version(name)}"
        except PackageNotFoundError:
            line = f"{name} missing" if "extra ==" not in requirement else ""
        of_developers = re.search(r"extra == ['\"](dev|docs)['\"]", requirement)
        if line and line not in lines and not of_developers:
            lines.append(line + _devices() if name == "torch" else line)
    return "\n".join([f"thermometer {version('thermometer')}", *lines])


def _devices() -> str:
    try:
        import torch
    except Exception as error:  # a broken build is what the report is about
        return f" (does not load: {error})"
    count = torch.cuda.device_count()
    seen = ", ".join(torch.cuda.get_device_name(i) for i in range(count)) or "none"
    return f" (CUDA {torch.version.cuda or 'not built in'}; GPUs: {seen})"
