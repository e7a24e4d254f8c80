"""Files whole or not at all: what is left behind, by whom, and who may take it away."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from thermometer import _files


def leave(folder, name, ending="tmp", kernel=None):
    """What a killed process leaves behind: a hidden folder that nobody has locked."""
    left = folder / f".{name}.{kernel or _files._kernel()}.{len(list(folder.iterdir()))}.{ending}"
    left.mkdir()
    (left / "file").write_text("old")
    return left


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_text_is_there_whole_or_not_at_all(tmp_path):
    file = tmp_path / "a.txt"
    _files.write_text(file, "one ü")
    assert _files.read_text(file) == "one ü"
    with pytest.raises(UnicodeEncodeError):
        _files.write_text(file, "half \ud800")
    assert _files.read_text(file) == "one ü"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_that_cannot_be_written_is_named_and_not_its_temporary_name(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "nowhere" / "a.txt", tmp_path / "file" / "a.txt"):
        with pytest.raises(OSError, match=rf"cannot be written \(.*\): '{place}'$"):
            _files.write_text(place, "one")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="folder"):
        _files.write_text(tmp_path / "folder", "one")
    assert names(tmp_path) == ["file", "folder"]


def test_a_place_is_tried_without_a_trace(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    assert _files.require_place(tmp_path / "a.txt").read_text() == "old"
    _files.require_place(str(tmp_path / "new" / "er" / "b.txt"))
    assert names(tmp_path) == ["a.txt"]
    with pytest.raises(IsADirectoryError, match=f"{tmp_path} is a folder"):
        _files.require_place(tmp_path)
    with pytest.raises(NotADirectoryError, match=r"a\.txt is a file, no folder"):
        _files.require_place(tmp_path / "a.txt" / "b.txt")
    _files.write_text(_files.require_place(tmp_path / ("n" * 250)), "as long as may be")
    with pytest.raises(OSError, match=r"name too long: '.*/n{300}'"):
        _files.require_place(tmp_path / ("n" * 300))


def test_unfinished_files_of_the_dead_are_taken_away_and_no_others(tmp_path):
    leave(tmp_path, "a")
    theirs = leave(tmp_path, "a", kernel="elsewhere")
    forgotten = leave(tmp_path, "b", kernel="elsewhere")
    os.utime(forgotten, (time.time() - 90_000,) * 2)
    (tmp_path / "a.tmp").write_text("somebody's")
    with _files.whole_file(tmp_path / "mine") as mine:
        mine.write_text("unfinished")
        os.utime(mine, (time.time() - 90_000,) * 2)
        for _ in range(2):  # and from another process, which may have the same number elsewhere
            sweep = f"from thermometer import _files; _files.sweep(_files.Path({str(tmp_path)!r}))"
            subprocess.run([sys.executable, "-c", sweep], check=True)
        _files.sweep(tmp_path)
        assert names(tmp_path) == sorted([mine.name, theirs.name, "a.tmp"])
    assert names(tmp_path) == sorted([theirs.name, "a.tmp", "mine"])


def test_what_a_killed_process_left_is_taken_away_at_once(tmp_path):
    code = (
        "import os; from thermometer import _files\n"
        f"with _files.replaced_folder(_files.Path({str(tmp_path / 'a')!r})) as new:\n"
        "    (new / 'file').write_text('half')\n    os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert len(names(tmp_path)) == 1
    with _files.replaced_folder(tmp_path / "a"):
        pass
    assert names(tmp_path) == ["a"]


def test_a_folder_that_was_moved_away_by_a_killed_process_comes_back(tmp_path):
    leave(tmp_path, "a.b", "old")
    with pytest.raises(RuntimeError), _files.replaced_folder(tmp_path / "a.b"):
        raise RuntimeError
    assert names(tmp_path) == ["a.b"]
    assert (tmp_path / "a.b" / "file").read_text() == "old"
    leave(tmp_path, "a.b", "old")
    with _files.replaced_folder(tmp_path / "a.b") as new:
        (new / "file").write_text("new")
    assert names(tmp_path) == ["a.b"]
    assert (tmp_path / "a.b" / "file").read_text() == "new"


def test_names_with_wildcards_mean_themselves(tmp_path):
    kept = leave(tmp_path, "ab")
    with _files.replaced_folder(tmp_path / "a[b*]"):
        pass
    assert names(tmp_path) == sorted([kept.name, "a[b*]"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "not UTF-8"),
        (b"{", "not JSON"),
        (b"[1]", "expected a JSON object, got list"),
        (b'{"a": NaN}', "NaN is no number"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.json.*{message}"):
        _files.read_json(file)


def test_a_bad_line_is_named(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": 1}\n\n[2]\n')
    with pytest.raises(ValueError, match=r"a\.jsonl, line 3: expected a JSON object"):
        list(_files.read_lines(file))
    file.write_text(json.dumps({"a": "line\u2028separator"}, ensure_ascii=False) + "\n")
    assert list(_files.read_lines(file)) == [(1, {"a": "line\u2028separator"})]
    file.write_bytes(b'{"a": 1}\n' * 3000 + b"\xff")
    rows = _files.read_lines(file)
    assert next(rows) == (1, {"a": 1})  # the end of a long file is not read yet
    with pytest.raises(ValueError, match=r"a\.jsonl, after line \d+: not UTF-8"):
        list(rows)


@dataclass
class _Sizes:
    counts: NDArray[np.int8]
    share: float = 0.5

    def __post_init__(self):
        if self.share == 0:
            raise TypeError("a share of nothing")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"counts": [300]}, "`sizes.counts` to be numbers of int8"),
        ({"counts": [1.5]}, "`sizes.counts` to be an integer"),
        ({"counts": [], "share": 10**400}, "`sizes.share` to be a number, but got one of 401 dig"),
        ({"counts": [], "share": 0}, "sizes: a share of nothing"),
        ({"counts": [], "more": 1}, "`sizes` to be an object without more"),
        ({}, "`sizes` to be an object with counts"),
    ],
)
def test_a_json_value_that_fits_no_field_is_named(value, message):
    with pytest.raises(ValueError, match=message):
        _files.from_plain(_Sizes, value, "sizes")
