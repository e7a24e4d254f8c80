"""A short run of the fuzz harness, and proof that it would see what it looks for."""

import os

import pytest
from harness import Finding, Target, run_one
from targets import TARGETS

N = {"configs": 8, "report": 6, "monitor": 15}


@pytest.fixture
def here():
    """`run_one` changes the working folder."""
    folder = os.getcwd()
    yield
    os.chdir(folder)


def run(target, tmp_path, numbers, seed=7):
    sample = tmp_path / "sample"
    sample.mkdir()
    target.make(sample)
    for number in numbers:
        room = tmp_path / f"room {number}"
        room.mkdir()
        yield run_one(target, sample, room, seed, number)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_end_in_a_right_answer_or_in_an_error_that_names_the_cause(
    name, tmp_path, here, monkeypatch
):
    monkeypatch.setattr("harness.SECONDS", 60)  # machines that run tests may be slow
    ended = list(run(TARGETS[name], tmp_path, range(N.get(name, 25))))
    assert [found for found in ended if isinstance(found, Finding)] == []
    assert set(ended) - {"answer"}, "nothing was damaged"


@pytest.mark.parametrize("name", TARGETS)
def test_the_samples_are_good(name, tmp_path):
    (tmp_path / "in").mkdir()
    TARGETS[name].make(tmp_path / "in")
    TARGETS[name].read(tmp_path / "in")


def make(folder):
    (folder / "a.json").write_text('{"a": [1, 2, {"b": "text"}]}')


def crash(folder):
    raise KeyError("a")


def say_nothing(folder):
    raise ValueError("invalid literal")


def hang(folder):
    while True:
        pass


def leave_a_file(folder):
    (folder.parent / "left.txt").write_text("")


def execute(folder):
    (folder.parent / "EXECUTED").touch()
    (folder.parent / "EXECUTED").rename(folder.parent.parent / "EXECUTED")


@pytest.mark.parametrize("read", [crash, say_nothing, hang, leave_a_file, execute])
def test_the_harness_sees_it(read, tmp_path, here, monkeypatch):
    monkeypatch.setattr("harness.SECONDS", 0.2)
    (found,) = run(Target("probe", make, read), tmp_path, [0])
    assert isinstance(found, Finding)
