"""Give damaged files to the package and judge what comes back.

Each input must end in a right answer or in an error of ours that names the cause: never a crash, a
hang, code executed, or a file outside the folder. `python tests/fuzz/long_run.py` runs many; one
input is reproduced by its target, seed and number.
"""

import os
import random
import shutil
import signal
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mutators import mutate

SECONDS = 5
"""Longer is a hang."""
OURS = (ValueError, TypeError, OSError)
PACKAGE = "thermometer"


@dataclass(frozen=True)
class Target:
    """Something that reads files.

    Args:
        name: For the report.
        make: Writes a good sample into an empty folder.
        read: Reads the folder and asserts whatever must hold of a right answer.
        files: Which of the files are damaged; all by default.
        names: Words of which an error's message must have one, beside the damaged file's name.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], object]
    files: tuple[str, ...] = ()
    names: tuple[str, ...] = field(default=("Expected", "expected", "manifest"))


@dataclass(frozen=True)
class Finding:
    """An input that ended in no right answer and in no error of ours."""

    target: str
    number: int
    what: str
    detail: str = ""


class Hang(BaseException):
    """No `Exception`, so that nobody catches it on the way."""


def _alarm(*_: object) -> None:
    raise Hang


def run_one(target: Target, sample: Path, room: Path, seed: int, number: int) -> Finding | str:
    """Damage one copy of a sample and read it.

    Args:
        target: What reads.
        sample: Folder that `target.make` filled.
        room: An empty folder for this input; the copy is made in its folder ``in``.
        seed: Of the run.
        number: Of the input.

    Returns:
        A finding, or how it ended: ``answer``, or the name of the error's class.
    """
    rng = random.Random(f"{seed}/{target.name}/{number}")
    folder = room / "in"
    shutil.copytree(sample, folder)
    names = sorted(target.files or (str(p.relative_to(sample)) for p in _files(sample)))
    for name in rng.sample(names, k=rng.choice((1, 1, 1, min(2, len(names))))):
        damage(folder / name, rng)
    before = set(_files(folder))
    os.chdir(room)
    signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(folder)
        ended: Finding | str = "answer"
    except Hang:
        ended = Finding(target.name, number, f"longer than {SECONDS} s", traceback.format_exc())
    except OURS as error:
        ended = type(error).__name__
        if isinstance(error, UnicodeError) or not _is_plain(str(error), names, target.names):
            what = f"an error that does not name the cause: {ended}: {str(error)[:200]}"
            ended = Finding(target.name, number, what, traceback.format_exc())
    except Exception as error:
        what = f"{type(error).__name__}: {str(error)[:200]}"
        ended = Finding(target.name, number, what, traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    wanted = {room / "in" / path.relative_to(sample) for path in _files(sample)}
    left = set(_files(room)) - before - wanted
    left = {
        path
        for path in left
        if "out" not in path.relative_to(room).parts
        and not path.name.endswith(("-wal", "-shm"))  # SQLite's, of a database too damaged to close
    }
    if left:
        return Finding(target.name, number, f"files left behind: {sorted(map(str, left))[:3]}")
    if (room / "EXECUTED").exists() or (room.parent / "EXECUTED").exists():
        return Finding(target.name, number, "code of the input was executed")
    return ended


def damage(file: Path, rng: random.Random) -> None:
    """Change a file's content, or now and then what is at its place."""
    action = rng.random()
    if action < 0.94 or not file.is_file():
        file.write_bytes(mutate(file.name, file.read_bytes(), rng))
    elif action < 0.96:
        file.write_bytes(b"")
    elif action < 0.97:
        file.unlink()
    elif action < 0.98:
        file.unlink()
        file.mkdir()
    elif action < 0.99:
        file.unlink()
        file.symlink_to(file)  # a loop
    else:
        file.unlink()
        file.symlink_to("/dev/null")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]


def _is_plain(message: str, files: list[str], words: tuple[str, ...]) -> bool:
    """Whether a message says where the trouble is, in one line or a few."""
    if not message.strip() or len(message) > 4000:
        return False
    return any(Path(name).name in message for name in files) or any(w in message for w in words)
