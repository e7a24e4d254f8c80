"""Files that grow: whatever a kill leaves behind, the next run completes it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermometer._files import GrowingLines

IDS = [f"q{i}" for i in range(6)]
ROWS = [{"id": i, "answer": "Zürich\n" * n} for n, i in enumerate(IDS)]
PROVENANCE = {"model": "m", "limit": 3}


def written(path, rows=ROWS, provenance=PROVENANCE):
    with GrowingLines(path, IDS, provenance) as lines:
        lines.append(rows[lines.n_done :])
    return path.read_bytes()


@given(st.data())
def test_a_file_cut_anywhere_is_completed(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "answers.jsonl"
    whole = written(path)
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    assert written(path) == whole
    assert [json.loads(line) for line in whole.decode().splitlines()] == ROWS


def test_lines_are_there_as_soon_as_they_are_appended(tmp_path):
    path = tmp_path / "deep" / "answers.jsonl"
    with GrowingLines(path, IDS, PROVENANCE) as lines:
        assert lines.n_done == 0
        lines.append(ROWS[:2])
        assert len(path.read_bytes().splitlines()) == 2
    with GrowingLines(path, IDS, PROVENANCE) as lines:
        assert lines.n_done == 2


def test_ids_may_be_left_out(tmp_path):
    path = tmp_path / "answers.jsonl"
    with GrowingLines(path, IDS, PROVENANCE) as lines:
        lines.append([ROWS[1], ROWS[3]])
    with GrowingLines(path, IDS, PROVENANCE) as lines:
        assert lines.n_done == 4


@pytest.mark.parametrize(
    ("provenance", "keys"),
    [
        ({"model": "n", "limit": 3}, "other model"),
        ({"model": "n", "limit": 4}, "other limit, model"),
        ({"model": "m"}, "other limit"),
        ({"model": "m", "limit": 3, "new": None, "newer": 1}, "other newer"),
    ],
)
def test_another_provenance_is_refused(tmp_path, provenance, keys):
    path = tmp_path / "answers.jsonl"
    before = written(path)
    with pytest.raises(ValueError, match=rf"made with {keys}\. Choose another file"):
        GrowingLines(path, IDS, provenance)
    assert path.read_bytes() == before


def test_where_nothing_was_written_another_maker_may_begin(tmp_path):
    path = tmp_path / "answers.jsonl"
    assert written(path, [], {"model": "wrong"}) == b""
    whole = written(path)
    path.unlink()
    assert written(path, provenance={"model": "new"}) == whole
    with pytest.raises(ValueError, match="made with other limit, model"):
        GrowingLines(path, IDS, PROVENANCE)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{\n", "line 3: not JSON"),
        (b"\xff\n", "line 3: not UTF-8"),
        (b"[]\n", "line 3: expected a later id"),
        (b'{"id": 3}\n', "line 3: expected a later id"),
        (b'{"id": "q9"}\n', "line 3: expected a later id"),
        (b'{"id": "q1"}\n', "line 3: expected a later id"),
    ],
)
def test_damaged_lines_are_named_and_nothing_is_cut(tmp_path, line, message):
    path = tmp_path / "answers.jsonl"
    written(path, ROWS[:2])
    with path.open("ab") as file:
        file.write(line + b'{"id": "q5"}\n{"half')
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        GrowingLines(path, IDS, PROVENANCE)
    assert path.read_bytes() == before


def test_files_of_other_programs_and_numbers_that_are_none_are_refused(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text("mine\n")
    with pytest.raises(ValueError, match="exists already, made by another program"):
        GrowingLines(path, IDS, PROVENANCE)
    assert path.read_text() == "mine\n"
    with (
        GrowingLines(tmp_path / "new.jsonl", IDS, PROVENANCE) as lines,
        pytest.raises(ValueError, match="not JSON"),
    ):
        lines.append([{"id": "q0", "confidence": float("nan")}])
